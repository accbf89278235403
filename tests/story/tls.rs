//! TLS towards clients, asked for by the real `curl`.

use std::fs;
use std::net::SocketAddr;

use crate::node::make_certificate;
use crate::support::{HITHER, Network, Origin, reply, run, runtime};

/// A network whose site has a certificate, with more in its `tls` and in `[edge]`.
pub(crate) struct Secured {
    pub(crate) network: Network,
    pub(crate) authority: String,
    pub(crate) key_hash: String,
}

impl Secured {
    pub(crate) async fn new(number: u8, tls: &str, edge: &str) -> Self {
        let origin = Origin::start(|_, request| {
            let said = format!("{} {}", request.method(), request.uri());
            reply(200, &[("cache-control", "max-age=60")], said)
        });
        Self::of(number, origin.await.address, tls, edge)
    }

    /// The same with an origin of its own.
    pub(crate) fn of(number: u8, origin: SocketAddr, tls: &str, edge: &str) -> Self {
        let network = Network::new(number, origin, "");
        let made = make_certificate("an authority");
        fs::write(network.path("ca.pem"), &made.authority).unwrap();
        fs::write(network.path("secrets/shop.key"), &made.key).unwrap();
        fs::write(network.path("secrets/shop.pem"), &made.certificate).unwrap();
        let site = fs::read_to_string(network.path("sites/shop.toml")).unwrap();
        let site = site.replace("hosts = [", &format!("hosts = [\"{}\", ", network.edge.ip()));
        let tls = format!("tls = {{ cert = \"shop.pem\", key = \"shop.key\"{tls} }}\n{site}");
        fs::write(network.path("sites/shop.toml"), tls).unwrap();
        let file = fs::read_to_string(network.path("hither.toml")).unwrap();
        fs::write(network.path("hither.toml"), file.replace("[edge]\n", &format!("[edge]\n{edge}"))).unwrap();
        let authority = network.path("ca.pem").display().to_string();
        Self { network, authority, key_hash: made.key_hash }
    }

    /// What curl says of a URL, whose host's ports 80 and 443 are the edge's.
    pub(crate) fn curl(&self, more: &[&str]) -> String {
        let ip = self.network.edge.ip();
        let clear = format!("www.shop.example:80:{ip}:8100");
        let secure = ["www.shop.example", "other.example"].map(|name| format!("{name}:443:{ip}:8143"));
        let mut args = vec!["-sSi", "--cacert", &self.authority, "--connect-to", &clear];
        secure.iter().for_each(|to| args.extend(["--connect-to", to]));
        args.extend(more);
        tokio::task::block_in_place(|| run("curl", &args)).to_ascii_lowercase().replace('\r', "")
    }
}

#[test]
fn who_comes_without_tls_is_sent_to_it_and_browsers_are_told_to_stay() {
    runtime().block_on(async {
        let more = ", redirect = true, hsts = { max_age = \"365d\", subdomains = true }";
        let site = Secured::new(184, more, "").await;
        let _edge = site.network.start("one-1");
        let url = "http://www.shop.example/a/b?c=d";
        let to = "\nlocation: https://www.shop.example:8143/a/b?c=d\n";
        for (more, status) in [(&[][..], "301"), (&["-I"], "301"), (&["-d", "x"], "308")] {
            let said = site.curl(&[more, &[url]].concat());
            assert!(said.starts_with(&format!("http/1.1 {status}")) && said.contains(to), "{more:?}: {said}");
            assert!(!said.contains("strict-transport-security"), "{said}");
        }
        let address = site.curl(&["-H", "Host: 127.0.2.184", &format!("http://{}/", site.network.edge)]);
        assert!(address.starts_with("http/1.1 200"), "over TLS nobody could show a certificate for it: {address}");
        let challenge = site.curl(&["http://www.shop.example/.well-known/acme-challenge/x"]);
        assert!(challenge.starts_with("http/1.1 200") && challenge.ends_with("acme-challenge/x"), "{challenge}");
        for (how, told) in
            [("--http1.1", "fwd=uri-miss"), ("--http1.1", "hit"), ("--http1.1", "hit"), ("--http2", "hit")]
        {
            let said = site.curl(&[how, "https://www.shop.example/"]);
            let hsts = "\nstrict-transport-security: max-age=31536000; includesubdomains\n";
            assert!(said.contains(hsts) && said.contains(&format!(";{told}")), "{how} {told}: {said}");
        }
        let file = fs::read_to_string(site.network.path("sites/shop.toml")).unwrap();
        fs::write(site.network.path("sites/shop.toml"), file.replace("\"365d\"", "\"30d\", preload = true")).unwrap();
        let said = run(HITHER, &["check", &site.network.dir.path().display().to_string()]);
        assert!(said.contains("browsers build in only what holds for a year and for subdomains"), "{said}");
    });
}

#[test]
fn a_client_that_names_no_site_gets_the_default_s_certificate_and_nothing_of_others() {
    runtime().block_on(async {
        let site = Secured::new(185, "", "default_site = \"shop\"\n").await;
        let _edge = site.network.start("one-1");
        let address = format!("https://{}:8143/", site.network.edge.ip());
        // Without a name in the handshake: curl sends none for an address.
        let said = site.curl(&["-k", "-H", "Host: www.shop.example", &address]);
        assert!(said.starts_with("http/2 200"), "{said}");
        let said = site.curl(&["-k", "https://other.example/"]);
        assert!(said.starts_with("http/2 421"), "its host is none of this certificate's: {said}");
        let said = site.curl(&["-k", "-H", "Host: www.shop.example", "https://other.example/"]);
        assert!(said.starts_with("http/2 200"), "{said}");
        let file = fs::read_to_string(site.network.path("hither.toml")).unwrap();
        fs::write(
            site.network.path("hither.toml"),
            file.replace("default_site = \"shop\"", "default_site = \"shops\""),
        )
        .unwrap();
        let said = run(HITHER, &["check", &site.network.dir.path().display().to_string()]);
        assert!(said.contains("did you mean") && said.contains("shop"), "{said}");
        fs::write(site.network.path("hither.toml"), &file).unwrap();
        let shop = fs::read_to_string(site.network.path("sites/shop.toml")).unwrap();
        let without: String = shop.lines().filter(|line| !line.starts_with("tls")).collect::<Vec<_>>().join("\n");
        fs::write(site.network.path("sites/shop.toml"), without).unwrap();
        let said = run(HITHER, &["check", &site.network.dir.path().display().to_string()]);
        assert!(said.contains("`default_site` of [edge]: site `shop` has no `tls`"), "{said}");
    });
}
