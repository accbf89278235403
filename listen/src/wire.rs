//! What connections are carried by, in the clear or over TLS, and what more than reading and writing they are asked for.

use std::sync::Arc;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::activity::{Activity, Watched};
use crate::deferred::Batch;
use crate::delivery::{Delivers, Delivery};
use crate::round_trip::Measured;
use crate::tls_stream::Tls;

/// A client's connection.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Delivers + Unpin + Send + Sized + 'static {
    /// The same while what leaves it is noted.
    type Watched: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Notes from now on what leaves it: what the kernel takes, over TLS too.
    fn watch(self, activity: Arc<Activity>) -> Self::Watched;

    /// Notes it no longer.
    fn unwatch(watched: Self::Watched) -> Self;

    /// Bytes that were written to it and have not left.
    fn unsent(&self) -> usize {
        0
    }

    /// From now on its end is a reset (RFC 9293 §3.5.2), not a close: no client can take it for the end of a body.
    fn reset_when_dropped(&self);
}

impl Wire for Measured {
    type Watched = Watched<Self>;

    fn watch(self, activity: Arc<Activity>) -> Self::Watched {
        Watched::new(self, activity)
    }

    fn unwatch(watched: Self::Watched) -> Self {
        watched.into_inner()
    }

    fn reset_when_dropped(&self) {
        // Where it cannot be set the end is a close, as without it.
        let _ = SockRef::from(self.socket()).set_linger(Some(std::time::Duration::ZERO));
    }
}

/// Of bytes as they are sent, encrypted.
impl<S: Delivers> Delivers for Tls<S> {
    fn delivery(&self) -> Option<Delivery> {
        self.io().delivery()
    }
}

impl<S: Wire> Wire for Tls<S> {
    type Watched = Tls<S::Watched>;

    fn watch(self, activity: Arc<Activity>) -> Self::Watched {
        self.map(|io| io.watch(activity))
    }

    fn unwatch(watched: Self::Watched) -> Self {
        watched.map(S::unwatch)
    }

    fn unsent(&self) -> usize {
        self.unsent_bytes()
    }

    /// Without a `close_notify` a TLS client knows a cut already (RFC 8446 §6.1).
    fn reset_when_dropped(&self) {
        self.io().reset_when_dropped();
    }
}

#[cfg(test)]
impl Wire for tokio::io::DuplexStream {
    type Watched = Watched<Self>;

    fn watch(self, activity: Arc<Activity>) -> Self::Watched {
        Watched::new(self, activity)
    }

    fn unwatch(watched: Self::Watched) -> Self {
        watched.into_inner()
    }

    fn reset_when_dropped(&self) {}
}
