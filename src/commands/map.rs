//! `hither map`: what the map is worth, and what it has learned.

mod bench;
mod fit;
mod matrix;
mod trial;

use crate::cli::{Map, MapCommand};
use crate::exit::Done;

pub(crate) fn run(args: Map) -> Done {
    match args.command {
        MapCommand::Bench(args) => bench::run(&args),
    }
}
