//! What kind of device a client is.

use http::{HeaderMap, HeaderValue, header};

/// The kind by User-Agent: `mobile`, `tablet` or `desktop`, which is also all that does not say. Browsers agree on the words:
/// "Mobi" for what is held in a hand, and on Android its absence for tablets.
pub(crate) fn class(headers: &HeaderMap) -> HeaderValue {
    let agent = headers.get(header::USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    let has = |word: &[u8]| agent.windows(word.len()).any(|part| part == word);
    let is_tablet = has(b"iPad") || has(b"Tablet") || (has(b"Android") && !has(b"Mobi"));
    HeaderValue::from_static(if is_tablet {
        "tablet"
    } else if has(b"Mobi") {
        "mobile"
    } else {
        "desktop"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_apart_by_their_own_words() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1",
                "mobile",
            ),
            ("Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/130.0.0.0 Mobile Safari/537.36", "mobile"),
            ("Mozilla/5.0 (Linux; Android 15; SM-X910) Chrome/130.0.0.0 Safari/537.36", "tablet"),
            ("Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) Mobile/15E148", "tablet"),
            ("Mozilla/5.0 (Android 14; Tablet; rv:133.0) Gecko/133.0 Firefox/133.0", "tablet"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "desktop"),
            ("curl/8.10.1", "desktop"),
            ("", "desktop"),
        ] {
            let headers = HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_str(agent).unwrap())]);
            assert_eq!(class(&headers), expected, "{agent}");
        }
        assert_eq!(class(&HeaderMap::new()), "desktop");
    }
}
