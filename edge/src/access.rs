//! The access log: a record of each request, handed to a writer that makes a line of it.
//!
//! ```text
//! request is over ─ Record, packed ─> queue ─ writer's thread: unpack, line.rs ─> requests.jsonl | requests.log
//! ```
//!
//! Who answers requests formats nothing: it copies what is known, and goes on.

mod line;
mod record;

use std::io;
use std::path::Path;

use config::{LogField, LogFormat, NodeId, limits};
use http::{HeaderMap, HeaderName, header};
use httparse::Header;
use telemetry::{Clients, Log, Metrics};

use crate::access::line::Lines;

pub(crate) use crate::access::record::Record;

/// An edge's access log.
#[derive(Debug)]
pub struct Access {
    log: Log,
    pub(crate) clients: Clients,
    /// Whether lines have anything that clients say of themselves.
    has_said: bool,
}

/// What a client says of itself in a request, copied; nothing where no line has it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// User-Agent, Referer and X-Request-ID, one behind the other.
    bytes: Vec<u8>,
    user_agent: usize,
    referer: usize,
}

/// The field by which clients, or proxies before us, name a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Access {
    /// Begins the log of an edge in a file, with lines of this format.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        path: &Path,
        format: &LogFormat,
        clients: Clients,
        edge: &NodeId,
        metrics: &Metrics,
    ) -> io::Result<Self> {
        let dropped = metrics.log_dropped.with_label_values(&["requests"]);
        let mut lines = Lines::new(format.clone(), edge.as_str());
        let render = move |records: &[u8], out: &mut Vec<u8>| lines.render(records, out);
        let log = Log::start_rendering(path, limits::LOG_QUEUE, dropped, render)?;
        let said = [LogField::UserAgent, LogField::Referer, LogField::RequestId];
        Ok(Self { log, clients, has_said: said.into_iter().any(|field| format.has(field)) })
    }

    /// Has its file opened anew.
    pub(crate) fn reopen(&self) {
        self.log.reopen();
    }

    /// Copies what a client says of itself, before the edge makes its fields an origin's.
    pub(crate) fn said(&self, headers: &HeaderMap) -> Said {
        let field = |name: &HeaderName| Some(headers.get(name)?.as_bytes());
        self.pack(field)
    }

    /// The same of fields as they were written.
    pub(crate) fn said_as_written(&self, fields: &[Header<'_>]) -> Said {
        let field = |name: &HeaderName| {
            let name = name.as_str();
            Some(fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?.value)
        };
        self.pack(field)
    }

    fn pack<'a>(&self, field: impl Fn(&HeaderName) -> Option<&'a [u8]>) -> Said {
        if !self.has_said {
            return Said::default();
        }
        let [user_agent, referer, request_id] =
            [header::USER_AGENT, header::REFERER, REQUEST_ID].map(|name| field(&name).unwrap_or_default());
        let bytes = [user_agent, referer, request_id].concat();
        Said { bytes, user_agent: user_agent.len(), referer: referer.len() }
    }

    /// Hands a request's record to the writer.
    pub(crate) fn add(&self, record: &Record<'_>) {
        self.log.add_bytes(|packed| record.pack(packed));
    }
}

impl Said {
    /// User-Agent, Referer and X-Request-ID.
    pub(crate) fn parts(&self) -> [&[u8]; 3] {
        let (user_agent, rest) = self.bytes.split_at_checked(self.user_agent).unwrap_or_default();
        let (referer, request_id) = rest.split_at_checked(self.referer).unwrap_or_default();
        [user_agent, referer, request_id]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::tests::{Client, Stage};

    fn access(format: &str, home: &Path) -> Access {
        let (format, edge) = (LogFormat::parse(format).unwrap(), NodeId::parse("fra-1").unwrap());
        Access::start(&home.join(format.file()), &format, Clients::Full, &edge, &Metrics::new().unwrap()).unwrap()
    }

    #[test]
    fn a_log_that_is_exchanged_while_requests_come_loses_no_line() {
        const REQUESTS: usize = 2_000;
        let (stage, home) = (Stage::new(""), tempfile::tempdir().unwrap());
        stage.shared.log_to(Some(access("json", home.path())));
        let edge = stage.both;
        let asking = std::thread::spawn(move || {
            let mut client = Client::to(edge);
            for number in 0..REQUESTS {
                client.ask(&format!("GET /plain HTTP/1.1\r\nhost: shop.example\r\nx-request-id: <{number}>\r\n\r\n"));
            }
        });
        let formats = ["${request_id}", "${status} ${request_id}", "json"];
        for format in formats.iter().cycle() {
            if asking.is_finished() {
                break;
            }
            stage.shared.log_to(Some(access(format, home.path())));
            std::thread::sleep(Duration::from_millis(3));
        }
        asking.join().unwrap();
        let lines = || {
            let files = ["requests.jsonl", "requests.log"].map(|name| fs::read_to_string(home.path().join(name)));
            let id = |line: &str| line.split(['<', '>']).nth(1).map(str::to_owned);
            let mut counts = BTreeMap::<Option<String>, usize>::new();
            let texts = files.map(Result::unwrap_or_default);
            texts.iter().flat_map(|text| text.lines()).for_each(|line| *counts.entry(id(line)).or_default() += 1);
            counts
        };
        // The last is written after its client has its answer.
        let start = Instant::now();
        while lines().values().sum::<usize>() < REQUESTS && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        stage.shared.log_to(None);
        let (expected, told) = ((0..REQUESTS).map(|number| (Some(number.to_string()), 1)), lines());
        let missing: Vec<_> = expected.filter(|(id, _)| told.get(id) != Some(&1)).collect();
        assert!(missing.is_empty() && told.len() == REQUESTS, "{missing:?} of {}", told.len());
    }

    #[test]
    fn what_a_client_says_is_copied_where_lines_have_it() {
        let home = tempfile::tempdir().unwrap();
        let fields = [
            Header { name: "user-AGENT", value: b"a browser" },
            Header { name: "Referer", value: b"" },
            Header { name: "x-request-id", value: b"7" },
        ];
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, http::HeaderValue::from_static("a browser"));
        headers.insert(REQUEST_ID, http::HeaderValue::from_static("7"));
        let expected: [&[u8]; 3] = [b"a browser", b"", b"7"];
        for format in ["json", "${request_id}"] {
            let access = access(format, home.path());
            assert_eq!(access.said_as_written(&fields).parts(), expected);
            assert_eq!(access.said(&headers).parts(), expected);
        }
        let nothing: [&[u8]; 3] = [b"", b"", b""];
        assert_eq!(access("${status}", home.path()).said(&headers).parts(), nothing);
        assert_eq!(Said::default().parts(), nothing);
    }
}
