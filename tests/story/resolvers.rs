//! Recursive resolvers that validate, in front of two name servers, under a signed root of the story's own.
//!
//! ```text
//! dig ─> unbound | BIND | Knot Resolver ─┬─> root: NSD, signed by ldns-signzone
//!                                        └─> ns1, ns2: hither, zones cdn.example and shop.example
//! ```

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use config::{DomainName, KeyAlgorithm, KeyRole, Secret, ZoneKey, ZoneKeys};
use dns::dnssec::{ds_record, make_key, tag_of};
use jiff::{Timestamp, ToSpan};

use crate::support::{Network, Process, Signal, addresses, dig, metrics, run, signal, wait_for};

const ROOT: &str = "127.0.7.9";
const UNBOUND: &str = "127.0.7.21";
/// BIND listens on addresses that an interface has: of 127/8 only one.
const BIND: &str = "127.0.0.1";
const KNOT: &str = "127.0.7.23";
const RESOLVERS: [&str; 3] = [UNBOUND, BIND, KNOT];
/// Another's on that address is the system's own.
const BIND_PORT: u16 = 5_322;
/// The edges in Frankfurt and Tokyo.
const FRA: &str = "127.0.7.31";
const NRT: &str = "127.0.7.32";
const ZONES: [&str; 2] = ["cdn.example", "shop.example"];

/// Two name servers, a PoP in Frankfurt and one in Tokyo, and two signed zones.
fn network() -> Network {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let name_server = |number: u8| {
        format!(
            "[[nameserver]]\nid = \"ns{number}\"\naddresses = [\"127.0.7.{number}\"]\nadmin = \"127.0.7.{number}:9400\"\n"
        )
    };
    let pop = |id: &str, location: &str, address: &str| {
        format!(
            "[[pop]]\nid = \"{id}\"\nlocation = {location}\n[[pop.edge]]\nid = \"{id}-1\"\naddresses = [\"{address}\"]\nadmin = \"{address}:9400\"\n"
        )
    };
    let text = [
        "zone = \"cdn.example\"\n[edge]\nmemory = \"64MiB\"\nhttp = 8100\n[health]\ninterval = \"200ms\"\n",
        "[dns]\ndnssec = true\nttl = \"3s\"\nttl_changing = \"1s\"\n",
        &name_server(1),
        &name_server(2),
        &pop("fra", "[50.1, 8.7]", FRA),
        &pop("nrt", "[35.7, 139.7]", NRT),
    ];
    write("hither.toml", &text.concat());
    write("secrets/fleet.key", "a key for stories only");
    write("routes.toml", "[[route]]\nprefix = \"127.0.72.0/24\"\npin = \"nrt\"\n");
    write(
        "sites/shop.toml",
        "hosts = [\"shop.example\"]\n[origin]\nservers = [\"http://127.0.0.1:9\"]\nallow_private = true\n",
    );
    let zone = "$TTL 1h\n@ SOA ns1.cdn.example. hostmaster 7 2h 15m 2w 1m\n@ NS ns1.cdn.example.\n@ NS ns2.cdn.example.\n\
                www CNAME shop.cdn.example.\ntxt TXT \"hello\"\nafter TXT \"a rollover\"\nlast TXT \"the parent's too\"\n\
                *.wild A 192.0.2.7\nold DNAME cdn.example.\nsvc HTTPS 1 . alpn=h2\nodd TYPE65534 \\# 2 00ff\n";
    write("zones/shop.example", zone);
    let address = SocketAddr::from(([127, 0, 7, 1], 53));
    Network { dir, edge: address, dns: address }
}

/// A key that was published then, and signs since or not yet.
fn key(role: KeyRole, published: Timestamp, signs: Option<Timestamp>) -> ZoneKey {
    let algorithm = KeyAlgorithm::EcdsaP256Sha256;
    let private: Secret = make_key(algorithm).unwrap();
    let tag = tag_of(algorithm, role, &private).unwrap();
    ZoneKey { tag, role, algorithm, published, signs, retired: None, removed: None, private }
}

/// Keys in the middle of rolling: two of each role are published, and everybody knows them.
fn keys(zone: &str) -> ZoneKeys {
    let day = Timestamp::now() - 24.hours();
    let roles = [(KeyRole::Ksk, None), (KeyRole::Ksk, None), (KeyRole::Zsk, Some(day)), (KeyRole::Zsk, None)];
    let keys = roles.map(|(role, signs)| key(role, day, signs)).to_vec();
    ZoneKeys { zone: DomainName::parse(zone).unwrap(), keys }
}

fn write_keys(network: &Network, keys: &ZoneKeys) {
    let path = network.path("").join(ZoneKeys::file(&keys.zone));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, keys.to_text()).unwrap();
}

/// The root zone with the zones' DS records, signed; what trusts it is its DS.
struct Root {
    home: PathBuf,
    key: String,
}

impl Root {
    fn new(home: &Path) -> Self {
        let made = Command::new("ldns-keygen").args(["-a", "ECDSAP256SHA256", "-k", "."]).current_dir(home).output();
        let key = String::from_utf8(made.unwrap().stdout).unwrap().trim().to_owned();
        Self { home: home.to_owned(), key }
    }

    fn anchor(&self) -> String {
        fs::read_to_string(self.home.join(format!("{}.ds", self.key))).unwrap().trim().to_owned()
    }

    /// Signs the zone anew; delegations are kept for a second, so that nobody waits for a new DS.
    fn sign(&self, serial: u32, ds: &[String]) {
        let servers = ZONES.map(|zone| format!("{zone}. NS ns1.cdn.example.\n{zone}. NS ns2.cdn.example.\n")).concat();
        let text = format!(
            "$TTL 3600\n. SOA a.root. h.root. {serial} 3600 600 86400 1\n. NS a.root.\na.root. A {ROOT}\n$TTL 1\n{servers}\
             ns1.cdn.example. A 127.0.7.1\nns2.cdn.example. A 127.0.7.2\n{}\n",
            ds.join("\n")
        );
        fs::write(self.home.join("root.zone"), text).unwrap();
        let signed =
            Command::new("ldns-signzone").args(["-o", ".", "root.zone", &self.key]).current_dir(&self.home).output();
        let signed = signed.unwrap();
        assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    }

    fn serve(&self) -> Process {
        let text = format!(
            "server:\n ip-address: {ROOT}\n server-count: 1\n username: \"\"\n zonesdir: {home:?}\n pidfile: {pid:?}\n\
             database: \"\"\n zonelistfile: {list:?}\n xfrdfile: {xfrd:?}\n xfrdir: {home:?}\n\
             remote-control:\n control-enable: no\nzone:\n name: .\n zonefile: root.zone.signed\n",
            home = self.home,
            pid = self.home.join("nsd.pid"),
            list = self.home.join("nsd.list"),
            xfrd = self.home.join("nsd.xfrd"),
        );
        start(&self.home, "nsd", &text, &["-d", "-c"])
    }
}

/// Starts a server with its config as the last argument.
pub(crate) fn start(home: &Path, program: &str, config: &str, arguments: &[&str]) -> Process {
    let path = home.join(format!("{program}.conf"));
    fs::write(&path, config).unwrap();
    let log = fs::File::create(home.join(format!("{program}.log"))).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).arg(&path).current_dir(home).stdin(Stdio::null());
    let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
    Process(child.unwrap_or_else(|error| panic!("{program}: {error}")))
}

fn unbound(home: &Path, anchor: &str) -> Process {
    fs::write(home.join("hints"), format!(". 3600 IN NS a.root.\na.root. 3600 IN A {ROOT}\n")).unwrap();
    fs::write(home.join("anchor"), format!("{anchor}\n")).unwrap();
    let text = format!(
        "server:\n interface: {UNBOUND}\n outgoing-interface: {UNBOUND}\n access-control: 127.0.0.0/8 allow\n do-ip6: no\n\
         do-not-query-localhost: no\n root-hints: {hints:?}\n trust-anchor-file: {anchor:?}\n\
         module-config: \"subnetcache validator iterator\"\n send-client-subnet: 127.0.7.0/24\n client-subnet-always-forward: yes\n\
         chroot: \"\"\n username: \"\"\n directory: {home:?}\n pidfile: {pid:?}\n use-syslog: no\n logfile: \"\"\n do-daemonize: no\n num-threads: 1\n",
        hints = home.join("hints"),
        anchor = home.join("anchor"),
        pid = home.join("unbound.pid"),
    );
    start(home, "unbound", &text, &["-d", "-c"])
}

fn bind(home: &Path, anchor: &str) -> Process {
    let fields: Vec<&str> = anchor.split_whitespace().collect();
    let [.., tag, algorithm, kind, digest] = fields.as_slice() else { panic!("{anchor}") };
    let text = format!(
        "options {{ directory {home:?}; pid-file {pid:?}; session-keyfile {key:?}; listen-on port {BIND_PORT} {{ {BIND}; }}; listen-on-v6 {{ none; }};\n\
         query-source address {BIND}; recursion yes; allow-query {{ any; }}; dnssec-validation yes; empty-zones-enable no; }};\n\
         controls {{ }};\ntrust-anchors {{ . static-ds {tag} {algorithm} {kind} \"{digest}\"; }};\n\
         zone \".\" {{ type hint; file \"hints\"; }};\n",
        pid = home.join("named.pid"),
        key = home.join("named.key"),
    );
    start(home, "named", &text, &["-4", "-g", "-n", "1", "-c"])
}

fn knot(home: &Path, anchor: &str) -> Process {
    let text = format!(
        "net.listen('{KNOT}', 53, {{ kind = 'dns' }})\nnet.outgoing_v4('{KNOT}')\nnet.ipv6 = false\nmodules = {{ 'hints > iterate' }}\n\
         hints.root({{ ['a.root.'] = '{ROOT}' }})\ntrust_anchors.remove('.')\ntrust_anchors.add('{anchor}')\ncache.size = 10 * MB\n"
    );
    let home = home.join("kresd");
    fs::create_dir(&home).unwrap();
    start(&home, "kresd", &text, &["-n", "-c"])
}

/// What a resolver tells, its signatures too.
fn ask(resolver: &str, question: &[&str]) -> String {
    let port = if resolver == BIND { BIND_PORT } else { 53 };
    dig(&format!("@{resolver}"), port, &[question, &["+dnssec", "+time=5"]].concat())
}

/// Whether a resolver found everything in an answer signed as it should be: "authentic data".
fn is_validated(answer: &str) -> bool {
    answer.lines().any(|line| line.starts_with(";; flags:") && line.split([' ', ';']).any(|flag| flag == "ad"))
}

fn validated(resolver: &str, question: &[&str], expected: &str) {
    wait_for(Duration::from_secs(20), &format!("{resolver} {question:?}: {expected}"), || {
        let answer = ask(resolver, question);
        if is_validated(&answer) && answer.contains(expected) { Ok(()) } else { Err(answer) }
    });
}

/// The sum of replies that both name servers have sent.
fn replies() -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let of = |number: u8| runtime.block_on(metrics(SocketAddr::from(([127, 0, 7, number], 9400))));
    let all = [of(1), of(2)];
    all.iter().flatten().filter(|(name, _)| name.starts_with("hither_dns_replies_total")).map(|(_, count)| count).sum()
}

#[test]
fn resolvers_validate_every_variant_through_the_death_of_an_edge_and_rollovers() {
    let network = network();
    let mut of_zones = ZONES.map(keys);
    of_zones.iter().for_each(|keys| write_keys(&network, keys));
    let ds_of = |of_zones: &[ZoneKeys; 2], number: usize| {
        of_zones.each_ref().map(|keys| ds_record(&keys.zone, &keys.keys[number]).unwrap()).to_vec()
    };
    let home = network.path("others");
    fs::create_dir(&home).unwrap();
    let root = Root::new(&home);
    root.sign(1, &ds_of(&of_zones, 0));
    let nsd = root.serve();
    let anchor = root.anchor();
    // Edges first: one that a name server finds missing as it begins is down for a second.
    let fra = network.start("fra-1");
    let _nodes = ["nrt-1", "ns1", "ns2"].map(|node| network.start(node));
    let _resolvers = [unbound(&home, &anchor), bind(&home, &anchor), knot(&home, &anchor)];

    for resolver in RESOLVERS {
        for (question, expected) in [
            // Resolvers here are at home, which is the first PoP.
            (&["shop.cdn.example"][..], FRA),
            (&["www.shop.example"], FRA),
            (&["shop.example"], FRA),
            (&["www.shop.example", "AAAA"], "ANSWER: 2"),
            (&["nothing.shop.example"], "ANSWER: 0"),
            (&["any.wild.shop.example"], "192.0.2.7"),
            (&["shop.old.shop.example"], FRA),
            (&["svc.shop.example", "HTTPS"], "alpn=\"h2\""),
            (&["odd.shop.example", "TYPE65534"], "\\# 2 00FF"),
            (&["shop.example", "DNSKEY"], "256 3 13 "),
            (&["cdn.example", "CDS"], " 13 2 "),
            (&["cdn.example", "DS"], " 13 2 "),
        ] {
            validated(resolver, question, expected);
        }
    }
    subnets_are_kept_by_scope();
    anyone_can_validate(&network, &of_zones);

    signal(fra.0.id(), Signal::SIGKILL);
    for resolver in RESOLVERS {
        // Found down in half a second, kept for 3.
        wait_for(Duration::from_secs(6), "the dead edge is named no more", || {
            let answer = ask(resolver, &["shop.cdn.example"]);
            let is_over = is_validated(&answer) && addresses(&answer) == [NRT.parse::<std::net::IpAddr>().unwrap()];
            if is_over { Ok(()) } else { Err(answer) }
        });
    }

    // The second ZSK takes over: who knows the first alone would not validate what it signs.
    let now = Timestamp::now();
    for keys in &mut of_zones {
        (keys.keys[2].retired, keys.keys[3].signs) = (Some(now), Some(now));
        write_keys(&network, keys);
    }
    let second = of_zones[1].keys[3].tag.to_string();
    for server in ["127.0.7.1", "127.0.7.2"] {
        wait_for(Duration::from_secs(5), "the new key signs", || {
            let answer = ask(server, &["after.shop.example", "TXT"]);
            let signature = answer.lines().find(|line| line.contains("RRSIG")).unwrap_or_default();
            if signature.split_whitespace().any(|field| field == second) { Ok(()) } else { Err(answer) }
        });
    }
    RESOLVERS.iter().for_each(|resolver| validated(resolver, &["after.shop.example", "TXT"], "a rollover"));

    // The parent gets the second KSK's DS; then the first goes.
    root.sign(2, &ds_of(&of_zones, 1));
    signal(nsd.0.id(), Signal::SIGHUP);
    wait_for(Duration::from_secs(5), "the parent has the new DS", || {
        let answer = dig(&format!("@{ROOT}"), 53, &["shop.example", "DS", "+short"]);
        if answer.starts_with(&of_zones[1].keys[1].tag.to_string()) { Ok(()) } else { Err(answer) }
    });
    for keys in &mut of_zones {
        keys.keys[0].removed = Some(Timestamp::now());
        write_keys(&network, keys);
    }
    std::thread::sleep(Duration::from_secs(2));
    RESOLVERS.iter().for_each(|resolver| validated(resolver, &["last.shop.example", "TXT"], "the parent's too"));
}

/// unbound forwards a client's subnet, and keeps each answer for its scope.
fn subnets_are_kept_by_scope() {
    let subnet = |subnet: &str| ask(UNBOUND, &["shop.cdn.example", &format!("+subnet={subnet}"), "+short"]);
    let edge = |answer: &str| addresses(answer).first().map(ToString::to_string);
    assert_eq!(edge(&subnet("193.0.6.0/24")).as_deref(), Some(FRA), "a client in Europe");
    assert_eq!(edge(&subnet("133.11.0.0/24")).as_deref(), Some(NRT), "a client in Japan");
    let before = replies();
    assert_eq!(edge(&subnet("193.0.7.0/24")).as_deref(), Some(FRA), "another in the first one's scope");
    assert_eq!(edge(&subnet("133.11.1.0/24")).as_deref(), Some(NRT));
    assert!(replies() - before < 1.0, "answered from what it has kept");
}

/// `delv` validates what three clients are told, from the zone's own keys down.
fn anyone_can_validate(network: &Network, of_zones: &[ZoneKeys; 2]) {
    let ds = ds_record(&of_zones[0].zone, &of_zones[0].keys[0]).unwrap();
    let fields: Vec<&str> = ds.split_whitespace().collect();
    let [.., tag, algorithm, kind, digest] = fields.as_slice() else { panic!("{ds}") };
    let anchor = network.path("anchor");
    let text = format!("trust-anchors {{ cdn.example. static-ds {tag} {algorithm} {kind} \"{digest}\"; }};\n");
    fs::write(&anchor, text).unwrap();
    for (client, edge) in [("127.0.71.1", FRA), ("127.0.72.1", NRT), ("127.0.0.1", FRA)] {
        let told = run(
            "delv",
            &["@127.0.7.1", "-b", client, "-a", anchor.to_str().unwrap(), "+root=cdn.example", "shop.cdn.example", "A"],
        );
        assert!(told.contains("; fully validated") && told.contains(edge), "{client}\n{told}");
    }
    for transport in ["+notcp", "+tcp"] {
        let options = ["+dnssec", "+subnet=193.0.6.0/24", "+cookie", "+nsid", transport];
        let told = run("kdig", &[&["@127.0.7.1", "shop.cdn.example", "A"][..], &options].concat());
        let has = ["status: NOERROR", "Flags: qr aa", "\"ns1\"", "COOKIE", "CLIENT-SUBNET: 193.0.6.0/24", "RRSIG", FRA];
        assert!(has.iter().all(|part| told.contains(part)) && !told.contains("WARNING"), "{told}");
    }
    of_zones.iter().for_each(|keys| is_found_good(network, keys));
}

/// `dnsviz` asks both name servers of a zone for its records of every usual type and for what is not there, and judges
/// every signature and proof.
fn is_found_good(network: &Network, keys: &ZoneKeys) {
    let (zone, ds) = (&keys.zone, ds_record(&keys.zone, &keys.keys[0]).unwrap());
    let file = |name: &str| network.path(&format!("{zone}.{name}")).display().to_string();
    let servers = format!("{zone}{{}}:ns1.cdn.example=127.0.7.1,ns2.cdn.example=127.0.7.2");
    fs::write(file("ds"), format!("{ds}\n")).unwrap();
    let at = servers.replace("{}", "+");
    let delegated = [&servers.replace("{}", ""), &format!("{zone}:{}", file("ds"))];
    let probe = ["probe", "-4", "-A", "-x", &at, "-N", delegated[0], "-D", delegated[1], "-o", &file("json")];
    run("dnsviz", &[&probe[..], &[zone.as_str()]].concat());
    let dnskeys = dig("@127.0.7.1", 53, &[zone.as_str(), "DNSKEY", "+noall", "+answer"]);
    fs::write(file("key"), dnskeys).unwrap();
    let told = run("dnsviz", &["print", "-t", &file("key"), "-r", &file("json")]);
    // Each record set and proof by what became of it: `.` is good, and all else bad, unsure or unsigned.
    let is_bad = |line: &&str| ["[!]", "[-]", "[?]", " E:"].iter().any(|mark| line.contains(mark));
    let bad: Vec<&str> = told.lines().filter(is_bad).collect();
    assert!(told.matches("[.]").count() > 20 && bad.is_empty(), "{zone}: {bad:?}\n{told}");
}
