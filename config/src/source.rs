//! A file the operator wrote, and places in it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file as it was read.
#[derive(Debug)]
pub struct Source {
    /// The path to show, relative to the config directory.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

/// A piece of a file: what a message underlines.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub source: Arc<Source>,
    /// Byte range in its text.
    pub span: Range<usize>,
}

impl Source {
    /// Wraps a text under the path that messages name.
    #[must_use]
    pub fn new(path: &Path, text: String) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), text })
    }

    /// The place of a byte range, clipped to the text.
    #[must_use]
    pub fn place(self: &Arc<Self>, span: Range<usize>) -> Place {
        let end = span.end.min(self.text.len());
        Place { source: Arc::clone(self), span: span.start.min(end)..end }
    }

    /// The place of a whole line, counted from 1 as parsers report it.
    #[must_use]
    pub fn line(self: &Arc<Self>, number: usize) -> Place {
        let mut start = 0;
        for (index, line) in self.text.split_inclusive('\n').enumerate() {
            if index + 1 == number {
                return self.place(start..start + line.trim_end().len());
            }
            start += line.len();
        }
        self.place(self.text.len()..self.text.len())
    }
}

impl Place {
    /// Line and column, both counted from 1, the column in characters.
    #[must_use]
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}
