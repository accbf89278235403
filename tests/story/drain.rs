//! An edge that takes no new clients, and one that ends: nobody is refused, nobody cut.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UdpSocket};

use crate::support::{Network, Origin, Signal, addresses, dig, get, reply, runtime, signal, wait_for};

/// A body that is a function of its path, some of them of many pieces.
pub(crate) fn body_of(path: &str) -> Vec<u8> {
    let seed = path.bytes().fold(7_usize, |sum, byte| sum * 31 % 65_521 + usize::from(byte));
    let length = if seed.is_multiple_of(5) { 300_000 } else { 1_000 + seed % 9_000 };
    (0..length).map(|at| u8::try_from((at * 7 + seed + at / 251) % 251).unwrap()).collect()
}

/// An origin of such bodies.
pub(crate) async fn origin() -> Origin {
    Origin::start(|_, request| {
        let path = request.uri().path().to_owned();
        reply(200, &[("cache-control", "max-age=3600"), ("cache-tag", "all"), ("etag", "\"one\"")], body_of(&path))
    })
    .await
}

/// A network with a second edge, and answers that hold for a second.
fn two_edges(number: u8, other: u8, origin: SocketAddr) -> Network {
    let network = Network::new(number, origin, "");
    let file = network.path("hither.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("[health]\n", "[dns]\nttl = \"1s\"\nttl_changing = \"1s\"\n[health]\n");
    let second =
        format!("[[pop.edge]]\nid = \"one-2\"\naddresses = [\"127.0.2.{other}\"]\nadmin = \"127.0.2.{other}:9400\"\n");
    fs::write(&file, text + &second).unwrap();
    network
}

/// Which edges the name server names, by the last numbers of their addresses.
fn named(network: &Network) -> Vec<u8> {
    let server = format!("@{}", network.dns.ip());
    let mut named: Vec<u8> = addresses(&dig(&server, network.dns.port(), &["shop.cdn.example", "+short"]))
        .into_iter()
        .map(|address| match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => panic!("{address}"),
        })
        .collect();
    named.sort_unstable();
    named
}

fn becomes(network: &Network, expected: &[u8], what: &str) {
    wait_for(Duration::from_secs(10), what, || {
        let named = named(network);
        if named == expected { Ok(()) } else { Err(format!("{named:?}")) }
    });
}

#[test]
fn a_drained_edge_is_named_no_more_and_serves_on() {
    runtime().block_on(async {
        let origin = origin().await;
        let network = two_edges(201, 202, origin.address);
        let first = network.start("one-1");
        let _second = network.start("one-2");
        let _ns = network.start("ns1");
        becomes(&network, &[201, 202], "both are named");

        let (said, code) = network.hither(&["drain", "one-1"]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("ns1 names it no more") && said.contains("it may be stopped now"), "{said}");
        for _ in 0..5 {
            assert_eq!(named(&network), [202]);
        }
        let got = get(network.edge, "/a", &[]).await.unwrap();
        assert!(got.status == 200 && got.body == body_of("/a"));
        let health = get(network.edge, "/.hither/health", &[]).await.unwrap();
        assert_eq!((health.status.as_u16(), health.body.as_ref()), (503, &b"draining\n"[..]));
        let (said, _) = network.hither(&["status"]);
        assert!(said.lines().any(|line| line.starts_with("one-1  running  drained by itself, up")), "{said}");
        assert!(said.contains("`hither undrain one-1` takes it back"), "{said}");
        let (said, _) = network.hither(&["explain", "shop.cdn.example", "--from", "10.0.0.1"]);
        assert!(said.contains("one-1 is drained"), "{said}");

        drop(first);
        let first = network.start("one-1");
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(named(&network), [202], "over a restart, too");

        let (said, code) = network.hither(&["undrain", "one-1"]);
        assert_eq!(code, 0, "{said}");
        becomes(&network, &[201, 202], "it is back");

        // A name server that is elsewhere cannot be asked: its probes tell the edge that it knows.
        let marker = network.path(".state/ns1/node.json");
        let kept = fs::read(&marker).unwrap();
        fs::remove_file(&marker).unwrap();
        let (said, code) = network.hither(&["drain", "one-1", "--json"]);
        assert_eq!(code, 0, "{said}");
        let told: serde_json::Value = serde_json::from_str(&said[said.find("{\n").unwrap()..=said.rfind('}').unwrap()])
            .unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!((&told["name_servers"][0]["word"], &told["complete"]), (&"told".into(), &true.into()), "{said}");
        fs::write(&marker, kept).unwrap();

        let (said, code) = network.hither(&["drain", "one-2"]);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("no other edge serves"), "{said}");
        assert!(!named(&network).is_empty(), "all drained is not no answer");
        drop(first);
    });
}

#[test]
fn what_cannot_be_drained_is_told() {
    let network = two_edges(222, 223, SocketAddr::from(([127, 0, 0, 1], 9)));
    for (id, expected) in [
        ("one-3", "there is no edge `one-3`; known: one-1, one-2"),
        ("ns1", "is a name server alone"),
        ("one-1", "one-1 could not be told: 127.0.2.222:8444: Connection refused; is it running"),
    ] {
        let (said, code) = network.hither(&["drain", id]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let _edge = network.start("one-1");
    let (said, code) = network.hither(&["drain", "one-1"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("ns1 could NOT be asked") && said.contains("may still be sent there by ns1"), "{said}");
    fs::remove_file(network.path(".state/one-1/drained")).unwrap();
    fs::create_dir(network.path(".state/one-1/drained")).unwrap();
    let (said, code) = network.hither(&["undrain", "one-1"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cannot be written down"), "{said}");
    let url = "http://127.0.2.222:9400/drain";
    let curl = Command::new("curl").args(["-s", "-X", "POST", "-w", "%{http_code}", url]).output().unwrap();
    assert!(String::from_utf8_lossy(&curl.stdout).ends_with("401"), "who shows nothing changes nothing");
}

/// What clients have met.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) answered: AtomicUsize,
    pub(crate) refused: AtomicUsize,
    pub(crate) cut: AtomicUsize,
    pub(crate) wrong: AtomicUsize,
    is_over: AtomicBool,
}

impl Met {
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn add(&self, what: &AtomicUsize) {
        what.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn faults(&self) -> [usize; 3] {
        [&self.refused, &self.cut, &self.wrong].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Where clients find an edge.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    /// By asking a name server, before each connection.
    By(SocketAddr),
    At(SocketAddr),
}

impl Found {
    async fn edge(self) -> SocketAddr {
        match self {
            Self::At(edge) => edge,
            Self::By(server) => SocketAddr::new(resolve(server).await, 8100),
        }
    }
}

/// The first address in the answer for the site.
pub(crate) async fn resolve(server: SocketAddr) -> IpAddr {
    let mut query = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x04shop\x03cdn\x07example\x00\x00\x01\x00\x01");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..3 {
        socket.send_to(&query, server).await.unwrap();
        let mut reply = [0; 512];
        let asked = tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut reply)).await;
        if let Ok(Ok(length)) = asked
            && length >= query.len() + 16
            && reply[3] & 15 == 0
        {
            // A name of two bytes, type, class, ttl, length, address.
            let address = &reply[query.len() + 12..query.len() + 16];
            return IpAddr::from(<[u8; 4]>::try_from(address).unwrap());
        }
    }
    panic!("{server} does not answer");
}

/// A client that asks on and on: some requests on each connection, then another connection.
pub(crate) async fn client(number: usize, found: Found, met: Arc<Met>) {
    let mut asked = number;
    while !met.is_over.load(Ordering::Relaxed) {
        let edge = found.edge().await;
        let Ok(stream) = TcpStream::connect(edge).await else {
            met.add(&met.refused);
            continue;
        };
        let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await else {
            met.add(&met.cut);
            continue;
        };
        let driven = tokio::spawn(connection);
        // Some connections last, and end only when they are told to.
        let most = if number.is_multiple_of(2) { usize::MAX } else { 7 };
        for _ in 0..most {
            // It was told with the last answer that the connection ends.
            if sender.ready().await.is_err() || met.is_over.load(Ordering::Relaxed) {
                break;
            }
            asked += 8;
            let path = format!("/{}", asked % 200);
            let request = http::Request::get(&path).header("host", "www.shop.example");
            let answered = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await;
            let Ok(response) = answered else {
                met.add(&met.cut);
                break;
            };
            let status = response.status();
            match response.into_body().collect().await.map(http_body_util::Collected::to_bytes) {
                Err(_) => {
                    met.add(&met.cut);
                    break;
                }
                Ok(body) if status != 200 || body != body_of(&path) => met.add(&met.wrong),
                Ok(_) => met.add(&met.answered),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        driven.abort();
    }
}

#[test]
fn an_edge_that_is_told_to_end_refuses_nobody_and_cuts_nobody() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let origin = origin().await;
        let network = two_edges(203, 204, origin.address);
        let mut first = network.start("one-1");
        let _second = network.start("one-2");
        let _ns = network.start("ns1");
        becomes(&network, &[203, 204], "both are named");
        let met = Arc::<Met>::default();
        let clients: Vec<_> =
            (0..8).map(|number| tokio::spawn(client(number, Found::By(network.dns), Arc::clone(&met)))).collect();
        for round in 0..2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            signal(first.0.id(), Signal::SIGTERM);
            let ended = tokio::task::block_in_place(|| first.0.wait().unwrap());
            assert_eq!(ended.code(), Some(0), "{}", network.log("one-1"));
            assert!(!network.log("one-1").contains("have not heard"), "{}", network.log("one-1"));
            assert_eq!(met.faults(), [0; 3], "refused, cut, wrong in round {round}: {}", network.log("one-1"));
            first = network.start("one-1");
            becomes(&network, &[203, 204], "it is back at once: that was no fall");
        }
        met.end();
        for client in clients {
            client.await.unwrap();
        }
        let answered = met.answered.load(Ordering::Relaxed);
        println!("{answered} answered, refused, cut, wrong: {:?}", met.faults());
        assert_eq!(met.faults(), [0; 3]);
        assert!(answered > 1_000, "{answered}");
    });
}
