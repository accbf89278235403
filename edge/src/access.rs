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
use crate::access::record::{Fields, Raw};

pub(crate) use crate::access::record::Record;

/// An edge's access log.
#[derive(Debug)]
pub struct Access {
    log: Log,
    pub(crate) clients: Clients,
    /// Whether lines have anything that clients say of themselves.
    has_said: bool,
}

/// What a client says of itself in a request, packed; nothing where no line has it.
#[derive(Debug, Default)]
pub(crate) struct Said(Vec<u8>);

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
        let [user_agent, referer, request_id] =
            [header::USER_AGENT.as_str(), header::REFERER.as_str(), REQUEST_ID].map(|name| field(name).map(Raw));
        let fields = Fields { user_agent, referer, request_id };
        let mut packed = Vec::with_capacity(fields.size());
        if postcard::to_io(&fields, &mut packed).is_ok() { Said(packed) } else { Said::default() }
    }

    /// Hands a request's record to the writer.
    pub(crate) fn add(&self, record: &Record<'_>) {
        self.log.add_bytes(|packed| postcard::to_io(record, packed).is_ok());
    }
}

impl Said {
    pub(crate) fn packed(&self) -> Raw<'_> {
        Raw(&self.0)
    }
}
