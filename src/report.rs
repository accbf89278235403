//! What sites took by day, on every edge of a network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ::edge::Sums;
use config::{Network, NodeId, Secret, SiteId};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::asking::{Want, ask_all, way_to};
use crate::client::{self, Proof};
use crate::days::Wanted;
use crate::marker::running;

/// What one edge tells.
#[derive(Debug, Deserialize)]
struct OfEdge {
    edge: String,
    days: Days,
}

type Days = BTreeMap<Date, BTreeMap<String, Sums>>;

/// A site's day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    day: Date,
    site: String,
    /// Edges that have counted anything.
    edges: u64,
    sums: Sums,
}

/// What every edge has told.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    /// The edges whose figures are missing, and why.
    pub(crate) silent: Vec<(NodeId, String)>,
}

/// Asks every edge: where nodes reach each other, signed with the fleet's key; without a key at the admin addresses of
/// those that run on this machine.
pub(crate) async fn gather(network: &Network, key: Option<&Secret>, wanted: &Wanted) -> Report {
    let here = if key.is_some() { Vec::new() } else { running(network) };
    let path = wanted.path();
    let asked = network.edges().map(|(_, edge)| {
        let way = way_to(network, edge, key, &here, Want::Word);
        let (id, path) = (edge.id.clone(), path.clone());
        async move {
            let told = match way {
                Ok((address, proof)) => ask(address, &path, &proof, &id).await,
                Err(why) => Err(why),
            };
            (id, told)
        }
    });
    let told: Vec<(NodeId, Result<Days, String>)> = ask_all(asked.collect()).await;
    let mut report = Report { rows: Vec::new(), silent: Vec::new() };
    let mut all = Vec::new();
    for (id, told) in told {
        match told {
            Ok(days) => all.push(days),
            Err(why) => report.silent.push((id, why)),
        }
    }
    report.rows = add_up(&all);
    report
}

async fn ask(address: SocketAddr, path: &str, proof: &Proof, id: &NodeId) -> Result<Days, String> {
    let told = client::get_json(address, path, proof).await.map_err(|error| error.to_string())?;
    let told: OfEdge =
        serde_json::from_value(told).map_err(|error| format!("{address} did not answer as an edge does: {error}"))?;
    // Two nodes of one machine may have the same address.
    if told.edge == id.as_str() { Ok(of_sites(told.days)) } else { Err(format!("another node answers at {address}")) }
}

/// What is no site's id would be anything in a bill: a line's end, a formula, a word to the terminal.
fn of_sites(mut days: Days) -> Days {
    days.values_mut().for_each(|sites| sites.retain(|site, _| SiteId::parse(site).is_ok()));
    days
}

/// A row for each day and site.
fn add_up(all: &[Days]) -> Vec<Row> {
    let mut rows = BTreeMap::<(Date, &str), (u64, Sums)>::new();
    for (day, sites) in all.iter().flatten() {
        for (site, sums) in sites {
            let (edges, sum) = rows.entry((*day, site.as_str())).or_default();
            *edges += 1;
            sum.add(*sums);
        }
    }
    let row = |((day, site), (edges, sums)): ((Date, &str), _)| Row { day, site: site.to_owned(), edges, sums };
    rows.into_iter().map(row).collect()
}

impl Row {
    fn hit_ratio(&self) -> Option<f64> {
        telemetry::hit_ratio(self.sums.requests, self.sums.hits)
    }

    fn byte_offload(&self) -> Option<f64> {
        telemetry::byte_offload(self.sums.bytes_out, self.sums.bytes_in)
    }
}

impl Report {
    /// The sites that any edge has counted.
    pub(crate) fn sites(&self) -> BTreeSet<&str> {
        self.rows.iter().map(|row| row.site.as_str()).collect()
    }

    /// As CSV (RFC 4180), with a line of names first. A ratio of nothing is empty.
    pub(crate) fn csv(&self) -> String {
        let ratio = |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.4}")).unwrap_or_default();
        let line = |row: &Row| {
            let Sums { requests, hits, bytes_out, bytes_in } = row.sums;
            let (hit_ratio, byte_offload) = (ratio(row.hit_ratio()), ratio(row.byte_offload()));
            format!(
                "{},{},{},{requests},{bytes_out},{bytes_in},{hits},{hit_ratio},{byte_offload}\n",
                row.day, row.site, row.edges
            )
        };
        let names = "day,site,edge_count,requests,bytes_out,bytes_in,hits,hit_ratio,byte_offload\n".to_owned();
        names + &self.rows.iter().map(line).collect::<String>()
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "day": row.day,
                "site": row.site,
                "edge_count": row.edges,
                "requests": row.sums.requests,
                "bytes_out": row.sums.bytes_out,
                "bytes_in": row.sums.bytes_in,
                "hits": row.sums.hits,
                "hit_ratio": row.hit_ratio(),
                "byte_offload": row.byte_offload(),
            })
        };
        let silent = |(edge, why): &(NodeId, String)| json!({ "edge": edge.as_str(), "error": why });
        json!({
            "complete": self.silent.is_empty(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "silent": self.silent.iter().map(silent).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn edges_add_up_by_day_and_site() {
        let sums = |requests, hits, bytes_out, bytes_in| Sums { requests, hits, bytes_out, bytes_in };
        let of = |days: &[(&str, &str, Sums)]| {
            let mut all = Days::new();
            for (on, site, sums) in days {
                all.entry(day(on)).or_default().insert((*site).to_owned(), *sums);
            }
            all
        };
        let all = [
            of(&[("2026-11-29", "shop", sums(10, 9, 1_000, 250)), ("2026-11-30", "shop", sums(1, 0, 10, 30))]),
            of(&[("2026-11-29", "shop", sums(20, 6, 1_000, 250)), ("2026-11-29", "news", sums(3, 0, 0, 0))]),
            of(&[]),
        ];
        let silent = vec![(NodeId::parse("syd-1").unwrap(), "refused".to_owned())];
        let report = Report { rows: add_up(&all), silent };
        assert_eq!(
            report.csv(),
            "day,site,edge_count,requests,bytes_out,bytes_in,hits,hit_ratio,byte_offload\n\
             2026-11-29,news,1,3,0,0,0,0.0000,\n\
             2026-11-29,shop,2,30,2000,500,15,0.5000,0.7500\n\
             2026-11-30,shop,1,1,10,30,0,0.0000,-2.0000\n"
        );
        let json = report.json();
        assert_eq!(json["complete"], false);
        assert_eq!(json["silent"][0]["edge"], "syd-1");
        assert_eq!(json["rows"][0]["byte_offload"], Value::Null);
        assert_eq!((&json["rows"][1]["day"], &json["rows"][1]["hits"]), (&json!("2026-11-29"), &json!(15)));
        assert_eq!(report.sites().into_iter().collect::<Vec<_>>(), ["news", "shop"]);
    }

    #[test]
    fn what_an_edge_tells_is_read() {
        let told = json!({ "edge": "fra-1", "days": { "2026-11-30": { "shop": {
            "requests": 1, "hits": 1, "bytes_out": 5, "bytes_in": 0,
        } } } });
        let told: OfEdge = serde_json::from_value(told).unwrap();
        assert_eq!((told.edge.as_str(), told.days[&day("2026-11-30")]["shop"].bytes_out), ("fra-1", 5));
    }

    #[test]
    fn no_line_of_a_bill_is_anothers_to_write() {
        let ids = ["shop", "shop,1,9\n2026-11-30,news", "=1+1", "a\x1b[2J", ""];
        let sites = BTreeMap::from(ids.map(|id| (id.to_owned(), Sums::default())));
        let kept = of_sites(Days::from([(day("2026-11-30"), sites)]));
        assert_eq!(kept[&day("2026-11-30")].keys().collect::<Vec<_>>(), ["shop"]);
    }
}
