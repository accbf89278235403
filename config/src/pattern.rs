//! Patterns on texts that are not paths: values of fields, names of parameters.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use schemars::JsonSchema;

use crate::limits;
use crate::shape;
use crate::wrong::Wrong;

/// A pattern on a whole text, in which `*` stands for anything and case makes no difference. Matching is linear in the
/// text's length.
#[derive(Clone, JsonSchema)]
#[schemars(with = "String", transform = shape::text_within("pattern", r"^.*$", limits::PATTERN_BYTES))]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is too long, or has a control character.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |help: String| Wrong::new(format!("`{text}` is not a pattern")).help(help);
        if text.len() > limits::PATTERN_BYTES || text.chars().any(char::is_control) {
            return Err(wrong(format!("at most {} bytes in one line", limits::PATTERN_BYTES)));
        }
        if text.matches('*').count() > limits::PATTERN_STARS {
            return Err(wrong(format!("at most {} stars", limits::PATTERN_STARS)));
        }
        let parts: Vec<String> = text.split('*').map(regex::escape).collect();
        let expression = format!("^{}$", parts.join(".*"));
        let mut builder = RegexBuilder::new(&expression);
        let regex = builder.unicode(false).dot_matches_new_line(true).case_insensitive(true).build();
        Ok(Self { text: text.to_owned(), regex: regex.map_err(|_| wrong("use fewer stars".to_owned()))? })
    }

    /// Whether it is of no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether the whole text fits.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_anything_and_the_rest_is_itself() {
        for (pattern, text, matches) in [
            ("utm_*", "utm_source", true),
            ("utm_*", "xutm_source", false),
            ("*bot*", "Mozilla (Googlebot/2.1)", true),
            ("a.b", "a-b", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(text.as_bytes()), matches, "{pattern} {text}");
        }
        assert!(Pattern::parse("a\nb").is_err());
    }
}
