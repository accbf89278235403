use std::collections::HashMap;
use std::time::Duration;

use caching::{Manner, Purge};
use http::{Request, StatusCode};
use http_body_util::BodyExt;

use super::*;
use crate::tests::{Client, OBJECTS, Stage};

const RULES: &str = "[cache]\nset_cookie = \"strip\"\n\
    [[rule]]\npath = \"/edited\"\nheaders = { set = { X-By = \"${edge} ${target}\" }, remove = [\"Server\"] }\n\
    [[rule]]\npath = \"/kept\"\nbrowser_ttl = \"60s\"\n\
    [[rule]]\npath = \"/browsers\"\nheaders = { set = { X-Client = \"${client_ip}\" } }\n\
    [[rule]]\npath = \"/guarded\"\nheader = { User-Agent = \"*bot*\" }\nanswer = { body = \"no bots\" }\n\
    [[rule]]\npath = \"/limited\"\nrate = { requests = 1000000 }\n";

/// Lines that requests may have: those that matter to some object, and those that matter to all.
const LINES: [&str; 30] = [
    "accept-encoding: gzip",
    "accept-encoding: br, gzip",
    "accept-encoding: identity;q=0",
    "Accept-Language: de",
    "accept-language: fr;q=0.5, de",
    "accept: text/html",
    "user-agent: a bot",
    "user-agent: a browser",
    "x-forwarded-for: 127.0.0.1",
    "x-device: mobile",
    "cookie: a=1",
    "cookie: b=2",
    "via: 1.1 one-1",
    "connection: keep-alive",
    "connection: Keep-Alive, x-a",
    "range: bytes=0-1",
    "Range: bytes=1-",
    "if-none-match: \"one\"",
    "If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT",
    "if-range: \"one\"",
    "cache-control: no-cache",
    "cache-control: only-if-cached",
    "pragma: no-cache",
    "authorization: Basic eA==",
    "origin: https://a.example",
    "access-control-request-method: GET",
    "cdn-loop: cdn.example",
    "max-forwards: 0",
    "expect: 100-continue",
    "content-length: 0",
];

fn connection() -> Connection {
    Connection {
        peer: "127.0.0.1:50000".parse().unwrap(),
        is_relayed: false,
        local: "127.0.0.1:80".parse().unwrap(),
        scheme: listen::Scheme::Http,
        sni: None,
        tls: None,
        interim: None,
    }
}

/// Random requests: what is answered at once is what the general way answers, byte by byte.
#[test]
fn both_ways_answer_alike() {
    let stage = Stage::new(RULES);
    let (mut both, mut general) = (Client::to(stage.both), Client::to(stage.general));
    let mut random = fastrand::Rng::with_seed(7);
    let mut compared = HashMap::<&str, usize>::new();
    for trial in 0..20_000 {
        let path = OBJECTS[random.usize(..OBJECTS.len())].0;
        let query = ["", "", "", "?a=1"][random.usize(..4)];
        let host = ["shop.example", "shop.example", "Shop.Example", "a.shop.example:80"][random.usize(..4)];
        let method = if random.usize(..20) == 0 { "HEAD" } else { "GET" };
        let lines = (0..random.usize(..3)).map(|_| LINES[random.usize(..LINES.len())]);
        let lines = lines.map(|line| format!("{line}\r\n")).collect::<String>();
        let request = format!("{method} {path}{query} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n");
        if lines.contains("expect:") {
            continue;
        }
        let before = stage.at_once();
        // Twice: what it stores itself is stored by now.
        let answers = [0, 1].map(|_| (general.ask(&request), both.ask(&request), general.ask(&request)));
        let [_, (first, at_once, last)] = answers;
        // Where a second has begun in between nothing is compared.
        if first == last {
            assert_eq!(at_once, first, "trial {trial}: {request}");
            *compared.entry(path).or_default() += stage.at_once() - before;
        }
    }
    for path in ["/plain", "/coded", "/spoken", "/edited", "/kept", "/guarded"] {
        let count = compared.get(path).copied().unwrap_or(0);
        let is_particular = path == "/guarded";
        assert_eq!(count == 0, is_particular, "{path} was answered at once: {compared:?}");
    }
    for path in ["/told", "/browsers", "/limited"] {
        assert_eq!(compared.get(path).copied().unwrap_or(0), 0, "{path} depends on who asks");
    }
}

/// The same of HTTP/2 and 3, field by field.
#[test]
fn both_ways_answer_alike_by_http2_and_3() {
    let stage = Stage::new(RULES);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entered = runtime.enter();
    let edge = crate::mounts(&stage.shared).into_iter().find(|mount| mount.path == "/").unwrap().handler;
    drop(entered);
    let connection = connection();
    let general = |request: &Request<()>| {
        let request = request.clone().map(|()| listen::Incoming::from(empty()));
        let response = runtime.block_on(edge.serve(request, connection.clone()));
        let (head, body) = response.into_parts();
        (head.status, head.headers, runtime.block_on(body.collect()).unwrap().to_bytes())
    };
    let mut random = fastrand::Rng::with_seed(11);
    let mut compared = HashMap::<(&str, Version), usize>::new();
    for trial in 0..6_000 {
        let path = OBJECTS[random.usize(..OBJECTS.len())].0;
        let query = ["", "", "", "?a=1"][random.usize(..4)];
        let host = ["shop.example", "shop.example", "Shop.Example", "a.shop.example:80"][random.usize(..4)];
        let method = if random.usize(..20) == 0 { "HEAD" } else { "GET" };
        let version = if random.bool() { Version::HTTP_2 } else { Version::HTTP_3 };
        let mut request = Request::builder().version(version).method(method);
        for _ in 0..random.usize(..3) {
            let (name, value) = LINES[random.usize(..LINES.len())].split_once(": ").unwrap();
            if !["connection", "expect"].contains(&name) {
                request = request.header(name, value);
            }
        }
        let request = request.uri(format!("http://{host}{path}{query}")).body(()).unwrap();
        let (head, ()) = request.clone().into_parts();
        (0..2).for_each(|_| _ = general(&request));
        let (first, whole, last) = (general(&request), edge.whole_at_once(&head, &connection), general(&request));
        // Where a second has begun in between nothing is compared.
        if let Some(mut whole) = whole
            && first == last
        {
            whole.sent.sent(whole.body.len() as u64);
            assert_eq!((StatusCode::OK, whole.fields, whole.body), first, "trial {trial}: {head:?}");
            *compared.entry((path, version)).or_default() += 1;
        }
    }
    for path in ["/plain", "/coded", "/spoken", "/edited", "/kept"] {
        let is_there = |version| compared.contains_key(&(path, version));
        assert!(
            is_there(Version::HTTP_2) && is_there(Version::HTTP_3),
            "{path} was not answered at once: {compared:?}"
        );
    }
    for path in ["/told", "/browsers", "/limited", "/guarded"] {
        assert!(compared.keys().all(|(other, _)| *other != path), "{path} depends on who asks");
    }
}

#[test]
fn bytes_of_a_hit_are_counted_while_they_leave_and_once() {
    const MIB: u64 = 1 << 20;
    let stage = Stage::new("");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entered = runtime.enter();
    let edge = crate::mounts(&stage.shared).into_iter().find(|mount| mount.path == "/").unwrap().handler;
    drop(entered);
    let connection = connection();
    // Fetched, stored, and learned by one that finds it.
    for _ in 0..4 {
        let request = Request::get("/plain").header("host", "shop.example").body(listen::Incoming::from(empty()));
        let response = runtime.block_on(edge.serve(request.unwrap(), connection.clone()));
        runtime.block_on(response.into_body().collect()).unwrap();
    }
    let fields = [Header { name: "host", value: b"shop.example" }];
    let plain = Plain { target: "/plain", fields: &fields };
    let mut sent = edge.at_once(&plain, &connection, &mut Vec::new()).unwrap().sent;
    let totals = stage.shared.accounts.totals_of(&config::SiteId::parse("shop").unwrap());
    let counted = || [&stage.shared.bytes, &totals.bytes_out].map(|bytes| bytes.load(Ordering::Relaxed));
    let before = counted();
    // What was handed over by then, and what is counted of it.
    for (so_far, expected) in
        [(MIB - 1, 0), (MIB + 5, MIB + 5), (2 * MIB, MIB + 5), (2 * MIB + 5, 2 * MIB + 5), (9 * MIB, 9 * MIB)]
    {
        sent.sent_so_far(so_far);
        assert_eq!(counted(), before.map(|bytes| bytes + expected), "{so_far}");
    }
    sent.sent(9 * MIB + 7);
    assert_eq!(counted(), before.map(|bytes| bytes + 9 * MIB + 7));
}

#[test]
fn what_no_longer_holds_is_not_answered() {
    let stage = Stage::new("");
    let mut client = Client::to(stage.both);
    let mut ask = |path: &str| {
        let before = stage.at_once();
        let said = client.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
        (said, stage.at_once() > before)
    };
    let mut learned = |path: &str| {
        ask(path);
        ask(path);
        let (said, is_at_once) = ask(path);
        assert!(is_at_once && said.contains("one-1;hit"), "{said}");
    };
    learned("/purged");
    let purge = Purge::Prefix { host: "shop.example".to_owned(), path: String::new() };
    stage.shared.purging.purge(&[purge], Manner::Hard).unwrap();
    let mut client = Client::to(stage.both);
    let mut ask = |path: &str| client.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
    let said = ask("/purged");
    assert!(said.contains("fwd="), "{said}");
    (0..3).for_each(|_| _ = ask("/purged"));
    // A new config, with a rule for what was learned.
    let rules = "[[rule]]\nheaders = { set = { X-New = \"yes\" } }\n";
    stage.reload(rules);
    let said = ask("/purged");
    assert!(said.contains("x-new: yes") && said.contains("one-1;hit"), "{said}");
    // What stands under a key has changed.
    (0..3).for_each(|_| _ = ask("/coded"));
    let before = stage.at_once();
    client.ask("GET /coded HTTP/1.1\r\nhost: shop.example\r\naccept-encoding: br\r\n\r\n");
    let mut ask = |path: &str| client.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
    let said = ask("/coded");
    assert!(said.contains("one-1;hit") && stage.at_once() == before, "it is looked for anew: {said}");
    assert!(ask("/coded").contains("one-1;hit") && stage.at_once() == before + 1);
}

/// A Cache-Control that the rule does not touch, and that reads as if it had.
#[test]
fn a_line_that_only_looks_like_ours_stays() {
    // The object is 7 s old and has a cookie: its origin's max-age of 3600 stands.
    let stage = Stage::new("[cache]\nset_cookie = \"store\"\n[[rule]]\nbrowser_ttl = \"3593s\"\n");
    let (mut both, mut general) = (Client::to(stage.both), Client::to(stage.general));
    let request = "GET /browsers HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    (0..3).for_each(|_| _ = both.ask(request));
    std::thread::sleep(Duration::from_millis(1_500));
    let before = stage.at_once();
    let (got, expected) = (both.ask(request), general.ask(request));
    assert!(stage.at_once() > before && got.contains("set-cookie: a=1"), "{got}");
    assert_eq!(got, expected);
}

#[test]
fn no_client_chooses_what_another_gets() {
    let stage = Stage::new("");
    let (mut both, mut general) = (Client::to(stage.both), Client::to(stage.general));
    for (poison, victim) in [
        ("accept: text/html\r\naccept: image/png\r\n", "accept: text/html\r\n"),
        ("accept-language: de\r\naccept-language: fr\r\n", "accept-language: de\r\n"),
        ("accept: a/b\r\nconnection: accept\r\n", "accept: a/b\r\n"),
        ("accept-language: en\r\nconnection: accept-language\r\n", "accept-language: en\r\n"),
    ] {
        let request = |lines: &str| format!("GET /spoken HTTP/1.1\r\nhost: shop.example\r\n{lines}\r\n");
        (0..3).for_each(|_| _ = both.ask(&request(poison)));
        let (got, expected) = (both.ask(&request(victim)), general.ask(&request(victim)));
        assert!(!got.contains("one-1;hit"), "{victim}: {got}");
        assert!(expected.contains("one-1;hit"), "it has an object of its own: {expected}");
    }
}

#[test]
fn what_is_stale_is_not_answered() {
    let stage = Stage::new("[[rule]]\nforce = { ttl = \"1s\" }\n");
    let mut client = Client::to(stage.both);
    let mut ask = || client.ask("GET /plain HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    (0..3).for_each(|_| _ = ask());
    assert_eq!(stage.at_once(), 1);
    std::thread::sleep(Duration::from_millis(1_100));
    let said = ask();
    assert!(said.contains("fwd=stale"), "{said}");
}

#[test]
fn whom_a_trusted_proxy_names_is_found_by_the_general_way() {
    let stage = Stage::new("");
    let mut client = Client::to(stage.both);
    let mut ask = |path: &str, lines: &str| {
        let before = stage.at_once();
        let said = client.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n{lines}\r\n"));
        (said, stage.at_once() > before)
    };
    for lines in ["x-forwarded-for: 192.0.2.1\r\n", "X-Forwarded-For: 192.0.2.1\r\n"] {
        stage.reload_behind_proxies("");
        (0..3).for_each(|_| _ = ask("/plain", ""));
        assert!(ask("/plain", "").1 && !ask("/plain", lines).1 && ask("/plain", "").1, "{lines}");
        stage.reload("");
        (0..3).for_each(|_| _ = ask("/plain", lines));
        assert!(ask("/plain", lines).1, "nobody is trusted: {lines}");
    }
    // What rules look at, too.
    let rules = "[[rule]]\nheaders = { set = { X-Client = \"${client_ip}\" } }\n\
                 [[rule]]\npath = \"/shut\"\ndeny = { client = [\"192.0.2.0/24\"] }\n";
    let lines = "x-forwarded-for: 203.0.113.7, 192.0.2.1, 127.0.0.9\r\n";
    stage.reload_behind_proxies(rules);
    let (named, shut) = (ask("/plain", lines).0, ask("/shut", lines).0);
    assert!(named.contains("\r\nx-client: 192.0.2.1\r\n") && shut.starts_with("HTTP/1.1 403 "), "{named}{shut}");
    stage.reload(rules);
    let (named, shut) = (ask("/plain", lines).0, ask("/shut", lines).0);
    assert!(named.contains("\r\nx-client: 127.0.0.1\r\n") && shut.starts_with("HTTP/1.1 200 "), "{named}{shut}");
}

#[test]
fn a_table_has_its_bound_and_keeps_what_is_asked_for() {
    let stage = Stage::new("");
    let mut client = Client::to(stage.both);
    let mut ask = |path: &str| client.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
    (0..2).for_each(|_| _ = ask("/hot"));
    for number in 0..2_000 {
        (0..2).for_each(|_| _ = ask(&format!("/{number}")));
        let before = stage.at_once();
        ask("/hot");
        assert_eq!(stage.at_once(), before + 1, "{number}");
    }
    let table = Table::new(8 << 20, 2, 1);
    assert_eq!(table.sets.len() * WAYS, *ENTRIES.start());
    let table = Table::new(1 << 42, 2, 1);
    assert_eq!(table.sets.len() * WAYS, *ENTRIES.end());
}
