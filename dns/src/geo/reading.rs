//! From the networks of databases to runs of places and of AS numbers.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use config::{CountryCode, Problem};
use mapping::{Family, Place, PlaceIndex, Region, Run, Span, fill_gaps, layer, overlay};

use super::database::{Database, Found, keys};
use super::record;

/// Places and runs as they come in.
pub(super) struct Reading {
    populated: HashSet<CountryCode>,
    places: Vec<Place>,
    index: HashMap<Place, PlaceIndex>,
    /// What the databases read so far say.
    v4: Vec<Run<Option<PlaceIndex>>>,
    v6: Vec<Run<Option<PlaceIndex>>>,
}

impl Reading {
    pub(super) fn new(regions: &[Region]) -> Self {
        let home = Place::Home;
        Self {
            populated: regions.iter().map(|region| region.country).collect(),
            places: vec![home],
            index: HashMap::from([(home, HOME)]),
            v4: vec![Run { start: 0, value: None }],
            v6: vec![Run { start: 0, value: None }],
        }
    }

    /// Reads every network. What an earlier database knows holds.
    pub(super) fn read(&mut self, database: &Database) -> Result<(), Problem> {
        let Found { v4, v6 } = database.found("country and no location", |record| {
            let place = record::place(record)?.filter(|place| self.is_rankable(place));
            Ok(place.map(|place| self.intern(place)))
        })?;
        self.v4 = layer(&self.v4, &v4);
        self.v6 = layer(&self.v6, &v6);
        Ok(())
    }

    /// The places, and their runs in IPv4 and IPv6.
    pub(super) fn finish(self) -> (Vec<Place>, Vec<Run<PlaceIndex>>, Vec<Run<PlaceIndex>>) {
        (self.places, total(Family::V4, self.v4), total(Family::V6, self.v6))
    }

    /// A country without people we know of says nothing about distance.
    fn is_rankable(&self, place: &Place) -> bool {
        match place {
            Place::Country(country) => self.populated.contains(country),
            Place::Point { .. } | Place::Home => true,
        }
    }

    fn intern(&mut self, place: Place) -> PlaceIndex {
        let places = &mut self.places;
        *self.index.entry(place).or_insert_with(|| {
            places.push(place);
            u32::try_from(places.len() - 1).unwrap_or(HOME)
        })
    }
}

/// The index of [`Place::Home`].
const HOME: PlaceIndex = 0;

/// Gaps filled, then home.
fn total(family: Family, runs: Vec<Run<Option<PlaceIndex>>>) -> Vec<Run<PlaceIndex>> {
    let filled = fill_gaps(family, &runs, HOME);
    drop(runs);
    overlay(family, &filled, &home(family))
}

/// Private and loopback addresses (RFC 6890).
fn home(family: Family) -> Vec<Span<PlaceIndex>> {
    let list: &[(&str, u8)] = match family {
        Family::V4 => &[
            ("10.0.0.0", 8),
            ("100.64.0.0", 10),
            ("127.0.0.0", 8),
            ("169.254.0.0", 16),
            ("172.16.0.0", 12),
            ("192.168.0.0", 16),
        ],
        Family::V6 => &[("::", 64), ("fc00::", 7), ("fe80::", 10)],
    };
    let prefixes = list.iter().filter_map(|(address, length)| Some((address.parse().ok()?, *length)));
    prefixes
        .map(|(address, length): (IpAddr, u8)| keys(address, length))
        .map(|(_, first, last)| Span { first, last, value: HOME })
        .collect()
}

/// AS numbers as runs.
type Asns = Vec<Run<u32>>;

/// AS numbers in IPv4 and IPv6; 0 where none is known.
pub(super) fn read_asns(database: &Database) -> Result<(Asns, Asns), Problem> {
    let Found { v4, v6 } = database.found("AS number", record::asn)?;
    let known = |runs: Vec<Run<Option<u32>>>| {
        runs.into_iter().map(|run| Run { start: run.start, value: run.value.unwrap_or(0) }).collect()
    };
    Ok((known(v4), known(v6)))
}
