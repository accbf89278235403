use std::fs;
use std::path::Path;

use regex::bytes::RegexBuilder;

use super::reference::{File, Table, files};
use super::*;
use crate::route::AsNumbers;
use crate::source::Source;
use crate::table::{Context, read_document};
use crate::{limits, network, route, site, units};

/// Reads a text as the file and returns what is said about it.
fn told(file: &File, text: &str) -> Vec<String> {
    let source = Source::new(Path::new(file.path), format!("{text}\n"));
    let context = Context::default();
    let no_secret = |_: crate::table::Value<'_>| None;
    read_document(&context, &source, |table| match file.path {
        "hither.toml" => network::read(table, &no_secret).map(drop),
        "routes.toml" => route::read(table, AsNumbers::Known).map(drop),
        _ => site::read(table, crate::SiteId::parse("shop").ok()?, &no_secret).map(drop),
    });
    let problems = context.finish();
    problems.iter().map(|problem| format!("{} {}", problem.message, problem.help.clone().unwrap_or_default())).collect()
}

fn tables(files: &[File]) -> impl Iterator<Item = (&File, &Table)> {
    files.iter().flat_map(|file| file.tables.iter().map(move |table| (file, table)))
}

#[test]
fn what_no_node_can_have_is_no_address() {
    let said = |text: &str| told(&files()[0], text).concat();
    for wildcard in ["0.0.0.0:53", "[::]:53"] {
        let text = format!("[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\nlisten = [\"{wildcard}\"]");
        assert!(!said(&text).contains(wildcard), "a socket for all addresses: {}", said(&text));
    }
    for address in ["0.0.0.0", "::", "224.0.0.1", "ff02::1"] {
        let text = format!("[[nameserver]]\nid = \"ns1\"\naddresses = [\"{address}\"]");
        assert!(said(&text).contains(&format!("`{address}` is no node's address")), "{}", said(&text));
    }
}

#[test]
fn a_header_is_wanted_only_of_proxies_that_are_named_and_of_no_name_server() {
    let server = "[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]";
    let header = "proxy_protocol = true";
    let (none, holds_all) = ("`proxy_protocol` without `trusted_proxies`", "`trusted_proxies` holds everybody");
    let probes = "name server `ns1` is in `trusted_proxies` of [edge]";
    for (edge, expected) in [
        ("trusted_proxies = [\"192.0.2.0/24\"]".to_owned(), &[][..]),
        (header.to_owned(), &[none]),
        (format!("{header}\ntrusted_proxies = []"), &[none]),
        (format!("{header}\ntrusted_proxies = [\"198.51.100.0/24\"]"), &[]),
        (format!("{header}\ntrusted_proxies = [\"198.51.100.7\", \"192.0.2.0/24\"]"), &[probes]),
        ("trusted_proxies = [\"0.0.0.0/0\"]".to_owned(), &[holds_all]),
        ("trusted_proxies = [\"::/0\"]".to_owned(), &[holds_all]),
    ] {
        let said = told(&files()[0], &format!("[edge]\n{edge}\n{server}")).join("\n");
        for message in [none, holds_all, probes] {
            assert_eq!(said.contains(message), expected.contains(&message), "{edge}: {said}");
        }
    }
    let said = told(&files()[0], "[edge]\ntrusted_proxys = [\"192.0.2.7/24\"]").join("\n");
    assert!(said.contains("did you mean `trusted_proxies`?"), "{said}");
    let said = told(&files()[0], "[edge]\ntrusted_proxies = [\"192.0.2.7/24\"]").join("\n");
    assert!(said.contains("did you mean \"192.0.2.0/24\"?"), "{said}");
}

#[test]
fn the_examples_load_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    for file in files() {
        let path = dir.path().join(file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.example).unwrap();
    }
    fs::create_dir(dir.path().join("secrets")).unwrap();
    fs::write(dir.path().join("secrets/admin.token"), "sixteen characters").unwrap();
    let loaded = crate::load(dir.path()).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let config = loaded.config;
    let counts = [config.network.pops.len(), config.sites.len(), config.zones.len(), config.routes.routes.len()];
    assert_eq!(counts, [2, 1, 1, 3]);

    fs::write(dir.path().join("secrets/fleet.key"), "fifteen letters\n").unwrap();
    let refused = crate::load(dir.path()).unwrap_err();
    let said: Vec<&str> = refused.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(said, ["secrets/fleet.key is too short"]);
    assert_eq!(refused.network.unwrap().pops.len(), 2, "nodes are asked by it");
}

#[test]
fn every_key_of_the_schema_is_read_and_a_misspelt_one_is_not() {
    let files = files();
    for (file, table) in tables(&files) {
        for (key, _) in table.keys() {
            let said = told(file, &format!("{}\n{key} = 1979-05-27", table.head)).concat();
            assert!(!said.contains("unknown key"), "{}: {said}", file.name);
        }
        let said = told(file, &format!("{}\nzoen = 1", table.head)).concat();
        assert!(said.contains("unknown key `zoen`"), "{}: {said}", file.name);
        assert_eq!(table.schema.get("additionalProperties"), Some(&json!(false)), "{} {}", file.name, table.head);
    }
    let said = told(&files[0], "zoen = 1").concat();
    assert!(said.contains("did you mean `zone`?"), "{said}");
}

#[test]
fn the_keys_without_a_default_are_those_the_reader_misses() {
    let files = files();
    for (file, table) in tables(&files) {
        let said = told(file, table.head).join("\n");
        for (key, _) in table.keys() {
            let missing = [format!("`{key}` is missing"), format!("has no {key} "), format!("has no {key}.")]
                .iter()
                .any(|words| said.contains(words));
            assert_eq!(missing, table.is_required(key), "{} {} {key}: {said}", file.name, table.head);
        }
    }
    let said = told(&files[2], "[[route]]").concat();
    assert!(said.contains("exactly one of `pin`, `prefer` and `forbid`"), "{said}");
}

#[test]
fn every_key_says_what_it_means_and_what_a_reload_does() {
    let files = files();
    for (file, table) in tables(&files) {
        for (key, schema) in table.keys() {
            let said = Said::of(schema);
            assert!(!said.meaning.is_empty(), "{} {} {key} has no meaning", file.name, table.head);
            // A table's keys, or its own section, say it.
            let is_table = said.meaning.contains("`[")
                || ["tls", "force", "headers", "request_headers", "deny", "allow", "answer", "query", "signed"]
                    .contains(&key);
            assert!(said.change.is_some() || is_table, "{} {} {key} says nothing of a reload", file.name, table.head);
        }
    }
}

#[test]
fn few_keys_wait_for_a_start() {
    let files = files();
    let waits = |(_, table): (&File, &Table)| {
        let keys = table.keys().into_iter();
        let keys = keys.filter(|(_, schema)| Said::of(schema).change == Some(said::Change::NextStart));
        let head = table.head.rsplit('\n').next().unwrap_or_default().to_owned();
        keys.map(|(key, _)| format!("{head} {key}").trim().to_owned()).collect::<Vec<_>>()
    };
    let mut waiting: Vec<String> = tables(&files).flat_map(waits).collect();
    waiting.sort();
    let expected = [
        "[[nameserver]] admin",
        "[[pop.edge]] admin",
        "[admin] listen",
        "[edge.disk] path",
        "[edge.disk] requests",
        "[edge.disk] size",
        "[edge] disk",
        "[edge] memory",
        "state",
    ];
    assert_eq!(waiting, expected);
}

#[test]
fn bounds_and_defaults_are_the_readers() {
    let files = files();
    let mut bounded = 0;
    for (file, table) in tables(&files) {
        for (key, schema) in table.keys() {
            let text = |keyword: &str| schema.get(keyword).and_then(Value::as_str).map(str::to_owned);
            let number = |keyword: &str| schema.get(keyword).map(ToString::to_string);
            let kind = text(shape::KIND).unwrap_or_default();
            let outside = match kind.split(' ').next() {
                Some("duration") => "\"9999w\"",
                Some("size") => "\"9999TiB\"",
                Some("bit") => "\"9999Tbps\"",
                _ if number("minimum").is_some() => "99999999999",
                _ => continue,
            };
            bounded += 1;
            let said = told(file, &format!("{}\n{key} = {outside}", table.head)).join("\n");
            let of = |own: &str, standard: &str| text(own).or_else(|| number(standard)).unwrap_or_default();
            let (least, most) = (of(shape::LEAST, "minimum"), of(shape::MOST, "maximum"));
            let expected = if kind.starts_with("bit") {
                let kilobits = |text: &str| format!("{}kbps", units::rate(text).unwrap() / 1_000);
                [format!("from {} to {}", kilobits(&least), kilobits(&most)), format!("from {least} to {most}")]
            } else {
                [format!("from {least} to {most}"), String::from("\0")]
            };
            assert!(expected.iter().any(|words| said.contains(words)), "{} {key}: {expected:?}: {said}", file.name);
        }
        for (key, schema) in table.keys() {
            let Some(default) = schema.get("default") else {
                continue;
            };
            let shown = default.as_str().map_or_else(|| default.to_string(), |text| format!("`{text}`"));
            let told = Said::of(schema).default.unwrap_or_default();
            assert!(told.starts_with(&shown), "{} {key}: {told} is not {shown}", file.name);
        }
    }
    assert_eq!(bounded, 39);
}

#[test]
fn degrees_and_ports_are_bound_as_the_reader_binds_them() {
    let files = files();
    let said = told(&files[0], "[geo]\nhome = [91, -181]\n[edge]\nhttp = 0").join("\n");
    for words in ["from -90 to 90", "from -180 to 180", "from 1 to 65535"] {
        assert!(said.contains(words), "{said}");
    }
    let reference = reference();
    assert!(reference.contains("| -90 to 90, -180 to 180 |") && reference.contains("1 to 65535"));
}

/// For each kind: what the reader takes, and what it refuses and the pattern too.
#[test]
fn patterns_take_what_the_reader_takes_and_refuse_what_it_refuses() {
    let rows = [
        ("hither.toml", "", "zone", "cdn.example cdn.example. CDN.example a_b", "a..b -! bücher.example a/b"),
        ("hither.toml", "", "contact", "hostmaster@cdn.example a.b@c", "hostmaster @x a@b@c"),
        ("hither.toml", "[admin]", "listen", "127.0.0.1:9300 [::1]:9300", "127.0.0.1 ::1:9300 localhost:9300"),
        ("hither.toml", "[dns]", "ttl", "20s 1h30m 5m 1500ms", "20 s 1.5h 20sec -1s"),
        ("hither.toml", "[edge]", "congestion", "bbr cubic x_2", "BBR tcp-bbr sixteen_letters_"),
        ("hither.toml", "[edge]", "memory", "16MiB 1GB 8388608B", "16 16mib 1.5GiB"),
        ("hither.toml", "[log]", "format", "json combined ${client_ip} a=${status}", "JSON common plain"),
        ("hither.toml", "[[pop]]", "country", "DE de", "D DEU D1"),
        ("hither.toml", "[[pop]]", "id", "fra fra-1 0", "Fra -fra fra- a_b a.b"),
        ("hither.toml", "[[pop]]\n[[pop.edge]]", "capacity", "10Gbps 500Mbps", "10 10gbps 10GB"),
        ("routes.toml", "[[route]]", "prefix", "198.51.100.0/24 2001:db8::/32 192.0.2.1", "x 198.51.100.0/ fra/24"),
        ("sites/shop.toml", "[[rule]]", "path", "/ /a/** **.jpg", "assets a/b"),
        ("sites/shop.toml", "[[rule]]", "redirect", "/ https://x.example/ http://x", "x ftp://x"),
        ("sites/shop.toml", "[tls]", "cert", "shop.pem shop/full.pem", "/etc/x.pem ../x.pem .x"),
    ];
    let lists = [
        (
            "sites/shop.toml",
            "",
            "hosts",
            "a.example *.a.example a:8080 192.0.2.1 [::1]:80 ::1",
            "a/b bücher.example a:x",
        ),
        (
            "sites/shop.toml",
            "[origin]",
            "servers",
            "https://a http://a:81/ https://[::1]",
            "a ftp://a https://a/b https://u@a",
        ),
        ("sites/shop.toml", "[[rule]]\n[rule.headers]", "remove", "Server x-a", "a:b a/b"),
        ("hither.toml", "[[nameserver]]", "listen", "192.0.2.1:53 [::1]:53", "53 192.0.2.1"),
    ];
    let files = files();
    let rows = rows.into_iter().map(|row| (row, false)).chain(lists.into_iter().map(|row| (row, true)));
    for ((path, head, key, good, bad), is_list) in rows {
        let (file, table) = tables(&files).find(|(file, table)| file.path == path && table.head == head).unwrap();
        let (_, schema) = table.keys().into_iter().find(|(name, _)| *name == key).unwrap();
        let schema = if is_list { schema.get("items").unwrap() } else { schema };
        let pattern = table.find(schema, "pattern").and_then(Value::as_str).unwrap();
        let pattern = RegexBuilder::new(pattern).unicode(false).build().unwrap();
        for (text, is_good) in good.split(' ').map(|text| (text, true)).chain(bad.split(' ').map(|text| (text, false)))
        {
            let value = if is_list { format!("[\"{text}\"]") } else { format!("\"{text}\"") };
            let said = told(file, &format!("{head}\n{key} = {value}")).join("\n");
            assert_eq!(said.contains(&format!("`{text}` ")), !is_good, "the reader: {key} = {text}: {said}");
            assert_eq!(pattern.is_match(text.as_bytes()), is_good, "the pattern: {key} = {text}");
        }
    }
}

#[test]
fn what_is_published_has_only_the_standards_words() {
    for schema in [network(), site(), routes()] {
        let text = schema.as_value().to_string();
        assert!(!text.contains("\"x-") && !text.contains("\"null\""), "{text}");
    }
    let network = network();
    let about = network.pointer("/$defs/Dns/properties/ttl/description").and_then(Value::as_str).unwrap_or_default();
    assert!(about.ends_with("From `1s` to `1d`."), "{about}");
    let pops = network.pointer("/properties/pop/maxItems").and_then(Value::as_u64);
    assert_eq!(pops, u64::try_from(limits::POPS).ok());
}
