//! How long a fetch may take.

use std::time::Duration;

use config::{Origin, limits};

/// The times of a fetch's parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From the name to a connection on which a request can be sent.
    pub(crate) connect: Duration,
    /// From the end of the request to the response's head.
    pub(crate) first_byte: Duration,
    /// Between two pieces of a body, the request's or the response's.
    pub(crate) between_bytes: Duration,
    /// Of a connection between two requests.
    pub(crate) idle: Duration,
    /// Of the whole.
    pub(crate) total: Option<Duration>,
}

impl Times {
    /// As a site has them.
    pub(crate) fn of(origin: &Origin) -> Self {
        Self {
            connect: origin.connect_timeout,
            first_byte: origin.first_byte_timeout,
            between_bytes: origin.between_bytes_timeout,
            idle: limits::ORIGIN_IDLE_TIME,
            total: origin.total_timeout,
        }
    }
}
