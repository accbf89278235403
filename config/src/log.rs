//! What is written down of requests and queries, and how.

use schemars::JsonSchema;

use crate::limits;
use crate::shape;
use crate::template::{Piece, instead_of, named, pieces};
use crate::wrong::Wrong;

/// What is written down, in `<state>/<id>`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Log {
    /// Whether edges write a line for each request, to `requests.jsonl` or, where `format` is another than
    /// JSON, `requests.log`. Default: `true`. A reload takes it.
    pub requests: bool,
    /// What a request's line looks like: `"json"`, `"combined"` as other HTTP servers write it, or a text in
    /// which `${name}` stands for what is known of the request; docs/logs.md has the names. Default:
    /// `"json"`. A reload takes it, unless its file cannot be opened: then the log goes on as it was.
    pub format: LogFormat,
    /// Whether name servers write a line for each query, as JSON, to `queries.jsonl`. Default: `false`, since
    /// queries are many. A reload takes it, unless the file cannot be opened.
    pub queries: bool,
    /// How much of a client's address is written. Default: `"prefix"`, so that no line names a person.
    /// A reload takes it.
    pub clients: Clients,
}

/// How much of a client's address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Clients {
    /// All of it.
    Full,
    /// Its /24 or /56.
    Prefix,
    /// Nothing.
    None,
}

/// What a request's line looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(
    with = "String",
    transform = shape::text_within("format of a line", r"^(json|combined|.*\$\{.*)$", limits::LOG_TEMPLATE_BYTES)
)]
pub enum LogFormat {
    /// An object of everything that is known.
    #[default]
    Json,
    /// Text and what is known of the request.
    Text(Vec<Piece<LogField>>),
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogField {
    /// When it began: `2026-11-30T12:00:00.123Z`.
    Time,
    /// The same as milliseconds since the Unix epoch.
    TimeMs,
    /// The same as other HTTP servers write it: `30/Nov/2026:12:00:00 +0000`.
    TimeClf,
    /// The client's address, as far as it may be written.
    ClientIp,
    /// The method.
    Method,
    /// `http` or `https`.
    Scheme,
    /// The Host, as the client wrote it.
    Host,
    /// The path, as the client wrote it.
    Path,
    /// The query, as the client wrote it, without its question mark.
    Query,
    /// Path and query, as the client wrote them.
    Target,
    /// `HTTP/1.1`, `HTTP/2.0` or `HTTP/3.0`.
    Protocol,
    /// The status answered.
    Status,
    /// Bytes of body sent.
    Bytes,
    /// Milliseconds from the request until the last byte was handed to the connection.
    DurationMs,
    /// Milliseconds from the request until there was an answer to send.
    FirstByteMs,
    /// What the cache did: `hit`, `stale`, `miss`, `pass`, `own` or `error`.
    Cache,
    /// Whether the whole body was sent: `true` or `false`.
    Complete,
    /// The origin's server that answered, as the config writes it, where this request asked one.
    Origin,
    /// The client's User-Agent.
    UserAgent,
    /// The client's Referer.
    Referer,
    /// The client's X-Request-ID.
    RequestId,
    /// The site's id, or `-`.
    Site,
    /// The edge's id.
    Edge,
    /// `TLSv1.2` or `TLSv1.3`.
    Tls,
}

/// As nginx and Apache write it. Who has logged in is not known here.
const COMBINED: &str = "${client_ip} - - [${time_clf}] \"${method} ${target} ${protocol}\" ${status} ${bytes} \
                        \"${referer}\" \"${user_agent}\"";

impl LogField {
    /// Every name.
    pub const ALL: [(&'static str, Self); 24] = [
        ("time", Self::Time),
        ("time_ms", Self::TimeMs),
        ("time_clf", Self::TimeClf),
        ("client_ip", Self::ClientIp),
        ("method", Self::Method),
        ("scheme", Self::Scheme),
        ("host", Self::Host),
        ("path", Self::Path),
        ("query", Self::Query),
        ("target", Self::Target),
        ("protocol", Self::Protocol),
        ("status", Self::Status),
        ("bytes", Self::Bytes),
        ("duration_ms", Self::DurationMs),
        ("first_byte_ms", Self::FirstByteMs),
        ("cache", Self::Cache),
        ("complete", Self::Complete),
        ("origin", Self::Origin),
        ("user_agent", Self::UserAgent),
        ("referer", Self::Referer),
        ("request_id", Self::RequestId),
        ("site", Self::Site),
        ("edge", Self::Edge),
        ("tls", Self::Tls),
    ];

    fn parse(name: &str) -> Result<Self, Wrong> {
        named(name, &Self::ALL)
            .ok_or_else(|| Wrong::new(format!("a log knows no `{name}`")).help(instead_of(name, &Self::ALL)))
    }
}

impl LogFormat {
    /// Reads a format: a name, or a text with at least one `${name}`.
    ///
    /// # Errors
    /// It is neither, names what is not known, or is no text of one line.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let text = match text {
            "json" => return Ok(Self::Json),
            "combined" => COMBINED,
            text => text,
        };
        if !text.contains("${") {
            let wrong = Wrong::new(format!("`{text}` is no format of a log"));
            return Err(wrong.help("\"json\", \"combined\", or a text with names, as \"${client_ip} ${status}\""));
        }
        if text.len() > limits::LOG_TEMPLATE_BYTES {
            let help = format!("at most {} bytes", limits::LOG_TEMPLATE_BYTES);
            return Err(Wrong::new("this line is too long").help(help));
        }
        // A tab is what tables of text are made with.
        if text.chars().any(|char| char.is_control() && char != '\t') {
            return Err(Wrong::new("this is not one line").help("each request's line ends by itself"));
        }
        Ok(Self::Text(pieces(text, LogField::parse)?))
    }

    /// The file of such lines in an edge's directory.
    #[must_use]
    pub fn file(&self) -> &'static str {
        match self {
            Self::Json => "requests.jsonl",
            Self::Text(_) => "requests.log",
        }
    }

    /// Whether this is in its lines.
    #[must_use]
    pub fn has(&self, field: LogField) -> bool {
        match self {
            Self::Json => true,
            Self::Text(pieces) => pieces.contains(&Piece::Variable(field)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_a_name_or_a_text_with_names() {
        assert_eq!(LogFormat::parse("json"), Ok(LogFormat::Json));
        let text = |text: &str| Piece::Text(text.to_owned());
        let expected =
            vec![Piece::Variable(LogField::ClientIp), text("\t"), Piece::Variable(LogField::Status), text(" end")];
        assert_eq!(LogFormat::parse("${client_ip}\t${status} end"), Ok(LogFormat::Text(expected)));
        let combined = LogFormat::parse("combined").unwrap();
        assert!(
            combined.has(LogField::UserAgent) && !combined.has(LogField::Cache) && LogFormat::Json.has(LogField::Tls)
        );
    }

    #[test]
    fn what_is_not_known_is_told_with_what_is() {
        for (format, message, help) in [
            ("apache", "`apache` is no format of a log", "\"combined\""),
            ("", "`` is no format of a log", "\"json\""),
            ("${statsu}", "a log knows no `statsu`", "did you mean `${status}`? known: time, time_ms,"),
            ("${x}", "a log knows no `x`", "known: time, time_ms, time_clf, client_ip,"),
            ("${status", "a variable has no end", "as in"),
            ("${status}\n${host}", "this is not one line", "by itself"),
        ] {
            let wrong = LogFormat::parse(format).unwrap_err();
            assert_eq!(wrong.message, message, "{format}");
            assert!(wrong.help.as_deref().unwrap_or_default().contains(help), "{wrong:?}");
        }
        let long = "x".repeat(limits::LOG_TEMPLATE_BYTES) + "${status}";
        assert_eq!(LogFormat::parse(&long).unwrap_err().message, "this line is too long");
    }

    #[test]
    fn every_name_is_known_by_it() {
        for (name, field) in LogField::ALL {
            assert_eq!(LogField::parse(name), Ok(field));
        }
    }
}
