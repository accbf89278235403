//! What judges that are not ours say of an edge's TLS and HTTP/2: `sslscan`, `openssl s_client`, `h2load`.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Process, run, runtime, wait_for};
use crate::tls::Secured;

#[test]
fn judges_of_tls_find_nothing_weak_and_sessions_resume() {
    runtime().block_on(async {
        let site = Secured::new(215, "", "").await;
        let _edge = site.network.start("one-1");
        tokio::task::block_in_place(|| {
            is_found_good(&site);
            is_agreed_on_well(&site);
            resumes(&site);
            refuses_to_renegotiate(&site);
        });
    });
}

/// The elements of a name in sslscan's report, which has one a line.
fn elements<'r>(report: &'r str, name: &str) -> Vec<&'r str> {
    let begins = format!("<{name} ");
    report.lines().map(str::trim).filter(|line| line.starts_with(&begins)).collect()
}

/// The value of an element's attribute; nothing where it has none.
fn attribute<'r>(element: &'r str, name: &str) -> &'r str {
    let after = element.split_once(&format!(" {name}=\"")).map(|(_, after)| after);
    after.and_then(|after| after.split('"').next()).unwrap_or_default()
}

fn is_found_good(site: &Secured) {
    let at = format!("{}:8143", site.network.edge.ip());
    let report = run("sslscan", &["--no-colour", "--xml=-", "--sni-name=www.shop.example", &at]);
    let of = |name: &str| elements(&report, name);
    let enabled = of("protocol").into_iter().filter(|protocol| attribute(protocol, "enabled") == "1");
    let enabled: Vec<&str> = enabled.map(|protocol| attribute(protocol, "version")).collect();
    assert_eq!(enabled, ["1.2", "1.3"], "{report}");
    let ciphers = of("cipher");
    for version in ["TLSv1.2", "TLSv1.3"] {
        assert!(ciphers.iter().any(|cipher| attribute(cipher, "sslversion") == version), "{version}: {report}");
    }
    for cipher in ciphers {
        let (name, bits) = (attribute(cipher, "cipher"), attribute(cipher, "bits").parse::<u32>().unwrap());
        // Keys that are forgotten (RFC 9325 §4.1), and encryption that authenticates (§4.2).
        let is_forward = name.starts_with("TLS_") || name.starts_with("ECDHE-");
        let is_whole = name.contains("GCM") || name.contains("CHACHA20");
        assert!(is_forward && is_whole && bits >= 128, "{cipher}");
        assert!(!["weak", "null", "anonymous"].contains(&attribute(cipher, "strength")), "{cipher}");
    }
    let groups = of("group");
    assert!(groups.iter().any(|group| attribute(group, "name") == "x25519"), "{report}");
    assert!(groups.iter().all(|group| attribute(group, "bits").parse::<u32>().unwrap() >= 128), "{report}");
    for (name, flaw) in [("renegotiation", "supported"), ("compression", "supported"), ("heartbleed", "vulnerable")] {
        assert!(of(name).iter().all(|found| attribute(found, flaw) == "0"), "{name}: {report}");
    }
    assert!(!of("renegotiation").is_empty() && !of("heartbleed").is_empty(), "{report}");
}

/// A client that knows the site's authority.
fn begin(site: &Secured, more: &[&str]) -> Child {
    let at = format!("{}:8143", site.network.edge.ip());
    // Who hangs is ended.
    Command::new("timeout")
        .args(["20", "openssl", "s_client", "-connect", &at, "-CAfile", &site.authority, "-verify_return_error"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the client says of a connection on which it sends this and no more.
fn s_client(site: &Secured, more: &[&str], sent: &str) -> String {
    let mut client = begin(site, more);
    // One that is refused takes nothing.
    let _ = client.stdin.take().unwrap().write_all(sent.as_bytes());
    let said = client.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
}

/// The name that the site's certificate is for.
const NAMED: [&str; 2] = ["-servername", "www.shop.example"];

fn is_agreed_on_well(site: &Secured) {
    let ask = |more: &[&str]| s_client(site, &[&NAMED[..], more].concat(), "");
    for (offered, expected) in [
        ("h2,http/1.1", "ALPN protocol: h2\n"),
        ("http/1.1", "ALPN protocol: http/1.1\n"),
        // RFC 7301 §3.2: "the server SHALL send a fatal "no_application_protocol" alert".
        ("spdy/3", "no application protocol"),
    ] {
        let said = ask(&["-alpn", offered]);
        assert!(said.contains(expected), "{offered}: {said}");
    }
    let said = ask(&["-status"]);
    assert!(said.contains("OCSP response: no response sent") && said.contains("Compression: NONE"), "{said}");
    assert!(said.contains("New, TLSv1.3,"), "{said}");
    // Who has fallen back to an older version without need learns of it: by an alert (RFC 7507 §3), or of a mark in the
    // answer (RFC 8446 §4.1.3).
    let said = ask(&["-tls1_2", "-fallback_scsv"]);
    assert!(said.contains("inappropriate fallback"), "{said}");
    for (name, refused) in
        [(&["-servername", "other.example"][..], "a name that no site has"), (&["-noservername"], "none")]
    {
        let said = s_client(site, name, "");
        assert!(
            said.contains("SSL alert number") && said.contains("no peer certificate available"),
            "{refused}: {said}"
        );
    }
    let said = ask(&["-groups", "X25519MLKEM768"]);
    if said.contains("CONNECTED") {
        assert!(said.contains("New, TLSv1.3,") && said.contains("X25519MLKEM768"), "{said}");
    } else {
        println!("SKIPPED: key exchange with ML-KEM, which this openssl does not know");
    }
}

fn resumes(site: &Secured) {
    let request = "GET /page HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n";
    let session = site.network.path("session.pem").display().to_string();
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        for (how, expected) in [("-sess_out", "New"), ("-sess_in", "Reused")] {
            let own = [version, "-alpn", "http/1.1", "-ign_eof", how, &session];
            let said = s_client(site, &[&NAMED[..], &own].concat(), request);
            assert!(
                said.contains(&format!("\n{expected}, {name},")) && said.contains("GET /page"),
                "{version} {how}: {said}"
            );
        }
    }
    let said = s_client(site, &[&NAMED[..], &["-tls1_2", "-reconnect"]].concat(), "");
    let (new, reused) = (said.matches("\nNew, TLSv1.2,").count(), said.matches("\nReused, TLSv1.2,").count());
    assert_eq!((new, reused), (1, 5), "{said}");
}

/// A client that asks to renegotiate is told no, at once.
fn refuses_to_renegotiate(site: &Secured) {
    let mut client = Process(begin(site, &[&NAMED[..], &["-tls1_2", "-alpn", "http/1.1"]].concat()));
    // It stays open: its end would end the connection.
    let mut input = client.0.stdin.take().unwrap();
    input.write_all(b"R\n").unwrap();
    wait_for(Duration::from_secs(10), "the client learns that it is refused", || {
        client.0.try_wait().unwrap().ok_or_else(|| "it waits".to_owned())
    });
    let mut said = String::new();
    client.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
}

#[test]
fn thousands_of_requests_over_http2_are_all_answered() {
    runtime().block_on(async {
        let site = Secured::new(216, "", "").await;
        let _edge = site.network.start("one-1");
        let ip = site.network.edge.ip();
        for (url, port, protocol) in
            [("https://www.shop.example/page", 8143, "h2\n"), ("http://www.shop.example/page", 8100, "h2c\n")]
        {
            let to = format!("--connect-to={ip}:{port}");
            let args = ["-n", "5000", "-c", "10", "-m", "32", &to, url];
            let said = tokio::task::block_in_place(|| run("h2load", &args));
            for expected in [
                format!("Application protocol: {protocol}").as_str(),
                "requests: 5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout",
                "status codes: 5000 2xx, 0 3xx, 0 4xx, 0 5xx",
            ] {
                assert!(said.contains(expected), "{url}: {expected}\n{said}");
            }
        }
    });
}
