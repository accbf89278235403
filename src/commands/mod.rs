//! One file a command.

pub(crate) mod alone;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod drain;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod man;
pub(crate) mod map;
pub(crate) mod plan;
pub(crate) mod purge;
pub(crate) mod run;
pub(crate) mod sign;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod up;
