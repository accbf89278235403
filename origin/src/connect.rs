//! One new connection: resolve, check, connect, agree on TLS.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use config::{Origin, OriginServer, Scheme};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::dial::dial;
use crate::error::FetchError;
use crate::reach::Reach;
use crate::resolve::{Host, resolve};
use crate::upload::Upload;

/// A connection on which one request at a time can be sent. It is closed at once when it is dropped, even
/// where a request's body is still on its way.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Upload>,
    driver: AbortHandle,
    /// Whether anything has come since the last request was sent.
    heard: Arc<AtomicBool>,
}

impl Connection {
    /// Whether a request can be sent, as far as is known.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Sends a request and waits for the response's head. The error holds the request if nothing of it was
    /// sent.
    pub(crate) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<> {
        self.heard.store(false, Ordering::Relaxed);
        self.sender.try_send_request(request)
    }

    /// Whether a byte has come since the last request was sent, be it of no whole response.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What a connection to one server needs.
#[derive(Debug)]
pub(crate) struct Target {
    host: Host,
    port: u16,
    reach: Reach,
    /// The name in the certificate, where TLS is spoken.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Target {
    /// Reads a server of a config; none if its name can be in no certificate.
    pub(crate) fn new(origin: &Origin, server: &OriginServer, tls: &Arc<ClientConfig>) -> Option<Self> {
        let host = Host::read(&server.host);
        let tls = match server.scheme {
            Scheme::Http => None,
            Scheme::Https => Some((Arc::clone(tls), certified(origin, &host)?)),
        };
        let reach = if origin.allow_private { Reach::Anywhere } else { Reach::Public };
        Some(Self { host, port: server.port, reach, tls })
    }

    /// Its name or address, and its port where that is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let host = match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(IpAddr::V4(address)) => address.to_string(),
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        };
        let own = if self.tls.is_some() { 443 } else { 80 };
        if self.port == own { host } else { format!("{host}:{}", self.port) }
    }

    /// Connects within the time, name and TLS included. Nothing of a request has been sent when it fails.
    pub(crate) async fn connect(&self, time: Duration) -> Result<Connection, FetchError> {
        let until = Instant::now() + time;
        let addresses = resolve(&self.host, self.port, self.reach, until).await?;
        let connect = async {
            let stream = dial(&addresses, until).await?;
            match &self.tls {
                None => begin(stream).await,
                Some((tls, name)) => {
                    let agreed = TlsConnector::from(Arc::clone(tls)).connect(name.clone(), stream).await;
                    begin(agreed.map_err(|error| FetchError::of_handshake(&error))?).await
                }
            }
        };
        timeout_at(until, connect).await.unwrap_or(Err(FetchError::ConnectionTimeout))
    }
}

/// The origin's own Host, else the server's name or address.
fn certified(origin: &Origin, host: &Host) -> Option<ServerName<'static>> {
    match (&origin.host, host) {
        (Some(name), _) => ServerName::try_from(name.to_string()).ok(),
        (None, Host::Name(name)) => ServerName::try_from(name.clone()).ok(),
        (None, Host::Address(address)) => Some(ServerName::from(*address)),
    }
}

async fn begin<T>(stream: T) -> Result<Connection, FetchError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let heard = Arc::new(AtomicBool::new(false));
    let stream = Listening { inner: stream, heard: Arc::clone(&heard) };
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| FetchError::of_head(&error))?;
    // What ends it is told to the request that is on it.
    let driver = tokio::spawn(connection.with_upgrades()).abort_handle();
    Ok(Connection { sender, driver, heard })
}

pin_project! {
    /// A stream that tells whether anything has come.
    struct Listening<T> {
        #[pin]
        inner: T,
        heard: Arc<AtomicBool>,
    }
}

impl<T: AsyncRead> AsyncRead for Listening<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buffer.filled().len();
        let read = this.inner.poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.heard.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<T: AsyncWrite> AsyncWrite for Listening<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use config::DomainName;

    use super::*;

    #[test]
    fn the_certificate_is_for_the_origin_s_host_else_for_the_server() {
        let table = [
            (Some("www.shop.example"), "10.0.0.1", "www.shop.example"),
            (Some("www.shop.example"), "one.shop.example", "www.shop.example"),
            (None, "one.shop.example", "one.shop.example"),
            (None, "192.0.2.1", "192.0.2.1"),
            (None, "[2001:db8::1]", "2001:db8::1"),
        ];
        for (host, server, name) in table {
            let host = host.map(|host| DomainName::parse(host).unwrap());
            let origin = Origin { host, ..crate::fetch::tests::origin(&[], Scheme::Https) };
            assert_eq!(certified(&origin, &Host::read(server)).unwrap().to_str(), name);
        }
    }
}
