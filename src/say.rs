//! Printing for a person who may have gone: a closed pipe or terminal ends no command.

use std::fmt::Display;
use std::io::Write;

/// Prints a line on standard output.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
