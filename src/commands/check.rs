//! `hither check`: what a node would do with the directory, short of serving.

use std::path::PathBuf;

use crate::cli::Check;
use crate::directory;
use crate::exit::{Done, Exit};
use crate::node::{Roles, build};

pub(crate) fn run(args: Check, dir: Option<PathBuf>) -> Done {
    let dir = directory::find(args.directory.or(dir));
    let roles = Roles { name_server: true, edge: true };
    let built = build(&dir, roles, None).map_err(|problems| directory::refused(&problems))?;
    directory::print(&built.warnings);
    let config = built.config();
    let (pops, edges) = (config.network.pops.len(), config.network.edges().count());
    let (sites, zones, routes) = (config.sites.len(), config.zones.len(), config.routes.routes.len());
    println!(
        "{}: good. {pops} PoPs, {edges} edges, {} name servers, {sites} sites, {zones} zones, {routes} routes",
        dir.display(),
        config.network.name_servers.len()
    );
    Ok(Exit::Done)
}
