//! Ending a connection so that its client cannot take the end for that of a body.

use socket2::SockRef;
use tokio_rustls::server::TlsStream;

use crate::round_trip::Measured;

/// A connection that can be cut off.
pub(crate) trait Reset {
    /// From now on its end is a reset (RFC 9293 §3.5.2), not a close.
    fn reset_when_dropped(&self);
}

impl Reset for Measured {
    fn reset_when_dropped(&self) {
        // Where it cannot be set the end is a close, as without it.
        let _ = SockRef::from(self.socket()).set_linger(Some(std::time::Duration::ZERO));
    }
}

impl Reset for TlsStream<Measured> {
    /// Without a `close_notify` a TLS client knows a cut already (RFC 8446 §6.1).
    fn reset_when_dropped(&self) {
        self.get_ref().0.reset_when_dropped();
    }
}

#[cfg(test)]
impl Reset for tokio::io::DuplexStream {
    fn reset_when_dropped(&self) {}
}
