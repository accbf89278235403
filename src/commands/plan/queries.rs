//! Who asks for what: from a query log, or every country's people.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;

use dns::geo::World;
use serde::Deserialize;

use crate::exit::Failure;

/// Queries for one thing from one place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    /// Index into what is asked for.
    pub(crate) asked: usize,
    pub(crate) from: IpAddr,
    /// How many, or how many people.
    pub(crate) weight: f64,
}

/// Queries, and what they ask for: domain names, or sites' ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Queries {
    pub(crate) asked: Vec<String>,
    pub(crate) queries: Vec<Query>,
    /// Lines that could not be read, and the first of them.
    pub(crate) unread: Option<(usize, usize)>,
}

/// What a line of a query log has that counts here.
#[derive(Deserialize)]
struct Line {
    name: String,
    kind: String,
    subnet: Option<String>,
    resolver: Option<IpAddr>,
}

/// Clients of a country when there is no log, at most, and in all.
const EACH: usize = 16;
const MOST_CLIENTS: usize = 1_000_000;

/// Reads a query log. Names' queries for addresses count; a line without a client does not.
pub(crate) fn of_log(file: &Path) -> Result<Queries, Failure> {
    let next = "a name server writes it to STATE/ID/queries.jsonl while `queries` of [log] is true";
    let wrong = |error: std::io::Error| Failure::file("read", file, &error, next);
    let log = BufReader::new(std::fs::File::open(file).map_err(wrong)?);
    let mut counts: HashMap<(usize, IpAddr), f64> = HashMap::new();
    let (mut numbers, mut queries): (HashMap<String, usize>, Queries) = Default::default();
    for (number, line) in (1..).zip(log.split(b'\n')) {
        let line = line.map_err(wrong)?;
        let Ok(Line { name, kind, subnet, resolver }) = serde_json::from_slice(&line) else {
            let (count, first) = queries.unread.unwrap_or((0, number));
            queries.unread = Some((count + 1, first));
            continue;
        };
        if !["A", "AAAA", "HTTPS"].contains(&kind.as_str()) {
            continue;
        }
        let subnet = subnet.and_then(|subnet| subnet.split('/').next()?.parse().ok());
        let Some(from) = subnet.or(resolver) else { continue };
        let asked = *numbers.entry(name.to_ascii_lowercase()).or_insert_with_key(|name| {
            queries.asked.push(name.clone());
            queries.asked.len() - 1
        });
        *counts.entry((asked, from)).or_default() += 1.0;
    }
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_by_key(|(key, _)| *key);
    queries.queries = all.into_iter().map(|((asked, from), weight)| Query { asked, from, weight }).collect();
    if queries.queries.is_empty() {
        return Err(Failure::operator(format!(
            "{} has no query for an address: name the `queries.jsonl` of a name server (`[log] queries = true`)",
            file.display()
        )));
    }
    Ok(queries)
}

/// Every country's people, for each of the sites as much.
pub(crate) fn of_people(world: &World, sites: Vec<String>) -> Queries {
    let each = (MOST_CLIENTS / sites.len().max(1) / 250).clamp(1, EACH);
    let clients = world.population(u32::try_from(each).unwrap_or(1));
    let of_site =
        |asked: usize| clients.iter().map(move |(from, weight)| Query { asked, from: *from, weight: *weight });
    let queries = (0..sites.len()).flat_map(of_site).collect();
    Queries { asked: sites, queries, unread: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_counted_by_name_and_client() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("queries.jsonl");
        let lines = [
            r#"{"time_ms":1,"resolver":"192.0.2.1","subnet":"198.51.100.0/24","name":"WWW.shop.example.","kind":"A","rcode":"NOERROR","scope":24,"transport":"udp"}"#,
            r#"{"time_ms":2,"resolver":"192.0.2.9","subnet":"198.51.100.0/24","name":"www.shop.example.","kind":"AAAA","rcode":"NOERROR","scope":24,"transport":"udp"}"#,
            r#"{"time_ms":3,"resolver":"192.0.2.1","name":"www.shop.example.","kind":"A","rcode":"NOERROR","scope":0,"transport":"udp"}"#,
            r#"{"time_ms":4,"resolver":"192.0.2.1","name":"www.shop.example.","kind":"NS","rcode":"NOERROR","scope":0,"transport":"udp"}"#,
            r#"{"time_ms":5,"name":"www.shop.example.","kind":"A","rcode":"NOERROR","scope":0,"transport":"udp"}"#,
            r#"{"time_ms":6,"na"#,
        ];
        std::fs::write(&file, lines.join("\n")).unwrap();
        let queries = of_log(&file).unwrap();
        let query = |from: [u8; 4], weight| Query { asked: 0, from: from.into(), weight };
        assert_eq!(queries.asked, ["www.shop.example."]);
        assert_eq!(queries.queries, [query([192, 0, 2, 1], 1.0), query([198, 51, 100, 0], 2.0)]);
        assert_eq!(queries.unread, Some((1, 6)));
        std::fs::write(&file, "").unwrap();
        assert!(of_log(&file).unwrap_err().to_string().contains("has no query for an address"));
        assert!(of_log(dir.path()).is_err());
    }
}
