//! From the networks of databases to runs of places and of AS numbers.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use config::{CountryCode, Prefix, Problem};
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

    /// Lays a geofeed's countries over what the databases say, but where they know a place in that country.
    pub(super) fn correct(&mut self, feed: &[(Prefix, CountryCode)]) {
        for family in [Family::V4, Family::V6] {
            // The longest prefix holds: the shorter ones are laid first.
            let mut spans: Vec<(Prefix, CountryCode)> =
                feed.iter().copied().filter(|(prefix, _)| Family::of(prefix.address()) == family).collect();
            spans.sort_by_key(|(prefix, _)| prefix.length());
            let mut wanted = vec![Run { start: 0, value: None }];
            let mut from = 0;
            while let Some((first, _)) = spans.get(from) {
                let to = from
                    + spans
                        .get(from..)
                        .unwrap_or_default()
                        .partition_point(|(prefix, _)| prefix.length() == first.length());
                let mut layer: Vec<Span<Option<CountryCode>>> = Vec::new();
                for (prefix, country) in spans.get(from..to).unwrap_or_default() {
                    let (_, first, last) = keys(prefix.address(), prefix.length());
                    layer.push(Span { first, last, value: Some(*country) });
                }
                layer.sort_by_key(|span| span.first);
                wanted = overlay(family, &wanted, &layer);
                from = to;
            }
            let before = match family {
                Family::V4 => std::mem::take(&mut self.v4),
                Family::V6 => std::mem::take(&mut self.v6),
            };
            let corrected = self.corrected(&before, &wanted);
            match family {
                Family::V4 => self.v4 = corrected,
                Family::V6 => self.v6 = corrected,
            }
        }
    }

    fn corrected(
        &mut self,
        before: &[Run<Option<PlaceIndex>>],
        wanted: &[Run<Option<CountryCode>>],
    ) -> Vec<Run<Option<PlaceIndex>>> {
        let mut upper = Vec::with_capacity(wanted.len());
        for (number, run) in wanted.iter().enumerate() {
            let Some(country) = run.value.filter(|country| self.is_rankable(&Place::Country(*country))) else {
                upper.push(Run { start: run.start, value: None });
                continue;
            };
            let end = wanted.get(number + 1).map_or(u64::MAX, |next| next.start);
            let first = before.partition_point(|known| known.start <= run.start);
            let inner = before.get(first..).unwrap_or_default().iter().take_while(|known| known.start < end);
            for start in std::iter::once(run.start).chain(inner.map(|known| known.start)) {
                let known = at(before, start).and_then(|index| self.places.get(usize::try_from(index).ok()?));
                let is_there = known.and_then(Place::country) == Some(country);
                let value = if is_there { None } else { Some(self.intern(Place::Country(country))) };
                upper.push(Run { start, value });
            }
        }
        layer(&upper, before)
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

fn at<T: Copy>(runs: &[Run<Option<T>>], key: u64) -> Option<T> {
    let next = runs.partition_point(|run| run.start <= key);
    runs.get(next.checked_sub(1)?)?.value
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
