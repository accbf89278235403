use super::*;
use crate::PopIndex;
use crate::latency::{Histogram, Measured, Observed};
use crate::{Cause, Fitness, PlaceIndex, class_of_sites};
use config::{Act, CountryCode, Prefix, SiteId};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// PoPs on the equator, ten degrees apart, one edge each; every other has IPv6 too.
fn topology(pops: usize) -> (Topology, Vec<PopId>) {
    let mut specs = Vec::new();
    let mut edges = Vec::new();
    let mut ids = Vec::new();
    for index in 0..pops {
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let location = Location { latitude: 0.0, longitude: index as f64 * 10.0 };
        let v6 = if index % 2 == 1 { vec!["2001:db8::1".parse().unwrap()] } else { Vec::new() };
        let edge = crate::EdgeSpec { hash: index as u64, capacity: 1, v4: vec![[192, 0, 2, 1].into()], v6 };
        edges.push(edge);
        let mut beyond: Vec<usize> = (0..pops).filter(|other| *other != index).collect();
        beyond.sort_by_key(|other| other.abs_diff(index));
        let beyond = beyond.into_iter().map(crate::PopIndex::from_usize).collect();
        specs.push(crate::PopSpec { location, edges: index..index + 1, beyond });
        ids.push(PopId::parse(&format!("p{index}")).unwrap());
    }
    (Topology::new(specs, edges), ids)
}

fn point(longitude: i16, country: &str) -> Place {
    Place::Point { latitude: 0, longitude: longitude * 10, country: CountryCode::parse(country) }
}

/// A list of runs as `start, place`.
type Starts = Vec<(u64, PlaceIndex)>;

/// A map of these runs; the other family's clients are at the first place.
fn build(family: Family, runs: &[(u64, PlaceIndex)], places: Vec<Place>, routes: &[Route]) -> (Map, Topology) {
    build_learned(family, runs, places, routes, &Learned::default())
}

fn build_learned(
    family: Family,
    runs: &[(u64, PlaceIndex)],
    places: Vec<Place>,
    routes: &[Route],
    learned: &Learned,
) -> (Map, Topology) {
    let (topology, pops) = topology(4);
    let runs = runs.iter().map(|(start, value)| Run { start: *start, value: *value }).collect();
    let other = vec![Run { start: 0, value: 0 }];
    let (v4, v6) = if family == Family::V4 { (runs, other) } else { (other, runs) };
    let geography = Geography { places, v4, v6, asn_v4: Vec::new(), asn_v6: Vec::new() };
    let classes = class_of_sites(routes, &[SiteId::parse("shop").unwrap(), SiteId::parse("blog").unwrap()]);
    let home = Location { latitude: 0.0, longitude: 0.0 };
    let inputs = Inputs {
        topology: &topology,
        pops: &pops,
        geography: &geography,
        regions: &[],
        home,
        routes,
        classes: &classes,
        learned,
    };
    (compile(&inputs), topology)
}

fn best(map: &Map, address: &str, bits: u8, class: usize) -> usize {
    map.find(address.parse().unwrap(), bits, class).unwrap().list.ranked[0].pop.as_usize()
}

fn route(prefix: &str, act: Act) -> Route {
    Route {
        prefix: Some(Prefix::parse(prefix).unwrap()),
        asn: None,
        country: None,
        continent: None,
        sites: None,
        act,
        line: 1,
    }
}

fn pop(id: &str) -> PopId {
    PopId::parse(id).unwrap()
}

#[test]
fn the_nearest_pop_is_best_and_neighbours_share_a_scope() {
    let places = vec![point(1, "AA"), point(29, "BB"), point(28, "BB")];
    let (map, _) = build(Family::V4, &[(0, 0), (0x0a00_0000, 1), (0x0a80_0000, 2), (0x0b00_0000, 0)], places, &[]);
    assert_eq!(best(&map, "9.0.0.1", 32, 0), 0);
    assert_eq!(best(&map, "10.1.1.1", 32, 0), 3);
    let mapped = map.find("10.1.1.1".parse().unwrap(), 24, 0).unwrap();
    assert_eq!((mapped.scopes.first, mapped.scopes.whole), (8, 9), "both halves have one best PoP but two costs");
}

#[test]
fn the_first_matching_rule_counts_for_its_sites() {
    let shop = Some(vec![SiteId::parse("shop").unwrap()]);
    let mut only_shop = route("10.0.0.0/8", Act::Pin(pop("p2")));
    only_shop.sites.clone_from(&shop);
    let country = Route {
        prefix: None,
        asn: None,
        country: CountryCode::parse("AA"),
        continent: None,
        sites: None,
        act: Act::Forbid(vec![pop("p0")]),
        line: 1,
    };
    let rules = [only_shop, route("10.1.0.0/16", Act::Prefer(vec![pop("p3"), pop("p1")])), country];
    let (map, _) = build(Family::V4, &[(0, 0)], vec![point(0, "AA")], &rules);
    let classes = class_of_sites(&rules, &[SiteId::parse("shop").unwrap(), SiteId::parse("blog").unwrap()]);
    let (shop, blog) = (classes.of(&SiteId::parse("shop").unwrap()), classes.of(&SiteId::parse("blog").unwrap()));
    assert_eq!(best(&map, "10.1.0.1", 24, shop), 2, "the first rule that matches");
    assert_eq!(best(&map, "10.1.0.1", 24, blog), 3);
    assert_eq!(best(&map, "10.2.0.1", 24, blog), 1, "the country's rule forbids the nearest");
    let list = map.find("10.1.0.1".parse().unwrap(), 24, blog).unwrap().list;
    assert_eq!(list.ranked.iter().map(|r| r.pop.as_usize()).collect::<Vec<_>>(), [3, 1, 0, 2]);
    assert_eq!(list.cause, Cause::Rule(1));
}

#[test]
fn a_rule_longer_than_a_scope_binds_only_who_tells_enough() {
    let (map, _) = build(Family::V4, &[(0, 0)], vec![point(0, "AA")], &[route("10.0.0.128/25", Act::Pin(pop("p3")))]);
    assert_eq!(best(&map, "10.0.0.200", 32, 0), 3);
    assert_eq!(best(&map, "10.0.0.200", 24, 0), 0, "a /24 source does not tell");
    assert_eq!(best(&map, "10.0.0.1", 32, 0), 0);
    assert_eq!(map.find("10.0.0.200".parse().unwrap(), 32, 0).unwrap().scopes.first, 25);
    assert_eq!(
        map.find("10.0.1.1".parse().unwrap(), 24, 0).unwrap().scopes.first,
        24,
        "no wider scope covers the block"
    );
    for (family, rule, inside, block) in [
        (Family::V4, "10.0.0.0/25", "10.0.0.7", "10.0.0.7"),
        (Family::V4, "10.0.0.0/32", "10.0.0.0", "10.0.0.0"),
        (Family::V6, "2001:db8::/64", "2001:db8::7", "2001:db8::7"),
        (Family::V6, "2001:db8::53/128", "2001:db8::53", "2001:db8::53"),
    ] {
        let (map, _) = build(family, &[(0, 0)], vec![point(0, "AA")], &[route(rule, Act::Pin(pop("p3")))]);
        assert_eq!(best(&map, inside, 128, 0), 3, "{rule}");
        assert_eq!(best(&map, block, family.longest_scope(), 0), 0, "{rule}: a block's source does not tell");
    }
    // Of a source that is wider than the rule nothing can be said to all in it.
    let (map, _) = build(Family::V4, &[(0, 0)], vec![point(0, "AA")], &[route("10.0.0.0/28", Act::Pin(pop("p3")))]);
    assert_eq!([25, 28, 32].map(|bits| best(&map, "10.0.0.0", bits, 0)), [0, 3, 3]);
}

#[test]
fn no_scope_covers_addresses_that_are_mapped_as_ipv4() {
    let (map, _) = build(Family::V6, &[(0, 0)], vec![point(0, "AA")], &[]);
    for (address, scope) in [
        ("2001:db8::", 5..=15),
        ("2003::", 16..=16),
        ("2002:5b00::", 16..=16),
        ("64:ff9b::", 56..=56),
        ("::", 56..=56),
        ("64:ff9b:0:100::", 56..=56),
        ("ffff::", 1..=1),
    ] {
        let told = map.find(address.parse().unwrap(), 56, 0).unwrap().scopes.first;
        assert!(scope.contains(&told), "{address}: {told}");
    }
}

/// Six places, each with PoPs at distances of its own.
const LONGITUDES: [i16; 6] = [0, 4, 6, 14, 16, 30];

fn places() -> Vec<Place> {
    LONGITUDES.iter().map(|longitude| point(*longitude, "AA")).collect()
}

/// Where the runs of the properties begin: IPv4 under 10.0.0.0, IPv6 under 2001:db8::.
fn base(family: Family) -> u64 {
    match family {
        Family::V4 => 0x0a00_0000,
        Family::V6 => 0x2001_0db8_0000_0000,
    }
}

/// Runs from offsets after the base; what lies outside is at the first place.
fn starts(family: Family, offsets: &BTreeMap<u64, PlaceIndex>, width: u64) -> Starts {
    let mut list = vec![(0, 0)];
    list.extend(offsets.iter().map(|(offset, place)| (base(family) + offset, *place)));
    list.push((base(family) + width, 0));
    list
}

/// A rule around a block after the base: so many bits shorter than the longest scope.
#[derive(Clone, Debug)]
struct Drawn {
    block: u64,
    shorter: u8,
    act: Act,
    sites: Option<Vec<SiteId>>,
}

impl Drawn {
    fn length(&self, family: Family) -> u8 {
        family.longest_scope() - self.shorter
    }

    fn route(&self, family: Family) -> Route {
        let address = family.address(base(family) + self.block * family.block());
        let prefix = Prefix::around(address, self.length(family)).to_string();
        Route { sites: self.sites.clone(), ..route(&prefix, self.act.clone()) }
    }
}

/// Rules within `blocks` blocks after the base, up to `shorter` bits wide of a block.
fn rules(blocks: u64, shorter: u8) -> impl Strategy<Value = Vec<Drawn>> {
    let pops = || proptest::sample::subsequence(vec![pop("p0"), pop("p1"), pop("p2"), pop("p3")], 1..=4);
    let act = prop_oneof![
        (0_usize..4).prop_map(|number| Act::Pin(pop(&format!("p{number}")))),
        pops().prop_shuffle().prop_map(Act::Prefer),
        pops().prop_shuffle().prop_map(Act::Forbid),
    ];
    let sites = proptest::option::of(Just(vec![SiteId::parse("shop").unwrap()]));
    let drawn = (0..blocks, 0..=shorter, act, sites);
    let drawn = drawn.prop_map(|(block, shorter, act, sites)| Drawn { block, shorter, act, sites });
    proptest::collection::vec(drawn, 0..6)
}

/// The place of a key by walking the runs; an IPv4 block goes to who has most of it, the first of equals.
fn naive_place(family: Family, runs: &Starts, key: u64) -> usize {
    let of_key = |key: u64| runs.iter().rfind(|(start, _)| *start <= key).unwrap().1 as usize;
    if family == Family::V6 {
        return of_key(key);
    }
    let block: Vec<usize> = (0..256).map(|host| of_key((key & !255) + host)).collect();
    let count = |place: usize| block.iter().filter(|other| **other == place).count();
    let most = block.iter().map(|place| count(*place)).max().unwrap();
    *block.iter().find(|place| count(**place) == most).unwrap()
}

/// The best PoP and why, by walking runs and rules.
fn naive(family: Family, runs: &Starts, rules: &[Drawn], site: &SiteId, key: u64) -> (usize, Cause) {
    let longitude = LONGITUDES[naive_place(family, runs, key)];
    let mut nearest = [0_usize, 1, 2, 3];
    nearest.sort_by_key(|pop| (i16::try_from(*pop).unwrap() * 10 - longitude).abs());
    let number = |id: &PopId| id.as_str().trim_start_matches('p').parse::<usize>().unwrap();
    for (rule, drawn) in (0..).zip(rules) {
        let outside = family.bits() - drawn.length(family);
        let block = base(family) + drawn.block * 256;
        if key >> outside != block >> outside || !drawn.sites.as_ref().is_none_or(|sites| sites.contains(site)) {
            continue;
        }
        let best = match &drawn.act {
            Act::Pin(pop) => number(pop),
            Act::Prefer(pops) => number(&pops[0]),
            Act::Forbid(pops) => {
                let never: Vec<usize> = pops.iter().map(number).collect();
                nearest.iter().copied().find(|pop| !never.contains(pop)).unwrap_or(nearest[0])
            }
        };
        return (best, Cause::Rule(rule));
    }
    (nearest[0], Cause::Geography)
}

/// The map says what a walk says, at these keys and around every border.
fn equals_a_naive_scan(family: Family, runs: &Starts, drawn: &[Drawn], keys: &[u64]) -> Result<(), TestCaseError> {
    let routes: Vec<Route> = drawn.iter().map(|drawn| drawn.route(family)).collect();
    let (map, _) = build(family, runs, places(), &routes);
    let sites = [SiteId::parse("shop").unwrap(), SiteId::parse("blog").unwrap()];
    let classes = class_of_sites(&routes, &sites);
    let prefixes = routes.iter().filter_map(|route| route.prefix);
    let ends = prefixes.flat_map(|prefix| {
        let first = Family::key(prefix.address());
        [first, first + (1 << (family.bits() - prefix.length()))]
    });
    let borders: Vec<u64> = runs.iter().map(|run| run.0).chain(ends).collect();
    let around = borders.iter().flat_map(|key| [key.saturating_sub(1), *key, key + 1]);
    for key in keys.iter().copied().chain(around).chain([0, family.last()]) {
        for (site, bits) in sites.iter().zip([family.longest_scope(), 128]) {
            let mapped = map.find(family.address(key), bits, classes.of(site)).unwrap();
            let said = mapped.list.ranked.first().map(|ranked| (ranked.pop.as_usize(), mapped.list.cause));
            prop_assert_eq!(said, Some(naive(family, runs, drawn, site, key)), "{} {}", family.address(key), site);
        }
    }
    Ok(())
}

/// At every instant, for every fitness, scopes form a partition and the answer is constant in each.
fn scopes_form_a_partition(
    family: Family,
    runs: &Starts,
    drawn: &[Drawn],
    learned: &Learned,
    drawn_up: &Up,
) -> Result<(), TestCaseError> {
    let routes: Vec<Route> = drawn.iter().map(|drawn| drawn.route(family)).collect();
    let (map, topology) = build_learned(family, runs, places(), &routes, learned);
    let mut fitness = Fitness::all_up(4);
    for (edge, up) in drawn_up.iter().enumerate() {
        let families = [Family::V4, Family::V6].into_iter().zip(up);
        families.filter(|(_, up)| !**up).for_each(|(family, _)| fitness.mark_down(edge, family));
    }
    let key_of = |block: u64| base(family) + block * family.block();
    for wanted in [Family::V4, Family::V6] {
        let answer = |block: u64| {
            let mapped = map.find(family.address(key_of(block)), family.longest_scope(), 0).unwrap();
            let wanted = crate::Wanted { site: 0, hash: 1, family: wanted, answers: 2, turn: 0 };
            let choice = crate::choose(&topology, &fitness, mapped, None, wanted);
            (choice.scope, choice.chosen)
        };
        let answers: Vec<_> = (0..512).map(answer).collect();
        for (block, (scope, chosen)) in (0..).zip(&answers) {
            prop_assert!(*scope <= family.longest_scope());
            prop_assert!(wanted == Family::V6 || *chosen != crate::Chosen::NoAddress, "{}", block);
            let beyond = u64::MAX.checked_shr(u32::from(64 - family.bits() + scope)).unwrap_or(0);
            let covered = key_of(block) & !beyond..=key_of(block) | beyond;
            for (other, answer) in (0..).zip(&answers).filter(|(other, _)| covered.contains(&key_of(*other))) {
                prop_assert_eq!(answer, &(*scope, chosen.clone()), "{} and {}", block, other);
            }
        }
    }
    Ok(())
}

/// Two neighbours have one PoP left, and differ only in who comes when that is down.
#[test]
fn neighbours_that_fall_back_differently_have_scopes_of_their_own() {
    let forbid =
        |block, pops: [&str; 3]| Drawn { block, shorter: 0, act: Act::Forbid(pops.map(pop).to_vec()), sites: None };
    let drawn = [forbid(0, ["p1", "p2", "p3"]), forbid(1, ["p3", "p2", "p1"])];
    let runs = starts(Family::V4, &BTreeMap::new(), 256);
    let up = vec![[false; 2], [true; 2], [true; 2], [true; 2]];
    scopes_form_a_partition(Family::V4, &runs, &drawn, &Learned::default(), &up).unwrap();
}

/// Whether each edge answers in IPv4 and in IPv6.
type Up = Vec<[bool; 2]>;

fn up() -> impl Strategy<Value = Up> {
    proptest::collection::vec(any::<[bool; 2]>(), 4)
}

/// By place, what is measured to each PoP: milliseconds, and how often from each prefix.
type Seen = Vec<[Option<(f64, u16)>; 4]>;

fn seen() -> impl Strategy<Value = Seen> {
    let one = || proptest::option::of((1.0_f64..200.0, 1_u16..20));
    proptest::collection::vec([one(), one(), one(), one()], LONGITUDES.len())
}

/// What such round trips from twenty prefixes of each place teach.
fn learned_of(seen: &Seen) -> Learned {
    let (topology, _) = topology(4);
    let pops: Vec<(Location, f64)> = topology.pops.iter().map(|pop| (pop.location, 1.0)).collect();
    let histogram = |(ms, times): (f64, u16)| {
        let mut histogram = Histogram::default();
        histogram.add(ms, times);
        histogram
    };
    let measured: Vec<Measured> = seen
        .iter()
        .map(|by_pop| {
            let seen = by_pop.iter().enumerate();
            seen.filter_map(|(pop, seen)| Some((PopIndex::from_usize(pop), histogram((*seen)?)))).collect()
        })
        .collect();
    let observed = places().into_iter().zip(LONGITUDES).zip(&measured).flat_map(|((place, longitude), measured)| {
        let location = Location { latitude: 0.0, longitude: f64::from(longitude) };
        std::iter::repeat_n(Observed { place, location, asn: 0, measured }, 20)
    });
    crate::latency::learn(&pops, &[], &observed.collect::<Vec<_>>(), &Learned::default())
}

/// Offsets of runs at the borders of blocks.
fn at_borders(blocks: u64) -> impl Strategy<Value = BTreeMap<u64, PlaceIndex>> {
    proptest::collection::btree_map((0..blocks).prop_map(|block| block * 256), 0_u32..6, 1..40)
}

proptest! {
    /// Whatever was measured: each PoP is in a list once, and a group's list begins with where the group goes.
    #[test]
    fn lists_of_what_was_learned_are_whole(seen in seen()) {
        let learned = learned_of(&seen);
        let offsets = (0..6).map(|place| (u64::from(place) * 256, place)).collect();
        let (map, _) =
            build_learned(Family::V4, &starts(Family::V4, &offsets, 6 * 256), places(), &[], &learned);
        for (number, place) in (0..).zip(places()) {
            let list = map.find(Family::V4.address(base(Family::V4) + number * 256), 24, 0).unwrap().list;
            let mut pops: Vec<usize> = list.ranked.iter().map(|ranked| ranked.pop.as_usize()).collect();
            let (_, group) = learned.group_of(place, 0).unwrap();
            let nearest = (LONGITUDES[usize::try_from(number).unwrap()] + 5) / 10;
            let is_theirs = usize::try_from(nearest).unwrap() == group.expected.as_usize();
            prop_assert!(!is_theirs || pops[0] == group.current.as_usize(), "{:?} {:?}", pops, group);
            prop_assert!(list.ranked[1..].is_sorted_by_key(|ranked| ranked.cost));
            pops.sort_unstable();
            prop_assert_eq!(pops, [0, 1, 2, 3]);
            prop_assert_eq!(list.cause, Cause::Latency(u32::try_from(learned.group_of(place, 0).unwrap().0).unwrap()));
        }
    }

    #[test]
    fn an_ipv4_lookup_equals_a_naive_scan(
        at_borders in at_borders(64),
        inside in proptest::collection::btree_map(0_u64..64 * 256, 0_u32..6, 0..40),
        drawn in rules(64, 16),
        near in proptest::collection::vec(0_u64..80 * 256, 20),
        far in proptest::collection::vec(any::<u32>(), 20),
    ) {
        let offsets = at_borders.into_iter().chain(inside).collect();
        let keys: Vec<u64> = near.iter().map(|offset| base(Family::V4) + offset).chain(far.into_iter().map(u64::from)).collect();
        equals_a_naive_scan(Family::V4, &starts(Family::V4, &offsets, 64 * 256), &drawn, &keys)?;
    }

    #[test]
    fn an_ipv6_lookup_equals_a_naive_scan(
        offsets in at_borders(1 << 20),
        drawn in rules(1 << 20, 40),
        near in proptest::collection::vec(0_u64..1 << 29, 20),
        far in proptest::collection::vec(any::<u64>(), 20),
    ) {
        let keys: Vec<u64> = near.iter().map(|offset| base(Family::V6) + offset).chain(far).collect();
        equals_a_naive_scan(Family::V6, &starts(Family::V6, &offsets, 256 << 20), &drawn, &keys)?;
    }

    #[test]
    fn ipv4_scopes_form_a_partition_for_any_fitness(
        offsets in at_borders(512), drawn in rules(512, 8), seen in seen(), up in up(),
    ) {
        let learned = learned_of(&seen);
        scopes_form_a_partition(Family::V4, &starts(Family::V4, &offsets, 512 * 256), &drawn, &learned, &up)?;
    }

    #[test]
    fn ipv6_scopes_form_a_partition_for_any_fitness(
        offsets in at_borders(512), drawn in rules(512, 8), seen in seen(), up in up(),
    ) {
        let learned = learned_of(&seen);
        scopes_form_a_partition(Family::V6, &starts(Family::V6, &offsets, 512 * 256), &drawn, &learned, &up)?;
    }
}
