//! Path globs of site rules.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use schemars::JsonSchema;

use crate::limits;
use crate::shape;
use crate::wrong::Wrong;

/// A pattern on the path, in which nothing but letters, digits and `-._~` is decoded: `*` within a
/// segment, `**` across segments.
///
/// Matching is linear in the path's length: the glob becomes a regular expression without
/// back-references.
#[derive(Clone, JsonSchema)]
#[schemars(with = "String", transform = shape::text_within("path pattern", r"^[/*]\S*$", limits::PATH_GLOB_BYTES))]
pub struct PathGlob {
    text: String,
    regex: Regex,
}

impl PathGlob {
    /// Reads a glob; it begins with `/` or `*`.
    ///
    /// # Errors
    /// Too long, or with white space or another beginning.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |help: String| Wrong::new(format!("`{text}` is not a path pattern")).help(help);
        if !text.starts_with(['/', '*']) {
            return Err(wrong(format!("a path begins with a slash: \"/{text}\"")));
        }
        if text.len() > limits::PATH_GLOB_BYTES || text.bytes().any(|b| b.is_ascii_whitespace()) {
            return Err(wrong(format!("at most {} bytes, no white space", limits::PATH_GLOB_BYTES)));
        }
        let mut pattern = String::from("^");
        let mut rest = text;
        while let Some(at) = rest.find('*') {
            let (plain, stars) = rest.split_at(at);
            pattern.push_str(&regex::escape(plain));
            let (part, tail) = match stars.strip_prefix("**") {
                Some(tail) => (".*", tail),
                None => ("[^/]*", stars.strip_prefix('*').unwrap_or_default()),
            };
            pattern.push_str(part);
            rest = tail;
        }
        pattern.push_str(&regex::escape(rest));
        pattern.push('$');
        let regex = RegexBuilder::new(&pattern).unicode(false).dot_matches_new_line(true).build();
        let regex = regex.map_err(|_| wrong("use fewer stars".to_owned()))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// Whether the whole path fits the pattern.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path.as_bytes())
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_stays_in_its_segment_and_two_cross() {
        for (glob, path, matches) in [
            ("/assets/**", "/assets/a/b.css", true),
            ("/assets/**", "/assets/", true),
            ("/assets/**", "/assets", false),
            ("/news/*", "/news/today", true),
            ("/news/*", "/news/today/1", false),
            ("**.jpg", "/a/b/c.jpg", true),
            ("/a.b", "/axb", false),
            ("/a%2fb", "/a/b", false),
            ("/", "/", true),
        ] {
            assert_eq!(PathGlob::parse(glob).unwrap().matches(path), matches, "{glob} {path}");
        }
        assert!(PathGlob::parse("assets").is_err());
    }
}
