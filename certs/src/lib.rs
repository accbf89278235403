//! Certificates: from files, or got by themselves, and which one a client is shown.
//!
//! ```text
//! secrets/*.pem ─────────────────────────────┐
//! wanted -> due -> acme (challenges) -> held ─┴─> Names -> Certificates: SNI -> certificate
//! ```

mod acme;
mod alpn;
mod challenges;
mod client;
mod due;
mod files;
mod held;
mod names;
mod sealed;
mod server;
mod wanted;
mod warnings;

pub use acme::{Authority, Challenge, Publish, Way};
pub use alpn::ACME_TLS;
pub use challenges::Challenges;
pub use client::check_authorities;
pub use due::{Renewal, due};
pub use files::check;
pub use held::{Held, Unheld, Validity};
pub use names::Names;
pub use sealed::{open, seal};
pub use server::Certificates;
pub use wanted::{Wanted, wanted};
pub use warnings::warn_of_names;
