//! A request's path as rules see it. What is forwarded, and the key, stay as they came.

use std::borrow::Cow;

/// A path with its unreserved characters decoded: RFC 3986 §6.2.2.2, "URIs that differ in the replacement
/// of an unreserved character with its corresponding percent-encoded US-ASCII octet are equivalent".
#[must_use]
pub fn decode_unreserved(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        match encoded(after).filter(|byte| is_unreserved(*byte)) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// RFC 3986 §2.3.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The octet that the two digits after a percent sign stand for.
pub(crate) fn encoded(after: &str) -> Option<u8> {
    let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

/// Whether some origin could take the path, with its unreserved characters decoded, for another one:
/// it has a dot segment, between slashes of any kind (RFC 3986 §5.2.4). Clients remove them.
#[must_use]
pub fn is_ambiguous(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2f", "/").replace("%5c", "/").replace('\\', "/");
    path.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreserved_characters_are_decoded_once_and_nothing_else() {
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("/%61dmin/%7Eme", "/admin/~me"),
            ("/%2e%2E/%2F%5c%20", "/../%2F%5c%20"),
            ("/%2561", "/%2561"),
            ("/%", "/%"),
            ("/%6", "/%6"),
            ("/%+1%g1", "/%+1%g1"),
            ("/ä%é", "/ä%é"),
        ] {
            assert_eq!(decode_unreserved(path), expected, "{path}");
        }
    }

    #[test]
    fn dot_segments_are_seen_in_every_disguise() {
        for path in
            ["/a/../b", "/a/%2e%2e/b", "/a/x/..%2f../b", "/a/.%2E%5cb", "/a\\..\\b", "/a/./b", "/a/..;x=1/b", "/.."]
        {
            assert!(is_ambiguous(&decode_unreserved(path)), "{path}");
        }
        for path in ["/", "/a.b/..c/d..", "/a/.well-known/x", "/a/...", "/a%20b/%2f"] {
            assert!(!is_ambiguous(&decode_unreserved(path)), "{path}");
        }
    }
}
