//! `hither plan`: what another config would do to the clients, before it does.

mod compare;
mod queries;

use std::path::Path;

use config::{Config, PopId};
use serde_json::{Value, json};

use self::compare::{Change, compare};
use self::queries::Queries;
use super::alone::unprobed;
use super::table;
use crate::cli::Plan;
use crate::directory;
use crate::exit::{Done, Exit, Failure};
use crate::node::Unprobed;
use crate::say::say;

pub(crate) fn run(args: &Plan) -> Done {
    let absolute = |dir: &Path| directory::find(Some(dir.to_owned()));
    let (old, new) = (unprobed(&absolute(&args.old))?, unprobed(&absolute(&args.new))?);
    let planned = Planned::of(&old, &new, args.queries.as_deref())?;
    let text = if args.json { format!("{:#}", planned.json()) } else { planned.show() };
    say(text.trim_end());
    Ok(Exit::Done)
}

/// What a new config would do.
pub(crate) struct Planned {
    change: Change,
    /// Share of the capacity after, by PoP.
    capacity: Vec<(PopId, f64)>,
    asked: String,
}

impl Planned {
    /// Tries both configs on a log of queries, or on every country's people.
    pub(crate) fn of(old: &Unprobed, new: &Unprobed, log: Option<&Path>) -> Result<Self, Failure> {
        let sites = || new.config.sites.iter().map(|site| site.id.to_string()).collect();
        let queries = match log {
            Some(file) => queries::of_log(file)?,
            None => queries::of_people(&new.world, sites()),
        };
        let (before, after) = (places(old, &queries, log.is_some()), places(new, &queries, log.is_some()));
        let change = compare(
            &queries.queries,
            |query| old.view.sent((*before.get(query.asked)?)?, query.from),
            |query| new.view.sent((*after.get(query.asked)?)?, query.from),
        );
        Ok(Self { change, capacity: capacity(&new.config), asked: describe(&queries, log) })
    }

    /// For a person.
    pub(crate) fn show(&self) -> String {
        let Change { moved, unanswered, cost_ms: (before, after), cold, pops } = &self.change;
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let mut out = format!("tried on {}\n\n", self.asked);
        out.push_str(&format!("moved   {} of the queries go to another PoP\n", percent(*moved)));
        out.push_str(&format!(
            "cost    {:.1} ms on average before, {:.1} ms after; p95 {:.1} ms before, {:.1} ms after\n",
            before.mean, after.mean, before.p95, after.p95
        ));
        out.push_str(&format!(
            "refill  {} of the queries reach an edge that has had none for their site: misses until it has filled\n",
            percent(*cold)
        ));
        if *unanswered != (0.0, 0.0) {
            out.push_str(&format!(
                "no PoP  for {} of the queries before, {} after: no site has the name, or no PoP an address\n",
                percent(unanswered.0),
                percent(unanswered.1)
            ));
        }
        let rows = self.rows().into_iter().map(|(pop, capacity)| {
            let (before, after) = pops.get(&pop).copied().unwrap_or_default();
            vec![pop.to_string(), percent(before), percent(after), capacity.map_or("-".to_owned(), percent)]
        });
        let drawn = table::draw(&["PoP", "before", "after", "of the capacity"], &rows.collect::<Vec<_>>());
        format!(
            "{out}\n{drawn}before and after: its share of the queries; of the capacity: its share of what all edges can send\n"
        )
    }

    /// The same for a program.
    pub(crate) fn json(&self) -> Value {
        let Change { moved, unanswered, cost_ms: (before, after), cold, pops } = &self.change;
        let pop = |(pop, capacity): (PopId, Option<f64>)| {
            let (before, after) = pops.get(&pop).copied().unwrap_or_default();
            json!({ "pop": pop.as_str(), "before": before, "after": after, "capacity": capacity })
        };
        json!({
            "queries": self.asked, "moved": moved, "cold": cold,
            "unanswered": { "before": unanswered.0, "after": unanswered.1 },
            "cost_ms": { "before": before, "after": after },
            "pops": self.rows().into_iter().map(pop).collect::<Vec<_>>(),
        })
    }

    /// The new config's PoPs with their capacity, then those that have gone.
    fn rows(&self) -> Vec<(PopId, Option<f64>)> {
        let stay = self.capacity.iter().map(|(pop, share)| (pop.clone(), Some(*share)));
        let is_gone = |pop: &&PopId| self.capacity.iter().all(|(other, _)| other != *pop);
        stay.chain(self.change.pops.keys().filter(is_gone).map(|pop| (pop.clone(), None))).collect()
    }
}

/// The site of all that is asked for, by its place in a config.
fn places(side: &Unprobed, queries: &Queries, are_names: bool) -> Vec<Option<usize>> {
    let place = |asked: &String| {
        if are_names {
            return side.view.routed_site(asked).ok();
        }
        side.config.sites.iter().position(|site| site.id.as_str() == asked)
    };
    queries.asked.iter().map(place).collect()
}

fn capacity(config: &Config) -> Vec<(PopId, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
    let of = |pop: &config::Pop| pop.edges.iter().map(|edge| edge.capacity as f64).sum::<f64>();
    let all: f64 = config.network.pops.iter().map(of).sum();
    config.network.pops.iter().map(|pop| (pop.id.clone(), of(pop) / all.max(1.0))).collect()
}

/// What was tried, for people.
fn describe(queries: &Queries, log: Option<&Path>) -> String {
    let Some(file) = log else {
        let sites = queries.asked.len();
        return format!("every country's people, for {sites} site{}", if sites == 1 { "" } else { "s alike" });
    };
    let count: f64 = queries.queries.iter().map(|query| query.weight).sum();
    let unread = queries.unread.map_or_else(String::new, |(count, first)| {
        format!(" ({count} lines cannot be read, the first is line {first})")
    });
    format!("{count} queries of {}{unread}", file.display())
}
