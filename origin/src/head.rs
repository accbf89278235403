//! A request's head, as servers get it.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, Uri};

/// A request's head, of which each server that is asked gets a copy.
pub struct Head<'a> {
    /// The method.
    pub method: Method,
    /// Holds the path and query.
    pub uri: Uri,
    /// The fields; Host is the client's.
    pub headers: Cow<'a, HeaderMap>,
    /// Who is told of interim responses, where anybody is.
    pub on_interim: Option<OnInterim>,
}

/// Told of every interim response of the origin but 100 (RFC 9110 §15.2).
pub type OnInterim = Arc<dyn Fn(StatusCode, &HeaderMap) + Send + Sync>;
