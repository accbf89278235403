//! A zone file as entries (RFC 1035 §5.1): its lines, parentheses joined and comments gone.
//!
//! ```text
//! @ SOA ns1 hostmaster ( 1 2h   ; comment        fields  @ SOA ns1 hostmaster 1 2h 1h 2w 5m
//!                        1h 2w 5m )        ->     span    from `@` to `)`
//! ```

use std::borrow::Cow;
use std::ops::Range;

/// One logical line.
#[derive(Clone, Debug)]
pub(super) struct Entry<'t> {
    /// From its first mark to its last, comments and spaces around it left out.
    pub(super) span: Range<usize>,
    /// It starts with a space, so it continues the owner above.
    pub(super) is_indented: bool,
    /// Its words and strings in order.
    pub(super) fields: Vec<Field<'t>>,
    /// Why its fields may not be what was meant.
    pub(super) tear: Option<Tear>,
}

/// A word or a quoted string, as written: escapes are not yet read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'t> {
    /// The text, for a string what is between its quotes.
    pub(super) text: &'t str,
    /// In quotes or bare.
    pub(super) form: Form,
}

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A word.
    Bare,
    /// A string between quotes, in which only `\` is special.
    Quoted,
}

/// An entry that does not end as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tear {
    /// A `(` that nothing closes.
    OpenParenthesis,
    /// A `)` that closes nothing.
    StrayParenthesis,
    /// A quote that is open at the end of its line. RFC 1035 §5.1 lets strings run over lines; no zone in
    /// use needs it, and a forgotten quote would take the rest of the file with it.
    OpenQuote,
}

/// Entries in order; empty lines and comments are none.
#[derive(Clone, Debug)]
pub(super) struct Entries<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Entries<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        // A byte order mark, which some editors write.
        Self { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 } }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn pass(&mut self, char: char) {
        self.at += char.len_utf8();
    }

    fn from(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Reads to the end of the logical line.
    fn entry(&mut self) -> Entry<'t> {
        let is_indented = self.peek().is_some_and(char::is_whitespace);
        let mut entry = Entry { span: self.at..self.at, is_indented, fields: Vec::new(), tear: None };
        let mut open = None;
        loop {
            let start = self.at;
            match self.peek() {
                // Parentheses do not nest, so a second one tells of the first; this also keeps
                // the reading linear: no text is passed over for more than one of them.
                None | Some('(') if open.is_some() => {
                    self.tear_at(&mut entry, open.unwrap_or(start));
                    break;
                }
                None => break,
                Some('\n') => {
                    self.pass('\n');
                    if open.is_none() {
                        break;
                    }
                    continue;
                }
                Some(';') => {
                    self.pass_comment();
                    continue;
                }
                Some(char) if char.is_whitespace() => {
                    self.pass(char);
                    continue;
                }
                Some('(') => {
                    self.pass('(');
                    open = Some(start);
                }
                Some(')') => {
                    self.pass(')');
                    if open.take().is_none() {
                        entry.tear = entry.tear.or(Some(Tear::StrayParenthesis));
                    }
                }
                Some('"') => {
                    let (text, tear) = self.string();
                    entry.fields.push(Field { text, form: Form::Quoted });
                    entry.tear = entry.tear.or(tear);
                }
                Some(_) => {
                    let (text, tear) = self.word();
                    entry.fields.push(Field { text, form: Form::Bare });
                    entry.tear = entry.tear.or(tear);
                }
            }
            if entry.span.is_empty() {
                entry.span.start = start;
            }
            entry.span.end = self.at;
        }
        entry
    }

    /// Gives up on an open parenthesis: the entry is what stands before and in its line, and reading
    /// goes on at the next line that looks like a new entry.
    fn tear_at(&mut self, entry: &mut Entry<'t>, open: usize) {
        entry.tear = Some(Tear::OpenParenthesis);
        let rest = self.text.get(open..).unwrap_or_default();
        let mut lines = rest.split_inclusive('\n');
        let first = lines.next().unwrap_or_default();
        entry.span.end = entry.span.end.min(open + first.trim_end().len());
        let goes_on = |line: &&str| line.starts_with(|char: char| char.is_whitespace() || ")\";".contains(char));
        let passed: usize = lines.take_while(goes_on).map(str::len).sum();
        self.at = open + first.len() + passed;
    }

    fn pass_comment(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.find('\n').unwrap_or(rest.len());
    }

    /// A quoted string, without its quotes.
    fn string(&mut self) -> (&'t str, Option<Tear>) {
        self.pass('"');
        let start = self.at;
        let tear = self.pass_string();
        let text = self.from(start);
        (if tear.is_none() { text.strip_suffix('"').unwrap_or(text) } else { text.trim_end() }, tear)
    }

    /// Passes the inside of a string and its closing quote.
    fn pass_string(&mut self) -> Option<Tear> {
        while let Some(char) = self.peek().filter(|char| *char != '\n') {
            self.pass(char);
            match char {
                '"' => return None,
                '\\' => self.pass_escaped(),
                _ => {}
            }
        }
        Some(Tear::OpenQuote)
    }

    fn word(&mut self) -> (&'t str, Option<Tear>) {
        let start = self.at;
        let mut before = ' ';
        while let Some(char) = self.peek() {
            let is_value = char == '"' && before == '=';
            if char.is_whitespace() || matches!(char, ';' | '(' | ')') || (char == '"' && !is_value) {
                break;
            }
            self.pass(char);
            match char {
                // `alpn="h2,h3"` (RFC 9460 §2.1) is one word.
                '"' => {
                    if let Some(tear) = self.pass_string() {
                        return (self.from(start).trim_end(), Some(tear));
                    }
                }
                '\\' => self.pass_escaped(),
                _ => {}
            }
            before = char;
        }
        (self.from(start), None)
    }

    /// Passes what follows a `\`, so that it is not taken for a mark.
    fn pass_escaped(&mut self) {
        if let Some(char) = self.peek().filter(|char| *char != '\n') {
            self.pass(char);
        }
    }
}

impl<'t> Iterator for Entries<'t> {
    type Item = Entry<'t>;

    fn next(&mut self) -> Option<Entry<'t>> {
        while self.at < self.text.len() {
            let entry = self.entry();
            if !entry.fields.is_empty() || entry.tear.is_some() {
                return Some(entry);
            }
        }
        None
    }
}

impl<'t> Field<'t> {
    /// Whether it is this word, in any case.
    pub(super) fn is(&self, word: &str) -> bool {
        self.form == Form::Bare && self.text.eq_ignore_ascii_case(word)
    }

    /// Its bytes, `\X` and `\DDD` read (RFC 1035 §5.1); `None` where a `\` is followed by neither.
    pub(super) fn bytes(&self) -> Option<Cow<'t, [u8]>> {
        unescaped(self.text)
    }
}

/// The bytes of a text in which `\` marks some; none where one cannot be read.
pub(super) fn unescaped(text: &str) -> Option<Cow<'_, [u8]>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'\\' { escaped(&mut rest)? } else { byte });
    }
    Some(Cow::Owned(bytes))
}

/// The byte that follows a `\`: "\DDD where each D is a digit is the octet corresponding to the decimal
/// number described by DDD" (RFC 1035 §5.1).
pub(super) fn escaped(rest: &mut std::str::Bytes<'_>) -> Option<u8> {
    let first = rest.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let mut number = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = rest.next().filter(u8::is_ascii_digit)?;
        number = number * 10 + u16::from(digit - b'0');
    }
    u8::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each entry as `span text -> fields`, quoted ones in quotes, with `_` for an indent and the tear.
    fn drawn(text: &str) -> Vec<String> {
        Entries::new(text)
            .map(|entry| {
                let fields = entry.fields.iter().map(|field| match field.form {
                    Form::Bare => field.text.to_owned(),
                    Form::Quoted => format!("\"{}\"", field.text),
                });
                let fields: Vec<String> = fields.collect();
                let tear = entry.tear.map(|tear| format!(" {tear:?}")).unwrap_or_default();
                format!(
                    "[{}] {}{}{tear}",
                    text.get(entry.span.clone()).unwrap(),
                    if entry.is_indented { "_ " } else { "" },
                    fields.join("|")
                )
            })
            .collect()
    }

    #[test]
    fn lines_become_entries() {
        for (text, expected) in [
            ("a A 1", &["[a A 1] a|A|1"][..]),
            ("a\tA  1 ; why\r\n; nothing\n\n \n\tB 2\r\n", &["[a\tA  1] a|A|1", "[B 2] _ B|2"]),
            ("\u{feff}a A 1", &["[a A 1] a|A|1"]),
            ("@ SOA ( 1 ; x )\n 2 ) 3\nb", &["[@ SOA ( 1 ; x )\n 2 ) 3] @|SOA|1|2|3", "[b] b"]),
            ("a TXT(\"b;(\" \"c\\\"d\")", &["[a TXT(\"b;(\" \"c\\\"d\")] a|TXT|\"b;(\"|\"c\\\"d\""]),
            ("a TXT b\\;c\\ d \"\"", &["[a TXT b\\;c\\ d \"\"] a|TXT|b\\;c\\ d|\"\""]),
            ("a HTTPS 1 . alpn=\"h2, h3\"", &["[a HTTPS 1 . alpn=\"h2, h3\"] a|HTTPS|1|.|alpn=\"h2, h3\""]),
            ("a TXT v=\"x\ny", &["[a TXT v=\"x] a|TXT|v=\"x OpenQuote", "[y] y"]),
            ("a TXT \"x y\nb A 1", &["[a TXT \"x y] a|TXT|\"x y\" OpenQuote", "[b A 1] b|A|1"]),
            ("a A 1)\nb", &["[a A 1)] a|A|1 StrayParenthesis", "[b] b"]),
            (
                "a X ( 1\n 2\nb A 1\nc Y (\n3)",
                &["[a X ( 1] a|X|1|2|b|A|1|c|Y OpenParenthesis", "[b A 1] b|A|1", "[c Y (\n3)] c|Y|3"],
            ),
            ("(", &["[(]  OpenParenthesis"]),
        ] {
            assert_eq!(drawn(text), expected, "{text:?}");
        }
    }

    #[test]
    fn escapes_are_decimal() {
        let bytes = |text| Field { text, form: Form::Bare }.bytes().map(Cow::into_owned);
        for (text, expected) in [
            ("a\\065\\.b", Some(&b"aA.b"[..])),
            ("\\255\\000", Some(&[255, 0])),
            ("\\256", None),
            ("\\1x2", None),
            ("a\\", None),
        ] {
            assert_eq!(bytes(text).as_deref(), expected, "{text}");
        }
    }
}
