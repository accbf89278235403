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

/// An origin that decodes a path more often than this is not thought of; what is encoded more often is ambiguous.
const MOST_DECODINGS: usize = 4;

/// Whether some origin could take the path, with its unreserved characters decoded, for another one:
/// it has a dot segment (RFC 3986 §5.2.4), between slashes of any kind, encoded once or more, with parameters or
/// blanks after its dots. Clients remove plain ones.
#[must_use]
pub fn is_ambiguous(path: &str) -> bool {
    let mut path = Cow::Borrowed(path.as_bytes());
    for _ in 0..MOST_DECODINGS {
        if !path.contains(&b'%') {
            break;
        }
        path = Cow::Owned(decode(&path));
    }
    let is_blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let is_dots = |segment: &[u8]| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        let end = name.iter().position(is_blank).unwrap_or(name.len());
        matches!(name.get(..end), Some(b"." | b".."))
    };
    let is_deeper = path.contains(&b'%') && decode(&path).len() < path.len();
    is_deeper || path.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dots)
}

/// A path as an origin could read it that undoes everything: every octet decoded, any slash a slash, many of them one, without
/// parameters (`;a=b`), what follows a NUL, and dot segments (RFC 3986 §5.2.4).
#[must_use]
pub fn canonical(path: &str) -> String {
    let mut path = Cow::Borrowed(path.as_bytes());
    for _ in 0..MOST_DECODINGS {
        if !path.contains(&b'%') {
            break;
        }
        path = Cow::Owned(decode(&path));
    }
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_open = false;
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
        ends_open = matches!(name, b"" | b"." | b"..");
        match name {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let mut out: Vec<u8> = segments.iter().flat_map(|segment| [b"/", *segment].concat()).collect();
    if ends_open || out.is_empty() {
        out.push(b'/');
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A path with every octet decoded, once.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let octet = digits.filter(|_| *byte == b'%').and_then(encoded);
        out.push(octet.unwrap_or(*byte));
        rest = if octet.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disguise_of_a_path_is_seen_through() {
        for path in [
            "//admin/x",
            "/./admin/x",
            "/x/../admin/x",
            "/admin;a/x",
            "/admin%2fx",
            "/admin%00/x",
            "/%2561dmin/x",
            "/x%2f..%2fadmin/x",
            "/x/..;/admin/x",
            "/admin\\x",
            "/admin%5cx",
            "/%61dmin/x",
            "/../admin/x",
        ] {
            let read = canonical(path);
            assert!(read == "/admin/x" || (path.contains("%00") && read == "/admin"), "{path}: {read}");
        }
        for (path, expected) in [("/", "/"), ("", "/"), ("/a/", "/a/"), ("/a/..", "/"), ("/a", "/a"), ("/a//", "/a/")] {
            assert_eq!(canonical(path), expected, "{path}");
        }
    }

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
        for path in [
            "/a/../b",
            "/a/%2e%2e/b",
            "/a/x/..%2f../b",
            "/a/.%2E%5cb",
            "/a\\..\\b",
            "/a/./b",
            "/a/..;x=1/b",
            "/..",
            "/a/%252e%252E/b",
            "/a/%2525%32e./b",
            "/a/..%3bx/b",
            "/a/..%00/b",
            "/a/..%20/b",
            "/a%252f..%252fb",
            "/%2525252525252e",
        ] {
            assert!(is_ambiguous(&decode_unreserved(path)), "{path}");
        }
        for path in
            ["/", "/a.b/..c/d..", "/a/.well-known/x", "/a/...", "/a%20b/%2f", "/100%", "/%25252525/%ff%", "/%20../x"]
        {
            assert!(!is_ambiguous(&decode_unreserved(path)), "{path}");
        }
    }
}
