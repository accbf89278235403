//! Which handler takes a request: a table of (host, path prefix).

use std::pin::Pin;
use std::sync::Arc;

use crate::body::Body;
use crate::connection::Connection;
use crate::fast::{AtOnce, Plain, Whole};
use crate::incoming::Incoming;
use http::request::Parts;
use http::{Request, Response};

/// A response on its way.
pub type Reply = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers a plain request without waiting for anything, if it can: the head is written as bytes, into this. It
    /// must be what [`Self::serve`] would answer, which else has the request.
    fn at_once(&self, _: &Plain<'_>, _: &Connection, _: &mut Vec<u8>) -> Option<AtOnce> {
        None
    }

    /// The same of a request of HTTP/2 or 3 without a body.
    fn whole_at_once(&self, _: &Parts, _: &Connection) -> Option<Whole> {
        None
    }

    /// Whether requests are begun a few at a time, so that they keep nothing that is answered at once waiting.
    fn takes_turns(&self) -> bool {
        false
    }

    /// Answers one request.
    fn serve(&self, request: Request<Incoming>, connection: Connection) -> Reply;
}

/// A handler at a place.
#[derive(Clone)]
pub struct Mount {
    /// Path prefix, such as `/.hither/`.
    pub path: &'static str,
    /// Who answers below it.
    pub handler: Arc<dyn Handler>,
}

/// Handlers by path; the longest prefix that fits takes the request.
#[derive(Clone)]
pub struct Mounts {
    mounts: Vec<Mount>,
}

impl Mounts {
    /// Makes the table.
    #[must_use]
    pub fn new(mut mounts: Vec<Mount>) -> Self {
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.path.len()));
        Self { mounts }
    }

    /// Who answers a path.
    pub(crate) fn find(&self, path: &str) -> Option<&Arc<dyn Handler>> {
        self.mounts.iter().find(|mount| path.starts_with(mount.path)).map(|mount| &mount.handler)
    }
}
