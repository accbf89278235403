//! `hither run`: one node.

use std::path::PathBuf;

use crate::cli::Run;
use crate::directory;
use crate::exit::Done;
use crate::node;

pub(crate) fn run(args: Run, dir: Option<PathBuf>) -> Done {
    node::start_logging();
    node::serve(&directory::find(args.config.or(dir)), &args.node, args.admin)
}
