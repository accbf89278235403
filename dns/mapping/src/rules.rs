//! The operator's rules, made ready for compiling.

use std::collections::{BTreeSet, HashMap, HashSet};

use config::{Act, Continent, CountryCode, PopId, Route, SiteId};
use fixedbitset::FixedBitSet;

use crate::address::Family;
use crate::place::Place;
use crate::rank::{Near, Ranker, keep};
use crate::runs::{Run, push};
use crate::topology::PopIndex;
use crate::unit::{Cause, List, Ranked};

/// Sites that the same rules apply to are one class; most networks have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// For each class, whether each rule applies to its sites.
    applies: Vec<Vec<bool>>,
    of: HashMap<SiteId, usize>,
}

/// Finds the classes of the sites.
#[must_use]
pub fn class_of_sites(routes: &[Route], sites: &[SiteId]) -> Classes {
    let everywhere = routes.iter().map(|route| route.sites.is_none()).collect();
    let mut classes = Classes { applies: vec![everywhere], of: HashMap::new() };
    for site in sites {
        let names = |route: &Route| route.sites.as_ref().is_none_or(|sites| sites.contains(site));
        let applies: Vec<bool> = routes.iter().map(names).collect();
        let known = classes.applies.iter().position(|known| *known == applies);
        let class = known.unwrap_or_else(|| {
            classes.applies.push(applies);
            classes.applies.len() - 1
        });
        classes.of.insert(site.clone(), class);
    }
    classes
}

impl Classes {
    /// The class of a site; one that no rule names is in the first.
    #[must_use]
    pub fn of(&self, site: &SiteId) -> usize {
        self.of.get(site).copied().unwrap_or(0)
    }

    /// Whether the same rules apply to the same classes, whatever sites are in them.
    #[must_use]
    pub fn are_alike(&self, other: &Self) -> bool {
        self.applies == other.applies
    }

    pub(crate) fn count(&self) -> usize {
        self.applies.len()
    }

    fn apply(&self, class: usize, rule: usize) -> bool {
        self.applies.get(class).and_then(|rules| rules.get(rule)).copied().unwrap_or(false)
    }
}

/// Rules with PoPs as numbers.
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Those without a prefix, in order.
    everywhere: Vec<u32>,
    asns: HashSet<u32>,
}

struct Rule {
    prefix: Option<config::Prefix>,
    asn: Option<u32>,
    country: Option<CountryCode>,
    continent: Option<Continent>,
    act: NumberedAct,
}

enum NumberedAct {
    Prefer(Vec<PopIndex>, FixedBitSet),
    Forbid(Vec<PopIndex>, FixedBitSet),
}

/// Which prefix rules hold on a run, in the order of the file.
pub(crate) type RuleSet = Vec<u32>;

impl Rules {
    /// Numbers the PoPs; a name that is no PoP's was refused by the config.
    pub(crate) fn new(routes: &[Route], pops: &[PopId]) -> Self {
        let index = |id: &PopId| pops.iter().position(|pop| pop == id).map(PopIndex::from_usize);
        let indices = |ids: &[PopId]| {
            let list: Vec<PopIndex> = ids.iter().filter_map(index).collect();
            let mut set = FixedBitSet::with_capacity(pops.len());
            list.iter().for_each(|pop| set.insert(pop.as_usize()));
            (list, set)
        };
        let prefer = |ids| {
            let (list, set) = indices(ids);
            NumberedAct::Prefer(list, set)
        };
        let forbid = |ids| {
            let (list, set) = indices(ids);
            NumberedAct::Forbid(list, set)
        };
        let rules = routes.iter().map(|route| Rule {
            prefix: route.prefix,
            asn: route.asn,
            country: route.country,
            continent: route.continent,
            act: match &route.act {
                Act::Pin(pop) => prefer(std::slice::from_ref(pop)),
                Act::Prefer(pops) => prefer(pops),
                Act::Forbid(pops) => forbid(pops),
            },
        });
        let everywhere = (0..).zip(routes).filter(|(_, route)| route.prefix.is_none()).map(|(number, _)| number);
        Self {
            rules: rules.collect(),
            everywhere: everywhere.collect(),
            asns: routes.iter().filter_map(|route| route.asn).collect(),
        }
    }

    /// AS numbers that a rule names; all others are alike.
    pub(crate) fn names_asn(&self, asn: u32) -> bool {
        self.asns.contains(&asn)
    }

    /// Where which rules hold with prefixes of at most this length: a sweep over their borders.
    pub(crate) fn runs(&self, family: Family, longest: u8) -> (Vec<RuleSet>, Vec<Run<u32>>) {
        let mut borders: Vec<(u64, bool, u32)> = Vec::new();
        for (number, rule) in (0_u32..).zip(&self.rules) {
            let Some((first, last)) =
                rule.prefix.filter(|prefix| prefix.length() <= longest).and_then(|prefix| keys(family, prefix))
            else {
                continue;
            };
            borders.push((first, true, number));
            if last < family.last() {
                borders.push((last + 1, false, number));
            }
        }
        borders.sort_unstable();
        let mut sets: Vec<RuleSet> = vec![Vec::new()];
        let mut known: HashMap<RuleSet, u32> = HashMap::from([(Vec::new(), 0)]);
        let mut runs = vec![Run { start: 0, value: 0 }];
        let mut active = BTreeSet::new();
        for (key, begins, number) in borders {
            if begins {
                active.insert(number);
            } else {
                active.remove(&number);
            }
            let set: RuleSet = active.iter().copied().collect();
            let index = *known.entry(set.clone()).or_insert_with(|| {
                sets.push(set);
                u32::try_from(sets.len() - 1).unwrap_or(0)
            });
            push(&mut runs, key, index);
        }
        (sets, runs)
    }

    /// First keys of the blocks with rules longer than any scope, in order.
    pub(crate) fn blocks_of_long(&self, family: Family) -> BTreeSet<u64> {
        let prefixes = self.rules.iter().filter_map(|rule| rule.prefix);
        let long = prefixes.filter(|prefix| prefix.length() > family.longest_scope());
        long.filter_map(|prefix| keys(family, prefix)).map(|(first, _)| first & !(family.block() - 1)).collect()
    }

    /// The list for a place under the rules that hold there: the first that matches counts. `near` is what
    /// is known without rules.
    pub(crate) fn list(
        &self,
        (classes, class): (&Classes, usize),
        set: &RuleSet,
        (place, asn): (Place, u32),
        (ranker, near): (&Ranker<'_>, &Near),
    ) -> List {
        let mut matching: Vec<u32> = self.everywhere.iter().chain(set).copied().collect();
        matching.sort_unstable();
        let country = place.country();
        let continent = country.and_then(Continent::of);
        for number in matching {
            let Some((index, rule)) =
                usize::try_from(number).ok().and_then(|index| Some((index, self.rules.get(index)?)))
            else {
                continue;
            };
            let holds = rule.asn.is_none_or(|wanted| wanted == asn)
                && rule.country.is_none_or(|wanted| country == Some(wanted))
                && rule.continent.is_none_or(|wanted| continent == Some(wanted))
                && classes.apply(class, index);
            if holds {
                let (ranked, forbidden) = rule.act.apply(place, ranker, &near.ranked);
                return List { ranked, forbidden, cause: Cause::Rule(number) };
            }
        }
        List { ranked: near.ranked.clone(), forbidden: Vec::new(), cause: near.cause }
    }
}

impl NumberedAct {
    /// The list under this act, and the PoPs that are forbidden.
    fn apply(&self, place: Place, ranker: &Ranker<'_>, near: &[Ranked]) -> (Vec<Ranked>, Vec<PopIndex>) {
        match self {
            Self::Prefer(first, set) => {
                let named = first.iter().map(|pop| Ranked { pop: *pop, cost: ranker.cost(place, *pop) });
                (keep(named.chain(ranker.nearest(place, set)).collect()), Vec::new())
            }
            Self::Forbid(never, set) => {
                let rest = ranker.nearest(place, set);
                if rest.is_empty() { (near.to_vec(), Vec::new()) } else { (rest, never.clone()) }
            }
        }
    }
}

/// First and last key of a prefix, if it is of the family; deeper than a key is the whole key.
fn keys(family: Family, prefix: config::Prefix) -> Option<(u64, u64)> {
    if Family::of(prefix.address()) != family {
        return None;
    }
    let first = Family::key(prefix.address());
    let free = family.bits().saturating_sub(prefix.length());
    let span = if free >= 64 { u64::MAX } else { (1_u64 << free) - 1 };
    Some((first, (first | span).min(family.last())))
}
