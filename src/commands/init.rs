//! `hither init`: a config directory to start from, by asking or by options.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use crate::answers::Answers;
use crate::cli::Init;
use crate::directory;
use crate::exit::{Done, Exit, Failure};
use crate::say::say;

mod ask;
mod files;
mod next;
mod put;

use ask::{Asker, Ended, Given};

/// Where it is written where nothing is named.
const DIRECTORY: &str = "cdn";

pub(crate) fn run(args: Init, dir: Option<PathBuf>) -> Done {
    let named = args.directory.or(dir).unwrap_or_else(|| PathBuf::from(DIRECTORY));
    let dir = std::path::absolute(&named).unwrap_or(named);
    put::refuse_if_taken(&dir)?;
    put::refuse_if_closed(&dir)?;
    let given = Given {
        zone: args.zone,
        contact: args.contact,
        state: args.state,
        name_servers: args.nameserver,
        pops: args.pop,
        edges: args.edge,
        sites: args.site,
    };
    let answers = if args.yes || !std::io::stdin().is_terminal() { alone(given)? } else { asked(given, &dir)? };
    let warnings = put::write(&dir, &answers)?;
    directory::print(&warnings);
    say(next::steps(&dir, &answers).trim_end());
    Ok(Exit::Done)
}

/// By options and defaults alone.
fn alone(given: Given) -> Result<Answers, Failure> {
    let lacking = |what: &str| {
        Failure::operator(format!(
            "nobody is asked here, and an option is missing, such as {what}; `hither init --help` shows all of them"
        ))
    };
    let answers = given.with_defaults().ok_or_else(|| lacking("--zone cdn.example"))?;
    match (answers.clash(), answers.lack()) {
        (Some(clash), _) => Err(Failure::operator(format!("{clash}; nothing was written"))),
        (None, Some(lack)) => Err(lacking(&lack)),
        (None, None) => Ok(answers),
    }
}

/// By options, and by asking for what none gives.
fn asked(given: Given, dir: &Path) -> Result<Answers, Failure> {
    let mut asker = Asker::new(std::io::stdin().lock(), std::io::stdout().lock());
    ask::gather(given, dir, &mut asker).map_err(|ended| match ended {
        Ended::Here => Failure::operator("ended: nothing was written"),
        Ended::Clash(clash) => Failure::operator(format!("{clash}; nothing was written")),
    })
}
