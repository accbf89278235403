//! An answer that is written in the config.

use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;

use crate::limits;
use crate::problem::Problem;
use crate::shape;
use crate::table::{Table, Value};
use crate::wrong::Wrong;

/// An answer that is written in the config.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Answer {
    /// Its status. Default: 200. A reload takes it.
    #[schemars(with = "u16", transform = shape::integer(&limits::ANSWER_STATUS))]
    pub status: StatusCode,
    /// Its body; `"""` begins and ends one of several lines. At most 64 KiB. Default: empty. A reload takes it.
    pub body: String,
    /// Its Content-Type. Default: `text/plain; charset=utf-8`. A reload takes it.
    #[schemars(rename = "type", with = "String")]
    pub content_type: HeaderValue,
}

pub(crate) fn read(mut table: Table<'_>) -> Option<Answer> {
    let status = table.optional("status", |v| v.integer(&limits::ANSWER_STATUS));
    let (body, content_type) = read_page(&mut table);
    let code = status.unwrap_or(limits::ANSWER_STATUS.default);
    if matches!(code, 204 | 205 | 304) && !body.is_empty() {
        let problem = Problem::fault(table.place_of("body"), format!("a {code} has no body"));
        table.context().add(problem.help("leave out `body`, or give another status"));
    }
    table.finish();
    let status = StatusCode::from_u16(status.unwrap_or(limits::ANSWER_STATUS.default)).unwrap_or(StatusCode::OK);
    Some(Answer { status, body, content_type })
}

/// The keys `body` and `type`.
pub(crate) fn read_page(table: &mut Table<'_>) -> (String, HeaderValue) {
    let body = table.optional("body", |v| v.parse(body)).unwrap_or_default();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    (body, table.or("type", plain, content_type))
}

fn body(text: &str) -> Result<String, Wrong> {
    if text.len() <= limits::ANSWER_BYTES {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("the body has more than {} KiB", limits::ANSWER_BYTES >> 10)).help("let an origin serve it"))
}

fn content_type(value: Value<'_>) -> Option<HeaderValue> {
    value.parse(|text| {
        let wrong = || Wrong::new(format!("`{text}` is not a media type")).help("as in \"text/html; charset=utf-8\"");
        HeaderValue::from_str(text).ok().filter(|_| text.contains('/')).ok_or_else(wrong)
    })
}
