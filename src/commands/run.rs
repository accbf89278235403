//! `hither run`: one node.

use std::path::PathBuf;

use crate::cli::Run;
use crate::directory;
use crate::exit::Done;
use crate::node::{self, Begin};

pub(crate) fn run(args: Run, dir: Option<PathBuf>) -> Done {
    node::start_logging();
    let begin = if args.take_over { Begin::TakeOver } else { Begin::Anew };
    node::serve(&directory::find(args.config.or(dir)), &args.node, args.admin, begin)
}
