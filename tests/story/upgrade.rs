//! A process of a node takes over from another: nobody notices, and what fails leaves the old one serving.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::drain::{Found, Met, body_of, client};
use crate::support::{HITHER, Network, Origin, Process, Signal, dig, get, metrics, reply, runs, signal, wait_for};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

/// Starts a process that takes over, and waits until it has.
pub(crate) fn take_over(network: &Network, node: &str, number: usize) -> Process {
    let log = fs::File::create(network.path(&format!("{node}-{number}.log"))).unwrap();
    let mut command = Command::new(HITHER);
    command.args(["run", "--config"]).arg(network.dir.path()).args(["--node", node, "--take-over"]);
    let process = Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    let marker = network.path(&format!(".state/{node}/node.json"));
    wait_for(Duration::from_secs(20), "it has taken over", || {
        let told: serde_json::Value = serde_json::from_slice(&fs::read(&marker).unwrap()).unwrap();
        if told["pid"] == process.0.id() {
            return Ok(());
        }
        let logs = [node.to_owned(), format!("{node}-{number}")].map(|name| network.log(&name));
        Err(logs.join("\n-- the new:\n"))
    });
    process
}

/// Waits until a process has ended by itself.
pub(crate) fn ends(mut process: Process) {
    let pid = process.0.id();
    wait_for(Duration::from_secs(20), "the old process ends", || {
        if runs(pid) { Err("it runs".to_owned()) } else { Ok(()) }
    });
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
}

/// A network whose edge has a disk.
fn with_disk(number: u8, origin: SocketAddr, disk: &tempfile::TempDir) -> Network {
    let network = Network::new(number, origin, "");
    let file = network.path("hither.toml");
    let text = fs::read_to_string(&file).unwrap();
    let disk = format!("memory = \"64MiB\"\ndisk = {{ path = \"{}\", size = \"64MiB\" }}", disk.path().display());
    fs::write(&file, text.replace("memory = \"64MiB\"", &disk)).unwrap();
    network
}

fn purge(network: &Network, tag: &str) {
    let mut command = Command::new(HITHER);
    let output = command.arg("-C").arg(network.dir.path()).args(["purge", "--tag", tag]).output().unwrap();
    assert!(output.status.success(), "{}{:?}", String::from_utf8_lossy(&output.stderr), network.log("one-1"));
}

/// An origin of bodies by their paths, and of one that is the number of now.
async fn origin(version: Arc<AtomicUsize>) -> Origin {
    Origin::start(move |_, request| {
        let path = request.uri().path().to_owned();
        if path == "/version" {
            let version = version.load(Ordering::SeqCst);
            return reply(200, &[("cache-control", "max-age=3600"), ("cache-tag", "version")], version.to_string());
        }
        reply(200, &[("cache-control", "max-age=3600"), ("etag", "\"one\"")], body_of(&path))
    })
    .await
}

/// Fetches until what clients ask for is on disk.
async fn warm(network: &Network) {
    for _ in 0..20 {
        for number in 0..200 {
            get(network.edge, &format!("/{number}"), &[]).await.unwrap();
        }
        let all = metrics(SocketAddr::new(network.edge.ip(), 9400)).await;
        if all.get("hither_disk_objects").is_some_and(|objects| *objects >= 200.0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the disk stays cold: {}", network.log("one-1"));
}

#[test]
fn an_edge_is_replaced_twenty_times_and_no_client_notices() {
    runtime().block_on(async {
        let version = Arc::<AtomicUsize>::default();
        let origin = origin(Arc::clone(&version)).await;
        let disk = tempfile::tempdir().unwrap();
        let network = with_disk(205, origin.address, &disk);
        let mut process = network.start("one-1");
        warm(&network).await;
        let (met, edge) = (Arc::<Met>::default(), network.edge);
        let clients: Vec<_> =
            (0..8).map(|number| tokio::spawn(client(number, Found::At(edge), Arc::clone(&met)))).collect();
        // What was purged before a request began is not what it gets, whichever process answers.
        let (purged, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (least, over) = (Arc::clone(&purged), Arc::clone(&is_over));
        let watcher = tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let least = least.load(Ordering::SeqCst);
                let got = get(edge, "/version", &[]).await.unwrap();
                let seen: usize = std::str::from_utf8(&got.body).unwrap().parse().unwrap();
                assert!(seen >= least, "version {seen} after {least} was purged");
            }
        });
        let before = origin.requests();
        for number in 1..=20 {
            version.store(2 * number - 1, Ordering::SeqCst);
            purge(&network, "version");
            purged.store(2 * number - 1, Ordering::SeqCst);
            let mut kept = Kept::connect(edge).await;
            assert_eq!(kept.get("/version").await, (2 * number - 1).to_string());
            let new = take_over(&network, "one-1", number);
            // The old one still serves who stays with it: it hears of it.
            version.store(2 * number, Ordering::SeqCst);
            purge(&network, "version");
            purged.store(2 * number, Ordering::SeqCst);
            assert_eq!(kept.get("/version").await, (2 * number).to_string(), "by the old process");
            assert_eq!(get(edge, "/version", &[]).await.unwrap().body, (2 * number).to_string());
            ends(std::mem::replace(&mut process, new));
            assert_eq!(met.faults(), [0; 3], "refused, cut, wrong after {number}");
        }
        met.end();
        is_over.store(true, Ordering::SeqCst);
        watcher.await.unwrap();
        for client in clients {
            client.await.unwrap();
        }
        let (answered, asked) = (met.answered.load(Ordering::Relaxed), origin.requests() - before);
        println!("{answered} answered, {asked} asked of the origin; refused, cut, wrong: {:?}", met.faults());
        assert_eq!(met.faults(), [0; 3]);
        // Fifty for each time.
        assert!(answered > 1_000, "{answered}");
        // Without the disk it would be 200 each time, and two for each version.
        assert!(asked < 300, "{asked} asked of the origin: the disk was cold");
    });
}

/// A connection of a client that stays with the process that took it.
struct Kept(TcpStream);

impl Kept {
    async fn connect(edge: SocketAddr) -> Self {
        Self(TcpStream::connect(edge).await.unwrap())
    }

    /// The body of an answer that has a length.
    async fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: www.shop.example\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut said = String::new();
        loop {
            let (head, body) = said.split_once("\r\n\r\n").unwrap_or_default();
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length == Some(body.len()) {
                return body.to_owned();
            }
            let mut bytes = [0; 4_096];
            let read = self.0.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "cut after {said}");
            said.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
    }
}

/// The other end of a hand-over, as far as one goes.
struct Talk(UnixStream);

impl Talk {
    fn begin(network: &Network) -> Self {
        let stream = UnixStream::connect(network.path(".state/one-1/handover.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(stream)
    }

    /// Says a word and waits for one.
    fn say(&mut self, word: &str, expected: &str) {
        self.0.write_all(format!("{word}\n").as_bytes()).unwrap();
        let (mut said, mut buffer) = (String::new(), [0; 4096]);
        while !said.contains(expected) {
            let count = self.0.read(&mut buffer).unwrap();
            assert!(count > 0, "{said}");
            said.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
}

#[test]
fn one_that_dies_while_it_takes_over_leaves_the_old_one_serving() {
    runtime().block_on(async {
        let version = Arc::<AtomicUsize>::default();
        let origin = origin(Arc::clone(&version)).await;
        let disk = tempfile::tempdir().unwrap();
        let network = with_disk(219, origin.address, &disk);
        let mut process = network.start("one-1");
        warm(&network).await;
        let sockets = r#"{"Sockets":{"version":1}}"#;

        // It has the sockets, and dies.
        let mut talk = Talk::begin(&network);
        talk.say(sockets, "\"rest\":\"None\"");
        drop(talk);
        // It speaks another language.
        Talk::begin(&network).say(r#"{"Sockets":{"version":0}}"#, "restart the node instead");
        assert!(get(network.edge, "/1", &[]).await.unwrap().is("hit"));

        // It has everything, and dies: who came meanwhile has waited.
        for round in 1..=3 {
            let mut talk = Talk::begin(&network);
            talk.say(sockets, "\"rest\":\"None\"");
            talk.say("\"Release\"", "Released");
            let edge = network.edge;
            let waiting: Vec<_> =
                (0..8).map(|number| tokio::spawn(async move { get(edge, &format!("/{number}"), &[]).await })).collect();
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(waiting.iter().all(|asked| !asked.is_finished()));
            drop(talk);
            for asked in waiting {
                assert!(asked.await.unwrap().unwrap().is("hit"));
            }
            wait_for(Duration::from_secs(3), "it is told", || {
                let log = network.log("one-1");
                if log.matches("taken everything up again").count() == round { Ok(()) } else { Err(log) }
            });
            version.store(round, Ordering::SeqCst);
            purge(&network, "version");
            assert_eq!(get(network.edge, "/version", &[]).await.unwrap().body, round.to_string());
        }
        assert!(runs(process.0.id()));

        // One whose config cannot be read never asks; a second one without the word is refused as ever.
        let site = network.path("sites/shop.toml");
        let text = fs::read_to_string(&site).unwrap();
        fs::write(&site, "hosts = [").unwrap();
        let run = |more: &[&str]| {
            let mut command = Command::new(HITHER);
            command.args(["run", "--config"]).arg(network.dir.path()).args(["--node", "one-1"]).args(more);
            let output = command.output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        assert_eq!(run(&["--take-over"]).0, Some(1));
        fs::write(&site, text).unwrap();
        let (code, said) = run(&[]);
        assert!(code == Some(1) && said.contains("cannot listen on"), "{said}");
        assert!(get(network.edge, "/1", &[]).await.unwrap().is("hit"));

        // After all that it is replaced as any other, and the disk is as warm as ever.
        let asked = origin.requests();
        let new = take_over(&network, "one-1", 1);
        ends(std::mem::replace(&mut process, new));
        let mut hits = 0;
        for number in 0..200 {
            hits += usize::from(get(network.edge, &format!("/{number}"), &[]).await.unwrap().is("hit"));
        }
        assert!(hits >= 190, "{hits} hits, {} asked of the origin", origin.requests() - asked);

        // Where nobody serves, it begins as ever.
        drop(process);
        fs::remove_file(network.path(".state/one-1/node.json")).unwrap();
        let marker = network.path(".state/one-1/node.json");
        let mut command = Command::new(HITHER);
        command.args(["run", "--config"]).arg(network.dir.path()).args(["--node", "one-1", "--take-over"]);
        let _alone = Process(command.stderr(Stdio::null()).spawn().unwrap());
        wait_for(Duration::from_secs(10), "it serves", || if marker.exists() { Ok(()) } else { Err(String::new()) });
    });
}

#[test]
fn who_is_told_to_end_while_it_hands_over_ends() {
    let network = Network::new(246, SocketAddr::from(([127, 0, 0, 1], 9)), "");
    let process = network.start("one-1");
    let mut talk = Talk::begin(&network);
    talk.say(r#"{"Sockets":{"version":1}}"#, "\"rest\":\"None\"");
    let told = Instant::now();
    signal(process.0.id(), Signal::SIGTERM);
    ends(process);
    // The other might have been silent for 15 s.
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    let mut rest = Vec::new();
    assert!(talk.0.read_to_end(&mut rest).is_ok(), "who asked is told by the end");
}

#[test]
fn a_role_that_is_taken_away_is_finished_by_the_process_that_had_it() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| {
            std::thread::sleep(Duration::from_secs(4));
            reply(200, &[], "slow")
        });
        let network = Network::new(245, origin.await.address, "");
        let old = network.start("one-1");
        let edge = network.edge;
        let begun = tokio::spawn(async move { get(edge, "/slow", &[]).await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        // The node is a name server from now on, and another would be the edge.
        let file = network.path("hither.toml");
        let text = fs::read_to_string(&file).unwrap().replace("\"one-1\"", "\"two-1\"");
        fs::write(&file, text.replace("\"ns1\"", "\"one-1\"")).unwrap();
        let _new = tokio::task::block_in_place(|| take_over(&network, "one-1", 1));
        assert!(!begun.is_finished(), "it is under way while the new process serves");
        let got = begun.await.unwrap().unwrap();
        assert_eq!((got.status.as_u16(), got.body.as_ref()), (200, &b"slow"[..]));
        tokio::task::block_in_place(|| ends(old));
        let said = dig(&format!("@{}", network.dns.ip()), network.dns.port(), &["shop.cdn.example"]);
        assert!(said.contains("status: NOERROR"), "{said}");
    });
}

/// Asks a name server on and on; how many queries had an answer within two seconds, and how many had none.
async fn ask(server: SocketAddr, is_over: Arc<AtomicBool>) -> (usize, usize) {
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x04shop\x03cdn\x07example\x00\x00\x01\x00\x01");
    let (mut answered, mut lost) = (0, 0);
    while !is_over.load(Ordering::SeqCst) {
        // Another port each time: another of the server's sockets.
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&query, server).await.unwrap();
        let mut reply = [0; 512];
        match tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut reply)).await {
            Ok(Ok(length)) if length > query.len() && reply[3] & 15 == 0 => answered += 1,
            _ => lost += 1,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (answered, lost)
}

#[test]
fn a_name_server_is_replaced_and_no_query_is_lost() {
    runtime().block_on(async {
        let network = Network::new(220, SocketAddr::from(([127, 0, 0, 1], 9)), "");
        let mut process = network.start("ns1");
        let is_over = Arc::<AtomicBool>::default();
        let clients: Vec<_> = (0..4).map(|_| tokio::spawn(ask(network.dns, Arc::clone(&is_over)))).collect();
        let (over, dns) = (Arc::clone(&is_over), network.dns);
        let streams = std::thread::spawn(move || {
            let (mut answered, server) = (0, format!("@{}", dns.ip()));
            while !over.load(Ordering::SeqCst) {
                let said = dig(&server, dns.port(), &["shop.cdn.example", "+tcp"]);
                assert!(said.contains("status: NOERROR"), "{said}");
                answered += 1;
            }
            answered
        });
        for number in 1..=5 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let new = take_over(&network, "ns1", number);
            ends(std::mem::replace(&mut process, new));
        }
        is_over.store(true, Ordering::SeqCst);
        let by_tcp = tokio::task::block_in_place(|| streams.join().unwrap());
        let (mut answered, mut lost) = (0, 0);
        for client in clients {
            let (some, none) = client.await.unwrap();
            (answered, lost) = (answered + some, lost + none);
        }
        println!("{answered} answered by UDP, {by_tcp} by TCP, {lost} lost");
        assert_eq!(lost, 0);
        assert!(answered > 200 && by_tcp > 5, "{answered}, {by_tcp}");
        assert!(runs(process.0.id()));
    });
}
