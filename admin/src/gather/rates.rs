//! Counters of nodes, their differences, and the rates that these come to. Pure: times come in.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::Serialize;
use telemetry::{Counted, OfSite, hit_ratio};

/// How much goes on, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Rates {
    /// Queries answered; of a PoP, those whose answer named it.
    pub queries_s: Option<f64>,
    /// Requests answered.
    pub requests_s: Option<f64>,
    /// Bytes of bodies sent.
    pub bytes_s: Option<f64>,
    /// Fetches from origins.
    pub fetches_s: Option<f64>,
    /// Which share of the requests was answered from the store, 0 to 1; none without requests.
    pub hit_ratio: Option<f64>,
    /// Which share of the bytes sent origins did not have to send, at most 1; less than 0 where they sent more, none where
    /// nothing was sent, or a node of an earlier release does not tell.
    pub byte_offload: Option<f64>,
    /// Half of the requests took at most so long, milliseconds, as far as the buckets of their histogram tell.
    pub p50_ms: Option<f64>,
    /// Of a hundred requests 99 took at most so long, milliseconds.
    pub p99_ms: Option<f64>,
}

/// What was counted of something over some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub(crate) queries: u64,
    pub(crate) site: OfSite,
    /// As [`Counted::took`], by the bounds of [`Counted::bounds_ms`].
    pub(crate) took: Vec<u64>,
    pub(crate) bounds_ms: Vec<u32>,
}

/// What is told of: the fleet, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Of {
    /// All of it.
    Fleet,
    /// A PoP, by its id.
    Pop(String),
    /// A node, by its id: an edge or a name server.
    Node(String),
    /// A site, by its id.
    Site(String),
}

impl Of {
    /// As it stands in a query: `fleet`, `pop:fra`, `edge:fra-1`, `site:shop`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == "fleet").then_some(Self::Fleet),
            Some(("pop", id)) => Some(Self::Pop(id.to_owned())),
            Some(("edge" | "node", id)) => Some(Self::Node(id.to_owned())),
            Some(("site", id)) => Some(Self::Site(id.to_owned())),
            Some(_) => None,
        }
    }

    /// As people read it.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Fleet => "the fleet".to_owned(),
            Self::Pop(id) => format!("PoP {id}"),
            Self::Node(id) => id.clone(),
            Self::Site(id) => format!("site {id}"),
        }
    }
}

/// What each node had counted when it was last heard.
#[derive(Debug, Default)]
pub(crate) struct Counters(HashMap<String, Counted>);

impl Counters {
    /// What a node has counted since it was last heard; nothing where it is heard for the first time. A node that has started
    /// anew begins at zero.
    pub(crate) fn since(&mut self, node: &str, now: &Counted) -> Option<Counted> {
        let before = self.0.insert(node.to_owned(), now.clone())?;
        let is_anew = now.queries < before.queries
            || before
                .sites
                .iter()
                .any(|(site, old)| now.sites.get(site).is_some_and(|new| new.requests < old.requests))
            || total(&now.took) < total(&before.took);
        Some(if is_anew { now.clone() } else { difference(now, &before) })
    }

    /// Forgets nodes that the config no longer has.
    pub(crate) fn keep(&mut self, is_known: impl Fn(&str) -> bool) {
        self.0.retain(|node, _| is_known(node));
    }
}

fn difference(now: &Counted, before: &Counted) -> Counted {
    let less = |pop: &String, count: &u64| count.saturating_sub(before.routed.get(pop).copied().unwrap_or(0));
    let of_site = |site: &String, new: &OfSite| {
        let old = before.sites.get(site).copied().unwrap_or_default();
        OfSite {
            requests: new.requests.saturating_sub(old.requests),
            hits: new.hits.saturating_sub(old.hits),
            bytes: new.bytes.saturating_sub(old.bytes),
            origin_bytes: new.origin_bytes.zip(old.origin_bytes).map(|(new, old)| new.saturating_sub(old)),
            fetches: new.fetches.saturating_sub(old.fetches),
        }
    };
    let old_took = before.took.iter().copied().chain(std::iter::repeat(0));
    Counted {
        queries: now.queries.saturating_sub(before.queries),
        routed: now.routed.iter().map(|(pop, count)| (pop.clone(), less(pop, count))).collect(),
        sites: now.sites.iter().map(|(site, new)| (site.clone(), of_site(site, new))).collect(),
        took: now.took.iter().zip(old_took).map(|(new, old)| new.saturating_sub(old)).collect(),
        bounds_ms: now.bounds_ms.clone(),
    }
}

/// Adds what a node has counted to all that it is a part of. `pop` is that of an edge.
pub(crate) fn add(sums: &mut BTreeMap<Of, Sum>, node: &str, pop: Option<&str>, counted: &Counted) {
    let mut all = Sum { queries: counted.queries, ..Sum::default() };
    all.took.clone_from(&counted.took);
    all.bounds_ms.clone_from(&counted.bounds_ms);
    counted.sites.values().for_each(|site| all.site.add(site));
    for of in [Of::Fleet, Of::Node(node.to_owned())] {
        sums.entry(of).or_default().add(&all);
    }
    if let Some(pop) = pop {
        // Whose queries these are is told by what was answered, below.
        sums.entry(Of::Pop(pop.to_owned())).or_default().add(&Sum { queries: 0, ..all });
    }
    for (pop, count) in &counted.routed {
        let queries = &mut sums.entry(Of::Pop(pop.clone())).or_default().queries;
        *queries = queries.saturating_add(*count);
    }
    for (site, counts) in counted.sites.iter().filter(|(site, _)| *site != "-") {
        sums.entry(Of::Site(site.clone())).or_default().site.add(counts);
    }
}

impl Sum {
    pub(crate) fn add(&mut self, other: &Self) {
        self.queries = self.queries.saturating_add(other.queries);
        self.site.add(&other.site);
        if self.bounds_ms != other.bounds_ms {
            // Nodes of another version have other buckets: those that come first count.
            if !self.bounds_ms.is_empty() {
                return;
            }
            self.bounds_ms.clone_from(&other.bounds_ms);
            self.took = vec![0; other.took.len()];
        }
        self.took.iter_mut().zip(&other.took).for_each(|(own, more)| *own = own.saturating_add(*more));
    }

    /// What it comes to a second, over some milliseconds.
    pub(crate) fn rates(&self, over_ms: u64) -> Rates {
        let a_second = |count: u64| Some(count as f64 * 1_000.0 / over_ms.max(1) as f64);
        Rates {
            queries_s: a_second(self.queries),
            requests_s: a_second(self.site.requests),
            bytes_s: a_second(self.site.bytes),
            fetches_s: a_second(self.site.fetches),
            hit_ratio: hit_ratio(self.site.requests, self.site.hits),
            byte_offload: self.site.byte_offload(),
            p50_ms: quantile_ms(&self.bounds_ms, &self.took, 0.5),
            p99_ms: quantile_ms(&self.bounds_ms, &self.took, 0.99),
        }
    }
}

/// What nodes tell may be anything: nothing that is added up here can be too much.
fn total(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

/// The time that a share of the requests took at most: within a bucket as if they were spread evenly, beyond the last bound
/// that bound.
fn quantile_ms(bounds_ms: &[u32], took: &[u64], share: f64) -> Option<f64> {
    let all = total(took);
    let last = f64::from(*bounds_ms.last()?);
    if all == 0 {
        return None;
    }
    let wanted = all as f64 * share;
    let (mut below, mut least) = (0.0, 0.0);
    for (count, bound) in took.iter().zip(bounds_ms) {
        let (count, bound) = (*count as f64, f64::from(*bound));
        if count > 0.0 && below + count >= wanted {
            return Some(least + (bound - least) * (wanted - below) / count);
        }
        below += count;
        least = bound;
    }
    Some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(requests: u64, hits: u64, fetches: u64) -> OfSite {
        OfSite { requests, hits, bytes: 100 * requests, origin_bytes: Some(50 * fetches), fetches }
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let bounds = [1, 5, 10];
        for (took, share, expected) in [
            ([0, 0, 0, 0], 0.5, None),
            ([4, 0, 0, 0], 0.5, Some(0.5)),
            ([0, 4, 0, 0], 0.5, Some(3.0)),
            ([2, 2, 0, 0], 0.99, Some(1.0 + 4.0 * 0.98)),
            ([0, 0, 0, 7], 0.5, Some(10.0)),
        ] {
            let found = quantile_ms(&bounds, &took, share);
            let is_near = match (found, expected) {
                (Some(found), Some(expected)) => f64::abs(found - expected) < 1e-9,
                (found, expected) => found == expected,
            };
            assert!(is_near, "{took:?} {share}: {found:?}, not {expected:?}");
        }
        assert_eq!(quantile_ms(&[], &[], 0.5), None);
    }

    #[test]
    fn a_node_that_has_started_anew_begins_at_zero() {
        let counted = |queries, requests| Counted {
            queries,
            sites: [("shop".to_owned(), site(requests, 0, 0))].into(),
            ..Counted::default()
        };
        let mut counters = Counters::default();
        let since = |counters: &mut Counters, now| {
            counters.since("a", &now).map(|counted: Counted| (counted.queries, counted.sites["shop"].requests))
        };
        assert_eq!(since(&mut counters, counted(10, 5)), None);
        assert_eq!(since(&mut counters, counted(13, 9)), Some((3, 4)));
        assert_eq!(since(&mut counters, counted(2, 1)), Some((2, 1)));
        counters.keep(|node| node != "a");
        assert_eq!(since(&mut counters, counted(4, 4)), None);
    }

    #[test]
    fn what_a_node_tells_may_be_anything() {
        let most = Counted {
            queries: u64::MAX,
            routed: [("fra".to_owned(), u64::MAX)].into(),
            sites: ["news", "shop"].map(|id| (id.to_owned(), OfSite { bytes: u64::MAX, ..site(1, 1, 1) })).into(),
            took: vec![u64::MAX, u64::MAX],
            bounds_ms: vec![1],
        };
        let mut counters = Counters::default();
        assert_eq!(counters.since("a", &most), None);
        assert_eq!(counters.since("a", &most).map(|counted| counted.queries), Some(0));
        let mut sums = BTreeMap::new();
        for node in ["a", "b"] {
            add(&mut sums, node, Some("fra"), &most);
        }
        let mut twice = sums[&Of::Fleet].clone();
        twice.add(&sums[&Of::Fleet]);
        assert_eq!((twice.queries, twice.site.bytes, twice.took[0]), (u64::MAX, u64::MAX, u64::MAX));
        assert_eq!((sums[&Of::Pop("fra".to_owned())].queries, twice.site.requests), (u64::MAX, 8));
        assert!(twice.rates(1_000).p50_ms.is_some());
    }

    #[test]
    fn what_is_counted_belongs_to_all_that_it_is_a_part_of() {
        let mut sums = BTreeMap::new();
        let edge = Counted {
            sites: [("shop".to_owned(), site(10, 8, 2)), ("-".to_owned(), site(1, 0, 0))].into(),
            took: vec![11, 0],
            bounds_ms: vec![1],
            ..Counted::default()
        };
        let name_server = Counted { queries: 7, routed: [("fra".to_owned(), 6)].into(), ..Counted::default() };
        add(&mut sums, "fra-1", Some("fra"), &edge);
        add(&mut sums, "ns1", None, &name_server);
        let of = |of: Of| sums[&of].rates(2_000);
        let fleet = of(Of::Fleet);
        assert_eq!((fleet.queries_s, fleet.requests_s, fleet.bytes_s), (Some(3.5), Some(5.5), Some(550.0)));
        // Requests that no site has taken are requests of the fleet.
        assert_eq!((fleet.hit_ratio, fleet.fetches_s), (Some(8.0 / 11.0), Some(1.0)));
        let pop = of(Of::Pop("fra".to_owned()));
        assert_eq!((pop.queries_s, pop.requests_s), (Some(3.0), Some(5.5)));
        assert!(pop.p99_ms.is_some_and(|ms| ms <= 1.0), "{pop:?}");
        let shop = of(Of::Site("shop".to_owned()));
        assert_eq!((shop.requests_s, shop.hit_ratio, shop.byte_offload), (Some(5.0), Some(0.8), Some(0.9)));
        assert!(!sums.contains_key(&Of::Site("-".to_owned())));
        assert_eq!(of(Of::Node("ns1".to_owned())).p50_ms, None);
    }

    #[test]
    fn what_one_node_does_not_tell_is_not_known_of_what_it_is_a_part_of() {
        let counted = |origin_bytes| Counted {
            sites: [("shop".to_owned(), OfSite { origin_bytes, ..site(10, 8, 2) })].into(),
            ..Counted::default()
        };
        let mut counters = Counters::default();
        let mut sums = BTreeMap::new();
        for (node, pop, origin_bytes) in [("fra-1", "fra", Some(100)), ("syd-1", "syd", None)] {
            let none = OfSite { origin_bytes: origin_bytes.map(|_| 0), ..site(0, 0, 0) };
            counters.since(node, &Counted { sites: [("shop".to_owned(), none)].into(), ..Counted::default() });
            let since = counters.since(node, &counted(origin_bytes)).unwrap();
            add(&mut sums, node, Some(pop), &since);
        }
        let offload = |of: Of| sums[&of].rates(1_000).byte_offload;
        assert_eq!(offload(Of::Pop("fra".to_owned())), Some(0.9));
        for of in [Of::Pop("syd".to_owned()), Of::Site("shop".to_owned()), Of::Fleet] {
            assert_eq!(offload(of.clone()), None, "{of:?}");
        }
        assert_eq!(sums[&Of::Fleet].rates(1_000).hit_ratio, Some(0.8));
    }
}
