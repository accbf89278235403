//! `hither map`: what the map is worth, and what it has learned.

mod bench;
mod figures;
mod fit;
mod learned;
mod matrix;
mod plot;
mod trial;

use std::path::PathBuf;

use crate::cli::{Map, MapCommand};
use crate::exit::Done;

pub(crate) fn run(args: Map, dir: Option<PathBuf>) -> Done {
    match args.command {
        MapCommand::Bench(args) => bench::run(&args),
        MapCommand::Stats(args) => learned::stats(&args, dir),
        MapCommand::Export(args) => learned::export(&args, dir),
    }
}
