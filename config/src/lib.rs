//! What the operator wrote, read once and checked: the lowest floor.
//!
//! ```text
//! DIR/hither.toml ─┐
//! DIR/sites/*.toml ├─ load ─> Config (immutable, complete)   or   every Problem at once
//! DIR/zones/*      │
//! DIR/routes.toml ─┘
//! ```
//!
//! Nothing here opens a socket or knows a protocol. Other floors take [`Config`] and its nouns
//! ([`SiteId`], [`PopId`], [`NodeId`], [`Prefix`]) as given: what has been read is not checked again.

mod acme;
mod auto;
mod changed;
mod claims;
mod congestion;
mod continent;
mod families;
mod host;
mod id;
mod keys;
pub mod limits;
mod listening;
mod load;
mod log;
mod maintenance;
mod nearest;
mod network;
mod origin;
mod path;
mod pattern;
mod prefix;
mod private;
mod problem;
mod register;
mod round_trips;
mod route;
mod rule;
pub mod schema;
mod secret;
mod shape;
mod site;
mod source;
mod table;
mod template;
mod tls;
mod transfer;
mod units;
mod version;
mod wrong;

pub use acme::{Acme, AcmeChallenge, ExternalAccount};
pub use congestion::Congestion;
pub use continent::Continent;
pub use host::{DomainName, HostName, HostPattern};
pub use id::{CountryCode, NodeId, PopId, SiteId};
pub use keys::{KEY_SETTLES, KeyAlgorithm, KeyRole, ZoneKey, ZoneKeys};
pub use listening::{DnsHttps, overlaps};
pub use load::{
    Config, Loaded, Refused, ZoneFile, default_state, is_leftover, load, load_copy, read_bounded, zone_names,
};
pub use log::{Clients, Log, LogField, LogFormat};
pub use maintenance::Maintenance;
pub use network::{
    Addresses, Admin, AdminState, Disk, Dns, Edge, EdgeNode, Geo, Health, Listen, Location, NameServer, Network, Node,
    Pop, parse_address, parse_contact,
};
pub use origin::{Aws, ClientCertificate, Origin, OriginProbe, OriginServer, Scheme};
pub use path::PathGlob;
pub use pattern::Pattern;
pub use prefix::Prefix;
pub use private::write_private;
pub use problem::{Look, Problem, Severity, report};
pub use round_trips::RoundTrip;
pub use route::{Act, Route, Routes};
pub use rule::{
    Access, Answer, Cors, Force, HeaderEdits, KeyPart, Query, Rate, RateBy, Referer, Rule, SigningKey, TtlByStatus,
};
pub use secret::{Secret, SecretFile};
pub use site::{Cache, SetCookie, Site, Tags};
pub use source::{Place, Source};
pub use table::Written;
pub use template::{Piece, Template, Variable};
pub use tls::{DnsTls, Hsts, Tls};
pub use transfer::{Transfer, TransferAlgorithm, TransferKey};
pub use units::duration as parse_duration;
pub use version::FileChange;
pub use wrong::Wrong;
