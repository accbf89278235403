//! `hither run`: one node.

use crate::cli::Run;
use crate::exit::Done;
use crate::node;

pub(crate) fn run(args: Run) -> Done {
    node::start_logging();
    node::serve(&args.config, &args.node, args.admin)
}
