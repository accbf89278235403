//! What a fuzz target reads from its bytes: numbers, instants, texts and heads.
//!
//! A head is lines up to an empty one. A line's first byte picks the field, so that the fuzzer need not
//! find the names; the rest is the value. Whatever the bytes are, they mean something.

pub mod name_server;

use std::time::Duration;

use caching::Moment;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The bytes that are not read yet. At their end everything is zero or empty.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Begins before the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number of up to eight bytes. One byte before tells how many, so that small ones are as likely as
    /// large ones.
    pub fn number(&mut self) -> u64 {
        let count = self.byte() % 9;
        (0..count).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Any instant: before the epoch and beyond the calendar too.
    pub fn moment(&mut self) -> Moment {
        Moment::from_millis(self.number().cast_signed())
    }

    /// Any time that a config may hold, in seconds.
    pub fn seconds(&mut self) -> Duration {
        Duration::from_secs(self.number())
    }

    /// One of these.
    ///
    /// # Panics
    /// There are none.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = usize::from(self.byte()) % choices.len();
        *choices.get(index).expect("a remainder is below its divisor")
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The bytes to the end of the line.
    pub fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\n").unwrap_or(rest);
        line
    }

    /// The text to the end of the line; empty where it is none.
    pub fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.line()).unwrap_or_default()
    }

    /// Lines to the first empty one, as values of these fields. A line that may not be a value is left out.
    pub fn head(&mut self, names: &[HeaderName]) -> HeaderMap {
        let mut head = HeaderMap::new();
        loop {
            let line = self.line();
            let Some((first, value)) = line.split_first() else {
                return head;
            };
            let name = names.get(usize::from(*first) % names.len());
            if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                head.append(name.clone(), value);
            }
        }
    }
}

/// The head with every value changed by the function; one that may not be a value then stays as it was.
#[must_use]
pub fn map_values(head: &HeaderMap, change: impl Fn(&[u8]) -> Vec<u8>) -> HeaderMap {
    let changed =
        |value: &HeaderValue| HeaderValue::from_bytes(&change(value.as_bytes())).unwrap_or_else(|_| value.clone());
    let mut mapped = HeaderMap::new();
    for (name, value) in head {
        mapped.append(name.clone(), changed(value));
    }
    mapped
}

/// The head with each field's lines joined to one (RFC 9110 §5.3).
#[must_use]
pub fn join_lines(head: &HeaderMap) -> HeaderMap {
    let mut joined = HeaderMap::new();
    for name in head.keys() {
        let lines: Vec<&[u8]> = head.get_all(name).into_iter().map(HeaderValue::as_bytes).collect();
        let value = HeaderValue::from_bytes(&lines.join(b", ".as_slice())).expect("values and a comma make a value");
        joined.insert(name.clone(), value);
    }
    joined
}

/// Whether a value has a quote, where what joins lines may change what is quoted.
#[must_use]
pub fn has_quotes(head: &HeaderMap) -> bool {
    head.values().any(|value| value.as_bytes().contains(&b'"'))
}
