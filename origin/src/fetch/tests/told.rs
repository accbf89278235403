//! Origins and clients that do as they are told.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use rcgen::{CertifiedKey, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::upload::RequestBody;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 4, 1);
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

pub(super) type Piece = Result<Bytes, Box<dyn Error + Send + Sync>>;

/// A body that a client sends piece by piece.
pub(super) fn upload() -> (mpsc::Sender<Piece>, RequestBody) {
    struct Pieces(mpsc::Receiver<Piece>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Box<dyn Error + Send + Sync>;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
        }
    }

    let (sender, receiver) = mpsc::channel(64);
    (sender, Pieces(receiver).boxed_unsync())
}

/// A body that is there.
pub(super) fn whole(text: &'static str) -> RequestBody {
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}

/// An origin that treats each connection as told, with the connection's number.
pub(super) struct TestOrigin {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl TestOrigin {
    pub(super) async fn new<F: Future<Output = ()> + Send + 'static>(
        treat: impl Fn(TcpStream, usize) -> F + Send + 'static,
    ) -> Self {
        Self::on(listen().await, treat)
    }

    /// As [`Self::new`], where it listens already.
    pub(super) fn on<F: Future<Output = ()> + Send + 'static>(
        listener: TcpListener,
        treat: impl Fn(TcpStream, usize) -> F + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(treat(stream, count.fetch_add(1, Ordering::Relaxed)));
            }
        });
        Self { address, connections }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A certificate of its own for `www.shop.example` and the tests' address.
pub(super) fn tls_key() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["www.shop.example".into(), ADDRESS.to_string()]).unwrap()
}

/// Settings that trust this certificate.
pub(super) fn trusting(key: &CertifiedKey<KeyPair>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(key.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// An origin that answers over TLS.
pub(super) async fn tls_origin(key: &CertifiedKey<KeyPair>) -> TestOrigin {
    let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![key.cert.der().clone()], secret).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    TestOrigin::new(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            while read_until(&mut stream, "\r\n\r\n").await {
                say(&mut stream, OK).await;
            }
        }
    })
    .await
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

async fn listen() -> TcpListener {
    TcpListener::bind((ADDRESS, 0)).await.unwrap()
}

/// An address where nobody listens.
pub(super) async fn refusing() -> SocketAddr {
    listen().await.local_addr().unwrap()
}

/// Whether the text came before the end.
pub(super) async fn read_until(stream: &mut (impl AsyncRead + Unpin), last: &str) -> bool {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(last) {
        match stream.read_buf(&mut seen).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
    }
    true
}

pub(super) async fn say(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.flush().await;
}
