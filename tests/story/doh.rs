//! DNS over HTTPS at the port of an edge's sites, asked for by the real `curl` and an HTTP/3 client.

use std::fs;
use std::process::Command;

use crate::http3::ask_host;
use crate::node::make_certificate_for;
use crate::support::{HITHER, Network, Process, run, runtime, wait_for};
use crate::tls::Secured;

/// The one node of a network: its site has a certificate, and its name server another, of another authority.
struct Both {
    site: Secured,
    /// That of the name server's certificate.
    authority: String,
}

impl Both {
    async fn new(number: u8) -> Self {
        let site = Secured::new(number, "", "").await;
        let network = &site.network;
        let made = make_certificate_for("ns1.cdn.example", "another authority");
        for (name, text) in
            [("ns-ca.pem", &made.authority), ("secrets/ns.key", &made.key), ("secrets/ns.pem", &made.certificate)]
        {
            fs::write(network.path(name), text).unwrap();
        }
        let file = fs::read_to_string(network.path("hither.toml")).unwrap();
        let tls = "[dns.tls]\ncert = \"ns.pem\"\nkey = \"ns.key\"\nport = 8853\nhttps = 8143\n[health]";
        let both = file.replace("id = \"one-1\"", "id = \"ns1\"").replace("[health]", tls);
        fs::write(network.path("hither.toml"), both).unwrap();
        let authority = network.path("ns-ca.pem").display().to_string();
        Self { site, authority }
    }

    fn network(&self) -> &Network {
        &self.site.network
    }

    fn start(&self) -> Process {
        self.network().start("ns1")
    }

    /// What curl says of a host's URL at the common port.
    fn curl(&self, more: &[&str]) -> String {
        let to = format!("::{}:8143", self.network().edge.ip());
        let args = [&["-sSi", "--cacert", &self.authority, "--connect-to", &to][..], more].concat();
        let said = tokio::task::block_in_place(|| Command::new("curl").args(args).output().unwrap());
        // What is asked for here is no text.
        let told = [said.stdout, said.stderr].concat();
        String::from_utf8_lossy(&told).replace('\r', "").to_ascii_lowercase()
    }
}

/// shop.cdn.example A.
const QUERY: &str = "/dns-query?dns=AAABAAABAAAAAAAABHNob3ADY2RuB2V4YW1wbGUAAAEAAQ";

#[test]
fn an_edge_answers_dns_over_https_beside_its_sites() {
    runtime().block_on(async {
        let both = Both::new(217).await;
        let _node = both.start();
        let of_name_server = format!("https://ns1.cdn.example{QUERY}");
        for (how, version) in [("--http2", "http/2"), ("--http1.1", "http/1.1")] {
            let said = both.curl(&[how, &of_name_server]);
            assert!(said.starts_with(&format!("{version} 200")), "{said}");
            assert!(said.contains("content-type: application/dns-message\n"), "{said}");
            let address = said.contains("\ncache-control: max-age=");
            assert!(address && !said.contains("cache-status"), "no site has a hand in it: {said}");
        }
        let get = format!("GET:{QUERY}");
        let said =
            ask_host("ns1.cdn.example", both.network().edge.ip(), &both.authority, &["GET:/dns-query", "GET:/", &get]);
        assert!(said[0].starts_with(":status: 400\n") && said[0].contains("write /dns-query?dns="), "{}", said[0]);
        assert!(said[1].starts_with(":status: 421\n"), "no site is at that name: {}", said[1]);
        assert!(said[2].starts_with(":status: 200\n") && said[2].contains("application/dns-message"), "{}", said[2]);

        let body = both.network().path("query");
        fs::write(&body, b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x04shop\x03cdn\x07example\0\0\x01\0\x01").unwrap();
        let body = format!("@{}", body.display());
        let kind = "Content-Type: application/dns-message";
        let said = both.curl(&["-H", kind, "--data-binary", &body, "https://ns1.cdn.example/dns-query"]);
        assert!(said.starts_with("http/2 200") && said.contains("application/dns-message"), "{said}");

        // A site has the path, too, and what is stored there is a hit.
        for told in ["fwd=uri-miss", "hit", "hit"] {
            let said = both.site.curl(&["--http1.1", "https://www.shop.example/dns-query"]);
            assert!(said.ends_with("get /dns-query") && said.contains(&format!(";{told}")), "{told}: {said}");
        }
        // Who was shown one certificate and asks for the other's host is sent away, both ways.
        let said = both.curl(&["-H", "Host: www.shop.example", &of_name_server]);
        assert!(said.starts_with("http/2 421"), "{said}");
        let of_site = format!("https://www.shop.example{QUERY}");
        let said = both.site.curl(&["-H", "Host: ns1.cdn.example", &of_site]);
        assert!(said.starts_with("http/2 421"), "{said}");

        let log = || fs::read_to_string(both.network().path(".state/ns1/queries.jsonl")).unwrap_or_default();
        wait_for(std::time::Duration::from_secs(3), "queries are logged as such", || {
            if log().matches("\"transport\":\"https\"").count() >= 4 { Ok(()) } else { Err(log()) }
        });
        let file = fs::read_to_string(both.network().path("hither.toml")).unwrap();
        let wrong = file.replace("port = 8853\nhttps = 8143", "port = 8143\nhttps = 8443");
        fs::write(both.network().path("hither.toml"), wrong).unwrap();
        let said = run(HITHER, &["check", &both.network().dir.path().display().to_string()]);
        let fault = "node `ns1` needs 127.0.2.217:8143 twice: for `port` of [dns.tls] and `https` of the edge";
        assert!(said.contains(fault), "{said}");
    });
}
