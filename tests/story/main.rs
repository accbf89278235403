//! Tests that read as a story: real processes, real sockets, real `dig` and `curl`.

mod cache;
mod check;
mod demo;
mod fault;
mod name_server;
mod nearest;
mod support;
