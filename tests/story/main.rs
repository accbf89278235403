//! Tests that read as a story: real processes, real sockets, real `dig` and `curl`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a story that fails panics"
)]

mod acme;
mod alerts;
mod cache;
mod check;
mod conformance;
mod console;
mod crowd;
mod dashboard;
mod demo;
mod deploy;
mod disk;
mod doh;
mod drain;
mod encrypted;
mod failing;
mod fault;
mod floods;
mod gather;
mod grpc;
mod handshakes;
mod http3;
mod init;
mod instructions;
mod interim;
mod latency;
mod link;
mod load;
mod logs;
mod manual;
mod memory;
mod name_server;
mod nearest;
mod node;
mod origin_names;
mod origins;
mod package;
mod page;
mod plan;
mod proxies;
mod purge;
mod resolvers;
mod restore;
mod runbook;
mod scan;
mod secondaries;
mod sites;
mod slices;
mod stall;
mod support;
mod tls;
mod together;
mod transport;
mod tutorial;
mod units;
mod up;
mod upgrade;
mod upgrades;
mod upload;
mod world;
