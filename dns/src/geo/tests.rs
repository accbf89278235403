use super::*;
use config::{Act, Location, PopId, Route, Severity, SiteId};
use mapping::{Cause, EdgeSpec, Family, Place, PopSpec, Run, Topology};
use mmdb_writer::{IpVersion, RecordSize, Value, Writer, ipnet::IpNet};
use std::path::Path;
use std::time::Duration;

/// What the metadata of a database begins with.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

fn database(version: IpVersion, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut writer = Writer::builder("Test").ip_version(version).build();
    for (network, record) in networks {
        writer.insert_value(network.parse::<IpNet>().unwrap(), record.clone()).unwrap();
    }
    writer.to_bytes().unwrap()
}

fn write(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn geo(database: &[&PathBuf]) -> Geo {
    Geo { database: database.iter().copied().cloned().collect(), asn: None, geofeed: Vec::new(), home: None }
}

fn read(geo: &Geo) -> Result<World, Problem> {
    load(geo, None, SystemTime::now())
}

/// A world of one database.
fn world(version: IpVersion, networks: &[(&str, Value)]) -> World {
    let dir = tempfile::tempdir().unwrap();
    read(&geo(&[&write(&dir, "test.mmdb", &database(version, networks))])).unwrap()
}

fn at<T: Copy>(v4: &[Run<T>], v6: &[Run<T>], address: &str) -> T {
    let address = address.parse().unwrap();
    let (runs, key) = (if Family::of(address) == Family::V4 { v4 } else { v6 }, Family::key(address));
    runs[runs.partition_point(|run| run.start <= key) - 1].value
}

/// The place of an address, shown shortly: `DE`, `50.1,8.7 DE`, `home`.
fn place(world: &World, address: &str) -> String {
    let geography = &world.geography;
    let index = at(&geography.v4, &geography.v6, address);
    match geography.places[usize::try_from(index).unwrap()] {
        Place::Home => "home".to_owned(),
        Place::Country(country) => country.to_string(),
        Place::Point { latitude, longitude, country } => {
            let country = country.map(|country| format!(" {country}")).unwrap_or_default();
            format!("{},{}{country}", f64::from(latitude) / 10.0, f64::from(longitude) / 10.0)
        }
    }
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::map(entries.iter().cloned())
}

/// A record of a country alone, as MaxMind's databases nest it.
fn country(code: &str) -> Value {
    map(&[("country", map(&[("iso_code", code.into())]))])
}

/// A record with a point as MaxMind's databases nest it.
fn point(radius: u16, more: &[(&str, Value)]) -> Value {
    let location = map(&[("latitude", 50.11.into()), ("longitude", 8.68.into()), ("accuracy_radius", radius.into())]);
    Value::merge_top_level(&map(&[("location", location)]), &map(more))
}

#[test]
fn a_place_is_read_from_both_schemas() {
    let de = || ("country", map(&[("iso_code", "DE".into())]));
    let city = || ("city", map(&[("geoname_id", 2_925_533_u32.into())]));
    let named = || ("city", map(&[("names", map(&[("en", "Frankfurt".into())]))]));
    let flat = |city: &str, latitude: Value| {
        let point = [("latitude", latitude), ("longitude", Value::Float(8.68))];
        Value::merge_top_level(&map(&point), &map(&[("country_code", "DE".into()), ("city", city.into())]))
    };
    for (record, expected) in [
        (country("DE"), "DE"),
        (map(&[("registered_country", map(&[("iso_code", "DE".into())]))]), "DE"),
        (map(&[("country_code", "DE".into())]), "DE"),
        (point(20, &[de(), city()]), "50.1,8.7 DE"),
        (point(20, &[de(), named()]), "50.1,8.7 DE"),
        (point(499, &[de(), city()]), "50.1,8.7 DE"),
        (point(500, &[de(), city()]), "DE"),
        (point(20, &[de()]), "DE"),
        (point(20, &[]), "50.1,8.7"),
        (flat("Frankfurt", Value::Float(50.11)), "50.1,8.7 DE"),
        (flat("Frankfurt", Value::Double(50.11)), "50.1,8.7 DE"),
        (flat("", Value::Float(50.11)), "DE"),
        (flat("Nowhere", Value::Float(f32::NAN)), "DE"),
        (flat("Nowhere", Value::Float(90.5)), "DE"),
    ] {
        let networks = [("192.0.2.0/24", record.clone()), ("2001:db8::/32", record.clone())];
        let world = world(IpVersion::V6, &networks);
        for address in ["192.0.2.7", "2001:db8::7"] {
            assert_eq!(place(&world, address), expected, "{address}: {record:?}");
        }
    }
}

#[test]
fn families_may_lie_in_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let v4 = write(&dir, "v4.mmdb", &database(IpVersion::V4, &[("192.0.2.0/24", country("DE"))]));
    let v6 = write(&dir, "v6.mmdb", &database(IpVersion::V6, &[("2001:db8::/32", country("JP"))]));
    for files in [[&v4, &v6], [&v6, &v4]] {
        let world = read(&geo(&files)).unwrap();
        assert_eq!((place(&world, "192.0.2.7").as_str(), place(&world, "2001:db8::7").as_str()), ("DE", "JP"));
    }
}

#[test]
fn every_width_of_records_is_read() {
    for width in [RecordSize::Bits24, RecordSize::Bits28, RecordSize::Bits32] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::builder("Test").record_size(width).build();
        writer.insert_value("192.0.2.0/24".parse::<IpNet>().unwrap(), country("DE")).unwrap();
        writer.insert_value("198.51.100.0/24".parse::<IpNet>().unwrap(), country("JP")).unwrap();
        let world = read(&geo(&[&write(&dir, "test.mmdb", &writer.to_bytes().unwrap())])).unwrap();
        assert_eq!((place(&world, "192.0.2.7").as_str(), place(&world, "198.51.100.7").as_str()), ("DE", "JP"));
    }
}

#[test]
fn the_first_database_that_knows_an_address_counts() {
    let dir = tempfile::tempdir().unwrap();
    let first = database(IpVersion::V6, &[("192.0.2.0/25", country("DE")), ("2001:db8:1::/48", country("DE"))]);
    let second = database(IpVersion::V6, &[("192.0.2.0/24", country("JP")), ("2001:db8::/32", country("JP"))]);
    let (first, second) = (write(&dir, "first.mmdb", &first), write(&dir, "second.mmdb", &second));
    let world = read(&geo(&[&first, &second])).unwrap();
    for (address, expected) in
        [("192.0.2.7", "DE"), ("192.0.2.200", "JP"), ("2001:db8:1::7", "DE"), ("2001:db8:2::7", "JP")]
    {
        assert_eq!(place(&world, address), expected, "{address}");
    }
    assert_eq!(place(&read(&geo(&[&second, &first])).unwrap(), "192.0.2.7"), "JP");
    assert_eq!(geo(&[&first, &second]).files().collect::<Vec<_>>(), [&first, &second]);
}

#[test]
fn what_is_odd_in_a_record_costs_nothing_else_of_it() {
    let city = map(&[("geoname_id", 7_u32.into()), ("names", map(&[("en", "Zuerich".into())]))]);
    let record =
        point(20, &[("country", map(&[("iso_code", "CH".into()), ("names", "Schweiz".into())])), ("city", city)]);
    let whole = map(&[("latitude", 50_u16.into()), ("longitude", 9_u32.into()), ("city", "x".into())]);
    let mut bytes = database(IpVersion::V4, &[("192.0.2.0/25", record), ("192.0.2.128/25", whole)]);
    // In Latin-1, as some make them.
    let at = bytes.windows(7).position(|window| window == b"Zuerich").unwrap();
    bytes[at + 1] = 0xfc;
    let at = bytes.windows(7).position(|window| window == b"Schweiz").unwrap();
    bytes[at] = 0xff;
    let dir = tempfile::tempdir().unwrap();
    let world = read(&geo(&[&write(&dir, "test.mmdb", &bytes)])).unwrap();
    assert_eq!(place(&world, "192.0.2.1"), "50.1,8.7 CH");
    assert_eq!(place(&world, "192.0.2.129"), "50,9", "whole degrees are degrees");
}

#[test]
fn a_country_without_regions_is_as_unknown() {
    let world = world(
        IpVersion::V4,
        &[("203.0.0.0/24", country("DE")), ("203.0.1.0/24", country("XX")), ("203.0.3.0/24", country("JP"))],
    );
    // The gap, from 203.0.1.0 to 203.0.2.255, goes half to each neighbour.
    for (address, expected) in
        [("203.0.0.7", "DE"), ("203.0.1.7", "DE"), ("203.0.2.7", "JP"), ("203.0.3.7", "JP"), ("1.2.3.4", "DE")]
    {
        assert_eq!(place(&world, address), expected, "{address}");
    }
}

#[test]
fn private_and_loopback_addresses_are_home() {
    let world =
        world(IpVersion::V6, &[("0.0.0.0/0", country("DE")), ("2000::/3", country("JP")), ("fc00::/6", country("JP"))]);
    for (address, expected) in [
        ("9.255.255.255", "DE"),
        ("10.0.0.0", "home"),
        ("10.255.255.255", "home"),
        ("100.64.0.1", "home"),
        ("100.128.0.0", "DE"),
        ("127.0.0.1", "home"),
        ("169.254.1.1", "home"),
        ("172.16.0.1", "home"),
        ("172.32.0.0", "DE"),
        ("192.168.1.1", "home"),
        ("192.169.0.0", "DE"),
        ("::1", "home"),
        ("fc00::1", "home"),
        ("fdff::1", "home"),
        ("fe80::1", "home"),
        ("2001:db8::1", "JP"),
    ] {
        assert_eq!(place(&world, address), expected, "{address}");
    }
}

#[test]
fn the_built_in_countries_know_the_registries() {
    let world = read(&geo(&[])).unwrap();
    for (address, expected) in [("193.0.6.139", "NL"), ("199.43.0.47", "US"), ("2001:67c:2e8:22::c100:68b", "NL")] {
        assert_eq!(place(&world, address), expected, "{address}");
    }
    assert_eq!(geo(&[]).files().count(), 0);
}

#[test]
fn a_route_holds_for_its_as_number() {
    let dir = tempfile::tempdir().unwrap();
    let asn = |number: u32| map(&[("autonomous_system_number", number.into())]);
    let numbers = database(IpVersion::V6, &[("192.0.2.0/24", asn(64_500)), ("2001:db8::/32", asn(64_501))]);
    let places = database(IpVersion::V6, &[("0.0.0.0/0", country("DE")), ("2000::/3", country("DE"))]);
    let places = write(&dir, "places.mmdb", &places);
    let world = read(&Geo { asn: Some(write(&dir, "asn.mmdb", &numbers)), ..geo(&[&places]) }).unwrap();
    let geography = &world.geography;
    for (address, expected) in [("192.0.2.7", 64_500), ("192.0.3.7", 0), ("2001:db8::7", 64_501), ("2001:db9::", 0)] {
        assert_eq!(at(&geography.asn_v4, &geography.asn_v6, address), expected, "{address}");
    }
    let pops = ["near", "far"].map(|id| PopId::parse(id).unwrap());
    let route = |asn: u32| Route {
        prefix: None,
        asn: Some(asn),
        country: None,
        continent: None,
        sites: None,
        act: Act::Pin(pops[1].clone()),
        line: 1,
    };
    let routes = [route(64_500), route(64_501)];
    let pop = |longitude: f64, edge: usize| PopSpec {
        location: Location { latitude: 50.0, longitude },
        edges: edge..edge + 1,
        beyond: Vec::new(),
    };
    let edge = EdgeSpec { hash: 1, capacity: 1, v4: vec![[192, 0, 2, 1].into()], v6: Vec::new() };
    let topology = Topology::new(vec![pop(8.0, 0), pop(140.0, 1)], vec![edge.clone(), edge]);
    let learned = mapping::latency::Learned::default();
    let inputs = mapping::Inputs {
        learned: &learned,
        topology: &topology,
        pops: &pops,
        geography,
        regions: &world.regions,
        home: Location { latitude: 50.0, longitude: 8.0 },
        routes: &routes,
        classes: &mapping::class_of_sites(&routes, &[SiteId::parse("shop").unwrap()]),
    };
    let map = mapping::compile(&inputs);
    for (address, bits, pop, cause) in [
        ("192.0.2.7", 24, 1, Cause::Rule(0)),
        ("192.0.3.7", 24, 0, Cause::Geography),
        ("2001:db8::7", 56, 1, Cause::Rule(1)),
        ("2001:db9::", 56, 0, Cause::Geography),
    ] {
        let list = map.find(address.parse().unwrap(), bits, 0).unwrap().list;
        assert_eq!((list.ranked[0].pop.as_usize(), list.cause), (pop, cause), "{address}");
    }
}

/// A database that is whole, and small.
fn small() -> Vec<u8> {
    database(IpVersion::V6, &[("192.0.2.0/24", country("DE")), ("2001:db8::/32", point(20, &[]))])
}

/// Where the metadata begins.
fn metadata_at(bytes: &[u8]) -> usize {
    bytes.windows(MARKER.len()).position(|window| window == MARKER).unwrap()
}

fn refused(path: &Path, result: Result<World, Problem>, what: &str) {
    let problem = result.err().unwrap_or_else(|| panic!("{what} is taken"));
    let start = format!("the geo database {} cannot be used: ", path.display());
    assert!(problem.message.starts_with(&start) && problem.message.len() > start.len(), "{what}: {problem}");
    assert_eq!(problem.severity, Severity::Fault, "{what}");
}

#[test]
fn a_broken_database_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let good = small();
    let metadata = metadata_at(&good);
    // The length of `DE` now points beyond the file.
    let mut bad_record = good.clone();
    let code = good.windows(3).position(|window| window == b"\x42DE").unwrap();
    bad_record[code] = 0x5f;
    let (path, whole) = (write(&dir, "city.mmdb", &good), write(&dir, "whole.mmdb", &good));
    let before = read(&geo(&[&path])).unwrap();
    for (what, bytes) in [
        ("an empty file", &[][..]),
        ("a file cut in its tree", &good[..100]),
        ("a file cut before its metadata", &good[..metadata]),
        ("a file cut in its metadata", &good[..good.len() - 20]),
        ("garbage", &b"<html>404 Not Found</html>".repeat(1_000)),
        ("a record that makes no sense", &bad_record),
        ("metadata alone", &good[metadata..]),
        ("a marker alone", MARKER),
    ] {
        write(&dir, "city.mmdb", bytes);
        refused(&path, load(&geo(&[&path]), Some(&before), SystemTime::now()), what);
        let asn = Geo { asn: Some(path.clone()), ..geo(&[&whole]) };
        refused(&path, load(&asn, Some(&before), SystemTime::now()), what);
    }
    std::fs::remove_file(&path).unwrap();
    refused(&path, load(&geo(&[&path]), Some(&before), SystemTime::now()), "a missing file");
    let folder = dir.path().to_owned();
    refused(&folder, load(&geo(&[&folder]), Some(&before), SystemTime::now()), "a folder");
}

#[test]
fn a_database_that_says_nothing_of_what_it_is_for_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let asn = map(&[("autonomous_system_number", 64_500_u32.into())]);
    let asn = write(&dir, "asn.mmdb", &database(IpVersion::V6, &[("192.0.2.0/24", asn)]));
    let city = write(&dir, "city.mmdb", &small());
    let empty = write(&dir, "empty.mmdb", &database(IpVersion::V6, &[]));
    refused(&asn, read(&geo(&[&city, &asn])), "AS numbers for places");
    refused(&city, read(&Geo { asn: Some(city.clone()), ..geo(&[&city]) }), "places for AS numbers");
    refused(&empty, read(&geo(&[&empty])), "no network at all");
}

#[test]
fn no_truncation_and_no_flipped_byte_panics() {
    let dir = tempfile::tempdir().unwrap();
    let good = small();
    let try_to_load = |bytes: &[u8]| {
        let path = write(&dir, "city.mmdb", bytes);
        match read(&geo(&[&path])) {
            Ok(world) => place(&world, "192.0.2.7").len(),
            Err(problem) => {
                assert!(problem.message.contains("city.mmdb"), "{problem}");
                0
            }
        }
    };
    assert_eq!(try_to_load(&good), 2);
    for length in 0..good.len() {
        try_to_load(&good[..length]);
    }
    for position in 0..good.len() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[position] ^= flip;
            try_to_load(&bytes);
        }
    }
}

/// A database with these nodes as its tree, 24 bits a record.
fn with_tree(version: u16, nodes: &[[u32; 2]]) -> Vec<u8> {
    let good = Writer::builder("Test").ip_version(if version == 4 { IpVersion::V4 } else { IpVersion::V6 }).build();
    let good = good.to_bytes().unwrap();
    let mut bytes: Vec<u8> =
        nodes.iter().flatten().flat_map(|record| record.to_be_bytes().into_iter().skip(1)).collect();
    bytes.extend([0; 16]);
    bytes.extend([0xe0, 0, 0, 0]);
    // The number of nodes is the only number of 32 bits in the metadata: its control byte tells its length.
    let mut metadata = good[metadata_at(&good)..].to_vec();
    let at = metadata.windows(10).position(|window| window == b"node_count").unwrap() + 10;
    let length = usize::from(metadata[at] & 0x1f);
    let count = u32::try_from(nodes.len()).unwrap().to_be_bytes();
    metadata.splice(at..=at + length, [0xc4].into_iter().chain(count));
    bytes.extend(metadata);
    bytes
}

#[test]
fn a_tree_whose_walk_does_not_end_is_refused() {
    // Each node names the next one twice: 2^31 and 2^127 ways to the end.
    let doubled = |depth: u32| (1..=depth).map(|next| [next, next]).collect::<Vec<_>>();
    // The same below the IPv4 branch's other names, which readers pass over one by one.
    let mut passed_over = doubled(96);
    passed_over.push([97, 97]);
    for (what, bytes) in [
        ("a circle", with_tree(4, &[[1, 2], [2, 0]])),
        ("a node within itself", with_tree(6, &[[0, 1]])),
        ("branches doubled, IPv4", with_tree(4, &doubled(31))),
        ("branches doubled, IPv6", with_tree(6, &doubled(127))),
        ("branches passed over", with_tree(6, &passed_over)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = write(&dir, "city.mmdb", &bytes);
        let problem = read(&geo(&[&path])).err().unwrap_or_else(|| panic!("{what} is taken"));
        assert!(problem.message.contains("search tree"), "{what}: {problem}");
    }
}

#[test]
fn a_tree_with_other_names_for_its_ipv4_branch_is_whole() {
    // v4-mapped, 6to4 and Teredo addresses lead to the same branch.
    let networks: Vec<String> = (0..1_000).map(|number| format!("81.{}.{}.0/24", number / 250, number % 250)).collect();
    let records = [country("DE"), country("JP")];
    let networks: Vec<(&str, Value)> = networks
        .iter()
        .zip(records.iter().cycle())
        .map(|(network, record)| (network.as_str(), record.clone()))
        .collect();
    let world = world(IpVersion::V6, &networks);
    assert_eq!((place(&world, "81.0.0.7").as_str(), place(&world, "81.3.249.7").as_str()), ("DE", "JP"));
}

#[test]
fn unchanged_files_are_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, "city.mmdb", &small());
    let before = read(&geo(&[&path])).unwrap();
    let after = load(&geo(&[&path]), Some(&before), SystemTime::now()).unwrap();
    assert!(Arc::ptr_eq(&before.geography, &after.geography));

    write(&dir, "city.mmdb", &database(IpVersion::V6, &[("192.0.2.0/24", country("JP"))]));
    let after = load(&geo(&[&path]), Some(&before), SystemTime::now()).unwrap();
    assert_eq!((place(&before, "192.0.2.7").as_str(), place(&after, "192.0.2.7").as_str()), ("DE", "JP"));

    let other = write(&dir, "other.mmdb", &small());
    let after = load(&geo(&[&path, &other]), Some(&after), SystemTime::now()).unwrap();
    assert_eq!(place(&after, "2001:db8::7"), "50.1,8.7", "a file more is a change");
}

#[test]
fn a_database_older_than_half_a_year_warns() {
    let dir = tempfile::tempdir().unwrap();
    let built = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut writer = Writer::builder("Test").build_epoch(built).build();
    writer.insert_value("192.0.2.0/24".parse::<IpNet>().unwrap(), country("DE")).unwrap();
    let path = write(&dir, "old.mmdb", &writer.to_bytes().unwrap());
    let day = Duration::from_secs(86_400);
    for (age, warned) in [(Duration::ZERO, false), (day * 180, false), (day * 181, true)] {
        let warnings = load(&geo(&[&path]), None, built + age).unwrap().warnings;
        let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), usize::from(warned), "{age:?}: {said:?}");
        assert!(said.iter().all(|said| said.contains("old.mmdb is 181 days old")), "{said:?}");
        assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
    }
}

#[test]
fn a_database_older_than_the_one_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let of_day = |day: u64| {
        let built = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + day * 86_400);
        let mut writer = Writer::builder("Test").build_epoch(built).build();
        writer.insert_value("192.0.2.0/24".parse::<IpNet>().unwrap(), country("DE")).unwrap();
        writer.to_bytes().unwrap()
    };
    let path = write(&dir, "city.mmdb", &of_day(5));
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_701_000_000);
    let before = load(&geo(&[&path]), None, now).unwrap();
    write(&dir, "city.mmdb", &of_day(3));
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(now).unwrap();
    let said = load(&geo(&[&path]), Some(&before), now).unwrap_err().to_string();
    assert!(said.contains("city.mmdb is 2 days older than the one in use"), "{said}");
    // A start takes it, and another name.
    load(&geo(&[&path]), None, now).unwrap();
    let other = write(&dir, "other.mmdb", &of_day(3));
    load(&geo(&[&other]), Some(&before), now).unwrap();
    write(&dir, "city.mmdb", &of_day(6));
    load(&geo(&[&path]), Some(&before), now).unwrap();
}

/// Reads the mmdb files under the folder that `HITHER_MMDB_SAMPLES` names: MaxMind's collection of
/// broken ones, say.
#[test]
fn every_sample_is_read_or_refused() {
    let Some(folder) = std::env::var_os("HITHER_MMDB_SAMPLES").map(PathBuf::from).filter(|folder| folder.is_dir())
    else {
        println!("skipped: HITHER_MMDB_SAMPLES names no folder of mmdb files");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let whole = write(&dir, "whole.mmdb", &small());
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "mmdb") {
                for geo in [geo(&[&path]), Geo { asn: Some(path.clone()), ..geo(&[&whole]) }] {
                    match read(&geo) {
                        Ok(world) => println!("{}: {} places", path.display(), world.geography.places.len()),
                        Err(problem) => println!("{}", problem.message),
                    }
                }
            }
        }
    }
}

mod corrections;
