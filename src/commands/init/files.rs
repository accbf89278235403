//! The files of a new directory, as text: every key with a line that says what it is for.

use std::fmt::Display;

use crate::answers::{Answers, NewEdge, NewNameServer, NewPop, NewSite};

/// Where comments begin.
const COMMENTS: usize = 40;

/// Every file that is no secret, by its path in the directory.
pub(super) fn of(answers: &Answers) -> Vec<(String, String)> {
    let site = |site: &NewSite| (format!("sites/{}.toml", site.id), site_file(answers, site));
    let own = [
        ("hither.toml".to_owned(), network(answers)),
        ("routes.toml".to_owned(), ROUTES.to_owned()),
        (".gitignore".to_owned(), "secrets/\n.state/\n".to_owned()),
    ];
    own.into_iter().chain(answers.sites.iter().map(site)).collect()
}

const ROUTES: &str =
    "# Mapping rules: the first that matches a client and site counts, and goes before all that the map knows.
#
# [[route]]
# country = \"NZ\"                        # or prefix, continent, asn
# sites   = [\"shop\"]                    # left out: all
# prefer  = [\"syd\", \"fra\"]              # in this order, then the map; or pin = \"syd\", or forbid = [\"syd\"]
";

/// A key with its meaning; one that begins with `#` is left to its default.
fn line(key: impl Display, meaning: &str) -> String {
    let key = format!("{key} ");
    format!("{key:<COMMENTS$}# {meaning}\n")
}

/// A text as TOML has it: JSON's strings are TOML's.
fn quoted(text: impl Display) -> String {
    serde_json::Value::String(text.to_string()).to_string()
}

fn list<T: Display>(values: &[T]) -> String {
    format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", "))
}

fn network(answers: &Answers) -> String {
    let Answers { zone, contact, state, name_servers, pops, .. } = answers;
    let mut out = String::from(
        "# The network: its zone, name servers, PoPs and edges. Every node reads this directory.\n\
         # A saved file is live at once; `hither check` tells all that is wrong with it.\n\
         # Every key is explained in docs/config.md. Those behind a # have the value that is shown, or none.\n\n",
    );
    out +=
        &line(format!("zone    = {}", quoted(zone)), "delegated to the name servers below; site `shop` is shop.ZONE");
    out += &line(format!("contact = {}", quoted(contact)), "who is in charge: in the zone's SOA record");
    out += &line(format!("state   = {}", quoted(state)), "where a node keeps verdicts, purges, certificates, logs");
    out += &settings();
    for (number, node) in name_servers.iter().enumerate() {
        out += &name_server(node, Comments::of(number));
    }
    let mut edges = 0;
    let with_country = pops.iter().position(|pop| pop.country.is_some()).unwrap_or_default();
    for (number, pop) in pops.iter().enumerate() {
        out += &place(pop, Comments::of(number), Comments::of(number.abs_diff(with_country)));
        for one in answers.edges_of(&pop.id) {
            out += &edge(one, Comments::of(edges));
            edges += 1;
        }
    }
    out
}

/// What is the same for every new network.
fn settings() -> String {
    let tables: [(&str, &[(&str, &str)]); 6] = [
        (
            "admin",
            &[
                ("listen = \"127.0.0.1:9300\"", "status, metrics and explanations of each node; keep it on loopback"),
                ("token  = { file = \"admin.token\" }", "under secrets/: who shows it may purge and drain by HTTP"),
            ],
        ),
        (
            "geo",
            &[
                (
                    "# database = [\"GeoLite2-City.mmdb\"]",
                    "cities place clients far better than the built-in countries",
                ),
                ("# home = [50.11, 8.68]", "where private addresses are taken to be; left out: the first PoP"),
            ],
        ),
        (
            "dns",
            &[
                ("ttl     = \"20s\"", "how long resolvers keep an answer: less fails over sooner"),
                ("answers = 2", "addresses in an answer"),
                ("dnssec  = false", "true signs answers; `hither keys create` first"),
            ],
        ),
        (
            "edge",
            &[
                ("# memory = \"4GiB\"", "RAM of each edge; left out: a quarter of the machine's, 4GiB at most"),
                ("# disk = { path = \"/var/cache/hither\", size = \"100GiB\" }", "more than RAM holds, over restarts"),
                ("http  = 80", "a port on each edge's addresses; behind NAT a list of \"ip:port\""),
                ("https = 443", "the same for TLS and HTTP/3; open while a site has `tls`"),
            ],
        ),
        (
            "health",
            &[
                ("interval = \"1s\"", "between two probes of an edge by a name server"),
                ("timeout  = \"1s\"", "a probe without an answer for so long has failed"),
                ("fall = 2", "failures in a row that take an edge out"),
                ("rise = 5", "successes in a row that bring it back"),
            ],
        ),
        (
            "log",
            &[
                ("requests = true", "edges write a line for each request"),
                ("queries  = false", "name servers one for each query"),
                ("clients  = \"prefix\"", "how much of a client's address: full, prefix or none"),
            ],
        ),
    ];
    let table = |(name, keys): (&str, &[(&str, &str)])| {
        let lines: String = keys.iter().map(|(key, meaning)| line(key, meaning)).collect();
        format!("\n[{name}]\n{lines}")
    };
    tables.into_iter().map(table).collect()
}

/// Whether keys are explained: where they stand for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comments {
    Shown,
    Left,
}

impl Comments {
    fn of(number: usize) -> Self {
        if number == 0 { Self::Shown } else { Self::Left }
    }

    fn line(self, key: String, meaning: &str) -> String {
        match self {
            Self::Shown => line(key, meaning),
            Self::Left if key.starts_with('#') => String::new(),
            Self::Left => format!("{key}\n"),
        }
    }
}

fn name_server(node: &NewNameServer, comments: Comments) -> String {
    let listen: Vec<String> =
        node.addresses.iter().map(|one| std::net::SocketAddr::new(*one, 53).to_string()).collect();
    "\n[[nameserver]]\n".to_owned()
        + &comments.line(
            format!("id = {}", quoted(&node.id)),
            "its name is ID.ZONE; the same id at an edge: one node of both roles",
        )
        + &comments.line(format!("addresses = {}", list(&node.addresses)), "what the glue at the zone's parent says")
        + &comments.line(
            format!("# listen = {}", list(&listen)),
            "behind NAT: the machine's own; left out: port 53 on its addresses",
        )
}

fn place(pop: &NewPop, comments: Comments, of_country: Comments) -> String {
    let (north, east) = (pop.location.latitude, pop.location.longitude);
    let mut out = "\n[[pop]]\n".to_owned()
        + &comments.line(format!("id = {}", quoted(&pop.id)), "a place with edges")
        + &comments
            .line(format!("location = [{north}, {east}]"), "degrees north, degrees east: clients go to the nearest");
    if let Some(country) = pop.country {
        out += &of_country
            .line(format!("country = {}", quoted(country)), "`hither check` warns where the location is outside");
    }
    out
}

fn edge(edge: &NewEdge, comments: Comments) -> String {
    "\n[[pop.edge]]\n".to_owned()
        + &comments.line(format!("id = {}", quoted(&edge.id)), "an edge of the PoP above")
        + &comments.line(format!("addresses = {}", list(&edge.addresses)), "what DNS hands out for it")
        + &comments
            .line("# capacity = \"10Gbps\"".to_owned(), "what it can send: a PoP that is nearly full sheds clients")
        + &comments.line(
            "# peer = \"10.1.0.10:8444\"".to_owned(),
            "where nodes reach it, best where no client can; left out: port 8444",
        )
}

fn site_file(answers: &Answers, site: &NewSite) -> String {
    let own = format!("{}.{}", site.id, answers.zone);
    let mut out = format!(
        "# A customer's site. The file's name is its id: it answers as {own},\n\
         # which is what the customer's names are to be aliases (CNAME) of.\n\n"
    );
    out += &line(format!("hosts = {}", list(&site.hosts)), "names it answers to, besides its own; `*.` for all below");
    out +=
        &line("# tls = \"auto\"", "certificates that get themselves; or { cert = \"shop.pem\", key = \"shop.key\" }");
    out += "\n[origin]\n";
    out += &line(format!("servers = [{}]", quoted(&site.origin)), "where the content comes from; tried in this order");
    out += &line("# host = \"www.shop.example\"", "the Host that it is asked for; left out: the client's");
    let private = if site.is_private { "allow_private = true" } else { "# allow_private = false" };
    out += &line(private, "whether it may be at an address inside your network");
    out += "\n[cache]\n";
    out += &line("# ttl = \"0s\"", "how long what the origin says nothing about is fresh");
    out += &line("grace = \"10s\"", "how much longer it is served while one request asks the origin again");
    out + "\n# [[rule]]\n"
        + &line("# path = \"/assets/**\"", "* within a segment, ** across; all rules that match apply")
        + &line("# ttl = \"30d\"", "more of what rules say: docs/sites.md")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::answers;

    fn answers() -> Answers {
        Answers {
            zone: answers::zone("cdn.example").unwrap(),
            contact: "o\"brien@cdn.example".to_owned(),
            state: "/var/lib/hither".to_owned(),
            name_servers: ["ns1=192.0.2.53,2001:db8::53", "ns2=198.51.100.53"]
                .map(|one| answers::name_server(one).unwrap())
                .into(),
            pops: ["fra@50.11,8.68", "syd@-33.87,151,AU"].map(|one| answers::pop(one).unwrap()).into(),
            edges: ["fra-1@fra=192.0.2.10", "syd-1@syd=192.0.2.12", "fra-2@fra=192.0.2.11"]
                .map(|one| answers::edge(one).unwrap())
                .into(),
            sites: [
                "shop=www.shop.example,*.shop.example=https://origin.shop.example",
                "wiki=wiki.example=http://10.0.0.1:8000",
            ]
            .map(|one| answers::site(one).unwrap())
            .into(),
        }
    }

    /// The config of the files.
    fn load(files: &[(String, String)]) -> config::Loaded {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sites")).unwrap();
        fs::create_dir_all(dir.path().join("secrets")).unwrap();
        fs::write(dir.path().join("secrets/admin.token"), "sixteen characters").unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        config::load(dir.path()).unwrap()
    }

    #[test]
    fn the_files_are_a_config_that_says_what_was_answered() {
        let config::Loaded { config, warnings } = load(&of(&answers()));
        assert!(warnings.is_empty(), "{warnings:?}");
        let network = &config.network;
        assert_eq!((network.zone.as_str(), network.contact.as_str()), ("cdn.example", "o\"brien@cdn.example"));
        assert_eq!(network.state, std::path::Path::new("/var/lib/hither"));
        assert_eq!(network.name_servers[0].addresses.all().len(), 2);
        let edges: Vec<String> = network.edges().map(|(pop, edge)| format!("{}/{}", pop.id, edge.id)).collect();
        assert_eq!(edges, ["fra/fra-1", "fra/fra-2", "syd/syd-1"]);
        assert_eq!(network.pops[1].location, config::Location { latitude: -33.87, longitude: 151.0 });
        assert_eq!(network.pops[1].country.map(|country| country.to_string()).as_deref(), Some("AU"));
        let sites: Vec<(&str, usize, bool)> =
            config.sites.iter().map(|site| (site.id.as_str(), site.hosts.len(), site.origin.allow_private)).collect();
        assert_eq!(sites, [("shop", 2, false), ("wiki", 1, true)]);
    }

    #[test]
    fn what_is_written_out_is_the_default() {
        let defaults = load(&of(&answers())).config.network;
        let files: Vec<(String, String)> = of(&answers())
            .into_iter()
            .map(|(name, text)| {
                let settings = settings();
                let left = "\n[admin]\ntoken = { file = \"admin.token\" }\n";
                (name, text.replace(&settings, left))
            })
            .collect();
        let left_out = load(&files).config.network;
        assert_eq!(format!("{left_out:?}"), format!("{defaults:?}"));
    }

    #[test]
    fn every_key_is_explained_where_it_stands_first() {
        for (name, text) in of(&answers()).iter().filter(|(name, _)| name.ends_with(".toml")) {
            let mut seen = Vec::new();
            let (mut table, mut wide) = ("", 0);
            for line in text.lines() {
                if line.starts_with('[') {
                    table = line;
                }
                let key = line.split_once('=').map(|(key, _)| key.trim());
                let Some(key) = key.filter(|key| !key.trim_start_matches("# ").contains(' ')) else { continue };
                wide = wide.max(line.chars().count());
                if !seen.contains(&(table, key)) {
                    seen.push((table, key));
                    let meaning = line.trim_start_matches('#').split_once(" # ").map(|(_, meaning)| meaning);
                    assert!(meaning.is_some() || line.contains("  # "), "{name}: {line}");
                }
            }
            assert!(wide <= 120, "{name}: {wide}");
            assert!(name == "routes.toml" || seen.len() > 5, "{name}: {seen:?}");
        }
    }
}
