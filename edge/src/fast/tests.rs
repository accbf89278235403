use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use caching::{Manner, Purge};
use hyper::body::Incoming;
use listen::{Handler, Mount, Mounts, Reply, Server, Stop};
use prometheus::IntGauge;
use telemetry::Metrics;

use super::*;

/// An edge served twice on one core: as it is, and in the general way alone.
struct Stage {
    shared: Arc<Shared>,
    both: SocketAddr,
    general: SocketAddr,
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
const OBJECTS: [(&str, &str); 9] = [
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

const RULES: &str = "[cache]\nset_cookie = \"strip\"\n\
    [[rule]]\npath = \"/edited\"\nheaders = { set = { X-By = \"${edge} ${target}\" }, remove = [\"Server\"] }\n\
    [[rule]]\npath = \"/kept\"\nbrowser_ttl = \"60s\"\n\
    [[rule]]\npath = \"/browsers\"\nheaders = { set = { X-Client = \"${client_ip}\" } }\n\
    [[rule]]\npath = \"/guarded\"\nheader = { User-Agent = \"*bot*\" }\nanswer = { body = \"no bots\" }\n\
    [[rule]]\npath = \"/limited\"\nrate = { requests = 1000000 }\n";

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
    let loaded = config::load(dir);
    Sites::build(&loaded.unwrap_or_else(|refused| panic!("{:?}", refused.problems)).config, None)
}

impl Stage {
    fn new(rules: &str) -> Self {
        let (dir, origin) = (tempfile::tempdir().unwrap(), origin());
        let id = config::NodeId::parse("one-1").unwrap();
        let shared = Shared::new(id, (64 << 20, None), dir.path(), Arc::new(Metrics::new().unwrap()), None);
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

    fn at_once(&self) -> usize {
        self.at_once.load(Ordering::Relaxed)
    }
}

/// A client's connection, kept.
struct Client(BufReader<TcpStream>);

impl Client {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// All bytes of the answer.
    fn ask(&mut self, request: &str) -> String {
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

/// Lines that requests may have: those that matter to some object, and those that matter to all.
const LINES: [&str; 30] = [
    "accept-encoding: gzip",
    "accept-encoding: br, gzip",
    "accept-encoding: identity;q=0",
    "Accept-Language: de",
    "accept-language: fr;q=0.5, de",
    "accept: text/html",
    "user-agent: a bot",
    "user-agent: a browser",
    "x-forwarded-for: 127.0.0.1",
    "x-device: mobile",
    "cookie: a=1",
    "cookie: b=2",
    "via: 1.1 one-1",
    "connection: keep-alive",
    "connection: Keep-Alive, x-a",
    "range: bytes=0-1",
    "Range: bytes=1-",
    "if-none-match: \"one\"",
    "If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT",
    "if-range: \"one\"",
    "cache-control: no-cache",
    "cache-control: only-if-cached",
    "pragma: no-cache",
    "authorization: Basic eA==",
    "origin: https://a.example",
    "access-control-request-method: GET",
    "cdn-loop: cdn.example",
    "max-forwards: 0",
    "expect: 100-continue",
    "content-length: 0",
];

/// Random requests: what is answered at once is what the general way answers, byte by byte.
#[test]
fn both_ways_answer_alike() {
    let stage = Stage::new(RULES);
    let (mut both, mut general) = (Client::to(stage.both), Client::to(stage.general));
    let mut random = fastrand::Rng::with_seed(7);
    let mut compared = HashMap::<&str, usize>::new();
    for trial in 0..20_000 {
        let path = OBJECTS[random.usize(..OBJECTS.len())].0;
        let query = ["", "", "", "?a=1"][random.usize(..4)];
        let host = ["shop.example", "shop.example", "Shop.Example", "a.shop.example:80"][random.usize(..4)];
        let method = if random.usize(..20) == 0 { "HEAD" } else { "GET" };
        let lines = (0..random.usize(..3)).map(|_| LINES[random.usize(..LINES.len())]);
        let lines = lines.map(|line| format!("{line}\r\n")).collect::<String>();
        let request = format!("{method} {path}{query} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n");
        if lines.contains("expect:") {
            continue;
        }
        let before = stage.at_once();
        // Twice: what it stores itself is stored by now.
        let answers = [0, 1].map(|_| (general.ask(&request), both.ask(&request), general.ask(&request)));
        let [_, (first, at_once, last)] = answers;
        // Where a second has begun in between nothing is compared.
        if first == last {
            assert_eq!(at_once, first, "trial {trial}: {request}");
            *compared.entry(path).or_default() += stage.at_once() - before;
        }
    }
    for path in ["/plain", "/coded", "/spoken", "/edited", "/kept", "/guarded"] {
        let count = compared.get(path).copied().unwrap_or(0);
        let is_particular = path == "/guarded";
        assert_eq!(count == 0, is_particular, "{path} was answered at once: {compared:?}");
    }
    for path in ["/told", "/browsers", "/limited"] {
        assert_eq!(compared.get(path).copied().unwrap_or(0), 0, "{path} depends on who asks");
    }
}

#[test]
fn what_no_longer_holds_is_not_answered() {
    let stage = Stage::new("");
    let mut client = Client::to(stage.both);
    let mut ask = |path: &str| {
        let before = stage.at_once();
        let said = client.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
        (said, stage.at_once() > before)
    };
    let mut learned = |path: &str| {
        ask(path);
        ask(path);
        let (said, is_at_once) = ask(path);
        assert!(is_at_once && said.contains("one-1;hit"), "{said}");
    };
    learned("/purged");
    let purge = Purge::Prefix { host: "shop.example".to_owned(), path: String::new() };
    stage.shared.purging.purge(&[purge], Manner::Hard).unwrap();
    let mut client = Client::to(stage.both);
    let mut ask = |path: &str| client.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
    let said = ask("/purged");
    assert!(said.contains("fwd="), "{said}");
    (0..3).for_each(|_| _ = ask("/purged"));
    // A new config, with a rule for what was learned.
    let rules = "[[rule]]\nheaders = { set = { X-New = \"yes\" } }\n";
    stage.shared.swap(sites(stage.dir.path(), stage.origin, rules));
    let said = ask("/purged");
    assert!(said.contains("x-new: yes") && said.contains("one-1;hit"), "{said}");
    // What stands under a key has changed.
    (0..3).for_each(|_| _ = ask("/coded"));
    let before = stage.at_once();
    client.ask("GET /coded HTTP/1.1\r\nhost: shop.example\r\naccept-encoding: br\r\n\r\n");
    let mut ask = |path: &str| client.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
    let said = ask("/coded");
    assert!(said.contains("one-1;hit") && stage.at_once() == before, "it is looked for anew: {said}");
    assert!(ask("/coded").contains("one-1;hit") && stage.at_once() == before + 1);
}

#[test]
fn what_is_stale_is_not_answered() {
    let stage = Stage::new("[[rule]]\nforce = { ttl = \"1s\" }\n");
    let mut client = Client::to(stage.both);
    let mut ask = || client.ask("GET /plain HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    (0..3).for_each(|_| _ = ask());
    assert_eq!(stage.at_once(), 1);
    std::thread::sleep(Duration::from_millis(1_100));
    let said = ask();
    assert!(said.contains("fwd=stale"), "{said}");
}

#[test]
fn a_table_has_its_bound_and_keeps_what_is_asked_for() {
    let stage = Stage::new("");
    let mut client = Client::to(stage.both);
    let mut ask = |path: &str| client.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
    (0..2).for_each(|_| _ = ask("/hot"));
    for number in 0..2_000 {
        (0..2).for_each(|_| _ = ask(&format!("/{number}")));
        let before = stage.at_once();
        ask("/hot");
        assert_eq!(stage.at_once(), before + 1, "{number}");
    }
    let table = Table::new(8 << 20, 2, 1);
    assert_eq!(table.sets.len() * WAYS, *ENTRIES.start());
    let table = Table::new(1 << 42, 2, 1);
    assert_eq!(table.sets.len() * WAYS, *ENTRIES.end());
}
