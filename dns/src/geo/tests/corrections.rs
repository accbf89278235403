//! What the operator knows better than databases.

use super::*;

#[test]
fn a_geofeed_corrects_countries_and_leaves_finer_places() {
    let dir = tempfile::tempdir().unwrap();
    let city = point(10, &[("country", map(&[("iso_code", "DE".into())]))]);
    let networks = [("192.0.2.0/24", city), ("198.51.100.0/24", country("FR")), ("2001:db8::/32", country("FR"))];
    let places = write(&dir, "places.mmdb", &database(IpVersion::V6, &networks));
    let feed = "192.0.2.0/24,DE\n198.51.100.0/24,JP\n198.51.100.128/25,US\n2001:db8:1::/48,JP\n198.51.100.0/26,QQ\n";
    let feed = write(&dir, "feed.csv", feed.as_bytes());
    let before = read(&geo(&[&places])).unwrap();
    let world = read(&Geo { geofeed: vec![feed], ..geo(&[&places]) }).unwrap();
    for (address, expected) in [
        ("192.0.2.7", place(&before, "192.0.2.7").as_str()),
        ("198.51.100.7", "FR"),
        ("198.51.100.77", "JP"),
        ("198.51.100.200", "US"),
        ("2001:db8:1::7", "JP"),
        ("2001:db8:2::7", "FR"),
    ] {
        assert_eq!(place(&world, address), expected, "{address}");
    }
}

#[test]
fn round_trips_that_light_cannot_do_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "hither.toml",
        "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n[[pop]]\nid = \"syd\"\n\
         location = [-33.9, 151.2]\n[[pop.edge]]\nid = \"syd-1\"\naddresses = [\"192.0.2.1\"]\n",
    );
    // Somewhere in Germany says little; the point of the database is 16,000 km from Sydney.
    write("latency/a.csv", "prefix,pop,rtt_ms\n192.0.2.0/24,syd,170\n192.0.2.0/24,syd,28.1\n198.51.100.0/24,syd,28\n");
    let config = config::load(dir.path()).unwrap().config;
    let world = world(IpVersion::V4, &[("192.0.2.0/24", point(10, &[])), ("198.51.100.0/24", country("DE"))]);
    let said: Vec<String> = crate::impossible_round_trips(&config, &world).iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("latency/a.csv:3:1: 28.1 ms from 192.0.2.0/24 to syd cannot be"), "{said:?}");
}
