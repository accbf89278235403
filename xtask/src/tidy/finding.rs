//! What a check says.

use std::collections::BTreeSet;
use std::fmt;

/// Something to be mended, printed as `file:line: what; mend`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// From the project's root.
    pub(super) file: String,
    /// Where in it.
    pub(super) line: usize,
    /// What is wrong.
    pub(super) what: String,
    /// What to do about it.
    pub(super) mend: String,
}

impl Finding {
    /// A finding at a line.
    pub(super) fn new(file: &str, line: usize, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { file: file.into(), line, what: what.into(), mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.file, self.line, self.what, self.mend)
    }
}

/// In order of place, each once.
pub(super) fn sorted(findings: Vec<Finding>) -> Vec<Finding> {
    findings.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}
