//! How long a fetch may take.

use std::time::Duration;

use config::limits;

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
}

impl Times {
    /// As the table of limits has them.
    pub(crate) const LIMITS: Self = Self {
        connect: limits::ORIGIN_CONNECT,
        first_byte: limits::ORIGIN_FIRST_BYTE,
        between_bytes: limits::ORIGIN_BETWEEN_BYTES,
        idle: limits::ORIGIN_IDLE_TIME,
    };
}
