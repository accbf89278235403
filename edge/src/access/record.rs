//! What is known of a request, as it goes to the writer.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A request that is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record<'a> {
    /// When it began, milliseconds since the Unix epoch.
    pub(crate) time_ms: u64,
    pub(crate) site: &'a str,
    /// As far as it may be written.
    pub(crate) client: Option<IpAddr>,
    pub(crate) method: &'a str,
    pub(crate) scheme: &'a str,
    /// As the client wrote it.
    pub(crate) host: &'a str,
    /// Path and query, as the client wrote them.
    pub(crate) target: &'a str,
    pub(crate) version: &'a str,
    #[serde(borrow)]
    pub(crate) tls: Option<&'a str>,
    pub(crate) status: u16,
    /// Bytes of body sent.
    pub(crate) bytes: u64,
    pub(crate) duration_ms: u64,
    /// Until there was an answer to send.
    pub(crate) first_byte_ms: u64,
    pub(crate) cache: &'a str,
    pub(crate) complete: bool,
    /// The origin's server that answered.
    #[serde(borrow)]
    pub(crate) origin: Option<&'a str>,
    /// [`Fields`], packed.
    #[serde(borrow)]
    pub(crate) said: Raw<'a>,
}

/// What a client says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    pub(super) user_agent: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(super) referer: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(super) request_id: Option<Raw<'a>>,
}

/// Bytes that others wrote: any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw<'a>(pub(super) &'a [u8]);

/// What each field takes beside its bytes: whether it is there, and its length.
const FRAME: usize = 4;

impl Fields<'_> {
    /// About what it takes, packed.
    pub(super) fn size(&self) -> usize {
        [self.user_agent, self.referer, self.request_id].iter().flatten().map(|raw| raw.0.len() + FRAME).sum::<usize>()
            + FRAME
    }
}

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de [u8]>::deserialize(deserializer).map(Raw)
    }
}
