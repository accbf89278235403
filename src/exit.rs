//! How a command ends.

use std::process::ExitCode;

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

/// What a command returns.
pub(crate) type Done = Result<Exit, Failure>;
