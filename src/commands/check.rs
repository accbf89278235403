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
use crate::node::{self, Built, LastGood, Roles, Unprobed, build};
use crate::say::{counted, say};
use crate::waiting::wait_for;

mod judged;
mod online;
mod told;

use online::Looked;
use told::{Counts, Told};

pub(crate) fn run(args: Check, dir: Option<PathBuf>) -> Done {
    let dir = directory::find(args.directory.clone().or(dir));
    let built = match build(&dir, Roles::BOTH, None) {
        Ok(built) => built,
        Err(problems) => {
            if args.json {
                say(Told::refused(&dir, &problems).text()?);
            }
            return Err(directory::refused(&problems));
        }
    };
    directory::print(&built.warnings);
    let counts = Counts::of(built.config());
    tell(&args, || format!("{}: good. {}", dir.display(), counts.show()));
    let mut told = Told::good(&dir, counts, &built.warnings);
    let done = look_further(&args, &dir, built, &mut told);
    if args.json {
        told.failure = done.as_ref().err().map(ToString::to_string);
        say(told.text()?);
    }
    done.map(|()| Exit::Done)
}

/// Tells a person. A program is told at the end, in one object.
fn tell(args: &Check, line: impl FnOnce() -> String) {
    if !args.json {
        say(line());
    }
}

/// Looks at what is asked for besides, as far as it goes.
fn look_further(args: &Check, dir: &Path, built: Built, told: &mut Told) -> Result<(), Failure> {
    if args.online {
        let looked = look_online(built.config(), args.resolver)?;
        tell(args, || show_looked(&looked));
        told.online = Some(looked.into());
    } else {
        let hint = "Not looked up: whether edges are reached, and names lead here. `hither check --online` does.";
        tell(args, || hint.to_owned());
    }
    if args.plan {
        let new = built.into_unprobed().ok_or_else(|| Failure::ours("no name server was built"))?;
        let planned = plan(dir, &new, args.queries.as_deref())?;
        tell(args, || format!("\n{}", planned.show().trim_end()));
        told.plan = Some(planned.json());
    }
    Ok(())
}

/// Asks the network outside; warnings are printed.
fn look_online(config: &Config, resolver: Option<SocketAddr>) -> Result<Looked, Failure> {
    let looked = wait_for(online::look(config, resolver))??;
    directory::print(&looked.warnings);
    Ok(looked)
}

/// What was looked at.
fn show_looked(looked: &Looked) -> String {
    let Looked { warnings, addresses, names, left_out } = looked;
    let left_out = if *left_out > 0 { format!(" ({left_out} more names were left out)") } else { String::new() };
    let told = match warnings.len() {
        0 => "edges are reached, and names lead here".to_owned(),
        count => counted(count, "warning"),
    };
    let addresses = match *addresses {
        1 => "1 address of an edge".to_owned(),
        count => format!("{count} addresses of edges"),
    };
    format!("Looked up: {addresses} and {}{left_out}: {told}", counted(*names, "name"))
}

/// What a directory would do beside the config that serves.
fn plan(dir: &Path, new: &Unprobed, queries: Option<&Path>) -> Result<Planned, Failure> {
    let admin = &new.config.network.admin;
    let status = client::ask_json(admin.listen, "/status", admin.token.as_ref()).ok();
    let serves = status.and_then(|status| status.get("directory")?.as_str().map(PathBuf::from));
    let old = match serves {
        Some(other) if !directory::is_same(&other, dir) => unprobed(&other)?,
        // These files serve already, or soon: what came before them.
        _ => before(dir, &new.config.network)?,
    };
    Planned::of(&old, new, queries)
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
