//! The built-in countries send known addresses to the nearest PoP.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use dns::View;
use mapping::Family;

/// Of the addresses in `data/nearest.csv`, so many must reach their nearest PoP with countries alone.
const LEAST: usize = 30;

#[test]
fn the_built_in_countries_find_the_nearest_pop() {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo");
    let dir = tempfile::tempdir().unwrap();
    crate::support::copy_dir(demo.as_ref(), dir.path());
    // The pins of loopback prefixes say nothing about the world; the token is not needed to look.
    std::fs::remove_file(dir.path().join("routes.toml")).unwrap();
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    std::fs::write(dir.path().join("secrets/admin.token"), "0123456789abcdef").unwrap();
    let config = config::load(dir.path()).unwrap().config;
    let world = dns::geo::load(&config.network.geo, None, SystemTime::now()).unwrap();
    let view = View::build(&config, (&world.geography, &world.regions), &Arc::default(), None).unwrap();
    let lines = include_str!("../data/nearest.csv").lines().filter(|line| !line.starts_with('#'));
    let (mut all, mut right) = (0, 0);
    for line in lines {
        let [address, place, country, expected] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let address: IpAddr = address.parse().unwrap();
        let found = view.explain("shop.cdn.example", address, Family::V4).unwrap().pop.unwrap();
        all += 1;
        if found == expected {
            right += 1;
        } else {
            println!("{address} ({place}, {country}): {found}, nearest is {expected}");
        }
    }
    println!("nearest PoP for {right} of {all} addresses");
    assert!(all == 37 && right >= LEAST, "{right} of {all}");
}
