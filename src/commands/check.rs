//! `hither check`: what a node would do with the directory, short of serving.

use std::path::PathBuf;

use crate::cli::Check;
use crate::directory;
use crate::exit::{Done, Exit};
use crate::node::{Roles, build};
use crate::say::say;

pub(crate) fn run(args: Check, dir: Option<PathBuf>) -> Done {
    let dir = directory::find(args.directory.or(dir));
    let built = build(&dir, Roles::BOTH, None).map_err(|problems| directory::refused(&problems))?;
    directory::print(&built.warnings);
    let config = built.config();
    let counts = [
        (config.network.pops.len(), "PoP"),
        (config.network.edges().count(), "edge"),
        (config.network.name_servers.len(), "name server"),
        (config.sites.len(), "site"),
        (config.zones.len(), "zone"),
        (config.routes.routes.len(), "route"),
    ];
    let counts = counts.map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }));
    say(format!("{}: good. {}", dir.display(), counts.join(", ")));
    Ok(Exit::Done)
}
