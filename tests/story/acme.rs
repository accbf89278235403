//! Certificates that get themselves from an authority that is not ours: Pebble, whose resolver is our name server.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData};
use sha2::{Digest, Sha256};

use crate::http3::{TELLING, ask, browse};
use crate::resolvers::start;
use crate::support::{HITHER, Network, Origin, Process, dig, reply, run, runtime, wait_for};

/// An authority at a story's address, and how it is known.
struct Pebble {
    address: IpAddr,
    _process: Process,
    dir: tempfile::TempDir,
}

impl Pebble {
    /// Starts one that asks this name server, and asks edges for files at this port. The authority that its own
    /// certificate is of is written into the network's `secrets/pebble.pem`, and `[acme]` into its `hither.toml`.
    fn start(network: &Network, resolver: SocketAddr) -> Self {
        Self::start_with(network, resolver, "")
    }

    /// As [`Self::start`], with more in its own config.
    fn start_with(network: &Network, resolver: SocketAddr, more: &str) -> Self {
        let address = network.edge.ip();
        let dir = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "a story's authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let trusted = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![address.to_string()]).unwrap();
        let own = own.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        for (name, text) in [("cert.pem", own.pem()), ("key.pem", key.serialize_pem()), ("ca.pem", trusted.clone())] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "{{\"pebble\": {{\"listenAddress\": \"{address}:14000\", \"managementListenAddress\": \"{address}:15000\", \
             \"certificate\": \"{}\", \"privateKey\": \"{}\", \"httpPort\": 8100, \"tlsPort\": 8143{more}}}}}",
            at("cert.pem"),
            at("key.pem")
        );
        fs::write(dir.path().join("pebble.json"), config).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let process = Command::new("pebble")
            .args(["-config", &at("pebble.json"), "-dnsserver", &resolver.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        fs::write(network.path("secrets/pebble.pem"), trusted).unwrap();
        let file = fs::read_to_string(network.path("hither.toml")).unwrap();
        // Two nodes at one address reach each other at two ports.
        let file = file.replace("[[pop]]", &format!("peer = \"{address}:8445\"\n[[pop]]"));
        let acme = format!("[acme]\ndirectory = \"https://{address}:14000/dir\"\nca = \"pebble.pem\"\n");
        fs::write(network.path("hither.toml"), file.replace("[health]", &format!("{acme}[health]"))).unwrap();
        let pebble = Self { address, _process: Process(process), dir };
        wait_for(Duration::from_secs(10), "the authority serves", || pebble.root());
        pebble
    }

    /// The authority that its certificates lead to, in PEM.
    fn root(&self) -> Result<String, String> {
        let ca = self.dir.path().join("ca.pem").display().to_string();
        let said = run("curl", &["-sS", "--cacert", &ca, &format!("https://{}:15000/roots/0", self.address)]);
        if said.starts_with("-----BEGIN") { Ok(said) } else { Err(said) }
    }

    /// What it has logged.
    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// What `curl` says of a URL at an edge whose certificate must be of this authority.
    fn curl(&self, edge: SocketAddr, more: &[&str]) -> String {
        let root = self.dir.path().join("root.pem");
        fs::write(&root, self.root().unwrap()).unwrap();
        let (root, to) = (root.display().to_string(), format!("::{}:8143", edge.ip()));
        let args = [&["-sSi", "--cacert", &root, "--connect-to", &to][..], more].concat();
        run("curl", &args).to_ascii_lowercase().replace('\r', "")
    }
}

/// A zone that is not ours, which sends a name to the edge, and authorities that ask of it to us.
fn elsewhere(home: &Path, address: IpAddr) -> Process {
    fs::create_dir_all(home).unwrap();
    let zone = format!(
        "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A {address}\nwww A {address}\n\
         _acme-challenge CNAME _acme-challenge.elsewhere.example.cdn.example.\n"
    );
    fs::write(home.join("elsewhere.zone"), zone).unwrap();
    let text = format!(
        "server:\n ip-address: {address}@5403\n username: \"\"\n chroot: \"\"\n zonesdir: {home:?}\n database: \"\"\n pidfile: {pid:?}\n\
         zonelistfile: {list:?}\n xfrdfile: {xfrd:?}\n logfile: \"/dev/stderr\"\nremote-control:\n control-enable: no\n\
         zone:\n name: elsewhere.example\n zonefile: elsewhere.zone\n",
        pid = home.join("nsd.pid"),
        list = home.join("nsd.list"),
        xfrd = home.join("nsd.xfrd"),
    );
    start(home, "nsd", &text, &["-d", "-c"])
}

/// A resolver that knows where both ask.
fn unbound(home: &Path, address: IpAddr, ours: SocketAddr) -> Process {
    let text = format!(
        "server:\n interface: {address}@5401\n access-control: 127.0.0.0/8 allow\n do-ip6: no\n do-not-query-localhost: no\n\
         module-config: \"iterator\"\n chroot: \"\"\n username: \"\"\n directory: {home:?}\n pidfile: {pid:?}\n use-syslog: no\n\
         logfile: \"\"\n do-daemonize: no\n num-threads: 1\n\
         stub-zone:\n name: elsewhere.example\n stub-addr: {address}@5403\n\
         stub-zone:\n name: cdn.example\n stub-addr: {address}@{port}\n\
         stub-zone:\n name: lost.example\n stub-addr: {address}@5403\n",
        pid = home.join("unbound.pid"),
        port = ours.port(),
    );
    start(home, "unbound", &text, &["-d", "-c"])
}

fn write_site(network: &Network, hosts: &str, tls: &str, origin: SocketAddr) {
    let site = format!(
        "hosts = [{hosts}]\ntls = {tls}\n[origin]\nservers = [\"http://{origin}\"]\nallow_private = true\n[cache]\nttl = \"1m\"\n"
    );
    fs::write(network.path("sites/shop.toml"), site).unwrap();
}

/// Adds a name server to a network, before the one it has.
fn add_name_server(network: &Network) {
    let ip = network.edge.ip();
    let second = format!(
        "[[nameserver]]\nid = \"ns2\"\naddresses = [\"{ip}\"]\nlisten = [\"{ip}:5402\"]\nadmin = \"{ip}:9402\"\npeer = \"{ip}:8446\"\n"
    );
    let file = fs::read_to_string(network.path("hither.toml")).unwrap();
    fs::write(network.path("hither.toml"), file.replace("[[nameserver]]", &format!("{second}[[nameserver]]"))).unwrap();
}

const ZONE: &str =
    "$TTL 300\n@ SOA ns1.cdn.example. hostmaster.cdn.example. 1 3600 600 86400 300\n@ NS ns1.cdn.example.\n";

#[test]
fn a_site_gets_its_certificates_by_dns_and_an_edge_serves_with_them() {
    runtime().block_on(async {
        let origin = Origin::start(|_, request| match request.uri().path() {
            "/browser" => reply(200, &[("content-type", "text/html")], TELLING),
            _ => reply(200, &[], "a page"),
        });
        let origin = origin.await;
        let network = Network::new(188, origin.address, "");
        add_name_server(&network);
        fs::write(network.path("zones/shop.example"), ZONE).unwrap();
        write_site(
            &network,
            "\"www.shop.example\", \"shop.example\", \"*.img.shop.example\"",
            "\"auto\"",
            origin.address,
        );
        tokio::task::block_in_place(|| {
            // It asks the second of the config, which has what the first tells it.
            let pebble = Pebble::start(&network, network.dns);
            let said = run(HITHER, &["check", &network.dir.path().display().to_string()]);
            assert!(!said.contains("error"), "{said}");
            let _second = network.start("ns1");
            let of_tls = || {
                let (server, port) = (format!("@{}", network.dns.ip()), network.dns.port());
                dig(&server, port, &["+short", "www.shop.example", "HTTPS"])
            };
            assert_eq!(of_tls(), "", "nobody is sent to handshakes that are refused");
            let _first = network.start("ns2");
            let edge = network.start("one-1");
            for (name, how) in [
                ("www.shop.example", "--http2"),
                ("shop.example", "--http1.1"),
                ("any.img.shop.example", "--http2"),
                ("shop.cdn.example", "--http2"),
            ] {
                let url = format!("https://{name}/");
                wait_for(Duration::from_secs(60), "the certificate is served", || {
                    let said = pebble.curl(network.edge, &[how, &url]);
                    let is_served = said.starts_with("http/") && said.contains(" 200") && said.ends_with("a page");
                    if is_served {
                        Ok(())
                    } else {
                        Err(format!("{name}: {said}\n{}\n{}", network.log("ns1"), pebble.log()))
                    }
                });
            }
            every_node_has_them(&network);
            wait_for(Duration::from_secs(20), "clients are told of TLS", || {
                let said = of_tls();
                if said.contains("alpn=\"h3,h2\"") { Ok(()) } else { Err(said) }
            });
            assert!(network.path(".state/ns2/acme").is_dir() && !network.path(".state/ns1/acme").exists());
            is_shown_by_http3(&network, &pebble);
            let keys = run("sh", &["-c", &format!("grep -l PRIVATE {}/*.log", network.dir.path().display())]);
            assert_eq!(keys, "", "no key is logged");
            a_node_that_lost_them_takes_them_from_name_servers(&network, &pebble, edge);
        });
    });
}

fn a_node_that_lost_them_takes_them_from_name_servers(network: &Network, pebble: &Pebble, edge: Process) {
    drop(edge);
    fs::remove_dir_all(network.path(".state/one-1")).unwrap();
    let issued = || pebble.log().matches("Issued certificate").count();
    let before = issued();
    assert!(before >= 4, "{}", pebble.log());
    let _edge = network.start("one-1");
    every_node_has_them(network);
    assert_eq!(issued(), before, "and the authority is not asked");
}

/// Every node has every certificate, for its own eyes.
fn every_node_has_them(network: &Network) {
    for node in ["ns1", "ns2", "one-1"] {
        wait_for(Duration::from_secs(20), "every node has them", || {
            let held = fs::read_dir(network.path(&format!(".state/{node}/certificates"))).into_iter().flatten();
            let is_whole = |path: &Path| path.extension().is_some_and(|ending| ending == "pem");
            let held = held.filter(|entry| is_whole(&entry.as_ref().unwrap().path())).count();
            if held == 4 { Ok(()) } else { Err(format!("{node}: {held}")) }
        });
        let dir = network.path(&format!(".state/{node}/certificates"));
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
                entry.file_name().into_string().unwrap()
            })
            .collect();
        names.sort();
        assert_eq!(names, ["_.cdn.example.pem", "_.img.shop.example.pem", "shop.example.pem", "www.shop.example.pem"]);
    }
}

/// A page with a certificate that was got, by HTTP/3.
fn is_shown_by_http3(network: &Network, pebble: &Pebble) {
    // An HTTP/3 client and a browser, which trusts the key that was made with the certificate.
    let root = pebble.dir.path().join("root.pem").display().to_string();
    let said = ask(network.edge.ip(), &root, &["GET:/"]);
    assert!(said[0].starts_with(":status: 200\n") && said[0].ends_with("a page\n"), "{}", said[0]);
    let held = fs::read_to_string(network.path(".state/one-1/certificates/www.shop.example.pem")).unwrap();
    let key = KeyPair::from_pem(&held[held.find("-----BEGIN PRIVATE").unwrap()..]).unwrap();
    let key = BASE64.encode(&Sha256::digest(key.subject_public_key_info()));
    let said = browse(network, &key, "/browser");
    assert!(said.contains("<p id=\"how\">h3</p>"), "{said}");
}

/// The certificate that a client is shown.
fn shown(edge: SocketAddr, name: &str) -> Result<String, String> {
    let to = format!("::{}:8143", edge.ip());
    let url = format!("https://{name}/");
    let said = run("curl", &["-sSk", "-o", "/dev/null", "-w", "%{certs}", "--connect-to", &to, &url]);
    if said.contains("-----BEGIN CERTIFICATE-----") { Ok(said) } else { Err(said) }
}

#[test]
fn a_certificate_is_renewed_before_it_ends_and_an_old_one_stays_until_then() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[], "a page")).await;
        let network = Network::new(190, origin.address, "");
        write_site(&network, "", "\"auto\"", origin.address);
        tokio::task::block_in_place(|| {
            let pebble = Pebble::start_with(&network, network.dns, ", \"certificateValidityPeriod\": 60");
            let _name_server = network.start("ns1");
            let edge = network.start("one-1");
            let name = "shop.cdn.example";
            let told = |why: String| format!("{why}{}{}", network.log("ns1"), pebble.log());
            let (first, _) = wait_for(Duration::from_secs(30), "the certificate is served", || {
                shown(network.edge, name).map_err(told)
            });
            drop(edge);
            let _edge = network.start("one-1");
            assert_eq!(shown(network.edge, name).as_ref(), Ok(&first), "what is held outlives a restart");
            // Its life is a minute, of which some seconds are over.
            wait_for(Duration::from_secs(55), "the certificate is renewed", || {
                let now = shown(network.edge, name).expect("there is one all the time");
                if now == first { Err(told(now)) } else { Ok(()) }
            });
        });
    });
}

#[test]
fn a_host_outside_the_zones_gets_its_certificate_by_http_and_a_failure_is_told() {
    runtime().block_on(async {
        let origin = Origin::start(|_, request| reply(200, &[], request.uri().path().to_owned())).await;
        let network = Network::new(189, origin.address, "");
        write_site(
            &network,
            "\"www.elsewhere.example\", \"*.elsewhere.example\", \"*.lost.example\"",
            "{ auto = true, redirect = true }",
            origin.address,
        );
        let address = network.edge.ip();
        let resolver = SocketAddr::new(address, 5401);
        tokio::task::block_in_place(|| {
            let home = network.path("resolver");
            let _elsewhere = elsewhere(&home, address);
            let _resolver = unbound(&home, address, network.dns);
            let pebble = Pebble::start(&network, resolver);
            let _edge = network.start("one-1");
            let clear = |path: &str| {
                let at = format!("www.elsewhere.example:80:{}", network.edge);
                run("curl", &["-sSi", "--connect-to", &at, &format!("http://www.elsewhere.example{path}")])
            };
            for _ in 0..3 {
                let said = clear("/page");
                assert!(said.starts_with("HTTP/1.1 200"), "nobody is sent to a handshake that is refused: {said}");
            }
            let _name_server = network.start("ns1");
            wait_for(Duration::from_secs(60), "the certificate is served", || {
                let said = pebble.curl(network.edge, &["https://www.elsewhere.example/page"]);
                let is_served = said.starts_with("http/2 200") && said.ends_with("/page");
                if is_served { Ok(()) } else { Err(format!("{said}\n{}\n{}", network.log("ns1"), pebble.log())) }
            });
            let said = clear("/page");
            assert!(said.starts_with("HTTP/1.1 301"), "now there is one: {said}");
            let said = clear("/.well-known/acme-challenge/unknown");
            assert!(
                said.ends_with("/.well-known/acme-challenge/unknown"),
                "what is not for us is the origin's: {said}"
            );
            wait_for(Duration::from_secs(60), "the wildcard's, by the alias", || {
                let said = pebble.curl(network.edge, &["https://any.elsewhere.example/page"]);
                let is_served = said.starts_with("http/2 200") && said.ends_with("/page");
                if is_served { Ok(()) } else { Err(format!("{said}\n{}\n{}", network.log("ns1"), pebble.log())) }
            });
            let dir = network.dir.path().display().to_string();
            let (said, _) = wait_for(Duration::from_secs(30), "the failure is told", || {
                let said = run(HITHER, &["-C", &dir, "status"]);
                if said.contains("ns1 has no certificate for *.lost.example: ") { Ok(said) } else { Err(said) }
            });
            let mend =
                "is there a record `_acme-challenge.lost.example CNAME _acme-challenge.lost.example.cdn.example`";
            assert!(said.contains(mend) && said.contains("it is tried again in 1"), "{said}");
            wait_for(Duration::from_secs(30), "the name has one of its own, by HTTP", || {
                let held = network.path(".state/one-1/certificates/www.elsewhere.example.pem");
                if held.exists() { Ok(()) } else { Err(network.log("ns1")) }
            });
            assert!(pebble.log().contains("Attempting to validate w/ HTTP: http://www.elsewhere.example"));
        });
    });
}

#[test]
fn a_host_outside_the_zones_gets_its_certificate_in_a_handshake() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[], "a page")).await;
        let network = Network::new(244, origin.address, "");
        write_site(&network, "\"www.elsewhere.example\"", "\"auto\"", origin.address);
        let address = network.edge.ip();
        tokio::task::block_in_place(|| {
            let home = network.path("resolver");
            let _elsewhere = elsewhere(&home, address);
            let _resolver = unbound(&home, address, network.dns);
            let pebble = Pebble::start(&network, SocketAddr::new(address, 5401));
            let file = network.path("hither.toml");
            let acme = fs::read_to_string(&file).unwrap().replace("[acme]\n", "[acme]\nchallenge = \"tls-alpn-01\"\n");
            fs::write(&file, acme).unwrap();
            let _edge = network.start("one-1");
            let _name_server = network.start("ns1");
            wait_for(Duration::from_secs(60), "the certificate is served", || {
                let said = pebble.curl(network.edge, &["https://www.elsewhere.example/"]);
                let is_served = said.starts_with("http/2 200") && said.ends_with("a page");
                if is_served { Ok(()) } else { Err(format!("{said}\n{}\n{}", network.log("ns1"), pebble.log())) }
            });
            assert!(!pebble.log().contains("Attempting to validate w/ HTTP"), "{}", pebble.log());
            // Who asks for that and is expected by nobody gets no certificate; beside another protocol it is not heard.
            let shake = |offered: &str| {
                let to = format!("{address}:8143");
                let args = ["s_client", "-connect", &to, "-servername", "www.elsewhere.example", "-alpn", offered];
                let said = run("sh", &["-c", &format!("openssl {} </dev/null 2>&1", args.join(" "))]);
                said.contains("BEGIN CERTIFICATE").then(|| said.contains("ALPN protocol: h2"))
            };
            assert_eq!(shake("acme-tls/1,h2"), Some(true));
            assert_eq!(shake("acme-tls/1,other"), Some(false));
            let elsewhere = format!(
                "openssl s_client -connect {address}:8143 -servername other.elsewhere.example -alpn acme-tls/1 </dev/null 2>&1"
            );
            let said = run("sh", &["-c", &elsewhere]);
            assert!(!said.contains("BEGIN CERTIFICATE"), "{said}");
        });
    });
}
