//! The map: what compiling costs, how fast look-ups are, how many answers resolvers must keep.
//!
//! `cargo xtask bench -p hither-benches --bench map -- [PoPs] [rules=N] [plot=FILE] [DATABASE...]`; without a database
//! the built-in countries. PoPs (12 unless told) of four edges each: the demo's, then where most people live; rules
//! by prefix, AS, country and continent, for all sites and for one. Costs are CPU seconds of the process. A plot
//! is of compiling and tables against PoPs and networks, as SVG.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that fails panics")]

#[path = "map/plot.rs"]
mod plot;

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use config::{Act, Continent, CountryCode, Geo, Location, PopId, Prefix, Route, SiteId};
use dns::geo::World;
use mapping::latency::Learned;
use mapping::{EdgeSpec, Family, Fitness, Geography, Inputs, Map, PopSpec, Run, Topology, Wanted};
use nix::time::{ClockId, clock_gettime};
use plot::Point;

fn main() -> ExitCode {
    // Cargo adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let value = |name: &str| arguments.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let rules: usize = value("rules").and_then(|count| count.parse().ok()).unwrap_or(0);
    let counts: Vec<usize> = arguments.iter().filter_map(|word| word.parse().ok()).collect();
    let files = arguments.iter().filter(|word| !word.contains('=') && word.parse::<usize>().is_err());
    let geo = Geo { database: files.map(PathBuf::from).collect(), asn: None, geofeed: Vec::new(), home: None };
    let start = cpu_seconds();
    let world = match dns::geo::load(&geo, None, SystemTime::now()) {
        Ok(world) => world,
        Err(problem) => {
            eprintln!("map: {}", problem.message);
            return ExitCode::FAILURE;
        }
    };
    let geography = &world.geography;
    println!(
        "read in {:.2} s: {} places, {} runs of IPv4, {} of IPv6",
        cpu_seconds() - start,
        geography.places.len(),
        geography.v4.len(),
        geography.v6.len()
    );
    if let Some(file) = value("plot") {
        return plot(&world, &counts, Path::new(file));
    }
    for count in if counts.is_empty() { vec![12] } else { counts } {
        measure(&world, count, rules);
    }
    println!("resident at most: {} MB", most_resident());
    one_read();
    health(&world);
    ExitCode::SUCCESS
}

/// From a verdict to the first answer by it, for 1,000 PoPs of four edges: all of them are judged anew.
fn health(world: &World) {
    let dir = tempfile::tempdir().unwrap();
    let write = |what: &str, text: &str| {
        let file = dir.path().join(what);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    let mut network = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n".to_owned();
    for (number, pop) in topology(world, 1_000).pops.iter().enumerate() {
        let Location { latitude, longitude } = pop.location;
        network += &format!("[[pop]]\nid = \"p{number}\"\nlocation = [{latitude:.4}, {longitude:.4}]\n");
        for edge in 0..4 {
            let (high, low) = (number / 250, number % 250);
            network += &format!("[[pop.edge]]\nid = \"p{number}-{edge}\"\naddresses = [\"10.{high}.{low}.{edge}\"]\n");
        }
    }
    write("hither.toml", &network);
    write("sites/shop.toml", "hosts = [\"www.shop.example\"]\n[origin]\nservers = [\"https://origin.shop.example\"]\n");
    let config = config::load(dir.path()).unwrap().config;
    let view = dns::View::build(&config, (&world.geography, &world.regions), &Arc::default(), None).unwrap();
    let fitness = view.fitness();
    let mut took: Vec<f64> = (0..200)
        .map(|_| {
            let start = Instant::now();
            fitness.store(Arc::new(fleet::unprobed_fitness(&config)));
            black_box(view.sent(0, [192, 0, 2, 1].into()));
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!("4,000 edges judged anew, and answered by it: {:.2} ms, {:.2} at worst", took[100], took[199]);
}

fn measure(world: &World, count: usize, rules: usize) {
    let topology = topology(world, count);
    let (map, seconds) = compile(&world.geography, world, &topology, rules);
    println!(
        "\n{count} PoPs, {rules} rules: compiled in {seconds:.2} s, {} units, tables of {} MB",
        map.units(),
        map.bytes() >> 20
    );
    for family in [Family::V4, Family::V6] {
        look_up(&map, world, family);
    }
    entries(&map, &topology, count);
}

/// A map, and what it cost.
fn compile(geography: &Geography, world: &World, topology: &Topology, rules: usize) -> (Map, f64) {
    let pops: Vec<PopId> =
        (0..topology.pops.len()).filter_map(|number| PopId::parse(&format!("p{number}")).ok()).collect();
    let site = SiteId::parse("shop").unwrap();
    let routes: Vec<Route> = (0..rules).map(|number| route(number, &pops, &site)).collect();
    let classes = mapping::class_of_sites(&routes, &[site, SiteId::parse("blog").unwrap()]);
    let home = Location { latitude: 50.0, longitude: 8.0 };
    let inputs = Inputs {
        topology,
        pops: &pops,
        geography,
        regions: &world.regions,
        home,
        routes: &routes,
        classes: &classes,
        learned: &Learned::default(),
    };
    let start = cpu_seconds();
    let map = mapping::compile(&inputs);
    (map, cpu_seconds() - start)
}

/// A rule as operators have them: most by prefix, some by country, continent and AS, every eighth for one site.
fn route(number: usize, pops: &[PopId], site: &SiteId) -> Route {
    let drawn = mix(number as u64);
    let pop = |turn: u32| pops[(drawn.rotate_left(turn) % pops.len() as u64) as usize].clone();
    let act = match drawn >> 60 {
        0..6 => Act::Pin(pop(7)),
        6..12 => Act::Prefer(vec![pop(7), pop(13)]),
        _ => Act::Forbid(vec![pop(7)]),
    };
    let mut route =
        Route { prefix: None, asn: None, country: None, continent: None, sites: None, act, line: number + 1 };
    match drawn % 16 {
        0 => route.country = CountryCode::parse(["DE", "FR", "BR", "IN", "US", "JP"][(drawn >> 32) as usize % 6]),
        1 => route.continent = Continent::of(CountryCode::parse("JP").unwrap()),
        2 => route.asn = Some((drawn >> 32) as u32 % 64_000),
        3..6 => {
            let address = Ipv6Addr::from((u128::from(drawn) << 64 & ((1 << 125) - 1)) | 0x2 << 124);
            route.prefix = Some(Prefix::around(address.into(), 32 + (drawn >> 8) as u8 % 17));
        }
        _ => {
            let address = Ipv4Addr::from((drawn >> 16) as u32);
            route.prefix = Some(Prefix::around(address.into(), 12 + (drawn >> 8) as u8 % 13));
        }
    }
    route.sites = (drawn >> 20).is_multiple_of(8).then(|| vec![site.clone()]);
    route
}

/// Draws what compiling costs, and how large tables are, by PoPs for more and fewer networks.
fn plot(world: &World, counts: &[usize], file: &Path) -> ExitCode {
    let counts = if counts.is_empty() { &[12, 40, 120, 400, 1_200, 4_000][..] } else { counts };
    let mut curves = Vec::new();
    for part in [1, 4, 16] {
        let geography = thinned(&world.geography, part);
        let networks = geography.v4.len() + geography.v6.len();
        let points = counts.iter().map(|count| {
            let (map, seconds) = compile(&geography, world, &topology(world, *count), 0);
            let megabytes = map.bytes() as f64 / 1e6;
            println!("{count} PoPs, {networks} networks: {seconds:.2} s, {megabytes:.0} MB");
            Point { pops: *count as f64, seconds, megabytes }
        });
        curves.push((format!("{:.1} million networks", networks as f64 / 1e6), points.collect::<Vec<_>>()));
    }
    match plot::draw(file, &curves) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("map: {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}

/// The same with one of so many runs.
fn thinned(geography: &Geography, part: usize) -> Geography {
    let thin = |runs: &[Run<u32>]| runs.iter().step_by(part).copied().collect();
    Geography {
        places: geography.places.clone(),
        v4: thin(&geography.v4),
        v6: thin(&geography.v6),
        asn_v4: Vec::new(),
        asn_v6: Vec::new(),
    }
}

/// The demo's places.
const PLACES: [(f64, f64); 12] = [
    (39.0438, -77.4874),
    (32.7831, -96.8067),
    (34.0522, -118.2437),
    (-23.5475, -46.6361),
    (51.5085, -0.1257),
    (50.1155, 8.6842),
    (-26.2023, 28.0436),
    (25.0772, 55.3093),
    (19.0728, 72.8826),
    (1.2897, 103.8501),
    (35.6895, 139.6917),
    (-33.8679, 151.2073),
];

/// PoPs at the demo's places, then at the most populated regions.
fn topology(world: &World, count: usize) -> Topology {
    let mut regions: Vec<_> = world.regions.iter().collect();
    regions.sort_by(|a, b| b.population.total_cmp(&a.population));
    let place = |number: usize| {
        if let Some((latitude, longitude)) = PLACES.get(number) {
            return Location { latitude: *latitude, longitude: *longitude };
        }
        let region = regions[number % regions.len()];
        // Further rounds lie beside the first.
        let aside = (number / regions.len()) as f64 * 0.3;
        Location { latitude: region.location.latitude, longitude: region.location.longitude + aside }
    };
    let pops = (0..count).map(|number| PopSpec {
        location: place(number),
        edges: number * 4..number * 4 + 4,
        beyond: Vec::new(),
    });
    let edge = |number: usize| EdgeSpec {
        hash: mix(number as u64),
        capacity: 10_000_000_000,
        v4: vec![[192, 0, 2, 1].into()],
        v6: vec!["2001:db8::1".parse().unwrap()],
    };
    Topology::new(pops.collect(), (0..count * 4).map(edge).collect())
}

/// Nanoseconds a look-up, at random over what the databases name, and again and again for few.
fn look_up(map: &Map, world: &World, family: Family) {
    let runs = match family {
        Family::V4 => &world.geography.v4,
        Family::V6 => &world.geography.v6,
    };
    let address = |number: u64| {
        let run = runs[(mix(number) % runs.len() as u64) as usize].start;
        family.address(run + mix(!number) % 256)
    };
    let random: Vec<_> = (0..1 << 20).map(address).collect();
    let mut by_pattern = Vec::new();
    for (name, addresses) in [("random", &random[..]), ("hot", &random[..64])] {
        let rounds = (4 << 20) / addresses.len();
        let start = Instant::now();
        for _ in 0..rounds {
            for address in addresses {
                black_box(map.find(black_box(*address), 24, 0));
            }
        }
        let nanoseconds = start.elapsed().as_nanos() as f64 / (rounds * addresses.len()) as f64;
        by_pattern.push(format!("{nanoseconds:.0} ns {name}"));
    }
    println!("  look-up {family:?}: {}", by_pattern.join(", "));
}

/// Nanoseconds of one read at random that the next waits for, in about as much memory as a full city database's tables
/// take: machines and their neighbours differ by it more than anything else here does.
fn one_read() {
    let memory: Vec<u64> = (0..1 << 24).map(mix).collect();
    let (start, reads) = (Instant::now(), 1 << 20);
    let last = (0..reads).fold(0, |at: u64, number| memory[((at ^ mix(number)) % memory.len() as u64) as usize]);
    black_box(last);
    println!("one read at random of 128 MiB: {:.0} ns", start.elapsed().as_nanos() as f64 / reads as f64);
}

/// How many answers a resolver must keep to know all of IPv4: by our scopes, at the least, echoing /24.
fn entries(map: &Map, topology: &Topology, count: usize) {
    let all_up = Fitness::all_up(topology.edges.len());
    let (needed, least) = count_entries(map, topology, &all_up);
    println!(
        "  answers to keep for IPv4: {needed} ({:.3} of the least), echoing /24 {:.1} times as many",
        needed as f64 / least as f64,
        f64::from(1 << 24) / needed as f64
    );
    let down = (0..count.min(12)).map(|pop| {
        let mut fitness = all_up.clone();
        for edge in topology.pops[pop].edges.clone() {
            fitness.mark_down(edge, Family::V4);
            fitness.mark_down(edge, Family::V6);
        }
        let (needed, least) = count_entries(map, topology, &fitness);
        needed as f64 / least as f64
    });
    let ratios: Vec<f64> = down.collect();
    println!(
        "  with one of the first {} PoPs down: {:.3} of the least on average, {:.3} at worst",
        ratios.len(),
        ratios.iter().sum::<f64>() / ratios.len() as f64,
        ratios.iter().copied().fold(0.0, f64::max)
    );
}

/// Scopes that cover IPv4, and the fewest prefixes in which answers differ as they do.
fn count_entries(map: &Map, topology: &Topology, fitness: &Fitness) -> (u64, u64) {
    let wanted = Wanted { site: 0, hash: 1, family: Family::V4, answers: 2, turn: 0 };
    let (mut needed, mut runs, mut key) = (0_u64, Vec::<(u64, u64)>::new(), 0_u64);
    let mut before = None;
    while key <= Family::V4.last() {
        let mapped = map.find(Family::V4.address(key), 24, 0).unwrap();
        let choice = mapping::choose(topology, fitness, mapped, None, wanted);
        let last = key | (u64::from(u32::MAX) >> choice.scope.min(31));
        needed += 1;
        let answer = Some(choice.chosen);
        match runs.last_mut() {
            Some(run) if answer == before => run.1 = last,
            _ => runs.push((key, last)),
        }
        before = answer;
        key = last + 1;
    }
    (needed, runs.into_iter().map(prefixes).sum())
}

/// Prefixes in the canonical cut of a run.
fn prefixes((first, last): (u64, u64)) -> u64 {
    let (mut key, mut count) = (first, 0);
    while key <= last {
        let aligned = if key == 0 { 32 } else { key.trailing_zeros() };
        let fitting = (last - key + 1).ilog2();
        key += 1 << aligned.min(fitting);
        count += 1;
    }
    count
}

/// SplitMix64.
fn mix(seed: u64) -> u64 {
    let x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap();
    time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9
}

/// The most memory the process has held, MB.
fn most_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024 / 1_000_000
}
