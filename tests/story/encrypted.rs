//! Encrypted DNS, asked for by the real `kdig` and `curl`.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::node::make_certificate;
use crate::support::{HITHER, Network, run, wait_for};

/// A network whose name server has a certificate, and its authority's file.
fn network(number: u8) -> (Network, String) {
    let network = Network::new(number, SocketAddr::from(([127, 0, 0, 1], 9)), "");
    let made = make_certificate("an authority");
    for (name, text) in
        [("ca.pem", &made.authority), ("secrets/ns.key", &made.key), ("secrets/ns.pem", &made.certificate)]
    {
        fs::write(network.path(name), text).unwrap();
    }
    let file = fs::read_to_string(network.path("hither.toml")).unwrap();
    let tls = "[dns.tls]\ncert = \"ns.pem\"\nkey = \"ns.key\"\nport = 8853\nhttps = 8443\n[health]";
    fs::write(network.path("hither.toml"), file.replace("[health]", tls)).unwrap();
    let authority = network.path("ca.pem").display().to_string();
    (network, authority)
}

#[test]
fn a_name_server_answers_over_tls_quic_and_https_as_over_udp() {
    let (network, authority) = network(191);
    let _name_server = network.start("ns1");
    let at = format!("@{}", network.dns.ip());
    let kdig = |more: &[&str]| {
        let (ca, host) = (format!("+tls-ca={authority}"), "+tls-hostname=www.shop.example");
        run("kdig", &[&[&at, "+retry=0", "+time=3", &ca, host][..], more].concat())
    };
    let ip = network.edge.ip().to_string();
    for (how, port, shown) in [
        ("+tls", "8853", "TLS session (TLS1.3)"),
        ("+quic", "8853", "QUIC session (QUICv1)"),
        ("+https", "8443", "HTTP session (HTTP/2-POST)"),
        ("+https-get", "8443", "HTTP session (HTTP/2-GET)"),
    ] {
        let said = kdig(&[how, "-p", port, "+padding", "shop.cdn.example", "A", "+subnet=192.0.2.0/24"]);
        assert!(said.contains(shown) && said.contains("status: NOERROR") && said.contains(&ip), "{how}: {said}");
        assert!(said.contains("PADDING: ") && said.contains("CLIENT-SUBNET: 192.0.2.0/24/"), "{how}: {said}");
        let received = said.lines().find_map(|line| line.strip_prefix(";; Received ")?.split(' ').next()).unwrap();
        assert_eq!(received.parse::<usize>().unwrap() % 468, 0, "{how}: {said}");
        let said = kdig(&[how, "-p", port, "+nopadding", "elsewhere.example", "A"]);
        assert!(said.contains("status: REFUSED") && !said.contains("PADDING: "), "{how}: {said}");
    }
    let (log, _) = wait_for(Duration::from_secs(3), "queries are logged", || {
        let log = fs::read_to_string(network.path(".state/ns1/queries.jsonl")).unwrap_or_default();
        let is_told = ["tls", "quic", "https"].iter().all(|way| log.contains(&format!("\"transport\":\"{way}\"")));
        if is_told { Ok(log) } else { Err(log) }
    });
    assert!(!log.is_empty());
}

#[test]
fn dns_over_https_is_http_too() {
    let (network, authority) = network(192);
    let _name_server = network.start("ns1");
    let to = format!("::{}:8443", network.dns.ip());
    let curl = |more: &[&str]| {
        let args = [&["-sSi", "--cacert", &authority, "--connect-to", &to][..], more].concat();
        String::from_utf8_lossy(&Command::new("curl").args(args).output().unwrap().stdout)
            .replace('\r', "")
            .to_ascii_lowercase()
    };
    // shop.cdn.example A, and one that is not there.
    let url = "https://www.shop.example/dns-query";
    let known = format!("{url}?dns=AAABAAABAAAAAAAABHNob3ADY2RuB2V4YW1wbGUAAAEAAQ");
    for how in ["--http2", "--http1.1"] {
        let said = curl(&[how, &known]);
        assert!(said.contains(" 200") && said.contains("content-type: application/dns-message\n"), "{said}");
        // `ttl_changing`: the edge does not run.
        assert!(said.contains("cache-control: max-age=5\n"), "{said}");
    }
    let missing = curl(&[&format!("{url}?dns=AAABAAABAAAAAAAAAm5vA2NkbgdleGFtcGxlAAABAAE")]);
    assert!(missing.contains("cache-control: max-age=") && !missing.contains("max-age=0"), "{missing}");
    for (more, status) in [
        (&[url][..], "400"),
        (&[&format!("{url}?dns=a=b")], "400"),
        (&[&format!("{url}?dns=AAAA")], "400"),
        (&["-d", "x", url], "415"),
        (&["-X", "PUT", url], "405"),
        (&["https://www.shop.example/"], "404"),
    ] {
        let said = curl(more);
        assert!(said.starts_with(&format!("http/2 {status}")), "{more:?}: {said}");
    }
    let mut large = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", &authority, "--connect-to", &to])
        .args(["-H", "Content-Type: application/dns-message", "--data-binary", "@-", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    large.stdin.take().unwrap().write_all(&vec![0; 70_000]).unwrap();
    assert_eq!(large.wait_with_output().unwrap().stdout, b"413");
    // A certificate that is replaced is shown from the next handshake on; a wrong one changes nothing.
    fs::write(network.path("secrets/ns.key"), "nothing").unwrap();
    let said = run(HITHER, &["check", &network.dir.path().display().to_string()]);
    assert!(said.contains("secrets/ns.key cannot be used"), "{said}");
    assert!(curl(&[&known]).starts_with("http/2 200"));
}
