//! Lines of the access log, made of records: decided here, written by telemetry.
//!
//! What clients write may be anything. Nothing of it can end a line, or stand for more than one value: in JSON it is
//! escaped as JSON is, in text as nginx does (`\x0A`).

use std::fmt::Write as _;
use std::io;

use config::{LogField, LogFormat, Piece};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::record::Record;
use crate::address::write_address;

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

/// Texts of JSON in which also those control characters are escaped that JSON lets stand: a terminal may obey them.
struct Careful;

/// What stands for a value that is not known, or is empty.
const NOTHING: u8 = b'-';

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
            let Some((record, more)) = Record::unpack(rest) else { return };
            self.write(&record, out);
            out.push(b'\n');
            rest = more;
        }
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let Self { format, edge, time } = self;
        let edge = edge.as_str();
        let pieces = match format {
            LogFormat::Json => return write_json(record, edge, out),
            LogFormat::Text(pieces) => pieces,
        };
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(field) => write_field(*field, (record, edge), time, out),
            }
        }
    }
}

/// An object. What is added to it comes at its end.
fn write_json(record: &Record<'_>, edge: &str, out: &mut Vec<u8>) {
    figure("{\"time_ms\":", record.time_ms, out);
    word(",\"site\":\"", record.site, out);
    if let Some(client) = record.client {
        out.extend_from_slice(b",\"client\":\"");
        write_address(client, out);
        out.push(b'"');
    }
    member(",\"method\":", record.method, out);
    member(",\"host\":", record.host, out);
    member(",\"target\":", record.target, out);
    word(",\"version\":\"", record.version, out);
    figure(",\"status\":", record.status.into(), out);
    figure(",\"bytes\":", record.bytes, out);
    figure(",\"duration_ms\":", record.duration_ms, out);
    word(",\"cache\":\"", record.cache, out);
    let complete = if record.complete { ",\"complete\":true" } else { ",\"complete\":false" };
    out.extend_from_slice(complete.as_bytes());
    figure(",\"first_byte_ms\":", record.first_byte_ms, out);
    word(",\"scheme\":\"", record.scheme, out);
    if !record.tls.is_empty() {
        word(",\"tls\":\"", record.tls, out);
    }
    for (key, text) in [
        (",\"origin\":", record.origin),
        (",\"user_agent\":", record.user_agent),
        (",\"referer\":", record.referer),
        (",\"request_id\":", record.request_id),
    ] {
        if !text.is_empty() {
            member(key, text, out);
        }
    }
    word(",\"edge\":\"", edge.as_bytes(), out);
    out.push(b'}');
}

fn figure(key: &str, value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    number(value, out);
}

/// A word of ours, in which nothing is to be escaped, with what stands before it.
fn word(before: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(value);
    out.push(b'"');
}

/// What somebody else has written.
fn member(key: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    // Without a branch for each byte: many values of every line come by here.
    let is_plain = |byte: &u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    if value.iter().fold(true, |all, byte| all & is_plain(byte)) {
        out.push(b'"');
        out.extend_from_slice(value);
        out.push(b'"');
    } else {
        // It is written to memory.
        let _ = String::from_utf8_lossy(value).serialize(&mut Serializer::with_formatter(out, Careful));
    }
}

fn write_field(field: LogField, (record, edge): (&Record<'_>, &str), time: &mut Time, out: &mut Vec<u8>) {
    match field {
        LogField::Time => time.of(record.time_ms).write_iso(record.time_ms, out),
        LogField::TimeClf => out.extend_from_slice(time.of(record.time_ms).clf.as_bytes()),
        LogField::TimeMs => number(record.time_ms, out),
        LogField::ClientIp => match record.client {
            Some(client) => write_address(client, out),
            None => out.push(NOTHING),
        },
        LogField::Method => escape(record.method, out),
        LogField::Scheme => escape(record.scheme, out),
        LogField::Host => escape(record.host, out),
        LogField::Path => escape(halves(record.target).0, out),
        LogField::Query => escape(halves(record.target).1, out),
        LogField::Target => escape(record.target, out),
        LogField::Protocol => out.extend_from_slice(protocol(record.version).as_bytes()),
        LogField::Status => number(record.status.into(), out),
        LogField::Bytes => number(record.bytes, out),
        LogField::DurationMs => number(record.duration_ms, out),
        LogField::FirstByteMs => number(record.first_byte_ms, out),
        LogField::Cache => escape(record.cache, out),
        LogField::Complete => out.extend_from_slice(record.complete.to_string().as_bytes()),
        LogField::Origin => escape(record.origin, out),
        LogField::UserAgent => escape(record.user_agent, out),
        LogField::Referer => escape(record.referer, out),
        LogField::RequestId => escape(record.request_id, out),
        LogField::Site => escape(record.site, out),
        LogField::Edge => escape(edge.as_bytes(), out),
        LogField::Tls => escape(record.tls, out),
    }
}

/// The path, and the query without its question mark.
fn halves(target: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = target.splitn(2, |byte| *byte == b'?');
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}

fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn protocol(version: &[u8]) -> &'static str {
    match version {
        b"1.0" => "HTTP/1.0",
        b"2" => "HTTP/2.0",
        b"3" => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// As nginx escapes by default: quotes, backslashes, and all that is no visible ASCII.
fn escape(value: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if value.is_empty() {
        out.push(NOTHING);
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
