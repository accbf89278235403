//! What a key's doc says, taken apart.

use serde_json::Value;

/// What a key's doc says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// What the key means.
    pub(super) meaning: String,
    /// What holds where it is left out; nothing, if it may not be.
    pub(super) default: Option<String>,
    /// When a change counts; unsaid of a table, whose keys say it.
    pub(super) change: Option<Change>,
}

/// When a change counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// With the reload.
    Live,
    /// At the node's next start.
    NextStart,
}

/// Ends the doc of a key that is read at start only.
const AT_START: &str = "Read at start only.";
/// Ends the docs of keys of which a reload asks no more words.
const TAKEN: [&str; 2] = ["A reload takes it.", "A reload takes them."];
/// Begins the sentence of the default.
const DEFAULT: &str = "Default: ";

impl Said {
    /// Reads the description of a key's schema.
    pub(super) fn of(schema: &Value) -> Self {
        let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        Self::read(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn read(text: &str) -> Self {
        let (text, change) = if let Some(text) = text.strip_suffix(AT_START) {
            (text, Some(Change::NextStart))
        } else if let Some(text) = TAKEN.iter().find_map(|taken| text.strip_suffix(taken)) {
            (text, Some(Change::Live))
        } else {
            (text, text.contains("A reload ").then_some(Change::Live))
        };
        let Some((before, after)) = text.split_once(DEFAULT) else {
            return Self { meaning: text.trim().to_owned(), default: None, change };
        };
        let (default, rest) = after.split_once(". ").unwrap_or((after.trim().trim_end_matches('.'), ""));
        let meaning = format!("{} {}", before.trim(), rest.trim()).trim().to_owned();
        Self { meaning, default: Some(default.to_owned()), change }
    }
}

impl Change {
    /// In a table's cell.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::NextStart => "next start",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doc_is_meaning_default_and_reload() {
        let rows = [
            ("It is. A reload takes it.", "It is.", None, Some(Change::Live)),
            ("It is. Default: `a.b` of x. A reload takes it.", "It is.", Some("`a.b` of x"), Some(Change::Live)),
            ("It is. Default: 2. Read at start only.", "It is.", Some("2"), Some(Change::NextStart)),
            ("It is. Default: 2. A reload opens it.", "It is. A reload opens it.", Some("2"), Some(Change::Live)),
            ("Keys. Default: none.", "Keys.", Some("none"), None),
        ];
        for (text, meaning, default, change) in rows {
            let expected = Said { meaning: meaning.to_owned(), default: default.map(str::to_owned), change };
            assert_eq!(Said::read(text), expected, "{text}");
        }
    }
}
