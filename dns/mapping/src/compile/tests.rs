use super::*;
use crate::{Fitness, PlaceIndex, class_of_sites};
use config::{Act, CountryCode, Prefix, SiteId};
use proptest::prelude::*;

/// PoPs on the equator, ten degrees apart, one edge each.
fn topology(pops: usize) -> (Topology, Vec<PopId>) {
    let mut topology = Topology::default();
    let mut ids = Vec::new();
    for index in 0..pops {
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let location = Location { latitude: 0.0, longitude: index as f64 * 10.0 };
        let edge = crate::EdgeSpec { hash: index as u64, capacity: 1, v4: vec![[192, 0, 2, 1].into()], v6: Vec::new() };
        topology.edges.push(edge);
        topology.pops.push(crate::PopSpec { location, edges: index..index + 1, beyond: Vec::new() });
        ids.push(PopId::parse(&format!("p{index}")).unwrap());
    }
    (topology, ids)
}

fn point(longitude: i16, country: &str) -> Place {
    Place::Point { latitude: 0, longitude: longitude * 10, country: CountryCode::parse(country) }
}

fn build(runs: &[(u64, PlaceIndex)], places: Vec<Place>, routes: &[Route]) -> (Map, Topology) {
    let (topology, pops) = topology(4);
    let v4 = runs.iter().map(|(start, value)| Run { start: *start, value: *value }).collect();
    let v6 = vec![Run { start: 0, value: 0 }];
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
    };
    (compile(&inputs), topology)
}

fn best(map: &Map, address: &str, bits: u8, class: usize) -> usize {
    map.find(address.parse().unwrap(), bits, class).unwrap().list.ranked[0].pop.as_usize()
}

fn route(prefix: &str, act: Act) -> Route {
    Route { prefix: Some(Prefix::parse(prefix).unwrap()), asn: None, country: None, sites: None, act }
}

fn pop(id: &str) -> PopId {
    PopId::parse(id).unwrap()
}

#[test]
fn the_nearest_pop_is_best_and_neighbours_share_a_scope() {
    let places = vec![point(1, "AA"), point(29, "BB"), point(28, "BB")];
    let (map, _) = build(&[(0, 0), (0x0a00_0000, 1), (0x0a80_0000, 2), (0x0b00_0000, 0)], places, &[]);
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
        sites: None,
        act: Act::Forbid(vec![pop("p0")]),
    };
    let rules = [only_shop, route("10.1.0.0/16", Act::Prefer(vec![pop("p3"), pop("p1")])), country];
    let (map, _) = build(&[(0, 0)], vec![point(0, "AA")], &rules);
    let classes = class_of_sites(&rules, &[SiteId::parse("shop").unwrap(), SiteId::parse("blog").unwrap()]);
    let (shop, blog) = (classes.of(&SiteId::parse("shop").unwrap()), classes.of(&SiteId::parse("blog").unwrap()));
    assert_eq!(best(&map, "10.1.0.1", 24, shop), 2, "the first rule that matches");
    assert_eq!(best(&map, "10.1.0.1", 24, blog), 3);
    assert_eq!(best(&map, "10.2.0.1", 24, blog), 1, "the country's rule forbids the nearest");
    let list = map.find("10.1.0.1".parse().unwrap(), 24, blog).unwrap().list;
    assert_eq!(list.ranked.iter().map(|r| r.pop.as_usize()).collect::<Vec<_>>(), [3, 1, 0, 2]);
    assert_eq!(list.cause, crate::Cause::Rule(1));
}

#[test]
fn a_rule_longer_than_a_scope_binds_only_who_tells_enough() {
    let (map, _) = build(&[(0, 0)], vec![point(0, "AA")], &[route("10.0.0.128/25", Act::Pin(pop("p3")))]);
    assert_eq!(best(&map, "10.0.0.200", 32, 0), 3);
    assert_eq!(best(&map, "10.0.0.200", 24, 0), 0, "a /24 source does not tell");
    assert_eq!(best(&map, "10.0.0.1", 32, 0), 0);
    assert_eq!(map.find("10.0.0.200".parse().unwrap(), 32, 0).unwrap().scopes.first, 25);
    assert_eq!(
        map.find("10.0.1.1".parse().unwrap(), 24, 0).unwrap().scopes.first,
        24,
        "no wider scope covers the block"
    );
}

proptest! {
    /// At every instant, for every fitness, scopes form a partition and the answer is constant in each.
    #[test]
    fn scopes_form_a_partition_for_any_fitness(
        runs in proptest::collection::btree_map(0_u64..512, 0_u32..6, 1..40),
        rules in proptest::collection::vec((0_u64..512, 16_u8..=24, 0_usize..4), 0..4),
        up in proptest::collection::vec(any::<bool>(), 4),
    ) {
        // 512 blocks of /24 under 10.0.0.0/15, other addresses at the first place.
        let base = 0x0a00_0000_u64;
        let mut list = vec![(0, 0)];
        for (block, place) in &runs { list.push((base + block * 256, *place)); }
        list.push((base + 512 * 256, 0));
        list.dedup_by_key(|run| run.0);
        let places = vec![point(0, "AA"), point(4, "AA"), point(6, "BB"), point(14, "BB"), point(16, "CC"), point(30, "CC")];
        let rules: Vec<Route> = rules.iter().map(|(block, length, to)| {
            let address = Family::V4.address(base + block * 256);
            route(&Prefix::around(address, *length).to_string(), Act::Pin(pop(&format!("p{to}"))))
        }).collect();
        let (map, topology) = build(&list, places, &rules);
        let mut fitness = Fitness::all_up(4);
        for (edge, up) in up.iter().enumerate() { fitness.set_up(edge, Family::V4, *up); }
        let answer = |block: u64| {
            let mapped = map.find(Family::V4.address(base + block * 256), 24, 0).unwrap();
            let wanted = crate::Wanted { site: 0, hash: 1, family: Family::V4, answers: 2, turn: 0 };
            let choice = crate::choose(&topology, &fitness, mapped, wanted);
            (choice.scope, choice.chosen)
        };
        for block in 0..512 {
            let (scope, chosen) = answer(block);
            prop_assert!(scope <= 24);
            let first = (base + block * 256) & !((1_u64 << (32 - scope)) - 1);
            let last = first + ((1_u64 << (32 - scope)) - 1);
            for other in 0..512 {
                let key = base + other * 256;
                if (first..=last).contains(&key) {
                    prop_assert_eq!(answer(other), (scope, chosen.clone()), "{} and {}", block, other);
                }
            }
        }
    }
}
