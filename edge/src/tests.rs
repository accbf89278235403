//! For tests: an edge in this process, with an origin, and clients that see every byte.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use listen::{AtOnce, Connection, Handler, Incoming, Mount, Mounts, Plain, Reply, Server, Stop};
use prometheus::IntGauge;
use telemetry::Metrics;

use crate::shared::Shared;
use crate::sites::Sites;

/// An edge served twice on one core: as it is, and in the general way alone.
pub(crate) struct Stage {
    pub(crate) shared: Arc<Shared>,
    pub(crate) both: SocketAddr,
    pub(crate) general: SocketAddr,
    at_once: Arc<AtomicUsize>,
    dir: tempfile::TempDir,
    origin: SocketAddr,
}

/// Counts what is answered at once, or lets nothing be.
struct Spy {
    edge: Arc<dyn Handler>,
    at_once: Option<Arc<AtomicUsize>>,
}

impl Handler for Spy {
    fn at_once(&self, plain: &Plain<'_>, connection: &Connection, head: &mut Vec<u8>) -> Option<AtOnce> {
        let mut connection = connection.clone();
        connection.local.set_port(80);
        let answer = self.at_once.as_ref().and_then(|_| self.edge.at_once(plain, &connection, head));
        if let Some(count) = self.at_once.as_ref().filter(|_| answer.is_some()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    fn serve(&self, request: http::Request<Incoming>, mut connection: Connection) -> Reply {
        // What is learned the one way holds for the other.
        connection.local.set_port(80);
        self.edge.serve(request, connection)
    }
}

/// Objects by their paths: the lines of their heads.
pub(crate) const OBJECTS: [(&str, &str); 9] = [
    ("/plain", "etag: \"one\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n"),
    ("/coded", "vary: accept-encoding\r\nx-a: 1\r\nx-a: 2\r\n"),
    ("/spoken", "vary: accept-language, accept\r\ncache-status: inner;hit;ttl=3600\r\n"),
    ("/told", "vary: x-forwarded-for, x-device\r\n"),
    ("/edited", "server: x\r\nage: 5\r\n"),
    ("/browsers", "set-cookie: a=1\r\nage: 7\r\n"),
    ("/kept", "age: 7\r\n"),
    ("/guarded", "via: 1.1 inner\r\n"),
    ("/limited", ""),
];

fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reads = BufReader::new(stream.try_clone().unwrap());
                let (mut line, mut path) = (String::new(), String::new());
                while reads.read_line(&mut line).unwrap_or(0) > 0 {
                    path = line.strip_prefix("GET ").map_or(path, |rest| rest.split(' ').next().unwrap().to_owned());
                    if line == "\r\n" {
                        let lines =
                            OBJECTS.iter().find(|(known, _)| path.starts_with(known)).map_or("", |found| found.1);
                        let said = format!(
                            "HTTP/1.1 200 OK\r\ncache-control: max-age=3600\r\ncontent-length: {}\r\n{lines}\r\n{path}",
                            path.len()
                        );
                        (&stream).write_all(said.as_bytes()).unwrap();
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

fn sites(dir: &Path, origin: SocketAddr, rules: &str) -> Sites {
    let network = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n\
                   [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"192.0.2.1\"]\n";
    fs::create_dir_all(dir.join("sites")).unwrap();
    fs::write(dir.join("hither.toml"), network).unwrap();
    let site = format!(
        "hosts = [\"shop.example\", \"*.shop.example\"]\n[origin]\nservers = [\"http://{origin}\"]\nallow_private = true\n{rules}"
    );
    fs::write(dir.join("sites/shop.toml"), site).unwrap();
    let other =
        format!("hosts = [\"other.example\"]\n[origin]\nservers = [\"http://{origin}\"]\nallow_private = true\n");
    fs::write(dir.join("sites/other.toml"), other).unwrap();
    let loaded = config::load(dir);
    Sites::build(&loaded.unwrap_or_else(|refused| panic!("{:?}", refused.problems)).config, None)
}

impl Stage {
    pub(crate) fn new(rules: &str) -> Self {
        let (dir, origin) = (tempfile::tempdir().unwrap(), origin());
        let id = config::NodeId::parse("one-1").unwrap();
        let shared = Shared::new(id, (64 << 20, None), dir.path(), Arc::new(Metrics::new().unwrap()));
        shared.swap(sites(dir.path(), origin, rules));
        let at_once = Arc::<AtomicUsize>::default();
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (both, general) = (bind(), bind());
        let addresses = [&both, &general].map(|listener| listener.local_addr().unwrap());
        let (edge, count) = (Arc::clone(&shared), Arc::clone(&at_once));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let edge = crate::mounts(&edge).into_iter().find(|mount| mount.path == "/").unwrap().handler;
                let serve = |listener: TcpListener, at_once| {
                    listener.set_nonblocking(true).unwrap();
                    let handler = Arc::new(Spy { edge: Arc::clone(&edge), at_once });
                    let mounts = Arc::new(Mounts::new(vec![Mount { path: "/", handler }]));
                    let gauge = IntGauge::new("connections", "Connections.").unwrap();
                    Server::new(listener, mounts, None, gauge).unwrap().serve(Stop::new())
                };
                tokio::join!(serve(both, Some(count)), serve(general, None))
            });
        });
        let [both, general] = addresses;
        Self { shared, both, general, at_once, dir, origin }
    }

    /// Puts a config with these rules in place of the one before.
    pub(crate) fn reload(&self, rules: &str) {
        self.shared.swap(sites(self.dir.path(), self.origin, rules));
    }

    /// The same, with this machine's clients for proxies that are trusted.
    pub(crate) fn reload_behind_proxies(&self, rules: &str) {
        let mut sites = sites(self.dir.path(), self.origin, rules);
        sites.proxies = vec![config::Prefix::parse("127.0.0.0/8").unwrap()];
        self.shared.swap(sites);
    }

    pub(crate) fn at_once(&self) -> usize {
        self.at_once.load(Ordering::Relaxed)
    }
}

/// A client's connection, kept.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// All bytes of the answer.
    pub(crate) fn ask(&mut self, request: &str) -> String {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        while !said.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut said).unwrap() > 0, "{said}");
        }
        let length = said.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        if !said.starts_with("HTTP/1.1 304") && !request.starts_with("HEAD") {
            self.0.read_exact(&mut body).unwrap();
        }
        said + &String::from_utf8(body).unwrap()
    }
}
