use super::*;
use proptest::prelude::*;

fn at(latitude: f64, longitude: f64) -> Location {
    Location { latitude, longitude }
}

fn pop(number: usize) -> PopIndex {
    PopIndex::from_usize(number)
}

/// Two PoPs, ten degrees apart on the equator.
const POPS: [(Location, f64); 2] =
    [(Location { latitude: 0.0, longitude: 0.0 }, 1.0), (Location { latitude: 0.0, longitude: 10.0 }, 1.0)];

/// So many prefixes two degrees from the first PoP, each with these round trips of each PoP.
fn measured(prefixes: usize, round_trips: &[(usize, f64, u16)]) -> Vec<Measured> {
    let one = |_| {
        let mut measured = Measured::new();
        for (number, milliseconds, times) in round_trips {
            measured.entry(pop(*number)).or_default().add(*milliseconds, *times);
        }
        measured
    };
    (0..prefixes).map(one).collect()
}

fn observed(measured: &[Measured]) -> Vec<Observed<'_>> {
    let location = at(0.0, 2.0);
    let one = |measured| Observed { place: Place::at(location, None), location, asn: 0, measured };
    measured.iter().map(one).collect()
}

fn here(learned: &Learned) -> &Group {
    learned.group_of(Place::at(at(0.0, 2.0), None), 0).unwrap().1
}

#[test]
fn a_group_goes_where_it_is_quickest_and_stays_there() {
    let before = measured(20, &[(0, 90.0, 5), (1, 30.0, 5)]);
    let learned = learn(&POPS, &[], &observed(&before), &Learned::default());
    let group = here(&learned);
    assert_eq!((group.expected, group.current, group.prefixes), (pop(0), pop(1), 20));
    // About the same now: what is the same is no reason to move back.
    let after = measured(20, &[(0, 29.0, 5), (1, 30.0, 5)]);
    assert_eq!(here(&learn(&POPS, &[], &observed(&after), &learned)).current, pop(1));
    assert_eq!(here(&learn(&POPS, &[], &observed(&after), &Learned::default())).current, pop(0));
}

#[test]
fn a_country_goes_where_the_map_sends_its_people() {
    let country = CountryCode::parse("US").unwrap();
    let region = |longitude, population| Region { country, population, location: at(0.0, longitude) };
    // Most live near the first PoP, and the middle of all is near the second.
    let regions = [region(0.0, 6.0), region(12.0, 5.0)];
    let measured = measured(20, &[(0, 90.0, 5), (1, 30.0, 5)]);
    let one = |measured| Observed { place: Place::Country(country), location: at(0.0, 5.6), asn: 0, measured };
    let observed: Vec<Observed<'_>> = measured.iter().map(one).collect();
    let learned = learn(&POPS, &regions, &observed, &Learned::default());
    let (_, group) = learned.group_of(Place::Country(country), 0).unwrap();
    assert_eq!((group.expected, group.current), (pop(0), pop(1)));
}

#[test]
fn no_edge_is_nearer_than_light_in_fibre() {
    // Twenty degrees are 2,224 km, and some 21 ms there and back.
    let pops = [(at(0.0, 2.0), 1.0), (at(0.0, 22.0), 1.0)];
    let lie = measured(20, &[(0, 12.0, 5), (1, 1.0, 1_000)]);
    let learned = learn(&pops, &[], &observed(&lie), &Learned::default());
    let group = here(&learned);
    assert_eq!(group.current, pop(0));
    let believed = group.estimate(pop(1)).unwrap().milliseconds();
    assert!((18.0..24.0).contains(&believed), "{believed}");
}

#[test]
fn few_prefixes_are_no_group() {
    let few = measured(19, &[(0, 90.0, 50), (1, 30.0, 50)]);
    assert_eq!(learn(&POPS, &[], &observed(&few), &Learned::default()).groups(), []);
}

#[test]
fn an_as_of_its_own_is_a_group_of_its_own() {
    let (slow, quick) = (measured(20, &[(0, 90.0, 5), (1, 30.0, 5)]), measured(20, &[(0, 15.0, 5)]));
    let mut all = observed(&slow);
    all.iter_mut().for_each(|observed| observed.asn = 64_500);
    all.extend(observed(&quick));
    let learned = learn(&POPS, &[], &all, &Learned::default());
    let place = Place::at(at(0.0, 2.0), None);
    assert_eq!(learned.group_of(place, 64_500).unwrap().1.current, pop(1));
    assert_eq!(learned.group_of(place, 64_501).unwrap().1.key.asn, None);
    assert_eq!(learned.group_of(Place::at(at(40.0, 2.0), None), 64_500), None, "elsewhere nothing was learned");
}

#[test]
fn what_is_not_known_is_tried_and_what_is_known_is_not() {
    let one = measured(20, &[(0, 90.0, 50)]);
    let group = here(&learn(&POPS, &[], &observed(&one), &Learned::default())).clone();
    assert_eq!(group.trial.map(|trial| trial.pop), Some(pop(1)));
    let both = measured(20, &[(0, 20.0, 500), (1, 90.0, 500)]);
    assert_eq!(here(&learn(&POPS, &[], &observed(&both), &Learned::default())).trial, None);
}

proptest! {
    #[test]
    fn no_samples_break_learning(
        pops in proptest::collection::vec((-90.0_f64..90.0, -180.0_f64..180.0, 0.5_f64..3.0), 0..6),
        seen in proptest::collection::vec(
            (0_usize..9, -90.0_f64..90.0, -180.0_f64..180.0, prop_oneof![Just(f64::NAN), Just(0.0), 0.1_f64..1e9], any::<u16>()),
            0..60),
    ) {
        let pops: Vec<(Location, f64)> =
            pops.into_iter().map(|(latitude, longitude, stretch)| (at(latitude, longitude), stretch)).collect();
        let measured: Vec<Measured> = seen.iter().map(|(number, _, _, milliseconds, times)| {
            let mut measured = Measured::new();
            measured.entry(pop(*number)).or_default().add(*milliseconds, *times);
            measured
        }).collect();
        let observed: Vec<Observed<'_>> = seen.iter().zip(&measured).map(|((_, latitude, longitude, _, _), measured)| {
            // Few places, so that there are groups.
            let location = at((latitude / 60.0).round() * 60.0, (longitude / 120.0).round() * 120.0);
            Observed { place: Place::at(location, None), location, asn: 0, measured }
        }).collect();
        let mut learned = Learned::default();
        for _ in 0..3 {
            let next = learn(&pops, &[], &observed, &learned);
            for group in next.groups() {
                prop_assert!(group.current.as_usize() < pops.len());
                prop_assert!(group.candidates.iter().all(|candidate| candidate.pop.as_usize() < pops.len()));
                prop_assert!(group.candidates.iter().all(|candidate| candidate.estimate.mean.is_finite()));
            }
            prop_assert_eq!(&learn(&pops, &[], &observed, &learned), &next, "the same again");
            learned = next;
        }
    }
}
