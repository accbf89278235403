//! Whether a response can be what its head claims: what would be told to clients must be true.

use http::header::{
    CONTENT_LENGTH, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode};

use crate::error::FetchError;

/// Refuses a response that answers what was not asked, or is framed in two ways; makes its
/// Content-Length one plain number.
pub(crate) fn check(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &mut HeaderMap,
) -> Result<(), FetchError> {
    if !is_asked_for(method, request, status, response) {
        return Err(FetchError::HttpProtocolError);
    }
    let mut codings = response.get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    match (codings.next(), codings.next()) {
        (None, _) => {}
        // Chunks are all that is read here: another coding's bytes would pass for the content.
        (Some(one), None) if one.trim_ascii().eq_ignore_ascii_case(b"chunked") => {
            // RFC 9112 §6.3: such a message "ought to be handled as an error".
            if response.contains_key(CONTENT_LENGTH) {
                return Err(FetchError::HttpProtocolError);
            }
        }
        _ => return Err(FetchError::HttpResponseTransferCoding),
    }
    // RFC 9110 §8.6: "A server MUST NOT send a Content-Length header field in any response with a
    // status code of 1xx (Informational) or 204 (No Content)", nor to a CONNECT.
    if status == StatusCode::NO_CONTENT || *method == Method::CONNECT {
        response.remove(CONTENT_LENGTH);
    }
    plain_length(response)
}

/// A 101 to nothing that was offered answers nobody, nor do a 304 without a condition and a 206 without a Range, of what is read:
/// what other methods make of these is between the client and the origin.
fn is_asked_for(method: &Method, request: &HeaderMap, status: StatusCode, response: &HeaderMap) -> bool {
    match status {
        StatusCode::SWITCHING_PROTOCOLS => is_offered(request, response),
        _ if !matches!(*method, Method::GET | Method::HEAD) => true,
        StatusCode::NOT_MODIFIED => request.contains_key(IF_NONE_MATCH) || request.contains_key(IF_MODIFIED_SINCE),
        StatusCode::PARTIAL_CONTENT => request.contains_key(RANGE),
        _ => true,
    }
}

/// RFC 9110 §7.8: "A server that sends a 101 (Switching Protocols) response MUST send an Upgrade header field to indicate
/// the new protocol(s)", and "MUST NOT switch to a protocol that was not indicated by the client".
fn is_offered(request: &HeaderMap, response: &HeaderMap) -> bool {
    let protocols = |headers: &HeaderMap| {
        let lines: Vec<HeaderValue> = headers.get_all(UPGRADE).iter().cloned().collect();
        lines
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(|protocol| protocol.trim_ascii().to_ascii_lowercase())
            .filter(|protocol| !protocol.is_empty())
            .collect::<Vec<_>>()
    };
    let (offered, taken) = (protocols(request), protocols(response));
    !taken.is_empty() && taken.iter().all(|protocol| offered.contains(protocol))
}

/// RFC 9112 §6.3: a list of identical values may be taken as one; anything else is unrecoverable.
fn plain_length(response: &mut HeaderMap) -> Result<(), FetchError> {
    let mut lines = response.get_all(CONTENT_LENGTH).iter();
    let is_one = match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(line), None) => is_plain(line.as_bytes()),
        (Some(_), Some(_)) => false,
    };
    if is_one {
        return Ok(());
    }
    let mut length = None;
    for value in response.get_all(CONTENT_LENGTH) {
        for one in value.as_bytes().split(|byte| *byte == b',') {
            let digits = one.trim_ascii();
            let lawful = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(digits).ok().filter(|_| lawful).and_then(|text| text.parse::<u64>().ok());
            match (number, length) {
                (Some(number), None) => length = Some(number),
                (Some(number), Some(before)) if number == before => {}
                _ => return Err(FetchError::HttpProtocolError),
            }
        }
    }
    if let Some(length) = length {
        response.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(())
}

/// Whether a length is written as we write it, and small enough for that to be told by its digits.
fn is_plain(length: &[u8]) -> bool {
    matches!(length, [b'0'] | [b'1'..=b'9', ..]) && length.len() < 20 && length.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn fields(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_response_is_framed_in_one_way() {
        let protocol = Err(FetchError::HttpProtocolError);
        let coding = Err(FetchError::HttpResponseTransferCoding);
        for (lines, expected) in [
            (&[("content-length", "3")][..], Ok(Some("3"))),
            (&[("content-length", "0")], Ok(Some("0"))),
            (&[("content-length", "00")], Ok(Some("0"))),
            (&[("content-length", "03")], Ok(Some("3"))),
            (&[("content-length", "3 ")], Ok(Some("3"))),
            (&[("content-length", "9999999999999999999")], Ok(Some("9999999999999999999"))),
            (&[("content-length", "18446744073709551615")], Ok(Some("18446744073709551615"))),
            (&[("content-length", "18446744073709551616")], protocol),
            (&[("content-length", "3x")], protocol),
            (&[("content-length", "3, 3")], Ok(Some("3"))),
            (&[("content-length", "3"), ("content-length", "3")], Ok(Some("3"))),
            (&[("content-length", "3, 4")], protocol),
            (&[("content-length", "+3")], protocol),
            (&[("content-length", "")], protocol),
            (&[("content-length", "99999999999999999999")], protocol),
            (&[("transfer-encoding", "Chunked")], Ok(None)),
            (&[("transfer-encoding", "chunked"), ("content-length", "3")], protocol),
            (&[("transfer-encoding", "gzip, chunked")], coding),
            (&[("transfer-encoding", "gzip")], coding),
            (&[("transfer-encoding", "identity")], coding),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], coding),
            (&[], Ok(None)),
        ] {
            let mut headers = fields(lines);
            let checked = check(&Method::GET, &HeaderMap::new(), StatusCode::OK, &mut headers);
            let length = headers.get(CONTENT_LENGTH).map(|value| value.to_str().unwrap());
            assert_eq!(checked.map(|()| length), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_204_has_no_length() {
        let mut headers = fields(&[("content-length", "3")]);
        check(&Method::GET, &HeaderMap::new(), StatusCode::NO_CONTENT, &mut headers).unwrap();
        assert!(headers.is_empty());
    }

    #[test]
    fn only_to_what_was_offered_is_switched() {
        for (request, response, expected) in [
            (&[][..], &[][..], false),
            (&[], &[("upgrade", "websocket")], false),
            (&[("upgrade", "websocket")], &[], false),
            (&[("upgrade", "websocket")], &[("upgrade", "h2c")], false),
            (&[("upgrade", "websocket")], &[("upgrade", "websocket, h2c")], false),
            (&[("upgrade", "websocket")], &[("upgrade", "WebSocket")], true),
            (&[("upgrade", "one/2, two")], &[("upgrade", "one/2")], true),
        ] {
            let mut response = fields(response);
            let status = StatusCode::SWITCHING_PROTOCOLS;
            let checked = check(&Method::GET, &fields(request), status, &mut response);
            assert_eq!(checked.is_ok(), expected, "{request:?} {response:?}");
        }
    }

    #[test]
    fn what_was_not_asked_for_is_no_answer() {
        for (request, status, expected) in [
            (&[][..], 304, false),
            (&[("if-none-match", "\"a\"")], 304, true),
            (&[("if-modified-since", "x")], 304, true),
            (&[], 206, false),
            (&[("range", "bytes=0-1")], 206, true),
            (&[], 200, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let is_asked = |method| is_asked_for(&method, &fields(request), status, &HeaderMap::new());
            assert_eq!(is_asked(Method::GET), expected, "{request:?} {status}");
            assert!(is_asked(Method::POST), "{request:?} {status}");
        }
    }
}
