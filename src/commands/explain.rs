//! `hither explain`: asked of the running fleet, else worked out from the config alone.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Network, NodeId};
use dns::{Explanation, View};
use mapping::Family;
use serde_json::Value;

use super::table;
use crate::cli::Explain;
use crate::client::{self, AskError};
use crate::directory;
use crate::exit::{Done, Exit, Failure};
use crate::node::running;
use crate::say::say;

pub(crate) fn run(args: Explain, dir: Option<PathBuf>) -> Done {
    let dir = directory::find(dir);
    let network = directory::known(&dir)?.network;
    let path = format!("/explain?name={}&from={}", args.name, args.from);
    let (explanation, note) = match ask(&network, &path) {
        Ok(value) => (serde_json::from_value(value).map_err(Failure::ours)?, ""),
        Err(AskError::Refused(why) | AskError::Failed(why)) => return Err(Failure::operator(why)),
        Err(AskError::NobodyThere(_)) => {
            (alone(&dir, &args.name, args.from)?, "(nobody answers at the admin address: every edge is taken as up)\n")
        }
    };
    if args.json {
        say(serde_json::to_string_pretty(&explanation).map_err(Failure::ours)?);
    } else {
        say(format!("{}{note}", show(&explanation)).trim_end());
    }
    Ok(Exit::Done)
}

/// Asks a name server that runs on this machine, else the admin address: an edge may have that.
fn ask(network: &Network, path: &str) -> Result<Value, AskError> {
    let token = network.admin.token.as_ref();
    let is_name_server = |id: &NodeId| network.node(id).is_some_and(|node| node.name_server.is_some());
    let here = running(network).into_iter().find(|node| is_name_server(&node.id));
    let told = here.map(|node| client::ask_json(node.marker.admin, path, token));
    match told {
        None | Some(Err(AskError::NobodyThere(_))) => client::ask_json(network.admin.listen, path, token),
        Some(told) => told,
    }
}

fn alone(dir: &Path, name: &str, from: IpAddr) -> Result<Explanation, Failure> {
    let config = directory::load(dir)?;
    let world = dns::geo::load(&config.network.geo, None, std::time::SystemTime::now());
    let world = world.map_err(|problem| directory::refused(&[problem]))?;
    let view = View::build(&config, (&world.geography, &world.regions), &Arc::default(), None)
        .map_err(|problems| directory::refused(&problems))?;
    view.explain(name, from, Family::V4).map_err(Failure::operator)
}

fn show(explanation: &Explanation) -> String {
    let Explanation { name, from, site, pop, edges, addresses, source, state, scope, ttl, candidates, further } =
        explanation;
    let answer: Vec<String> =
        edges.iter().zip(addresses).map(|(edge, address)| format!("{edge} ({address})")).collect();
    let chosen = pop.as_deref().unwrap_or("none");
    let mut out = format!("{name} for {from}: site {site}, PoP {chosen}\n  answer  {}\n", answer.join(", "));
    out.push_str(&format!("  scope   /{scope}\n  ttl     {ttl} s ({state})\n  source  {source}\n\n"));
    let is_loaded = candidates.iter().any(|candidate| candidate.load.is_some());
    let rows: Vec<Vec<String>> = candidates
        .iter()
        .map(|candidate| {
            let mark = if Some(&candidate.pop) == pop.as_ref() { "->" } else { "" };
            let fit = format!("{} of {}", candidate.fit, candidate.edges);
            let mut row = vec![mark.to_owned(), candidate.pop.clone(), format!("{:.1} ms", candidate.cost_ms)];
            if is_loaded {
                row.push(format!("+{:.1} ms", candidate.price_ms));
                row.push(format!("{:.0} %", 100.0 * candidate.load.unwrap_or(0.0)));
            }
            row.push(fit);
            row
        })
        .collect();
    let heading: &[&str] = if is_loaded {
        &["", "PoP", "cost", "load price", "load", "fit edges"]
    } else {
        &["", "PoP", "cost", "fit edges"]
    };
    out.push_str(&table::draw(heading, &rows));
    if let Some(best) = candidates.first().filter(|_| *further > 0) {
        out.push_str(&format!("and {further} further, the nearest to {} first\n", best.pop));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use dns::Candidate;

    #[test]
    fn an_explanation_reads_well() {
        let candidate = |pop: &str, cost_ms, fit| Candidate {
            pop: pop.to_owned(),
            cost_ms,
            price_ms: 0.0,
            load: None,
            fit,
            edges: 2,
        };
        let explanation = Explanation {
            name: "www.shop.example".to_owned(),
            from: [193, 0, 6, 1].into(),
            site: "shop".to_owned(),
            pop: Some("lhr".to_owned()),
            edges: vec!["lhr-2".to_owned(), "lhr-1".to_owned()],
            addresses: vec![[127, 0, 1, 52].into(), [127, 0, 1, 51].into()],
            source: "geography".to_owned(),
            state: "changing".to_owned(),
            scope: 16,
            ttl: 5,
            further: 9,
            candidates: vec![candidate("fra", 12.1, 0), candidate("lhr", 12.3, 2), candidate("iad", 129.0, 1)],
        };
        insta::assert_snapshot!(show(&explanation), @"
        www.shop.example for 193.0.6.1: site shop, PoP lhr
          answer  lhr-2 (127.0.1.52), lhr-1 (127.0.1.51)
          scope   /16
          ttl     5 s (changing)
          source  geography

            PoP  cost      fit edges
            fra  12.1 ms   0 of 2
        ->  lhr  12.3 ms   2 of 2
            iad  129.0 ms  1 of 2
        and 9 further, the nearest to fra first
        ");
    }
}
