//! h2load, of nghttp2: the same client for HTTP/1.1 and HTTP/2 over TLS, whoever serves.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::tls::NAME;

/// Some servers would choose another, some this one.
const CIPHER: &str = "TLS_AES_128_GCM_SHA256";

/// How it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// One open request on each connection.
    Http1,
    /// Several open streams on each.
    Http2,
}

/// What was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) answered: u64,
    pub(crate) rate: f64,
}

impl Version {
    fn protocol(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

/// Asks for a stored object of this size for some time, with so many requests open on each of so many connections. Each
/// answer must be a 200, and all bodies together as long as so many.
pub(crate) fn ask(
    server: SocketAddr,
    version: Version,
    (connections, streams): (usize, usize),
    size: usize,
    time: Duration,
) -> Asked {
    let mut command = Command::new("h2load");
    command.args(["-D", &format!("{}ms", time.as_millis()), "-t", "1", &format!("--tls13-ciphers={CIPHER}")]);
    command.args(["-c", &connections.to_string(), "-m", &streams.to_string()]);
    command.args([&format!("--npn-list={}", version.protocol()), &format!("--connect-to={server}")]);
    let output = command.arg(format!("https://{NAME}/o/{size}")).output().expect("apt-get install nghttp2-client");
    let said = String::from_utf8_lossy(&output.stdout);
    let number = |line: &str, unit: &str| find(&said, line, unit).unwrap_or_else(|| panic!("no {unit}: {said}"));
    for agreed in [format!("Cipher: {CIPHER}\n"), format!("Application protocol: {}\n", version.protocol())] {
        assert!(said.contains(&agreed), "not {agreed}: {said}");
    }
    for (line, what) in [
        ("requests:", "failed"),
        ("requests:", "errored"),
        ("requests:", "timeout"),
        ("status codes:", "3xx"),
        ("status codes:", "4xx"),
        ("status codes:", "5xx"),
    ] {
        assert_eq!(number(line, what), 0.0, "{said}");
    }
    let (begun, answered) = (number("requests:", "started"), number("requests:", "succeeded"));
    let bytes = number("traffic:", "data");
    // Those that the end of the time cuts short count with what they had.
    assert!(answered > 0.0 && (answered * size as f64..=begun * size as f64).contains(&bytes), "{said}");
    Asked { answered: answered as u64, rate: number("finished", "req/s") }
}

/// The number before a unit in the line that begins so: `requests: 5 total, 6 started`, `traffic: 1MB (9) data`.
fn find(said: &str, line: &str, unit: &str) -> Option<f64> {
    let line = said.lines().find(|one| one.starts_with(line))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| word.trim_end_matches(',') == unit)?;
    words.get(at.checked_sub(1)?)?.trim_matches(['(', ')']).parse().ok()
}
