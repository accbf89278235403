//! Statuses whose meaning for caching is known here (RFC 9111 §5.2.2.3).

use http::StatusCode;

/// Whether this cache does what the status asks of caches: all final ones that RFC 9110 §15 defines.
pub(crate) fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

/// Whether the status is of those that one client's odd request draws for everybody: stored only
/// when the request was plain.
pub(crate) fn may_be_drawn(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 405 | 412..=414 | 416 | 417 | 431)
}
