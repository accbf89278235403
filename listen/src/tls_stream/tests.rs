use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::*;
use crate::deferred::Deferred;

/// A client's end of a pipe, which is watched, and reads as it is told to. Without TLS what it sees are no records.
pub(crate) struct Tap {
    io: DuplexStream,
    tapped: Arc<Tapped>,
    /// Of the header of a record, then how much of the record is to come.
    header: Vec<u8>,
    left: usize,
    /// Until the next read.
    rest: Option<Pin<Box<Sleep>>>,
}

/// What is seen of a client's reading, and told it.
#[derive(Default)]
pub(crate) struct Tapped {
    records: AtomicUsize,
    is_paused: AtomicBool,
    is_slow: AtomicBool,
}

impl Tapped {
    /// Records that have begun to come.
    pub(crate) fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// Reads nothing any more.
    pub(crate) fn pause(&self) {
        self.is_paused.store(true, Ordering::Relaxed);
    }

    /// Reads 16 KiB a second.
    pub(crate) fn slow_down(&self) {
        self.is_slow.store(true, Ordering::Relaxed);
    }
}

impl Tap {
    pub(crate) fn new(io: DuplexStream) -> (Self, Arc<Tapped>) {
        let tapped = Arc::<Tapped>::default();
        (Self { io, tapped: Arc::clone(&tapped), header: Vec::new(), left: 0, rest: None }, tapped)
    }

    fn see(&mut self, byte: u8) {
        if self.left > 0 {
            self.left -= 1;
            return;
        }
        self.header.push(byte);
        if let [_, _, _, high, low] = self.header[..] {
            self.left = usize::from(u16::from_be_bytes([high, low]));
            self.header.clear();
            self.tapped.records.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.tapped.is_paused.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if let Some(rest) = &mut this.rest {
            ready!(rest.as_mut().poll(cx));
            this.rest = None;
        }
        let mut bytes = [0; 4 << 10];
        let room = into.remaining().min(bytes.len());
        let mut part = ReadBuf::new(&mut bytes[..room]);
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut part))?;
        part.filled().iter().for_each(|byte| this.see(*byte));
        into.put_slice(part.filled());
        if this.tapped.is_slow.load(Ordering::Relaxed) {
            this.rest = Some(Box::pin(sleep(Duration::from_millis(250))));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["www.shop.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut server = server.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    // A record is an answer's, then.
    server.send_tls13_tickets = 0;
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    (Arc::new(server), Arc::new(client))
}

/// A stream and its client, after a handshake over a pipe with so much room each way.
pub(crate) async fn pair(room: usize) -> (Tls<DuplexStream>, client::TlsStream<Tap>, Arc<Tapped>) {
    let (server, client) = configs();
    let (ours, theirs) = tokio::io::duplex(room);
    let (tap, tapped) = Tap::new(theirs);
    let name = ServerName::try_from("www.shop.example").unwrap();
    let accepts = TlsAcceptor::from(server).accept(ours);
    let (ours, theirs) = tokio::join!(accepts, TlsConnector::from(client).connect(name, tap));
    (Tls::new(ours.unwrap()), theirs.unwrap(), tapped)
}

async fn send(stream: &Deferred<Tls<DuplexStream>>) {
    poll_fn(|cx| stream.poll_send(cx)).await.unwrap();
}

#[tokio::test]
async fn many_small_writes_become_few_records() {
    let (ours, mut theirs, tapped) = pair(1 << 20).await;
    let ours = Deferred::new(ours);
    let mut writes = ours.clone();
    let before = tapped.records();
    for number in 0..100_u8 {
        writes.write_all(&[number; 200]).await.unwrap();
        writes.flush().await.unwrap();
    }
    let mut got = vec![0; 20_000];
    let early = timeout(Duration::from_millis(10), theirs.read(&mut got)).await;
    assert!(early.is_err(), "nothing leaves before the turn is over");
    send(&ours).await;
    theirs.read_exact(&mut got).await.unwrap();
    assert!(got.chunks(200).zip(0..).all(|(piece, number)| piece == [number; 200]));
    assert_eq!(tapped.records() - before, 2);

    // What is small goes with what is large.
    let before = tapped.records();
    writes.write_all(&[1; 9]).await.unwrap();
    writes.write_all(&[2; 10 << 10]).await.unwrap();
    send(&ours).await;
    let mut got = vec![0; 9 + (10 << 10)];
    theirs.read_exact(&mut got).await.unwrap();
    assert!(got[..9] == [1; 9] && got[9..].iter().all(|byte| *byte == 2));
    assert_eq!(tapped.records() - before, 1);
    send(&ours).await;
    let kept = ours.look(|tls| (tls.unsent_bytes(), tls.small.capacity()));
    assert_eq!(kept, (0, 0), "an idle connection keeps nothing");
}

/// Records that come, and leave, in pieces; and a client that has ended its side still reads.
#[tokio::test]
async fn half_a_record_is_waited_for_and_an_end_is_only_that_of_one_side() {
    let (ours, theirs, _) = pair(7).await;
    let said: Vec<u8> = (0..50_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let echoes = async {
        let (mut reads, mut writes) = tokio::io::split(ours);
        let mut heard = Vec::new();
        reads.read_to_end(&mut heard).await.unwrap();
        writes.write_all(&heard).await.unwrap();
        writes.shutdown().await.unwrap();
    };
    let (mut reads, mut writes) = tokio::io::split(theirs);
    let says = async {
        writes.write_all(&said).await.unwrap();
        writes.shutdown().await.unwrap();
    };
    let hears = async {
        let mut heard = Vec::new();
        reads.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let ((), (), heard) = tokio::join!(echoes, says, hears);
    assert!(heard == said);
}

#[tokio::test]
async fn a_cut_is_no_end() {
    let (mut ours, mut theirs, _) = pair(1 << 10).await;
    let mut buffer = [0; 16];
    // Half a record.
    theirs.get_mut().0.write_all(&[23, 3, 3, 0, 100, 1, 2, 3]).await.unwrap();
    assert!(timeout(Duration::from_millis(10), ours.read(&mut buffer)).await.is_err(), "it waits");
    drop(theirs);
    assert_eq!(ours.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

    let (ours, mut theirs, _) = pair(1 << 10).await;
    drop(ours);
    assert_eq!(theirs.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

    // A record that nobody has made: the client is told so.
    let (mut ours, mut theirs, _) = pair(1 << 10).await;
    theirs.get_mut().0.write_all(&[&[23_u8, 3, 3, 0, 20][..], &[0; 20]].concat()).await.unwrap();
    assert_eq!(ours.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(theirs.read(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_write_leaves_at_once_where_it_is_not_deferred() {
    let (mut ours, mut theirs, tapped) = pair(1 << 20).await;
    let before = tapped.records();
    let written = poll_fn(|cx| {
        let pieces = [IoSlice::new(&[1; 100]), IoSlice::new(&[2; 10 << 10])];
        Pin::new(&mut ours).poll_write_vectored(cx, &pieces)
    });
    assert_eq!(written.await.unwrap(), 100 + (10 << 10));
    let mut got = vec![0; 100 + (10 << 10)];
    theirs.read_exact(&mut got).await.unwrap();
    assert_eq!((got[0], got[100], tapped.records() - before), (1, 2, 1));
}
