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
use http::{HeaderMap, header};
use httparse::Header;
use telemetry::{Clients, Log, Metrics, Reopening};

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
const REQUEST_ID: &str = "x-request-id";

impl Access {
    /// Begins the log of an edge in its own directory, as the config wants it.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        home: &Path,
        config: &config::Log,
        clients: Clients,
        edge: &NodeId,
        metrics: &Metrics,
    ) -> io::Result<Self> {
        let name = match config.format {
            LogFormat::Json => "requests.jsonl",
            LogFormat::Text(_) => "requests.log",
        };
        let dropped = metrics.log_dropped.with_label_values(&["requests"]);
        let mut lines = Lines::new(config.format.clone(), edge.as_str());
        let render = move |records: &[u8], out: &mut Vec<u8>| lines.render(records, out);
        let log = Log::start_rendering(&home.join(name), limits::LOG_QUEUE, dropped, render)?;
        let said = [LogField::UserAgent, LogField::Referer, LogField::RequestId];
        Ok(Self { log, clients, has_said: said.into_iter().any(|field| config.format.has(field)) })
    }

    /// What has its file opened anew.
    #[must_use]
    pub fn reopening(&self) -> Reopening {
        self.log.reopening()
    }

    /// Copies what a client says of itself, before the edge makes its fields an origin's.
    pub(crate) fn said(&self, headers: &HeaderMap) -> Said {
        let field = |name: &str| Some(headers.get(name)?.as_bytes());
        self.pack(field)
    }

    /// The same of fields as they were written.
    pub(crate) fn said_as_written(&self, fields: &[Header<'_>]) -> Said {
        let field = |name: &str| Some(fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?.value);
        self.pack(field)
    }

    fn pack<'a>(&self, field: impl Fn(&str) -> Option<&'a [u8]>) -> Said {
        if !self.has_said {
            return Said::default();
        }
        let [user_agent, referer, request_id] = [header::USER_AGENT.as_str(), header::REFERER.as_str(), REQUEST_ID]
            .map(|name| field(name).unwrap_or_default());
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
    use super::*;

    fn access(format: &str, home: &Path) -> Access {
        let log = config::Log {
            requests: true,
            format: LogFormat::parse(format).unwrap(),
            queries: false,
            clients: config::Clients::Full,
        };
        Access::start(home, &log, Clients::Full, &NodeId::parse("fra-1").unwrap(), &Metrics::new().unwrap()).unwrap()
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
