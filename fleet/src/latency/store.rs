//! What a name server keeps of all edges' round trips.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use config::{NodeId, PopId, limits};
use mapping::latency::{Histogram, PrefixKey, Samples, prefix_key};
use mapping::{Family, PopIndex};
use serde::{Deserialize, Serialize};

use super::handover::{Handover, Since};

/// Round trips count half after a day: a backbone's map stays true for weeks, a last mile for days.
const EPOCH: Duration = Duration::from_secs(86_400);

/// Round trips by PoP and prefix. An edge writes its own PoP's column alone.
#[derive(Clone, Debug, Default)]
pub struct Store {
    by_pop: BTreeMap<PopId, BTreeMap<PrefixKey, Histogram>>,
    /// Up to where each edge's are in it.
    since: BTreeMap<NodeId, Since>,
    aged: Option<SystemTime>,
    /// When an edge last had any to hand over.
    heard: Option<SystemTime>,
}

/// Bucket numbers, and how often each counts.
type SavedCounts = Vec<(u8, f64)>;

/// As it is saved.
#[derive(Serialize, Deserialize)]
struct Saved {
    aged_s: u64,
    since: Vec<(String, Since)>,
    pops: Vec<(String, Vec<(IpAddr, SavedCounts)>)>,
}

impl Store {
    /// What to ask an edge for.
    #[must_use]
    pub fn since(&self, edge: &NodeId) -> Since {
        self.since.get(edge).copied().unwrap_or_default()
    }

    /// Takes in what an edge of one of so many PoPs has handed over. Prefixes beyond the bound of a PoP's column are
    /// left out.
    pub fn take(&mut self, edge: &NodeId, (pop, pops): (&PopId, usize), handover: Handover) {
        let most = limits::LATENCY_PREFIXES.min(limits::LATENCY_OF_ALL / pops.max(1));
        let column = self.by_pop.entry(pop.clone()).or_default();
        for (address, counts) in handover.prefixes {
            let prefix = prefix_key(address);
            if column.len() >= most && !column.contains_key(&prefix) {
                continue;
            }
            let seen = column.entry(prefix).or_default();
            counts.into_iter().for_each(|(bucket, count)| seen.add_to(bucket, count));
        }
        self.since.insert(edge.clone(), handover.until);
    }

    /// Notes when round trips came.
    pub fn note_heard(&mut self, now: SystemTime) {
        self.heard = Some(now);
    }

    /// When round trips last came; none since the start.
    #[must_use]
    pub fn heard(&self) -> Option<SystemTime> {
        self.heard
    }

    /// All of it as `latency/*.csv` has it, sorted, to be compared and kept: `prefix,pop,rtt_ms,samples`.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut rows: Vec<_> =
            self.iter().filter_map(|(pop, key, seen)| Some((key, pop, seen.median()?, seen.count()))).collect();
        rows.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let mut out = "prefix,pop,rtt_ms,samples\n".to_owned();
        for ((family, key), pop, median, count) in rows {
            let length = match family {
                Family::V4 => 24,
                Family::V6 => 48,
            };
            let samples = count.min(u32::from(limits::ROUND_TRIP_SAMPLES));
            out.push_str(&format!("{}/{length},{pop},{median:.1},{samples}\n", family.address(*key)));
        }
        out
    }

    /// Halves what was seen, once a day; what is left of nothing is forgotten.
    pub fn age(&mut self, now: SystemTime) {
        // A clock that was set back ages nothing; one that had been ahead of itself is forgotten.
        let aged = self.aged.filter(|aged| *aged < now + EPOCH).unwrap_or(now);
        self.aged = Some(aged);
        let due = now.duration_since(aged).unwrap_or_default().as_secs() / EPOCH.as_secs();
        for _ in 0..due.min(20) {
            for column in self.by_pop.values_mut() {
                column.values_mut().for_each(Histogram::age);
                column.retain(|_, seen| seen.count() > 0);
            }
        }
        if due > 0 {
            self.aged = Some(now);
        }
        self.by_pop.retain(|_, column| !column.is_empty());
    }

    /// All of it, PoPs by their place in a config; those it does not have are passed over.
    #[must_use]
    pub fn samples(&self, pops: &[PopId]) -> Samples {
        let mut samples = Samples::default();
        for (number, pop) in pops.iter().enumerate() {
            for (prefix, seen) in self.by_pop.get(pop).into_iter().flatten() {
                samples.add(*prefix, PopIndex::from_usize(number), seen);
            }
        }
        samples
    }

    /// What is kept, by PoP and then prefix: as it is exported.
    pub fn iter(&self) -> impl Iterator<Item = (&PopId, &PrefixKey, &Histogram)> {
        self.by_pop.iter().flat_map(|(pop, column)| column.iter().map(move |(prefix, seen)| (pop, prefix, seen)))
    }

    /// Reads what was saved; a missing or broken file is nothing.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = config::read_bounded(path, limits::LATENCY_SAVED_BYTES).unwrap_or_default();
        let Ok(saved) = serde_json::from_slice::<Saved>(&text) else {
            return Self::default();
        };
        let Some(aged) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(saved.aged_s)) else {
            return Self::default();
        };
        let mut store = Self { aged: Some(aged), ..Self::default() };
        let most = limits::LATENCY_PREFIXES.min(limits::LATENCY_OF_ALL / saved.pops.len().max(1));
        for (pop, prefixes) in saved.pops {
            let Ok(pop) = PopId::parse(&pop) else { continue };
            let column = store.by_pop.entry(pop).or_default();
            for (address, counts) in prefixes.into_iter().take(most) {
                let seen = column.entry(prefix_key(address)).or_default();
                counts.into_iter().for_each(|(bucket, count)| seen.add_exactly(bucket, count));
            }
        }
        let known = saved.since.into_iter().filter_map(|(edge, since)| Some((NodeId::parse(&edge).ok()?, since)));
        store.since = known.collect();
        store
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let counts = |seen: &Histogram| seen.exact_counts().collect();
        let column = |column: &BTreeMap<PrefixKey, Histogram>| {
            column.iter().map(|((family, key), seen)| (family.address(*key), counts(seen))).collect()
        };
        let aged = self.aged.and_then(|aged| aged.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
        crate::saved::write(
            path,
            &Saved {
                aged_s: aged.as_secs(),
                since: self.since.iter().map(|(edge, since)| (edge.to_string(), *since)).collect(),
                pops: self.by_pop.iter().map(|(pop, prefixes)| (pop.to_string(), column(prefixes))).collect(),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(id: &str) -> NodeId {
        NodeId::parse(id).unwrap()
    }

    fn pop(id: &str) -> PopId {
        PopId::parse(id).unwrap()
    }

    fn handover(position: u64, prefixes: &[(&str, u8, u16)]) -> Handover {
        let one = |(address, bucket, count): &(&str, u8, u16)| (address.parse().unwrap(), vec![(*bucket, *count)]);
        Handover { until: Since { boot: 1, position }, prefixes: prefixes.iter().map(one).collect() }
    }

    #[test]
    fn what_edges_hand_over_is_kept_by_pop_and_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("latency.json");
        let mut store = Store::read(&path);
        store.take(&edge("fra-1"), (&pop("fra"), 3), handover(3, &[("192.0.2.0", 20, 4), ("2001:db8:1::", 30, 1)]));
        store.take(&edge("fra-2"), (&pop("fra"), 3), handover(1, &[("192.0.2.9", 20, 6)]));
        store.take(&edge("syd-1"), (&pop("syd"), 3), handover(1, &[("192.0.2.0", 40, 5)]));
        store.age(SystemTime::now());
        store.write(&path).unwrap();
        for store in [store, Store::read(&path)] {
            assert_eq!(store.since(&edge("fra-1")), Since { boot: 1, position: 3 });
            let samples = store.samples(&[pop("syd"), pop("fra")]);
            let (_, measured) = samples.iter().find(|(prefix, _)| **prefix == (Family::V4, 0xc000_0200)).unwrap();
            let counts: Vec<u32> = measured.values().map(Histogram::count).collect();
            assert_eq!(counts, [5, 10], "syd, then both edges of fra");
            assert_eq!(samples.len(), 2);
            assert_eq!(store.samples(&[pop("lhr")]).len(), 0);
        }
        let absurd = format!("{{\"aged_s\":{},\"since\":[],\"pops\":[]}}", u64::MAX);
        for broken in ["{\"aged_s\":1,\"since\":[[\"fra-1\"", &absurd] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(Store::read(&path).iter().count(), 0);
        }
    }

    #[test]
    fn a_day_halves_and_weeks_forget() {
        let mut store = Store::default();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        store.age(start);
        store.take(&edge("fra-1"), (&pop("fra"), 3), handover(1, &[("192.0.2.0", 20, 8)]));
        store.age(start + EPOCH / 2);
        store.age(start - EPOCH / 2);
        assert_eq!(store.iter().next().unwrap().2.count(), 8);
        store.age(start + EPOCH);
        assert_eq!(store.iter().next().unwrap().2.count(), 4);
        store.age(start + EPOCH * 400);
        store.take(&edge("fra-1"), (&pop("fra"), 3), handover(2, &[("192.0.2.0", 20, 8)]));
        store.age(start + EPOCH * 2);
        store.age(start + EPOCH * 3);
        assert_eq!(store.iter().next().unwrap().2.count(), 4, "a clock that was ahead for a while");
        store.age(start + EPOCH * 30);
        assert_eq!(store.iter().count(), 0);
    }

    #[test]
    fn an_edge_spoils_its_own_column_alone_and_fills_no_more_than_it() {
        let mut store = Store::default();
        let many: Vec<_> = (0..limits::LATENCY_PREFIXES + 10)
            .map(|number| {
                (IpAddr::from(std::net::Ipv4Addr::from(u32::try_from(number << 8).unwrap())), vec![(255, u16::MAX)])
            })
            .collect();
        store.take(&edge("fra-1"), (&pop("fra"), 3), Handover { until: Since::default(), prefixes: many });
        assert_eq!(store.iter().count(), limits::LATENCY_PREFIXES);
        store.take(&edge("syd-1"), (&pop("syd"), 3), handover(1, &[("192.0.2.0", 20, 8)]));
        assert!(store.iter().any(|(column, _, seen)| *column == pop("syd") && seen.count() == 8));
    }
}
