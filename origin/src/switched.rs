//! A connection that the origin has switched to another protocol (RFC 9110 §7.8).

use std::sync::{Arc, Mutex, PoisonError};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The connection, from after the response on; an extension of a response with status 101.
#[derive(Clone, Debug)]
pub struct Switched(Arc<Mutex<Option<Upgraded>>>);

impl Switched {
    pub(crate) fn new(connection: Upgraded) -> Self {
        Self(Arc::new(Mutex::new(Some(connection))))
    }

    /// The connection, once.
    #[must_use]
    pub fn take(&self) -> Option<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().map(TokioIo::new)
    }
}
