use std::fs;
use std::time::Duration;

use super::*;
use crate::sites::Sites;

/// The sites of a directory with one that has these rules.
fn sites(rules: &str) -> Sites {
    let dir = tempfile::tempdir().unwrap();
    let network = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n\
                   [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"192.0.2.1\"]\n";
    fs::create_dir(dir.path().join("sites")).unwrap();
    fs::write(dir.path().join("hither.toml"), network).unwrap();
    let site = format!("hosts = [\"shop.example\"]\n[origin]\nservers = [\"https://origin.example\"]\n{rules}");
    fs::write(dir.path().join("sites/shop.toml"), site).unwrap();
    let loaded = config::load(dir.path());
    Sites::build(&loaded.unwrap_or_else(|refused| panic!("{:?}", refused.problems)).config, None)
}

/// What the rules come to for a GET of a target with these fields.
fn seen<T>(sites: &Sites, target: &str, fields: &[(&str, &str)], look: impl FnOnce(&Effect<'_>, &HeaderMap) -> T) -> T {
    let mut headers: HeaderMap =
        fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect();
    let client = "198.51.100.7".parse().unwrap();
    let (host, scheme, site, edge) = ("shop.example", "http", "shop", "one-1");
    let variables = Variables { client, host, scheme, target, site, edge };
    let site = sites.find(host, 80).unwrap();
    let facts =
        Facts { method: &Method::GET, headers: &headers, now_seconds: 0, country: CountryCode::parse("DE"), variables };
    let effect = site.effect(&facts);
    effect.edit_request(&mut headers, &variables);
    look(&effect, &headers)
}

#[test]
fn a_later_rule_wins_key_by_key_and_a_status_before_its_class() {
    let sites = sites(
        "[[rule]]\nttl = \"1m\"\ngrace = \"5s\"\nttl_by_status = { 404 = \"1s\", 4xx = \"2s\" }\n\
         [[rule]]\npath = \"/a/**\"\nttl = \"2m\"\nttl_by_status = { 4xx = \"9s\" }\n",
    );
    let policy = |target: &str| seen(&sites, target, &[], |effect, _| effect.policy.clone());
    let (top, below) = (policy("/"), policy("/a/b?c"));
    assert_eq!((top.ttl, top.grace), (Some(Duration::from_secs(60)), Duration::from_secs(5)));
    assert_eq!((below.ttl, below.grace), (Some(Duration::from_secs(120)), Duration::from_secs(5)));
    let of = |policy: &Policy, status: u16| {
        let found = policy.ttl_by_status.iter().rev().find(|(statuses, _)| statuses.contains(&status));
        found.map(|(_, ttl)| ttl.as_secs())
    };
    assert_eq!([404, 410, 500].map(|status| of(&top, status)), [Some(1), Some(2), None]);
    assert_eq!([404, 410].map(|status| of(&below, status)), [Some(9), Some(9)], "a later rule's word is the last");
}

#[test]
fn what_an_origin_could_read_as_guarded_is_refused() {
    let sites = sites(
        "[[rule]]\npath = \"/admin/**\"\nallow = { client = [\"192.0.2.0/24\"] }\n\
         [[rule]]\npath = \"/slow/**\"\nrate = { requests = 1 }\n[[rule]]\npath = \"/free/**\"\nttl = \"1m\"\n",
    );
    for (target, refused) in [
        ("/admin/x", true),
        ("/%61dmin/x", true),
        ("//admin/x", true),
        ("/x/../admin/x", true),
        ("/admin%2fx", true),
        ("/admin;v=1/x", true),
        ("/./slow/x", true),
        ("/slow/x", false),
        ("//free/x", false),
        ("/a//b;c/./d", false),
        ("/admin", false),
    ] {
        assert_eq!(seen(&sites, target, &[], |effect, _| effect.refused.is_some()), refused, "{target}");
    }
}

#[test]
fn a_list_refuses_or_admits_by_network_and_referer() {
    let sites = sites(
        "[[rule]]\npath = \"/deny\"\ndeny = { client = [\"203.0.113.0/24\"], referer = [\"*.spam.example\"] }\n\
         [[rule]]\npath = \"/allow\"\nallow = { client = [\"198.51.100.0/24\"], referer = [\"none\", \"shop.example\"] }\n",
    );
    for (target, referer, refused) in [
        ("/deny", "", false),
        ("/deny", "https://a.spam.example/x", true),
        ("/deny", "https://a.spam.example./x", true),
        ("/deny", "https://spam.example/x", false),
        ("/deny", "https://u@A.Spam.Example:81/", true),
        ("/allow", "", false),
        ("/allow", "http://shop.example:81/", false),
        ("/allow", "http://other.example/", true),
        ("/allow", "garbage", true),
    ] {
        let fields = [("referer", referer)];
        let fields = if referer.is_empty() { &[][..] } else { &fields };
        assert_eq!(seen(&sites, target, fields, |effect, _| effect.refused.is_some()), refused, "{target} {referer}");
    }
    let two = [("referer", "http://shop.example/"), ("referer", "http://other.example/")];
    assert!(seen(&sites, "/allow", &two, |effect, _| effect.refused.is_some()), "one of two is none");
}

#[test]
fn a_cookie_of_the_key_counts_with_every_value_and_its_names_case() {
    let sites = sites("[[rule]]\nkey = [\"cookie:lang\", \"cookie:LANG\", \"header:X-Plan\", \"device\"]\n");
    let values = |cookie: &str| {
        seen(&sites, "/", &[("cookie", cookie)], |effect, headers| {
            let field = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            effect.policy.nominated.iter().map(field).collect::<Vec<_>>()
        })
    };
    let said = |text: &str| Some(text.to_owned());
    let desktop = || said("desktop");
    assert_eq!(values("lang=de"), [said("de"), None, None, desktop()]);
    assert_eq!(values("a=1; lang=de; LANG=fr; xlang=it"), [said("de"), said("fr"), None, desktop()]);
    assert_eq!(values("lang=de; lang=fr"), [said("de;fr"), None, None, desktop()]);
    assert_eq!(values("lang =de"), [said("de"), None, None, desktop()]);
    assert_eq!(values("lang=de,fr"), [said("de,fr"), None, None, desktop()], "a comma is part of a value");
    assert_eq!(values("language=de"), [None, None, None, desktop()]);
}

#[test]
fn a_rate_counts_each_rule_and_each_client_apart() {
    let sites = sites(
        "[[rule]]\npath = \"/a\"\nrate = { requests = 1, by = \"header:X-Key\" }\n\
         [[rule]]\npath = \"/b\"\nrate = { requests = 1 }\n",
    );
    let who = |target: &str, key: &str| {
        let fields = [("x-key", key)];
        let fields = if key.is_empty() { &[][..] } else { &fields };
        seen(&sites, target, fields, |effect, _| effect.rate.unwrap().1)
    };
    assert_eq!(who("/a", "one"), who("/a", "one"));
    assert_ne!(who("/a", "one"), who("/a", "two"));
    assert_ne!(who("/a", ""), who("/b", ""), "two rules with the same numbers");
    assert_eq!(who("/b", "one"), who("/b", "two"), "by address");
}

#[test]
fn countries_select_keep_out_and_are_told() {
    let sites = sites(
        "[[rule]]\ncountry = [\"DE\"]\nttl = \"1m\"\n[[rule]]\ncountry = [\"FR\"]\nttl = \"2m\"\n\
         [[rule]]\npath = \"/in\"\nallow = { country = [\"AT\", \"DE\"] }\n[[rule]]\npath = \"/out\"\nallow = { country = [\"AT\"] }\n\
         [[rule]]\npath = \"/denied\"\ndeny = { country = [\"DE\"] }\n[[rule]]\npath = \"/told\"\nkey = [\"country\"]\n",
    );
    let ttl = seen(&sites, "/", &[], |effect, _| effect.policy.ttl);
    assert_eq!(ttl, Some(Duration::from_secs(60)));
    for (target, refused) in [("/in", false), ("/out", true), ("/denied", true), ("/", false)] {
        assert_eq!(seen(&sites, target, &[], |effect, _| effect.refused.is_some()), refused, "{target}");
    }
    let told = seen(&sites, "/told", &[("x-country", "US")], |effect, headers| {
        (effect.policy.nominated.clone(), headers.get("x-country").cloned())
    });
    assert_eq!(told, (vec![COUNTRY], Some(HeaderValue::from_static("DE"))), "whatever the client says");
}

#[test]
fn a_site_that_compresses_asks_for_the_one_best_coding() {
    let sites = sites("[[rule]]\npath = \"/a\"\ncompress = true\n");
    let wanted = |target: &str, accepted: &str| {
        seen(&sites, target, &[("accept-encoding", accepted)], |effect, headers| {
            (headers[header::ACCEPT_ENCODING].to_str().unwrap().to_owned(), effect.policy.compress)
        })
    };
    assert_eq!(wanted("/a", "gzip, br;q=0.5"), ("gzip".to_owned(), true));
    assert_eq!(wanted("/a", "gzip;x=1"), ("identity".to_owned(), true));
    assert_eq!(wanted("/b", "gzip, br;q=0.5"), ("br, gzip".to_owned(), false));
}
