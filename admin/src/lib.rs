//! The admin address of a node, or of a whole fleet: status, metrics, explanations, purging, draining, and the console.
//!
//! Reading is free on loopback; elsewhere, and to change anything, it needs the token. Nodes reach each other
//! by the same paths at an address of their own, and sign what they ask. Requests whose Host is a name other
//! than `localhost` are refused, so that no web page can reach it by DNS rebinding.
//!
//! [`Gathering`] is what somebody who asks every node again and again knows of the fleet; the console shows it.

mod answer;
mod api;
mod console;
mod gather;
mod gathered;
mod guard;
mod merge;
mod openapi;
mod paths;
mod plot;
mod query;

pub use api::{Admin, Asked, Client, Drain, Facts, Purged, Refused, Told};
pub use gather::{
    About, CertificateSeen, ConfigSeen, EdgeSeen, Event, Flow, Flows, Gathering, Ground, Happening, Heard, Hearing,
    Kind, NameServerSeen, NetworkSeen, OriginSeen, Overview, PopSeen, Rates, Sample, Severity, SiteSeen, State,
};
pub use guard::{Door, Keys, Reach};
pub use merge::merge_metrics;
