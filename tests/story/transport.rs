//! Edges that are far from their origins and clients: how many round trips what takes, and what a bad link does to bodies.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::link::{Link, Way};
use crate::support::{HITHER, Network, Origin, get, reply, run, runtime};

/// A client on one connection, which is one core's.
struct Client(SendRequest<Empty<Bytes>>);

impl Client {
    async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// How long the first byte of an answer takes, whose body is read to its end.
    async fn first_byte(&mut self, path: &str) -> Duration {
        self.0.ready().await.unwrap();
        let request = Request::get(path).header("host", "www.shop.example").body(Empty::new()).unwrap();
        let start = Instant::now();
        let response = self.0.send_request(request).await.unwrap();
        let took = start.elapsed();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body_of(path), "{path}");
        took
    }

    /// The least of several, each of a path of its own: what disturbs one disturbs not all.
    async fn least(&mut self, paths: impl Iterator<Item = String>) -> Duration {
        let mut least = Duration::MAX;
        for path in paths {
            least = least.min(self.first_byte(&path).await);
        }
        least
    }
}

/// The body of a path: of what length and bytes only the path says.
fn body_of(path: &str) -> Bytes {
    let seed = path.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut body = vec![0; chance.usize(60_000..120_000)];
    chance.fill(&mut body);
    Bytes::from(body)
}

/// Fields of every answer.
type Fields = &'static [(&'static str, &'static str)];

async fn origin(fields: Fields) -> Origin {
    Origin::start(move |_, request| reply(200, fields, body_of(request.uri().path()))).await
}

fn several(name: &str) -> impl Iterator<Item = String> {
    (0..8).map(move |number| format!("/{name}/{number}"))
}

const KEPT: Fields = &[("cache-control", "max-age=60")];

#[test]
fn a_miss_over_a_warm_connection_takes_one_round_trip() {
    let delay = Duration::from_millis(25);
    let round_trip = 2 * delay;
    runtime().block_on(async {
        let link = Link::to(origin(KEPT).await.address, Way { delay, ..Way::default() }).await;
        let network = Network::new(206, link.address, "");
        let _edge = network.start("one-1");
        let mut client = Client::connect(network.edge).await;
        let cold = client.first_byte("/cold").await;
        assert!(cold >= 2 * round_trip, "a connection and a request: {cold:?}");
        assert!(cold < 3 * round_trip, "nothing else: {cold:?}");
        let warm = client.least(several("warm")).await;
        assert!(warm >= round_trip, "sooner than light: {warm:?}");
        assert!(warm < round_trip * 16 / 10, "{warm:?}");
        assert!(link.connections() < 4, "most went by one connection: {}", link.connections());
        let hit = client.least(several("warm")).await;
        assert!(hit < delay, "an answer that is stored waits for nobody: {hit:?}");
    });
}

#[test]
fn connections_that_are_kept_ready_spare_the_first_miss_after_a_pause_its_handshake() {
    let delay = Duration::from_millis(25);
    let round_trip = 2 * delay;
    runtime().block_on(async {
        // Of a connection that was used the origin says that it is kept for a second.
        let origin = origin(&[("cache-control", "max-age=60"), ("keep-alive", "timeout=1")]).await;
        for (number, warm, is_ready) in [(213, "", false), (214, "warm = 1", true)] {
            let link = Link::to(origin.address, Way { delay, ..Way::default() }).await;
            let network = Network::new(number, link.address, warm);
            let _edge = network.start("one-1");
            let mut client = Client::connect(network.edge).await;
            client.first_byte("/before").await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            let took = client.first_byte("/after").await;
            assert_eq!(took < round_trip * 19 / 10, is_ready, "`{warm}`: {took:?}");
        }
    });
}

/// Asks for all of these, one after the other; how many came whole, and how many visibly did not.
async fn ask_all(edge: SocketAddr, paths: Vec<String>, whole: Arc<AtomicUsize>, failed: Arc<AtomicUsize>) {
    for path in paths {
        match get(edge, &path, &[]).await {
            Ok(got) if got.status == 200 => {
                // A clean end of anything else than the true body is what must never be.
                assert_eq!(got.body, body_of(&path), "wrong bytes of {path}");
                whole.fetch_add(1, Ordering::SeqCst);
            }
            Ok(got) => {
                assert!(matches!(got.status.as_u16(), 502 | 504), "{path}: {}", got.status);
                failed.fetch_add(1, Ordering::SeqCst);
            }
            // Cut, and seen to be.
            Err(_) => _ = failed.fetch_add(1, Ordering::SeqCst),
        }
    }
}

#[test]
fn a_link_that_loses_and_cuts_connections_brings_no_wrong_byte() {
    const CLIENTS: usize = 8;
    const EACH: usize = 40;
    let (delay, jitter) = (Duration::from_millis(5), Duration::from_millis(10));
    let way = Way { delay, jitter, lost: Some(11), cut: Some((10, 30_000)), rate: Some(20 << 20), seed: 206 };
    println!("{way:?}");
    runtime().block_on(async {
        let fields: Fields = &[("cache-control", "max-age=60"), ("connection", "close")];
        let link = Link::to(origin(fields).await.address, way).await;
        let network = Network::new(207, link.address, "");
        let _edge = network.start("one-1");
        let (whole, failed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        // What failed is asked for again, and what is stored is looked at again.
        for _ in 0..2 {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let paths = (0..EACH).map(|number| format!("/{client}/{number}")).collect();
                    tokio::spawn(ask_all(network.edge, paths, Arc::clone(&whole), Arc::clone(&failed)))
                })
                .collect();
            for client in clients {
                client.await.unwrap();
            }
        }
        // A connection that ends is counted a moment after.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (whole, failed) = (whole.load(Ordering::SeqCst), failed.load(Ordering::SeqCst));
        println!("{whole} whole, {failed} visibly not, {} of {} connections harmed", link.harmed(), link.connections());
        assert!(link.harmed() >= CLIENTS * EACH / 8, "every tenth and every eleventh: {}", link.harmed());
        assert!(failed <= link.harmed(), "what the link left alone is whole: {failed} of {}", link.harmed());
        assert_eq!(whole + failed, 2 * CLIENTS * EACH);
    });
}

#[test]
fn a_congestion_control_that_the_kernel_lacks_is_a_warning_and_the_node_serves() {
    runtime().block_on(async {
        let network = Network::new(211, origin(KEPT).await.address, "");
        let file = fs::read_to_string(network.path("hither.toml")).unwrap();
        let set = |name: &str| {
            let text = file.replace("[edge]\n", &format!("[edge]\ncongestion = \"{name}\"\n"));
            fs::write(network.path("hither.toml"), text).unwrap();
        };
        let check = || run(HITHER, &["check", &network.dir.path().display().to_string()]);
        set("no_such");
        let said = check();
        assert!(said.contains("no congestion control `no_such`; it has") && said.contains("reno"), "{said}");
        let edge = network.start("one-1");
        assert_eq!(get(network.edge, "/a", &[]).await.unwrap().body, body_of("/a"));
        assert!(network.log("one-1").contains("no congestion control `no_such`"), "{}", network.log("one-1"));
        drop(edge);
        set("TCP-BBR");
        assert!(check().contains("`TCP-BBR` is not the name of a congestion control"), "{}", check());
        // Every Linux has it.
        set("reno");
        assert!(!check().contains("no congestion control"), "{}", check());
        let _edge = network.start("one-1");
        assert_eq!(get(network.edge, "/a", &[]).await.unwrap().body, body_of("/a"));
    });
}

/// The figures of docs/transport.md: `cargo test --test story figures -- --nocapture`.
#[test]
fn figures_over_delayed_links() {
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!("| round trip | miss, new connection | miss, warm connection | hit, new client | hit, kept client |");
    println!("|---|---|---|---|---|");
    runtime().block_on(async {
        let origin = origin(KEPT).await;
        for one_way in [5, 25, 75] {
            let way = Way { delay: Duration::from_millis(one_way), ..Way::default() };
            let to_origin = Link::to(origin.address, way).await;
            let network = Network::new(212, to_origin.address, "");
            let _edge = network.start("one-1");
            // Near the edge, far from the origin.
            let mut near = Client::connect(network.edge).await;
            let cold = near.first_byte("/cold").await;
            let warm = near.least(several("warm")).await;
            // Far from the edge, which has it.
            let to_edge = Link::to(network.edge, way).await;
            let mut far = Client::connect(to_edge.address).await;
            let new = far.first_byte("/cold").await;
            let kept = far.least((0..8).map(|_| "/cold".to_owned())).await;
            println!(
                "| {} ms | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} ms |",
                2 * one_way,
                ms(cold),
                ms(warm),
                ms(new),
                ms(kept)
            );
            let round_trip = 2 * way.delay;
            assert!(cold >= 2 * round_trip && warm >= round_trip && kept >= round_trip, "{cold:?} {warm:?} {kept:?}");
        }
    });
}
