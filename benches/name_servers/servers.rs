//! The servers: each with the same zone, the same places of clients, and one core.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::queries::{Kind, NAMES, SITES};
use crate::world::{POPS, World};

/// A server that runs.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
}

/// Writes a server's config to its directory; how to start it, if it is installed.
type Start = fn(&Path, &World) -> Option<Command>;

/// The zone but for its routed name.
const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 1 7200 900 1209600 60\n@ NS ns1\nns1 A 127.0.0.1\nwww A 192.0.2.1\n";
/// The core of servers; the generator has the other.
const CORE: &str = "0";

impl Server {
    /// Starts the servers of these names, every one where there are none; what is not installed is left out, and told.
    pub(crate) fn all(dir: &Path, world: &World, only: &[String]) -> Vec<Self> {
        let starts: [(&'static str, Start); 10] = [
            ("bare loop", bare),
            ("bare by one", bare_by_one),
            ("hither", hither),
            ("hither signed", hither_signed),
            ("hither large", hither_large),
            ("gdnsd", gdnsd),
            ("Knot", knot),
            ("NSD", nsd),
            ("PowerDNS", powerdns),
            ("BIND", bind),
        ];
        let is_known = |name: &String| starts.iter().any(|(known, _)| known == name);
        assert!(only.iter().all(is_known), "servers are {:?}", starts.map(|(name, _)| name));
        let mut servers = Vec::new();
        for (name, command) in
            starts.into_iter().filter(|(name, _)| only.is_empty() || only.iter().any(|one| one == name))
        {
            let home = dir.join(name.replace(' ', "-"));
            fs::create_dir_all(&home).unwrap();
            let Some(mut command) = command(&home, world) else {
                println!("{name} is not installed: left out");
                continue;
            };
            let log = fs::File::create(home.join("log")).unwrap();
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let child = command.spawn().unwrap();
            // BIND listens on addresses that an interface has: of 127/8 only one.
            let host = if name == "BIND" { 0 } else { 3 };
            let address = SocketAddr::from(([127, 0, host, 1], port(name)));
            let server = Self { name, address, child };
            server.wait(&home);
            servers.push(server);
        }
        servers
    }

    fn wait(&self, home: &Path) {
        let query = Kind::Plain.queries().remove(0);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            let _ = socket.send_to(&query, self.address);
            if socket.recv(&mut [0; 512]).is_ok() {
                return;
            }
        }
        panic!("{} does not answer:\n{}", self.name, fs::read_to_string(home.join("log")).unwrap_or_default());
    }

    /// Seconds of CPU used so far.
    pub(crate) fn cpu_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks = |at: usize| after.split_whitespace().nth(at).and_then(|field| field.parse::<f64>().ok());
        // Fields 14 and 15 of proc(5), in hundredths of a second.
        (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        match (kind, self.name) {
            // They have no geography.
            (Kind::Geo, "NSD" | "BIND" | "bare by one") => false,
            // Beside what the same server does without.
            (Kind::Signed, "hither" | "hither signed") | (Kind::Edns | Kind::Many, "hither large") => true,
            (Kind::Signed | Kind::Many, _) | (_, "hither signed" | "hither large") => false,
            _ => true,
        }
    }

    /// Whether it is asked by TCP too.
    pub(crate) fn has_tcp(&self) -> bool {
        !matches!(self.name, "bare loop" | "bare by one" | "hither signed" | "hither large")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port(name: &str) -> u16 {
    5_400 + name.bytes().map(u16::from).sum::<u16>() % 500
}

fn pinned(program: &str) -> Option<Command> {
    let found = ["/usr/sbin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(program)).find(|path| path.exists());
    let path = if program.starts_with('/') { Some(program.into()) } else { found };
    let mut command = Command::new("taskset");
    command.args(["-c", CORE]).arg(path?);
    Some(command)
}

fn bare(_: &Path, _: &World) -> Option<Command> {
    bare_as("bare", "bare loop")
}

/// One datagram by each system call.
fn bare_by_one(_: &Path, _: &World) -> Option<Command> {
    bare_as("bare-one", "bare by one")
}

fn bare_as(argument: &str, name: &str) -> Option<Command> {
    let own = std::env::current_exe().unwrap();
    let mut command = pinned(own.to_str().unwrap())?;
    command.args([argument, &format!("127.0.3.1:{}", port(name))]);
    Some(command)
}

fn hither(home: &Path, world: &World) -> Option<Command> {
    hither_with("hither", "", ZONE, 1, (home, world))
}

/// With every zone signed.
fn hither_signed(home: &Path, world: &World) -> Option<Command> {
    let command = hither_with("hither signed", "dnssec = true\n", ZONE, 1, (home, world))?;
    let keys = Command::new(hither_program()).args(["-C", home.to_str()?, "keys", "create"]).output().unwrap();
    assert!(keys.status.success(), "{}", String::from_utf8_lossy(&keys.stderr));
    Some(command)
}

/// With as many names and sites as [`Kind::Many`] asks for.
fn hither_large(home: &Path, world: &World) -> Option<Command> {
    let names: String = (0..NAMES).map(|number| format!("n{number} A 192.0.2.1\n")).collect();
    hither_with("hither large", "", &format!("{ZONE}{names}"), SITES, (home, world))
}

fn hither_program() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/hither")
}

fn hither_with(name: &str, dns: &str, zone: &str, sites: usize, (home, world): (&Path, &World)) -> Option<Command> {
    let program = hither_program();
    if !program.exists() {
        return None;
    }
    let port = port(name);
    let pops: String = POPS
        .iter()
        .zip(1..)
        .map(|((id, latitude, longitude), number)| {
            format!(
                "[[pop]]\nid = \"{id}\"\nlocation = [{latitude}, {longitude}]\nadmin_state = \"forced\"\n\
                 [[pop.edge]]\nid = \"{id}-1\"\naddresses = [\"192.0.{number}.1\"]\n\
                 [[pop.edge]]\nid = \"{id}-2\"\naddresses = [\"192.0.{number}.2\"]\n"
            )
        })
        .collect();
    let text = format!(
        "zone = \"cdn.bench.example\"\nstate = \"state\"\n[admin]\nlisten = \"127.0.3.1:{}\"\n[geo]\ndatabase = [{:?}]\n\
         [dns]\nrate_limit = 0\n{dns}\
         [[nameserver]]\nid = \"ns1\"\naddresses = [\"127.0.3.1\"]\nlisten = [\"127.0.3.1:{port}\"]\n{pops}",
        port + 1_000,
        world.path()
    );
    fs::create_dir_all(home.join("sites")).unwrap();
    fs::create_dir_all(home.join("zones")).unwrap();
    fs::write(home.join("hither.toml"), text).unwrap();
    for number in 0..sites {
        let host = if number == 0 { "geo".to_owned() } else { format!("s{number}") };
        let site = format!("hosts = [\"{host}.bench.example\"]\n[origin]\nservers = [\"http://192.0.2.80\"]\n");
        fs::write(home.join(format!("sites/s{number}.toml")), site).unwrap();
    }
    fs::write(home.join("zones/bench.example"), zone).unwrap();
    let mut command = pinned(program.to_str().unwrap())?;
    command.args(["-C", home.to_str().unwrap(), "run", "--node", "ns1"]);
    Some(command)
}

fn gdnsd(home: &Path, world: &World) -> Option<Command> {
    let mut command = pinned("gdnsd")?;
    for dir in ["zones", "run", "state"] {
        fs::create_dir_all(home.join(dir)).unwrap();
    }
    let ids: Vec<&str> = POPS.iter().map(|(id, ..)| *id).collect();
    let coordinates: String =
        POPS.iter().map(|(id, latitude, longitude)| format!("{id} => [ {latitude}, {longitude} ] ")).collect();
    let addresses: String = POPS
        .iter()
        .zip(1..)
        .map(|((id, ..), number)| format!("{id} => [ 192.0.{number}.1, 192.0.{number}.2 ]\n"))
        .collect();
    let text = format!(
        "options => {{ listen => 127.0.3.1:{}, run_dir => {run:?}, state_dir => {state:?}, udp_threads => 1, tcp_threads => 1 }}\n\
         plugins => {{ geoip => {{\n maps => {{ world => {{ geoip2_db => {db:?}, datacenters => [ {} ],\n\
         auto_dc_coords => {{ {coordinates} }} }} }}\n\
         resources => {{ shop => {{ map => world, service_types => up, dcmap => {{ {addresses} }} }} }} }} }}\n",
        port("gdnsd"),
        ids.join(", "),
        run = home.join("run"),
        state = home.join("state"),
        db = world.path(),
    );
    fs::write(home.join("config"), text).unwrap();
    fs::write(home.join("zones/bench.example"), format!("{ZONE}geo 20 DYNA geoip!shop\n")).unwrap();
    command.args(["-c", home.to_str().unwrap(), "start"]);
    Some(command)
}

fn knot(home: &Path, world: &World) -> Option<Command> {
    let mut command = pinned("knotd")?;
    let countries: String = world
        .countries()
        .map(|(country, number)| format!("  - geo: \"{country}\"\n    A: 192.0.{number}.1\n    A: 192.0.{number}.2\n"))
        .collect();
    fs::write(home.join("geo.conf"), format!("geo.bench.example:\n{countries}")).unwrap();
    let zone = format!("{ZONE}geo 20 A 192.0.1.1\n");
    fs::write(home.join("bench.example.zone"), zone).unwrap();
    let text = format!(
        "server:\n    listen: 127.0.3.1@{}\n    rundir: {home:?}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n    edns-client-subnet: on\n\
         database:\n    storage: {home:?}\n\
         mod-geoip:\n  - id: geo\n    config-file: {conf:?}\n    ttl: 20\n    mode: geodb\n    geodb-file: {db:?}\n    geodb-key: country/iso_code\n\
         zone:\n  - domain: bench.example\n    storage: {home:?}\n    file: bench.example.zone\n    module: mod-geoip/geo\n",
        port("Knot"),
        conf = home.join("geo.conf"),
        db = world.path(),
    );
    fs::write(home.join("knot.conf"), text).unwrap();
    command.args(["-c", home.join("knot.conf").to_str().unwrap()]);
    Some(command)
}

fn nsd(home: &Path, _: &World) -> Option<Command> {
    let mut command = pinned("nsd")?;
    fs::write(home.join("bench.example"), format!("$ORIGIN bench.example.\n{ZONE}")).unwrap();
    let text = format!(
        "server:\n    ip-address: 127.0.3.1@{}\n    server-count: 1\n    username: \"\"\n    zonesdir: {home:?}\n    pidfile: {pid:?}\n    database: \"\"\n    zonelistfile: {list:?}\n    xfrdfile: {xfrd:?}\n    xfrdir: {home:?}\n    rrl-ratelimit: 0\n\
         remote-control:\n    control-enable: no\nzone:\n    name: bench.example\n    zonefile: bench.example\n",
        port("NSD"),
        pid = home.join("pid"),
        list = home.join("list"),
        xfrd = home.join("xfrd"),
    );
    fs::write(home.join("nsd.conf"), text).unwrap();
    command.args(["-d", "-c", home.join("nsd.conf").to_str().unwrap()]);
    Some(command)
}

fn powerdns(home: &Path, world: &World) -> Option<Command> {
    let mut command = pinned("pdns_server")?;
    let countries: String = world
        .countries()
        .map(|(country, number)| {
            format!(
                "    {}.geo.bench.example:\n      - a: 192.0.{number}.1\n      - a: 192.0.{number}.2\n",
                country.to_lowercase()
            )
        })
        .collect();
    let text = format!(
        "domains:\n- domain: bench.example\n  ttl: 60\n  records:\n    bench.example:\n      - soa: ns1.bench.example hostmaster.bench.example 1 7200 900 1209600 60\n      - ns: ns1.bench.example\n    ns1.bench.example:\n      - a: 127.0.0.1\n    www.bench.example:\n      - a: 192.0.2.1\n{countries}  services:\n    geo.bench.example: '%cc.geo.bench.example'\n",
    );
    fs::write(home.join("zones.yaml"), text).unwrap();
    let text = format!(
        "launch=geoip\ngeoip-zones-file={zones}\ngeoip-database-files=mmdb:{db}\nlocal-address=127.0.3.1\nlocal-port={}\nsocket-dir={home}\nedns-subnet-processing=yes\nreceiver-threads=1\ndistributor-threads=1\nreuseport=no\nlog-dns-queries=no\nloglevel=3\nzone-cache-refresh-interval=0\nexpand-alias=no\nconsistent-backends=yes\n",
        port("PowerDNS"),
        zones = home.join("zones.yaml").display(),
        db = world.path().display(),
        home = home.display(),
    );
    fs::write(home.join("pdns.conf"), text).unwrap();
    command.args([&format!("--config-dir={}", home.display()), "--guardian=no", "--daemon=no"]);
    Some(command)
}

fn bind(home: &Path, _: &World) -> Option<Command> {
    let mut command = pinned("named")?;
    fs::write(home.join("bench.example"), ZONE).unwrap();
    let text = format!(
        "options {{ directory {home:?}; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; pid-file {pid:?}; session-keyfile {key:?}; minimal-responses yes; querylog no; }};\n\
         controls {{ }};\nzone \"bench.example\" {{ type primary; file \"bench.example\"; }};\n",
        port("BIND"),
        pid = home.join("pid"),
        key = home.join("key"),
    );
    fs::write(home.join("named.conf"), text).unwrap();
    command.args(["-g", "-n", "1", "-c", home.join("named.conf").to_str()?]);
    Some(command)
}
