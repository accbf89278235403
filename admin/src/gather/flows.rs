//! Where queries come from and where they are sent: coarse places, never addresses. Pure: times come in.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use config::{CountryCode, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Queries from a place that were sent to a PoP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// Degrees north, to a tenth.
    pub latitude: f64,
    /// Degrees east, to a tenth.
    pub longitude: f64,
    /// The country, where it is known.
    pub country: Option<String>,
    /// The PoP that was answered.
    pub pop: String,
    /// How many a second, over the last ten.
    pub queries_s: f64,
}

/// Where the queries of the last ten seconds came from.
#[derive(Debug, Default)]
pub struct Flows {
    /// One more than are told: that which has not ended yet.
    seconds: [Second; SECONDS + 1],
}

/// What was noted in a second.
#[derive(Debug, Default)]
struct Second {
    number: u64,
    queries: HashMap<Way, u64>,
}

/// From where to where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Way {
    /// Tenths of a degree north and east.
    place: (i32, i32),
    country: Option<String>,
    pop: String,
}

/// Over how many seconds.
pub(crate) const SECONDS: usize = 10;

impl Flows {
    /// Notes queries from a place (degrees north and east) that were sent to a PoP.
    pub fn note(
        &mut self,
        second: u64,
        (latitude, longitude): (f64, f64),
        country: Option<CountryCode>,
        pop: &str,
        queries: u32,
    ) {
        let slot = usize::try_from(second % (SECONDS as u64 + 1)).ok().and_then(|slot| self.seconds.get_mut(slot));
        let Some(slot) = slot else { return };
        if slot.number != second {
            slot.number = second;
            slot.queries.clear();
        }
        let country = country.map(|country| country.to_string());
        let way = Way { place: (tenths(latitude), tenths(longitude)), country, pop: pop.to_owned() };
        let is_full = slot.queries.len() >= limits::FLOWS;
        match slot.queries.entry(way) {
            Entry::Occupied(mut noted) => *noted.get_mut() += u64::from(queries),
            Entry::Vacant(free) if !is_full => _ = free.insert(queries.into()),
            Entry::Vacant(_) => {}
        }
    }

    /// What was noted in the ten seconds before one, the most first.
    #[must_use]
    pub fn rows(&self, second: u64) -> Vec<Flow> {
        let is_recent = |slot: &&Second| (1..=SECONDS as u64).contains(&second.saturating_sub(slot.number));
        let mut all: HashMap<&Way, u64> = HashMap::new();
        for (way, queries) in self.seconds.iter().filter(is_recent).flat_map(|slot| &slot.queries) {
            *all.entry(way).or_default() += queries;
        }
        let flow = |(way, queries): (&Way, u64)| Flow {
            latitude: f64::from(way.place.0) / 10.0,
            longitude: f64::from(way.place.1) / 10.0,
            country: way.country.clone(),
            pop: way.pop.clone(),
            queries_s: queries as f64 / SECONDS as f64,
        };
        most(all.into_iter().map(flow).collect())
    }
}

/// The flows of many name servers as one list, the most first.
pub(crate) fn merge<'f>(flows: impl Iterator<Item = &'f Flow>) -> Vec<Flow> {
    let mut all: HashMap<Way, f64> = HashMap::new();
    for flow in flows {
        let place = (tenths(flow.latitude), tenths(flow.longitude));
        let way = Way { place, country: flow.country.clone(), pop: flow.pop.clone() };
        *all.entry(way).or_default() += if flow.queries_s.is_finite() { flow.queries_s } else { 0.0 };
    }
    let flow = |(way, queries_s): (Way, f64)| Flow {
        latitude: f64::from(way.place.0) / 10.0,
        longitude: f64::from(way.place.1) / 10.0,
        country: way.country,
        pop: way.pop,
        queries_s,
    };
    most(all.into_iter().map(flow).collect())
}

/// The largest, and no more than are told.
fn most(mut flows: Vec<Flow>) -> Vec<Flow> {
    let place = |flow: &Flow| (tenths(flow.latitude), tenths(flow.longitude));
    flows.sort_by(|a, b| {
        let by_size = b.queries_s.total_cmp(&a.queries_s);
        by_size.then_with(|| (place(a), &a.pop).cmp(&(place(b), &b.pop)))
    });
    flows.truncate(limits::FLOWS);
    flows
}

/// Tenths of a degree; what is no degree is nought.
fn tenths(degrees: f64) -> i32 {
    let degrees = if degrees.is_finite() { degrees } else { 0.0 };
    (degrees.clamp(-180.0, 180.0) * 10.0).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMSTERDAM: (f64, f64) = (52.37, 4.89);

    fn told(flows: &[Flow]) -> Vec<String> {
        flows
            .iter()
            .map(|flow| format!("{} {} {} {}", flow.latitude, flow.longitude, flow.pop, flow.queries_s))
            .collect()
    }

    #[test]
    fn queries_of_ten_seconds_are_told_by_place_and_pop() {
        let mut flows = Flows::default();
        for (second, place, pop, queries) in [
            (100, AMSTERDAM, "fra", 20),
            (101, AMSTERDAM, "fra", 10),
            (101, (52.42, 4.91), "lhr", 5),
            (105, (-33.86, 151.21), "syd", 100),
            // Of this second more may come.
            (110, AMSTERDAM, "fra", 1),
        ] {
            flows.note(second, place, None, pop, queries);
        }
        assert_eq!(told(&flows.rows(110)), ["-33.9 151.2 syd 10", "52.4 4.9 fra 3", "52.4 4.9 lhr 0.5"]);
        assert_eq!(told(&flows.rows(115)), ["-33.9 151.2 syd 10", "52.4 4.9 fra 0.1"]);
        assert_eq!(told(&flows.rows(200)), [""; 0]);
    }

    #[test]
    fn no_more_places_are_told_than_the_bound() {
        let mut flows = Flows::default();
        for number in 0..2_000_u32 {
            flows.note(5, (f64::from(number % 90), f64::from(number) / 20.0), None, "fra", 1 + number % 7);
        }
        assert_eq!(flows.rows(6).len(), limits::FLOWS);
        let many: Vec<Flow> = (0..2_000_u32)
            .map(|number| Flow { latitude: f64::from(number) / 50.0, queries_s: f64::from(number), ..Flow::default() })
            .collect();
        let merged = merge(many.iter());
        assert!(merged.len() <= limits::FLOWS && merged[0].queries_s >= 1_999.0, "{}", merged.len());
    }

    #[test]
    fn two_name_servers_add_up_and_what_is_no_number_counts_for_nothing() {
        let flow = |queries_s, latitude| Flow { latitude, pop: "fra".to_owned(), queries_s, ..Flow::default() };
        let all = [flow(2.0, 52.4), flow(3.0, 52.44), flow(f64::NAN, 52.4), flow(1.0, f64::NAN)];
        assert_eq!(told(&merge(all.iter())), ["52.4 0 fra 5", "0 0 fra 1"]);
    }
}
