//! The request that goes to the origin: written anew, never passed through.

use std::borrow::Cow;
use std::sync::Arc;

use caching::{
    HITHER_CDN_CACHE_CONTROL, count_forward, has_conditions, remove_conditions, remove_hop_by_hop, remove_where,
};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use origin::{Head, OnInterim};

use crate::ask::Ask;
use crate::fields::{COOKIE_KEY, is_of_body};

/// Whether the request takes a body along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// None: one that came is dropped (RFC 9110 §9.3.1 gives it no meaning).
    Empty,
    /// The client's.
    Body,
}

/// Writes the request for an origin, for this path and query: past the store the client's, else the key's. What that says before its response goes to the client at once, and
/// nowhere else.
pub(crate) fn compose<'a>(ask: &'a Ask, load: Load, target: &str) -> Option<Head<'a>> {
    // Most go out as they are: they are copied for each server that is asked, and not before.
    let mut headers = Cow::Borrowed(&ask.headers);
    if ask.method == Method::OPTIONS {
        count_forward(&ask.method, headers.to_mut());
    }
    let is_out = |name: &HeaderName| (load == Load::Empty && is_of_body(name)) || name.as_str().starts_with(COOKIE_KEY);
    if headers.keys().any(is_out) {
        remove_where(headers.to_mut(), is_out);
    }
    Some(Head { method: ask.method.clone(), uri: target.parse().ok()?, headers, on_interim: to_client(ask) })
}

/// As [`compose`], for the store: a GET without the client's conditions.
pub(crate) fn compose_for_store(ask: &Ask) -> Option<Head<'_>> {
    let mut head = compose(ask, Load::Empty, ask.key.path_and_query())?;
    head.method = Method::GET;
    if has_conditions(&head.headers) {
        remove_conditions(head.headers.to_mut());
    }
    Some(head)
}

/// Sends interim responses on to the client, where it may get any.
fn to_client(ask: &Ask) -> Option<OnInterim> {
    let interim = ask.interim.clone()?;
    Some(Arc::new(move |status: StatusCode, headers: &HeaderMap| {
        let mut headers = headers.clone();
        remove_hop_by_hop(&mut headers);
        headers.remove(HITHER_CDN_CACHE_CONTROL);
        // RFC 9110 §8.6: "A server MUST NOT send a Content-Length header field in any response with a status
        // code of 1xx".
        headers.remove(CONTENT_LENGTH);
        interim.send(status, &headers);
    }))
}
