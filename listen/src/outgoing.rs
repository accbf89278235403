//! Responses as HTTP/2 and HTTP/3 send them, where no library between us and the wire does it.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;

use crate::body::Body;

/// RFC 9113 §8.2.2, RFC 9114 §4.2: "an endpoint MUST NOT generate" a message with fields of a connection.
pub(crate) const OF_CONNECTIONS: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The head as it goes out, with a Date (RFC 9110 §6.6.1) and, where it is known, a length; and the body, if there is one.
pub(crate) fn compose(method: &Method, response: Response<Body>) -> (Response<()>, Option<Body>) {
    let (mut head, body) = response.into_parts();
    remove_of_connections(&mut head.headers);
    if !head.headers.contains_key(header::DATE)
        && let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()))
    {
        head.headers.insert(header::DATE, now);
    }
    let may_have = !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) && method != Method::HEAD;
    if may_have
        && !head.headers.contains_key(header::CONTENT_LENGTH)
        && let Some(length) = body.size_hint().exact()
    {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let body = Some(body).filter(|body| may_have && !body.is_end_stream());
    (Response::from_parts(head, ()), body)
}

/// An interim response.
pub(crate) fn interim(status: StatusCode, headers: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    remove_of_connections(response.headers_mut());
    response
}

fn remove_of_connections(headers: &mut HeaderMap) {
    OF_CONNECTIONS.iter().for_each(|name| drop(headers.remove(name)));
    // It is of requests alone (RFC 9110 §10.1.4), and the library sends no message with another value than `trailers`.
    headers.remove(header::TE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_connection_goes_out() {
        let mut response = Response::new(crate::full("x"));
        for name in OF_CONNECTIONS.into_iter().chain([header::TE]) {
            response.headers_mut().insert(name, HeaderValue::from_static("gzip"));
        }
        let (head, body) = compose(&Method::GET, response);
        let mut names: Vec<&str> = head.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!((names, body.is_some()), (vec!["content-length", "date"], true));
        let hints = HeaderMap::from_iter([(header::TE, HeaderValue::from_static("gzip"))]);
        assert!(interim(StatusCode::EARLY_HINTS, hints).headers().is_empty());
    }
}
