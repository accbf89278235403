//! The body of every response.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

/// Any error, told to the log by who makes the body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A streamed body; an error in it cuts the response visibly (RFC 9112 §8).
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body of one piece.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
