//! Which name server this is.

use crate::cookie::Cookies;

/// What a name server tells of itself, and of what it knows who has asked it before.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id: what it answers to NSID (RFC 5001).
    pub id: String,
    /// The cookies of all name servers of the network.
    pub cookies: Cookies,
}

impl Default for Identity {
    fn default() -> Self {
        Self { id: String::new(), cookies: Cookies::new([0; 16]) }
    }
}
