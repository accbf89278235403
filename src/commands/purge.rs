//! `hither purge`: takes back what edges have stored, and tells who has acknowledged it.

use std::path::PathBuf;
use std::time::Instant;

use ::fleet::PurgeOrder;

use super::table;
use crate::cli::Purge;
use crate::directory::{self, Known};
use crate::exit::{Done, Exit, Failure};
use crate::purge::{Outcome, Receipt, purge_everywhere, receipts, refusal};
use crate::say::{note, say};
use crate::waiting::wait_for;

pub(crate) fn run(args: Purge, dir: Option<PathBuf>) -> Done {
    let Known { network, fleet_key, .. } = directory::known(&directory::find(dir))?;
    let order = PurgeOrder { url: args.url, prefix: args.prefix, tag: args.tag, site: args.site, soft: args.soft };
    order.purges().map_err(Failure::operator)?;
    warn_of_stars(&order);
    let began = Instant::now();
    let told = wait_for(purge_everywhere(&network, fleet_key.as_ref(), &order))?;
    if let Some(why) = refusal(&told) {
        return Err(Failure::operator(why));
    }
    let took = began.elapsed();
    if args.json {
        say(format!("{:#}", receipts(&told)));
    } else {
        say(show(&told).trim_end());
        let done = told.iter().filter(|receipt| receipt.is_acknowledged()).count();
        say(format!("\n{done} of {} edges have acknowledged, after {} ms", told.len(), took.as_millis()));
    }
    let laggards: Vec<&str> =
        told.iter().filter(|receipt| receipt.is_missing()).map(|receipt| receipt.edge.as_str()).collect();
    if laggards.is_empty() {
        return Ok(Exit::Done);
    }
    let message =
        format!("not purged on {}: what they have stored may still be served; purge again", laggards.join(", "));
    Err(Failure::in_part(message))
}

/// Elsewhere a star stands for anything.
fn warn_of_stars(order: &PurgeOrder) {
    for url in order.url.iter().chain(&order.prefix).filter(|url| url.contains('*')) {
        let below = url.split('*').next().unwrap_or_default();
        let below = below.rsplit_once('/').map_or(below, |(folder, _)| folder);
        note(format!("hither: in `{url}` the star stands for itself; all below is --prefix {below}\n"));
    }
}

fn show(receipts: &[Receipt]) -> String {
    let row = |receipt: &Receipt| {
        let (position, why) = match &receipt.outcome {
            Outcome::Acknowledged(position) => (position.to_string(), "purged".to_owned()),
            Outcome::Refused(why) => ("-".to_owned(), format!("refused: {why}")),
            Outcome::Silent(why) if receipt.is_drained => {
                ("-".to_owned(), format!("NOT purged, but drained; purge again before it comes back: {why}"))
            }
            Outcome::Silent(why) => ("-".to_owned(), format!("NOT purged: {why}")),
        };
        vec![receipt.edge.to_string(), position, format!("{} ms", receipt.took.as_millis()), why]
    };
    table::draw(&["edge", "position", "after", ""], &receipts.iter().map(row).collect::<Vec<_>>())
}
