//! `hither report`: what sites took by day, for bills.

use std::path::PathBuf;

use admin::Asked;

use crate::cli::Report;
use crate::days::Wanted;
use crate::directory::{self, Known};
use crate::exit::{Done, Exit, Failure};
use crate::report::gather;
use crate::say::{note, say};
use crate::waiting::wait_for;

pub(crate) fn run(args: Report, dir: Option<PathBuf>) -> Done {
    let Report { site, from, to, json } = args;
    let wanted = Wanted::of(&Asked { from, to, site }).map_err(Failure::operator)?;
    let Known { network, fleet_key, .. } = directory::known(&directory::find(dir))?;
    let report = wait_for(gather(&network, fleet_key.as_ref(), &wanted))?;
    let text = if json { format!("{:#}", report.json()) } else { report.csv() };
    say(text.trim_end());
    if report.silent.is_empty() {
        if let Some(site) = wanted.site.as_ref().filter(|_| report.sites().is_empty()) {
            note(format!("hither: no edge has counted anything of a site `{site}` on these days\n"));
        }
        return Ok(Exit::Done);
    }
    let missing: Vec<String> = report.silent.iter().map(|(edge, why)| format!("{edge} ({why})")).collect();
    Err(Failure::in_part(format!(
        "not all is here: {} did not answer; what was counted there is missing above",
        missing.join(", ")
    )))
}
