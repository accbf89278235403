//! `hither check`: what a node would do with the directory, short of serving.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use config::{Config, Network};

use super::alone::unprobed;
use super::plan::Planned;
use crate::cli::Check;
use crate::client;
use crate::directory;
use crate::exit::{Done, Exit, Failure};
use crate::node::{self, LastGood, Roles, Unprobed, build};
use crate::say::{counted, say};
use crate::waiting::wait_for;

mod judged;
mod online;

use online::Looked;

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
    let counts = counts.map(|(count, noun)| counted(count, noun));
    say(format!("{}: good. {}", dir.display(), counts.join(", ")));
    if args.online {
        say(look_online(config, args.resolver)?);
    } else {
        say("Not looked up: whether edges are reached, and names lead here. `hither check --online` does.");
    }
    if args.plan {
        let new = built.into_unprobed().ok_or_else(|| Failure::ours("no name server was built"))?;
        say(format!("\n{}", plan(&dir, &new, args.queries.as_deref())?.trim_end()));
    }
    Ok(Exit::Done)
}

/// Asks the network outside; warnings are printed, and what is returned is what was looked at.
fn look_online(config: &Config, resolver: Option<SocketAddr>) -> Result<String, Failure> {
    let looked = wait_for(online::look(config, resolver))??;
    directory::print(&looked.warnings);
    let Looked { warnings, addresses, names, left_out } = looked;
    let left_out = if left_out > 0 { format!(" ({left_out} more names were left out)") } else { String::new() };
    let told = match warnings.len() {
        0 => "edges are reached, and names lead here".to_owned(),
        count => counted(count, "warning"),
    };
    let addresses = match addresses {
        1 => "1 address of an edge".to_owned(),
        count => format!("{count} addresses of edges"),
    };
    Ok(format!("Looked up: {addresses} and {}{left_out}: {told}", counted(names, "name")))
}

/// What a directory would do beside the config that serves.
fn plan(dir: &Path, new: &Unprobed, queries: Option<&Path>) -> Result<String, Failure> {
    let admin = &new.config.network.admin;
    let status = client::ask_json(admin.listen, "/status", admin.token.as_ref()).ok();
    let serves = status.and_then(|status| status.get("directory")?.as_str().map(PathBuf::from));
    let old = match serves {
        Some(other) if other != dir => unprobed(&other)?,
        // These files serve already, or soon: what came before them.
        _ => before(dir, &new.config.network)?,
    };
    Ok(Planned::of(&old, new, queries)?.show())
}

/// The last config that a name server here has kept.
fn before(dir: &Path, network: &Network) -> Result<Unprobed, Failure> {
    let kept = network.name_servers.iter().map(|node| LastGood::new(&network.state.join(node.id.as_str())).files());
    let kept = kept.filter(|files| files.is_dir()).max_by_key(|files| files.metadata().and_then(|m| m.modified()).ok());
    let kept = kept.ok_or_else(|| {
        Failure::operator("nothing serves, and no name server has served here: compare with `hither plan OLD NEW`")
    })?;
    let loaded = config::load_copy(&kept, dir).map_err(|found| directory::refused(&found.problems))?;
    node::unprobed(loaded).map_err(|problems| directory::refused(&problems))
}
