//! The rules of HTTP, section by section, on the wire: a raw origin, an edge, a raw client.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::support::{Network, Process};

mod attacks;
mod caching;
mod messages;
mod others;

/// An edge and an origin for the facts of a few sections.
struct Stage {
    network: Network,
    _edge: Process,
    origin: Arc<RawOrigin>,
    cases: AtomicUsize,
}

/// An origin that says byte for byte what it is told to, by path.
struct RawOrigin {
    address: SocketAddr,
    answers: Mutex<HashMap<String, VecDeque<String>>>,
    seen: Mutex<HashMap<String, Vec<String>>>,
}

/// One fact: a URL of its own, with what the origin answers there.
struct Case<'a> {
    stage: &'a Stage,
    name: &'static str,
    path: String,
}

/// What a client got.
#[derive(Debug)]
struct Answer {
    name: &'static str,
    status: u16,
    /// Lines of the head, names in lower case.
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Stage {
    /// `number` makes its addresses its own; `site` is what the site's file says besides.
    fn new(number: u8, site: &str) -> Self {
        let origin = RawOrigin::start();
        let network = Network::new(number, origin.address, site);
        let edge = network.start("one-1");
        Self { network, _edge: edge, origin, cases: AtomicUsize::new(0) }
    }

    fn case(&self, name: &'static str) -> Case<'_> {
        let number = self.cases.fetch_add(1, Ordering::Relaxed);
        Case { stage: self, name, path: format!("/case/{number}") }
    }

    /// A response with these lines is a hit the second time, or is not.
    fn stores(&self, name: &'static str, status: u16, lines: &str, is_stored: bool) {
        let case = self.case(name);
        case.serves(status, lines, "one");
        case.serves(status, lines, "two");
        assert_eq!(case.get("").status, status, "{name}");
        let again = case.get("");
        assert_eq!(again.is_hit(), is_stored, "{name}: {again:?}");
    }
}

impl RawOrigin {
    fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let this = Arc::new(Self { address, answers: Mutex::default(), seen: Mutex::default() });
        let origin = Arc::clone(&this);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let origin = Arc::clone(&origin);
                std::thread::spawn(move || origin.serve(stream));
            }
        });
        this
    }

    /// Serves one connection. What is told beyond a whole response ends it.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut stream = stream;
        while let Some(request) = head(&mut reader) {
            let mut body = vec![0; length_of(&request)];
            reader.read_exact(&mut body).ok()?;
            let path = request.split(' ').nth(1)?.to_owned();
            let told = request + &String::from_utf8_lossy(&body);
            self.seen.lock().unwrap().entry(path.clone()).or_default().push(told);
            let answer = self.answers.lock().unwrap().get_mut(&path).and_then(VecDeque::pop_front)?;
            stream.write_all(answer.as_bytes()).ok()?;
            if answer.contains("\r\nconnection: close") {
                return None;
            }
        }
        None
    }
}

impl Case<'_> {
    /// The origin's next answer: lines of its head, apart by line ends, and a body.
    fn serves(&self, status: u16, lines: &str, body: &str) {
        let fields: String = lines.lines().map(|line| format!("{}\r\n", line.trim())).collect();
        let length =
            if matches!(status, 204 | 304) { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        self.says(&format!("HTTP/1.1 {status} X\r\n{length}{fields}\r\n{body}"));
    }

    /// The origin's next answer, byte for byte.
    fn says(&self, bytes: &str) {
        let mut answers = self.stage.origin.answers.lock().unwrap();
        answers.entry(self.path.clone()).or_default().push_back(bytes.to_owned());
    }

    /// The origin's next answer is none: it closes the connection.
    fn fails(&self) {
        self.says("\r\nconnection: close");
    }

    fn get(&self, lines: &str) -> Answer {
        self.ask("GET", lines, "")
    }

    fn ask(&self, method: &str, lines: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.stage.network.edge).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let fields: String = lines.lines().map(|line| format!("{}\r\n", line.trim())).collect();
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let request = format!(
            "{method} {} HTTP/1.1\r\nhost: www.shop.example\r\nconnection: close\r\n{length}{fields}\r\n{body}",
            self.path
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let told = head(&mut reader).unwrap_or_else(|| panic!("{}: no answer", self.name));
        let mut body = Vec::new();
        // A body that is cut is one that ends early: told by its length.
        let _ = reader.read_to_end(&mut body);
        Answer::read(self.name, &told, body)
    }

    /// The requests that the origin has seen.
    fn seen(&self) -> Vec<String> {
        self.stage.origin.seen.lock().unwrap().get(&self.path).cloned().unwrap_or_default()
    }

    /// The value of a field in the last request that the origin has seen.
    fn asked_for(&self, name: &str) -> Option<String> {
        let last = self.seen().pop().unwrap_or_default();
        let mut lines = last.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }
}

impl Answer {
    fn read(name: &'static str, head: &str, body: Vec<u8>) -> Self {
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Self { name, status: status.unwrap_or_else(|| panic!("{name}: {head}")), fields, body }
    }

    /// All lines of a field.
    fn field(&self, name: &str) -> String {
        let lines = self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        lines.collect::<Vec<_>>().join(" | ")
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// Whether Cache-Status has a word.
    fn is(&self, word: &str) -> bool {
        self.field("cache-status").split(';').any(|part| part.trim() == word)
    }

    fn is_hit(&self) -> bool {
        self.is("hit")
    }

    /// It has this status and body.
    #[track_caller]
    fn must_be(&self, status: u16, body: &str) -> &Self {
        assert_eq!(
            (self.status, String::from_utf8_lossy(&self.body).as_ref()),
            (status, body),
            "{}: {self:?}",
            self.name
        );
        self
    }

    #[track_caller]
    fn must_have(&self, field: &str, value: &str) -> &Self {
        assert_eq!(self.field(field), value, "{}: {field} of {self:?}", self.name);
        self
    }
}

/// A message's head, to its empty line.
fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.trim().is_empty() {
            return Some(head);
        }
        head += &line;
    }
}

fn length_of(head: &str) -> usize {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.find_map(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

/// The time so many seconds from now, as in Date.
fn date(seconds: i64) -> String {
    let now = SystemTime::now();
    let by = Duration::from_secs(seconds.unsigned_abs());
    httpdate::fmt_http_date(if seconds < 0 { now - by } else { now + by })
}
