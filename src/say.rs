//! Printing for a person who may have gone: a closed pipe or terminal ends no command.

use std::fmt::Display;
use std::io::Write;

/// So many things, of a noun that takes an s.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Prints on standard error.
pub(crate) fn note(text: impl Display) {
    let _ = write!(std::io::stderr(), "{text}");
}

/// Prints a line on standard output.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
