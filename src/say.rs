//! Printing for a person who may have gone: a closed pipe or terminal ends no command.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{IsTerminal, Write};

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

/// Whether what goes to a stream is coloured: it is a terminal that can, and nobody has asked for none.
pub(crate) fn is_coloured(stream: &impl IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR");
    is_drawn_on(stream) && wants_colours(no_color.as_deref())
}

/// Whether a stream is a terminal that takes orders, such as to move its cursor.
pub(crate) fn is_drawn_on(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && takes_orders(std::env::var_os("TERM").as_deref())
}

/// What `NO_COLOR` says (<https://no-color.org>).
fn wants_colours(no_color: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty)
}

/// What `TERM` says.
fn takes_orders(term: Option<&OsStr>) -> bool {
    term.is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_orders_are_for_who_wants_and_takes_them() {
        for (no_color, expected) in [(None, true), (Some(""), true), (Some("1"), false), (Some("0"), false)] {
            assert_eq!(wants_colours(no_color.map(OsStr::new)), expected, "{no_color:?}");
        }
        for (term, expected) in [(None, true), (Some("xterm-256color"), true), (Some("dumb"), false)] {
            assert_eq!(takes_orders(term.map(OsStr::new)), expected, "{term:?}");
        }
        // A file is neither.
        let file = tempfile::tempfile().unwrap();
        assert!(!is_drawn_on(&file) && !is_coloured(&file));
    }
}
