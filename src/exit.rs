//! How a command ends.

use std::path::Path;
use std::process::ExitCode;

use config::Wrong;

use crate::say::note;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// The operator's mistake, a wrong argument too.
    Operator,
    /// Ours.
    Ours,
    /// Done in part: some nodes lag.
    InPart,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Operator => Self::from(1),
            Exit::Ours => Self::from(2),
            Exit::InPart => Self::from(3),
        }
    }
}

/// Why a command could not be done, for the person who called it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// Something the operator can mend.
    pub(crate) fn operator(message: impl Into<String>) -> Self {
        Self { exit: Exit::Operator, message: message.into() }
    }

    /// What is wrong with a word of the command line, and what would be right.
    pub(crate) fn wrong(wrong: Wrong) -> Self {
        Self::operator(wrong.to_string())
    }

    /// A file or directory with which something could not be done: why, and what to do.
    pub(crate) fn file(doing: &str, path: &Path, error: &std::io::Error, next: &str) -> Self {
        Self::operator(format!("cannot {doing} {}: {}; {next}", path.display(), plain(error)))
    }

    /// Something we must mend.
    pub(crate) fn ours(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Ours, message: message.to_string() }
    }

    /// Something that is done in part.
    pub(crate) fn in_part(message: impl Into<String>) -> Self {
        Self { exit: Exit::InPart, message: message.into() }
    }

    /// Says it and gives the code.
    pub(crate) fn tell(self) -> Exit {
        note(format!("hither: {self}\n"));
        self.exit
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message.trim_end())
    }
}

/// What the system says of an error, without the number that it has there.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let said = error.to_string();
    said.split_once(" (os error ").map_or_else(|| said.clone(), |(words, _)| words.to_owned())
}

/// What a command returns.
pub(crate) type Done = Result<Exit, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_s_is_told_in_words_with_what_to_do() {
        let error = std::fs::read("/nowhere/matrix.csv").unwrap_err();
        let said = Failure::file("read", Path::new("/nowhere/matrix.csv"), &error, "name another").to_string();
        assert_eq!(said, "cannot read /nowhere/matrix.csv: No such file or directory; name another");
        let own = std::io::Error::other("it is no file");
        assert_eq!(plain(&own), "it is no file");
    }
}
