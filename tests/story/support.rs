//! What the stories are told with: nodes, origins, clients.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
pub(crate) use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::net::{TcpListener, TcpStream};

pub(crate) const HITHER: &str = env!("CARGO_BIN_EXE_hither");

/// Copies a directory tree.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Waits until something holds; panics with the last word where it does not in time.
pub(crate) fn wait_for<T>(limit: Duration, what: &str, mut check: impl FnMut() -> Result<T, String>) -> (T, Duration) {
    let start = Instant::now();
    loop {
        match check() {
            Ok(value) => return (value, start.elapsed()),
            Err(last) if start.elapsed() > limit => panic!("{what}: not within {limit:?}: {last}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// What a test waits with that has threads of its own.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a command to its end: what it printed, errors too, and its code; -1 where a signal ended it.
pub(crate) fn outcome(command: &mut Command) -> (String, i32) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (said, output.status.code().unwrap_or(-1))
}

/// Runs a program and returns what it printed, errors too.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    outcome(Command::new(program).args(args)).0
}

/// Runs a node of a directory, which says what it does in `log`, and waits until it serves.
pub(crate) fn start(dir: &Path, node: &str, log: &Path) -> Process {
    let marker = dir.join(".state").join(node).join("node.json");
    // One that was killed leaves its own.
    let _ = fs::remove_file(&marker);
    let mut command = Command::new(HITHER);
    command.args(["run", "--config"]).arg(dir).args(["--node", node]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(log).unwrap());
    let process = Process(command.spawn().unwrap());
    wait_for(Duration::from_secs(20), "the node serves", || {
        if marker.exists() { Ok(()) } else { Err(fs::read_to_string(log).unwrap_or_default()) }
    });
    process
}

/// Sends a process a signal.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed());
    kill(pid, signal).unwrap();
}

/// Whether a process runs; one that has ended may linger until its parent asks.
pub(crate) fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Asks a name server with the real `dig`.
pub(crate) fn dig(server: &str, port: u16, args: &[&str]) -> String {
    let port = port.to_string();
    let mut all = vec![server, "-p", &port, "+tries=1", "+time=2"];
    all.extend(args);
    run("dig", &all)
}

/// The addresses in dig's answer section.
pub(crate) fn addresses(dig: &str) -> Vec<IpAddr> {
    dig.lines().filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect()
}

/// A child process that ends with its story.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A config directory with one PoP, one edge and one name server on an address of the story's own,
/// and one site with the given origin.
pub(crate) struct Network {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) edge: SocketAddr,
    pub(crate) dns: SocketAddr,
}

impl Network {
    /// `number` makes the addresses the story's own: 127.0.2.number.
    pub(crate) fn new(number: u8, origin: SocketAddr, site: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (edge, dns) =
            (SocketAddr::from(([127, 0, 2, number], 8100)), SocketAddr::from(([127, 0, 2, number], 5400)));
        let ip = edge.ip();
        fs::create_dir_all(dir.path().join("sites")).unwrap();
        fs::create_dir_all(dir.path().join("zones")).unwrap();
        fs::create_dir_all(dir.path().join("secrets")).unwrap();
        fs::write(dir.path().join("secrets/fleet.key"), "a key for stories only").unwrap();
        let network = format!(
            "zone = \"cdn.example\"\n[admin]\nlisten = \"{ip}:9400\"\n[edge]\nmemory = \"64MiB\"\nhttp = 8100\nhttps = 8143\n\
             [health]\ninterval = \"200ms\"\n[log]\nqueries = true\n\
             [[nameserver]]\nid = \"ns1\"\naddresses = [\"{ip}\"]\nlisten = [\"{dns}\"]\nadmin = \"{ip}:9401\"\n\
             [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"{ip}\"]\n"
        );
        fs::write(dir.path().join("hither.toml"), network).unwrap();
        let this = Self { dir, edge, dns };
        this.write_site(origin, site);
        this
    }

    pub(crate) fn write_site(&self, origin: SocketAddr, rest: &str) {
        let site = format!(
            "hosts = [\"www.shop.example\"]\n[origin]\nservers = [\"http://{origin}\"]\nallow_private = true\n{rest}\n"
        );
        fs::write(self.dir.path().join("sites/shop.toml"), site).unwrap();
    }

    /// Starts a node and waits until it serves.
    pub(crate) fn start(&self, node: &str) -> Process {
        start(self.dir.path(), node, &self.path(&format!("{node}.log")))
    }

    /// What hither prints that is told of this directory, errors too, and its code.
    pub(crate) fn hither(&self, args: &[&str]) -> (String, i32) {
        outcome(Command::new(HITHER).arg("-C").arg(self.dir.path()).args(args))
    }

    /// Changes `hither.toml`.
    pub(crate) fn edit(&self, change: impl FnOnce(String) -> String) {
        let file = self.path("hither.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, change(text)).unwrap();
    }

    pub(crate) fn log(&self, node: &str) -> String {
        fs::read_to_string(self.dir.path().join(format!("{node}.log"))).unwrap_or_default()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

pub(crate) type OriginBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// An origin that does what its story says, and counts.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Origin {
    /// Answers every request by the script, on the test's runtime.
    pub(crate) async fn start<S>(script: S) -> Self
    where
        S: Fn(usize, Request<Incoming>) -> Response<OriginBody> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = Self { address, requests: Arc::default(), seen: Arc::default() };
        let (script, counted) = (Arc::new(script), this.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, counted) = (Arc::clone(&script), counted.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let number = counted.requests.fetch_add(1, Ordering::SeqCst) + 1;
                        counted.seen.lock().unwrap().push(request.headers().clone());
                        let answer = || script(number, request);
                        // A script may sleep: what else its thread had to do goes to another, where there is one.
                        let response = match tokio::runtime::Handle::current().runtime_flavor() {
                            tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(answer),
                            _ => answer(),
                        };
                        async move { Ok::<_, std::convert::Infallible>(response) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        this
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// The fields of the last request.
    pub(crate) fn last(&self) -> HeaderMap {
        self.seen.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

/// A response of one piece.
pub(crate) fn reply(status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Response<OriginBody> {
    let mut builder = Response::builder().status(status);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()).unwrap()
}

/// A whole response as a client got it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> String {
        let lines: Vec<&str> = self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        lines.join(" | ")
    }

    /// Whether Cache-Status says so.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.header("cache-status").split(';').any(|part| part == word)
    }
}

/// Fetches from an edge on a connection of its own; an error is a body that was cut, or no answer.
pub(crate) async fn get(edge: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Result<Got, String> {
    send(edge, "GET", path, fields).await
}

/// As [`get`], with another method.
pub(crate) async fn send(edge: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)]) -> Result<Got, String> {
    let stream = TcpStream::connect(edge).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    if !fields.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "www.shop.example");
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok(Got { status: head.status, headers: head.headers, body })
}

/// Resident memory of a process, bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Counters of a node's /metrics by name with labels.
pub(crate) async fn metrics(admin: SocketAddr) -> HashMap<String, f64> {
    let host = admin.to_string();
    let text = get(admin, "/metrics", &[("host", &host)]).await.unwrap().body;
    let lines = std::str::from_utf8(&text).unwrap().lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}
