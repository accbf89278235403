//! Answers as they are sent.

use std::time::Duration;

use http::{HeaderValue, Method, Response, StatusCode, header};
use listen::{Body, full};
use serde::Serialize;
use serde_json::{Value, json};

use crate::guard::Refusal;

/// Who shows a wrong token waits so long for the answer: guessing takes for ever anyway, this keeps it from
/// being work.
const REFUSED_AFTER: Duration = Duration::from_millis(500);

pub(crate) async fn refuse(refusal: Refusal) -> Response<Body> {
    match refusal {
        // Nobody guesses here.
        Refusal::CrossSite | Refusal::NotJson => error(refusal.status(), refusal.message().trim_end()),
        Refusal::ForeignHost | Refusal::NoToken | Refusal::WrongSignature | Refusal::NoChanges => {
            tokio::time::sleep(REFUSED_AFTER).await;
            text(refusal.status(), refusal.message().to_owned())
        }
    }
}

pub(crate) fn not_allowed(method: &Method) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {method} is known here\n"));
    if let Ok(method) = HeaderValue::from_str(method.as_str()) {
        response.headers_mut().insert(header::ALLOW, method);
    }
    response
}

pub(crate) fn error(status: StatusCode, why: &str) -> Response<Body> {
    json(status, &json!({ "error": why }))
}

pub(crate) fn text(status: StatusCode, text: String) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", full(text))
}

pub(crate) fn csv(text: String) -> Response<Body> {
    self::text(StatusCode::OK, text)
}

pub(crate) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    answer(status, "application/json", full(format!("{value}\n")))
}

/// As [`json`], of what is not a value yet.
pub(crate) fn json_of(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(text) => answer(status, "application/json", full(text + "\n")),
        Err(fault) => error(StatusCode::INTERNAL_SERVER_ERROR, &fault.to_string()),
    }
}

pub(crate) fn answer(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // No page of another site may even load what it cannot read.
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}
