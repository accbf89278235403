//! Fields as lists: lines, members, quotes (RFC 9110 §5.5, §5.6).

use http::HeaderName;
use http::header::HeaderMap;

/// All members of a list field, over all its lines, without empty ones (RFC 9110 §5.6.1).
///
/// RFC 9110 §5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list elements".
pub(crate) fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|line| split(line.as_bytes(), b','))
        .map(trim)
        .filter(|member| !member.is_empty())
}

/// The field's value if it has exactly one line.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).into_iter();
    let line = lines.next()?;
    lines.next().is_none().then(|| line.as_bytes())
}

/// Splits at a separator outside quoted strings (RFC 9110 §5.6.4). A quote that is never closed
/// opens nothing, so that a stray one cannot hide what follows it.
pub(crate) fn split(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    // Most lines have none.
    let mut quotes = line.contains(&b'"').then(|| Quotes::of(line));
    line.split(move |byte| !quotes.as_mut().is_some_and(|quotes| quotes.covers(*byte)) && *byte == separator)
}

/// Splits a list of entity tags, in whose quotes a backslash is an ordinary character (RFC 9110
/// §8.8.3).
pub(crate) fn split_tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let parts = line.split(move |byte| {
        quoted ^= *byte == b'"';
        !quoted && *byte == b','
    });
    parts.map(trim).filter(|tag| !tag.is_empty())
}

/// Removes optional white space (RFC 9110 §5.6.3) from both ends.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The text of a quoted string without its quotes and backslashes; `None` if it is not one.
pub(crate) fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let [b'"', inner @ .., b'"'] = text else {
        return None;
    };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => bytes.next()?,
            b'"' => return None,
            _ => byte,
        });
    }
    Some(plain)
}

/// A run of digits as a number, saturated; `None` if it is empty or has anything else.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let append = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(text.iter().fold(0, append))
}

/// Where a line is inside a quoted string, byte by byte.
pub(crate) struct Quotes {
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Outside,
    Inside,
    Escaped,
    Unquoted,
}

impl Quotes {
    /// Begins before the line's first byte.
    pub(crate) fn of(line: &[u8]) -> Self {
        let mut quotes = Self { state: State::Outside };
        for byte in line {
            quotes.covers(*byte);
        }
        let closed = matches!(quotes.state, State::Outside);
        Self { state: if closed { State::Outside } else { State::Unquoted } }
    }

    /// Steps over the next byte and tells whether it belongs to a quoted string.
    pub(crate) fn covers(&mut self, byte: u8) -> bool {
        let before = self.state;
        self.state = match (before, byte) {
            (State::Outside, b'"') | (State::Escaped, _) => State::Inside,
            (State::Inside, b'"') => State::Outside,
            (State::Inside, b'\\') => State::Escaped,
            _ => before,
        };
        matches!(before, State::Inside | State::Escaped) || matches!(self.state, State::Inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn members_end_at_commas_outside_quotes() {
        let table: [(&[&str], &[&str]); 7] = [
            (&["a, b", "c"], &["a", "b", "c"]),
            (&[",, a ,\t,b,"], &["a", "b"]),
            (&[r#"a="x, y", b"#], &[r#"a="x, y""#, "b"]),
            (&[r#"a="x\", y", b"#], &[r#"a="x\", y""#, "b"]),
            (&[r#"a="x, b"#], &[r#"a="x"#, "b"]),
            (&[r#"a="x"#, r#"b, c""#], &[r#"a="x"#, "b", r#"c""#]),
            (&["", " "], &[]),
        ];
        for (lines, expected) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x", HeaderValue::from_str(line).unwrap());
            }
            let found: Vec<&[u8]> = members(&headers, &HeaderName::from_static("x")).collect();
            assert_eq!(found, expected.iter().map(|text| text.as_bytes()).collect::<Vec<_>>(), "{lines:?}");
        }
    }

    #[test]
    fn a_backslash_in_an_entity_tag_escapes_nothing() {
        let found: Vec<&[u8]> = split_tags(br#""a\", "b,c" , W/"d""#).collect();
        assert_eq!(found, [br#""a\""#.as_slice(), br#""b,c""#, br#"W/"d""#]);
    }

    #[test]
    fn numbers_are_digits_and_saturate() {
        let table: [(&str, Option<u64>); 6] = [
            ("007", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("-1", None),
            ("1.0", None),
            ("+1", None),
        ];
        for (text, expected) in table {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(unquote(br#""a\"b""#).as_deref(), Some(br#"a"b"#.as_slice()));
        assert_eq!(unquote(br#""a"b""#), None);
    }
}
