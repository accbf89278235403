//! The request that goes to the origin: written anew, never passed through.

use std::sync::Arc;

use caching::{HITHER_CDN_CACHE_CONTROL, count_forward, remove_hop_by_hop, remove_where};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, Request, Uri};
use origin::OnInterim;

use crate::ask::Ask;
use crate::fields::{COOKIE_KEY, remove_body_fields};

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
pub(crate) fn compose(ask: &Ask, load: Load, target: &str) -> Option<Parts> {
    let mut headers = ask.headers.clone();
    count_forward(&ask.method, &mut headers);
    if load == Load::Empty {
        remove_body_fields(&mut headers);
    }
    remove_where(&mut headers, |name| name.as_str().starts_with(COOKIE_KEY));
    let uri: Uri = target.parse().ok()?;
    let mut request = Request::new(());
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    if let Some(interim) = ask.interim.clone() {
        request.extensions_mut().insert(OnInterim(Arc::new(move |status, headers| {
            let mut headers = headers.clone();
            remove_hop_by_hop(&mut headers);
            headers.remove(HITHER_CDN_CACHE_CONTROL);
            // RFC 9110 §8.6: "A server MUST NOT send a Content-Length header field in any response with a status
            // code of 1xx".
            headers.remove(CONTENT_LENGTH);
            interim.send(status, &headers);
        })));
    }
    Some(request.into_parts().0)
}

/// As [`compose`], for the store: a GET without the client's conditions.
pub(crate) fn compose_for_store(ask: &Ask) -> Option<Parts> {
    let mut head = compose(ask, Load::Empty, ask.key.path_and_query())?;
    head.method = Method::GET;
    caching::remove_conditions(&mut head.headers);
    Some(head)
}
