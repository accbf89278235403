//! Lines of the access log, made of records: decided here, written by telemetry.
//!
//! What clients write may be anything. Nothing of it can end a line, or stand for more than one value: in JSON it is
//! escaped as JSON is, in text as nginx does (`\x0A`).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;

use config::{LogField, LogFormat, Piece};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::record::{Fields, Raw, Record};

/// Makes lines.
#[derive(Debug)]
pub(super) struct Lines {
    format: LogFormat,
    edge: String,
    time: Time,
}

/// A second as it is written: lines come in crowds.
#[derive(Debug, Default)]
struct Time {
    second: Option<u64>,
    iso: String,
    clf: String,
}

/// A line as JSON. What is added comes at the end.
#[derive(Serialize)]
struct Object<'a> {
    time_ms: u64,
    site: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    method: &'a str,
    host: &'a str,
    target: &'a str,
    version: &'a str,
    status: u16,
    bytes: u64,
    duration_ms: u64,
    cache: &'a str,
    complete: bool,
    first_byte_ms: u64,
    scheme: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Cow<'a, str>>,
    edge: &'a str,
}

/// Compact JSON, in which also those control characters are escaped that JSON lets stand: a terminal may obey them.
struct Careful;

/// What stands for a value that is not known, or is empty.
const NOTHING: &[u8] = b"-";

impl Lines {
    /// Of an edge.
    pub(super) fn new(format: LogFormat, edge: &str) -> Self {
        Self { format, edge: edge.to_owned(), time: Time::default() }
    }

    /// Makes lines of packed records, one after another.
    pub(super) fn render(&mut self, records: &[u8], out: &mut Vec<u8>) {
        let mut rest = records;
        while !rest.is_empty() {
            // They are ours, and whole.
            let Ok((record, more)) = postcard::take_from_bytes::<Record<'_>>(rest) else { return };
            let said: Fields<'_> = postcard::from_bytes(record.said.0).unwrap_or_default();
            self.write(&record, &said, out);
            out.push(b'\n');
            rest = more;
        }
    }

    fn write(&mut self, record: &Record<'_>, said: &Fields<'_>, out: &mut Vec<u8>) {
        let Self { format, edge, time } = self;
        let pieces = match format {
            LogFormat::Json => return write_json(record, said, edge, out),
            LogFormat::Text(pieces) => pieces,
        };
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(field) => write_field(*field, (record, said, edge), time, out),
            }
        }
    }
}

fn write_json(record: &Record<'_>, said: &Fields<'_>, edge: &str, out: &mut Vec<u8>) {
    let object = Object {
        time_ms: record.time_ms,
        site: record.site,
        client: record.client,
        method: record.method,
        host: record.host,
        target: record.target,
        version: record.version,
        status: record.status,
        bytes: record.bytes,
        duration_ms: record.duration_ms,
        cache: record.cache,
        complete: record.complete,
        first_byte_ms: record.first_byte_ms,
        scheme: record.scheme,
        tls: record.tls,
        origin: record.origin,
        user_agent: text(said.user_agent),
        referer: text(said.referer),
        request_id: text(said.request_id),
        edge,
    };
    // It is written to memory.
    let _ = object.serialize(&mut Serializer::with_formatter(out, Careful));
}

fn write_field(
    field: LogField,
    (record, said, edge): (&Record<'_>, &Fields<'_>, &str),
    time: &mut Time,
    out: &mut Vec<u8>,
) {
    let (path, query) = record.target.split_once('?').unwrap_or((record.target, ""));
    match field {
        LogField::Time => time.of(record.time_ms).write_iso(record.time_ms, out),
        LogField::TimeClf => out.extend_from_slice(time.of(record.time_ms).clf.as_bytes()),
        LogField::TimeMs => number(record.time_ms, out),
        LogField::ClientIp => match record.client {
            Some(client) => escape(client.to_string().as_bytes(), out),
            None => out.extend_from_slice(NOTHING),
        },
        LogField::Method => escape(record.method.as_bytes(), out),
        LogField::Scheme => escape(record.scheme.as_bytes(), out),
        LogField::Host => escape(record.host.as_bytes(), out),
        LogField::Path => escape(path.as_bytes(), out),
        LogField::Query => escape(query.as_bytes(), out),
        LogField::Target => escape(record.target.as_bytes(), out),
        LogField::Protocol => out.extend_from_slice(protocol(record.version).as_bytes()),
        LogField::Status => number(record.status.into(), out),
        LogField::Bytes => number(record.bytes, out),
        LogField::DurationMs => number(record.duration_ms, out),
        LogField::FirstByteMs => number(record.first_byte_ms, out),
        LogField::Cache => escape(record.cache.as_bytes(), out),
        LogField::Complete => out.extend_from_slice(record.complete.to_string().as_bytes()),
        LogField::Origin => escape(record.origin.unwrap_or_default().as_bytes(), out),
        LogField::UserAgent => escape(bytes(said.user_agent), out),
        LogField::Referer => escape(bytes(said.referer), out),
        LogField::RequestId => escape(bytes(said.request_id), out),
        LogField::Site => escape(record.site.as_bytes(), out),
        LogField::Edge => escape(edge.as_bytes(), out),
        LogField::Tls => escape(record.tls.unwrap_or_default().as_bytes(), out),
    }
}

/// As text; what is none is marked as such.
fn text(raw: Option<Raw<'_>>) -> Option<Cow<'_, str>> {
    raw.map(|Raw(bytes)| String::from_utf8_lossy(bytes))
}

fn bytes(raw: Option<Raw<'_>>) -> &[u8] {
    raw.map(|Raw(bytes)| bytes).unwrap_or_default()
}

fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn protocol(version: &str) -> &'static str {
    match version {
        "1.0" => "HTTP/1.0",
        "2" => "HTTP/2.0",
        "3" => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// As nginx escapes by default: quotes, backslashes, and all that is no visible ASCII.
fn escape(value: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if value.is_empty() {
        out.extend_from_slice(NOTHING);
    }
    for byte in value {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
            }
            byte => out.push(*byte),
        }
    }
}

impl Time {
    fn of(&mut self, time_ms: u64) -> &Self {
        let second = time_ms / 1_000;
        if self.second != Some(second) {
            let at = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
            let at = at.unwrap_or(Timestamp::UNIX_EPOCH);
            self.second = Some(second);
            self.iso.clear();
            self.clf.clear();
            // They are written to memory.
            let _ = write!(self.iso, "{}", at.strftime("%Y-%m-%dT%H:%M:%S"));
            let _ = write!(self.clf, "{}", at.strftime("%d/%b/%Y:%H:%M:%S +0000"));
        }
        self
    }

    fn write_iso(&self, time_ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.iso.as_bytes());
        out.extend_from_slice(format!(".{:03}Z", time_ms % 1_000).as_bytes());
    }
}

impl Formatter for Careful {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, control)) = rest.char_indices().find(|(_, char)| obeyed(*char)) {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            writer.write_all(before.as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(control))?;
            rest = from.get(control.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Whether terminals and readers of lines may do more with a character than show it.
fn obeyed(char: char) -> bool {
    matches!(char, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests;
