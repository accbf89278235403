//! `TXT _why.NAME`: the explanation by DNS itself, for those who may ask.

use std::net::IpAddr;

use config::Prefix;
use hickory_server::proto::rr::rdata::TXT;
use hickory_server::proto::rr::{RData, Record};
use mapping::Family;

use crate::ecs::Asker;
use crate::explain::{Candidate, Explanation};
use crate::query::Query;
use crate::reply::Reply;
use crate::view::View;

/// RFC 1035 §3.3: "a single length octet followed by that number of characters".
const LONGEST: usize = 255;

impl View {
    /// Answers with an explanation, if that was asked for by who may and of what is routed; whether it was.
    pub(crate) fn tells_why(&self, reply: &mut Reply, query: &Query, resolver: IpAddr) -> bool {
        if !query.asks_why() || !self.explained_to.iter().any(|prefix| prefix.contains(resolver)) {
            return false;
        }
        let asked = query.question.name();
        let subnet = query.edns.as_ref().and_then(|edns| edns.subnet.as_ref());
        let asker = Asker::new(subnet, resolver);
        let Ok(explained) = self.explain(&asked.base_name().to_ascii(), asker.address, Family::V4) else {
            return false;
        };
        let text = |line: String| {
            let end = line.floor_char_boundary(LONGEST);
            TXT::new(vec![line.get(..end).unwrap_or_default().to_owned()])
        };
        // Of no use to anybody else, and true now.
        let record = |line| Record::from_rdata(asked.clone(), 0, RData::TXT(text(line)));
        reply.message.answers.extend(explained.told().into_iter().map(record));
        reply.facts.scope = asker.scope(asker.known_bits);
        true
    }
}

impl Explanation {
    /// What it says before its candidates, as a word and what belongs to it.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let answer = self.edges.iter().zip(&self.addresses).map(|(edge, address)| format!("{edge} ({address})"));
        let asn = self.asn.map(|asn| format!(", AS{asn}")).unwrap_or_default();
        let distances = self.distances.as_ref().map(|from| format!(" ({from})")).unwrap_or_default();
        let mut lines = vec![
            ("answer", answer.collect::<Vec<_>>().join(", ")),
            ("place", format!("{}{asn}{distances}", self.place)),
            ("source", self.source_in_words()),
        ];
        if let Some(group) = &self.group {
            let why = if group.goes_to == group.expected {
                "as expected".to_owned()
            } else {
                format!("measurably nearer than {}", group.expected)
            };
            lines.push((
                "group",
                format!("{}: {} prefixes measured, to {}, {why}", group.name, group.prefixes, group.goes_to),
            ));
        }
        lines.push(("scope", format!("{}: {}", Prefix::around(self.from, self.scope), self.scope_reason)));
        lines.push(("ttl", format!("{} s: {}", self.ttl, self.state)));
        lines
    }

    /// What ranked the PoPs, and what that means for their costs.
    fn source_in_words(&self) -> String {
        match self.source.as_str() {
            "geography" if self.group.is_some() => "geography".to_owned(),
            "geography" => "geography: nothing is measured for these clients".to_owned(),
            "latency" => "latency: round trips that were measured".to_owned(),
            rule => format!("{rule}, a rule, which comes before cost"),
        }
    }

    /// All of it, line by line.
    fn told(&self) -> Vec<String> {
        let pop = self.pop.as_deref().unwrap_or("none");
        let mut told = vec![format!("{} for {}: site {}, PoP {pop}", self.name, self.from, self.site)];
        told.extend(self.lines().into_iter().map(|(word, text)| format!("{word} {text}")));
        told.extend((1..).zip(&self.candidates).map(|(number, candidate)| format!("{number}. {}", candidate.told())));
        told.extend(self.unfit.iter().map(|unfit| format!("{} {}", unfit.edge, unfit.reason)));
        told
    }
}

impl Candidate {
    /// Whether its ways take longer than distance says.
    #[must_use]
    pub fn is_stretched(&self) -> bool {
        (self.stretch - 1.0).abs() >= 0.005
    }

    fn told(&self) -> String {
        let Self { pop, cost_ms, distance_km, stretch, measured, price_ms, load, fit, edges } = self;
        let measured = measured.as_ref().map_or_else(String::new, |measured| {
            let spread = 100.0 * measured.spread;
            format!(", measured {:.1} ms +-{spread:.0} % ({} samples)", measured.ms, measured.samples)
        });
        let load =
            load.map_or_else(String::new, |load| format!(", load {:.0} %, price +{price_ms:.1} ms", 100.0 * load));
        let stretched = if self.is_stretched() { format!(" x{stretch:.2} stretch") } else { String::new() };
        format!("{pop} {cost_ms:.1} ms: {distance_km:.0} km{stretched}{measured}{load}, {fit} of {edges} edges fit")
    }
}
