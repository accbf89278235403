//! RFC 9111, HTTP Caching.

use super::{Stage, date};

#[test]
fn rfc9111_3_storing_responses() {
    let stage = Stage::new(130, "");
    for (name, status, lines, is_stored) in [
        ("a 200 with max-age", 200, "cache-control: max-age=60", true),
        ("an unknown final status with max-age", 299, "cache-control: max-age=60", true),
        ("a 302 with max-age", 302, "cache-control: max-age=60\nlocation: /x", true),
        ("a 503 with s-maxage", 503, "cache-control: s-maxage=60", true),
        ("a 599 with Expires", 599, &format!("expires: {}", date(60)), true),
        ("a plain 400 with max-age", 400, "cache-control: max-age=60", true),
        ("no-store", 200, "cache-control: no-store, max-age=60", false),
        ("private", 200, "cache-control: private, max-age=60", false),
        ("nothing said", 200, "etag: \"a\"", false),
        ("an error with nothing but Last-Modified", 500, "last-modified: Mon, 01 Jan 2024 00:00:00 GMT", false),
        ("a 206 that nobody asked for", 206, "cache-control: max-age=60\ncontent-range: bytes 0-2/9", false),
        ("a cookie", 200, "cache-control: max-age=60\nset-cookie: a=b", false),
        ("must-understand with a status that is not", 299, "cache-control: max-age=60, must-understand", false),
        ("must-understand lifts no-store", 200, "cache-control: max-age=60, must-understand, no-store", true),
    ] {
        if status == 206 {
            let case = stage.case(name);
            case.serves(status, lines, "one");
            assert_eq!(case.get("").status, 502, "{name}");
            continue;
        }
        stage.stores(name, status, lines, is_stored);
    }
    let case = stage.case("a fresh response outlives a later no-store");
    case.serves(200, "cache-control: max-age=60", "one");
    case.get("").must_be(200, "one");
    case.get("cache-control: no-store").must_be(200, "one");
    assert!(case.get("").is_hit());
    let case = stage.case("an error drawn by an odd request answers that alone");
    case.serves(400, "cache-control: max-age=60", "odd");
    case.serves(200, "cache-control: max-age=60", "good");
    case.get(&format!("x-long: {}", "a".repeat(9_000))).must_be(400, "odd");
    case.get("").must_be(200, "good");
    let case = stage.case("an error drawn by a GET with content answers that alone");
    case.serves(400, "cache-control: max-age=60", "odd");
    case.serves(200, "cache-control: max-age=60", "good");
    case.ask("GET", "", "content").must_be(400, "odd");
    case.get("").must_be(200, "good");
}

#[test]
fn rfc9111_3_1_storing_fields() {
    let stage = Stage::new(131, "");
    let case = stage.case("repeated lines stay apart, in order");
    case.serves(200, "cache-control: max-age=60\nx-a: 1\nx-b: 2\nx-a: 3\nx-a: 1, 2", "one");
    for _ in 0..2 {
        case.get("").must_have("x-a", "1 | 3 | 1, 2").must_have("x-b", "2");
    }
    let case = stage.case("fields of the connection are not stored");
    case.serves(
        200,
        "cache-control: max-age=60\nconnection: X-Hop, keep-alive\nx-hop: 1\nkeep-alive: timeout=5\nx-end: 1",
        "one",
    );
    for _ in 0..2 {
        let got = case.get("");
        assert!(!got.has("x-hop") && !got.has("keep-alive") && got.has("x-end"), "{got:?}");
    }
    let case = stage.case("what a qualified private names is for the asker");
    case.serves(200, "cache-control: max-age=60, private=\"x-a, set-cookie\"\nx-a: 1\nset-cookie: a=b\nx-b: 2", "one");
    case.get("").must_have("x-a", "1").must_have("set-cookie", "a=b");
    let again = case.get("");
    assert!(again.is_hit() && !again.has("x-a") && !again.has("set-cookie") && again.has("x-b"), "{again:?}");
}

#[test]
fn rfc9111_3_5_authorization() {
    let stage = Stage::new(132, "");
    for (name, control, is_stored) in [
        ("max-age alone", "max-age=60", false),
        ("public", "public, max-age=60", true),
        ("must-revalidate", "max-age=60, must-revalidate", true),
        ("s-maxage", "s-maxage=60", true),
    ] {
        let case = stage.case(name);
        case.serves(200, &format!("cache-control: {control}"), "one");
        case.serves(200, &format!("cache-control: {control}"), "two");
        case.get("authorization: Basic eDp5").must_be(200, "one");
        assert_eq!(case.get("").is_hit(), is_stored, "{name}");
    }
}

#[test]
fn rfc9111_4_1_vary() {
    let stage = Stage::new(133, "");
    for (name, vary, first, second, is_hit) in [
        ("the same value", "x-a", "x-a: 1", "x-a: 1", true),
        ("another value", "x-a", "x-a: 1", "x-a: 2", false),
        ("absent and present", "x-a", "", "x-a: 1", false),
        ("absent twice", "x-a", "", "", true),
        ("an unnamed field", "x-a", "x-a: 1\nx-b: 1", "x-a: 1\nx-b: 2", true),
        ("names without case", "X-A", "x-a: 1", "x-A: 1", true),
        ("lines joined", "x-a", "x-a: 1\nx-a: 2", "x-a: 1,2", true),
        ("white space around commas", "x-a", "x-a: 1 ,  2", "x-a: 1,2", true),
        ("everything", "*", "", "", false),
        ("everything beside a name", "x-a, *", "", "", false),
        ("empty members", ", ,x-a,", "x-a: 1", "x-a: 1", true),
        (
            "the same languages",
            "accept-language",
            "accept-language: de, en;q=0.5",
            "accept-language: DE,en; q=0.5",
            true,
        ),
        ("other languages", "accept-language", "accept-language: de", "accept-language: fr", false),
    ] {
        let case = stage.case(name);
        case.serves(200, &format!("cache-control: max-age=60\nvary: {vary}"), "one");
        case.serves(200, &format!("cache-control: max-age=60\nvary: {vary}"), "two");
        case.get(first).must_be(200, "one");
        assert_eq!(case.get(second).is_hit(), is_hit, "{name}");
    }
    let case = stage.case("variants beside each other");
    for body in ["one", "two"] {
        case.serves(200, "cache-control: max-age=60\nvary: x-a", body);
    }
    case.get("x-a: 1").must_be(200, "one");
    case.get("x-a: 2").must_be(200, "two");
    case.get("x-a: 1").must_be(200, "one");
    case.get("x-a: 2").must_be(200, "two");
    assert_eq!(case.seen().len(), 2);
}

#[test]
fn rfc9111_4_2_freshness() {
    let stage = Stage::new(134, "");
    let past = date(-3_600);
    for (name, lines, is_fresh) in [
        (
            "s-maxage before max-age and Expires",
            format!("cache-control: max-age=0, s-maxage=60\nexpires: {past}"),
            true,
        ),
        ("a shorter s-maxage counts too", "cache-control: s-maxage=0, max-age=60".to_owned(), false),
        ("max-age before Expires", format!("cache-control: max-age=60\nexpires: {past}"), true),
        ("Expires", format!("expires: {}", date(60)), true),
        ("Expires at Date", format!("date: {0}\nexpires: {0}", date(60)), false),
        ("Expires: 0", format!("expires: 0\nlast-modified: {past}"), false),
        ("two lines of Expires", format!("expires: {0}\nexpires: {0}", date(60)), false),
        ("directives without case", "cache-control: Max-Age=60".to_owned(), true),
        ("a quoted number", "cache-control: max-age=\"60\"".to_owned(), true),
        ("leading zeros", "cache-control: max-age=0060".to_owned(), true),
        ("a huge number", "cache-control: max-age=99999999999999999999".to_owned(), true),
        ("the first of two", "cache-control: max-age=60, max-age=0".to_owned(), true),
        ("a decimal is stale", format!("cache-control: max-age=60.5\nlast-modified: {past}"), false),
        ("a sign is stale", format!("cache-control: max-age=+60\nlast-modified: {past}"), false),
        ("space around = is stale", format!("cache-control: max-age = 60\nlast-modified: {past}"), false),
        ("a directive in a string is none", "cache-control: a=\"x, max-age=60\"".to_owned(), false),
        ("a directive after a string", "cache-control: a=\"x, no-store\", max-age=60".to_owned(), true),
        ("several lines", "cache-control: public\ncache-control: max-age=60".to_owned(), true),
        ("Last-Modified long ago", "last-modified: Mon, 01 Jan 2024 00:00:00 GMT".to_owned(), true),
        ("an age beyond it", "cache-control: max-age=60\nage: 61".to_owned(), false),
        ("a Date beyond it", format!("cache-control: max-age=60\ndate: {}", date(-61)), false),
        ("an Age that is none", "cache-control: max-age=60\nage: 61s".to_owned(), true),
        ("the first Age counts", "cache-control: max-age=60\nage: 1, 99".to_owned(), true),
    ] {
        stage.stores(name, 200, &lines, is_fresh);
    }
    let case = stage.case("Age goes out once, and counts on");
    case.serves(200, "cache-control: max-age=60\nage: 20\nage: 1", "one");
    case.get("");
    let again = case.get("");
    let age: u64 = again.field("age").parse().unwrap();
    assert!(again.is_hit() && (20..25).contains(&age), "{again:?}");
    let case = stage.case("a date in a form of old");
    case.serves(200, "expires: Sunday, 06-Nov-44 08:49:37 gmt", "one");
    case.get("");
    assert!(case.get("").is_hit(), "RFC 850, of the year 2044");
}

#[test]
fn rfc9111_4_3_validation() {
    let stage = Stage::new(135, "");
    let case = stage.case("all validators are sent as they are, and the client's are not");
    case.serves(200, "cache-control: max-age=0\netag: W/\"a\"\nlast-modified: Mon, 1 Jan 2024 00:00:00 GMT", "one");
    case.serves(304, "cache-control: max-age=60\nx-new: 1\netag: W/\"a\"", "");
    case.get("");
    let validated = case.get("if-none-match: \"other\"\nrange: bytes=0-0\naccept: text/x");
    assert_eq!(case.asked_for("if-none-match").as_deref(), Some("W/\"a\""));
    assert_eq!(case.asked_for("if-modified-since").as_deref(), Some("Mon, 1 Jan 2024 00:00:00 GMT"));
    assert_eq!((case.asked_for("range"), case.asked_for("accept").as_deref()), (None, Some("text/x")));
    validated.must_be(206, "o").must_have("x-new", "1");
    case.get("").must_be(200, "one").must_have("x-new", "1").must_have("cache-control", "max-age=60");
    assert_eq!(case.seen().len(), 2, "the 304 made it fresh");

    let case = stage.case("a 304 leaves length and range as stored");
    case.serves(200, "cache-control: max-age=0\netag: \"a\"", "one");
    case.says("HTTP/1.1 304 X\r\ncontent-length: 99\r\ncontent-encoding: gzip\r\netag: \"a\"\r\n\r\n");
    case.get("");
    let got = case.get("");
    got.must_be(200, "one").must_have("content-length", "3");
    assert!(!got.has("content-encoding"), "{got:?}");

    let case = stage.case("a 304 for another tag is not used");
    case.serves(200, "cache-control: max-age=0\netag: \"a\"", "one");
    case.serves(304, "etag: \"b\"", "");
    case.serves(200, "cache-control: max-age=60\netag: \"b\"", "two");
    case.get("");
    case.get("").must_be(200, "two");

    let case = stage.case("a client's condition is answered from the store");
    let lines = "cache-control: max-age=60\netag: \"a\"\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\nx-a: 1";
    case.serves(200, lines, "one");
    case.get("");
    for (condition, status) in [
        ("if-none-match: \"a\"", 304),
        ("if-none-match: W/\"a\"", 304),
        ("if-none-match: \"x\", \"a\"", 304),
        ("if-none-match: *", 304),
        ("if-none-match: \"x\"", 200),
        ("if-none-match: \"x\"\nif-modified-since: Tue, 02 Jan 2024 00:00:00 GMT", 200),
        ("if-modified-since: Mon, 01 Jan 2024 00:00:00 GMT", 304),
        ("if-modified-since: Tuesday, 02-Jan-24 00:00:00 GMT", 304),
        ("if-modified-since: Sun Dec 31 00:00:00 2023", 200),
    ] {
        let got = case.get(condition);
        assert_eq!(got.status, status, "{condition}: {got:?}");
        if status == 304 {
            assert!(got.body.is_empty() && got.has("etag") && got.has("cache-control") && !got.has("x-a"), "{got:?}");
        }
    }
    assert_eq!(case.seen().len(), 1);

    let case = stage.case("no-cache is stored and validated at every use");
    case.serves(200, "cache-control: no-cache, max-age=60\netag: \"a\"", "one");
    case.serves(304, "etag: \"a\"", "");
    case.get("");
    case.get("").must_be(200, "one");
    assert_eq!(case.asked_for("if-none-match").as_deref(), Some("\"a\""));
}

#[test]
fn rfc9111_4_3_5_head_freshens() {
    let stage = Stage::new(136, "");
    let case = stage.case("HEAD is answered from a stored GET");
    case.serves(200, "cache-control: max-age=60", "one");
    case.get("");
    let head = case.ask("HEAD", "", "");
    head.must_be(200, "").must_have("content-length", "3");
    assert!(head.is_hit());
    let case = stage.case("a HEAD that agrees freshens, one that does not ends it");
    case.serves(200, "cache-control: max-age=0\netag: \"a\"", "one");
    case.says("HTTP/1.1 200 X\r\ncontent-length: 3\r\netag: \"a\"\r\ncache-control: max-age=60\r\n\r\n");
    case.get("");
    case.ask("HEAD", "", "").must_be(200, "");
    assert!(case.get("").is_hit());
    let case = stage.case("a HEAD of an origin that fails gets what is stored");
    case.serves(200, "cache-control: max-age=10\nage: 20\netag: \"a\"", "one");
    case.get("");
    case.fails();
    case.ask("HEAD", "", "").must_be(200, "").must_have("content-length", "3");
}

#[test]
fn rfc9111_4_4_invalidation() {
    let stage = Stage::new(137, "");
    for (name, method, status, lines, is_gone) in [
        ("a POST that succeeds", "POST", 200, "", true),
        ("a PUT that redirects", "PUT", 303, "location: /x", true),
        ("an unknown method", "BREW", 204, "", true),
        ("a DELETE answered 304", "DELETE", 304, "", true),
        ("a POST that fails", "POST", 500, "", false),
        ("a POST that is refused", "POST", 404, "", false),
        ("OPTIONS", "OPTIONS", 200, "", false),
    ] {
        let case = stage.case(name);
        case.serves(200, "cache-control: max-age=60", "one");
        case.serves(status, lines, "");
        case.serves(200, "cache-control: max-age=60", "two");
        case.get("");
        assert_eq!(case.ask(method, "", "").status, status, "{name}");
        assert_eq!(!case.get("").is_hit(), is_gone, "{name}");
    }
    for (field, target, is_gone) in [
        ("location", "PATH", true),
        ("content-location", "http://www.shop.example/PATH", true),
        ("location", "http://other.example/PATH", false),
    ] {
        let (other, case) = (stage.case("pointed at"), stage.case("pointing"));
        other.serves(200, "cache-control: max-age=60", "one");
        other.serves(200, "cache-control: max-age=60", "two");
        other.get("");
        let target = target.replace("/PATH", &other.path).replace("PATH", &other.path);
        case.serves(201, &format!("{field}: {target}"), "");
        case.ask("POST", "", "x");
        assert_eq!(!other.get("").is_hit(), is_gone, "{field}: {target}");
    }
}

#[test]
fn rfc9111_5_2_1_request_directives() {
    let stage = Stage::new(138, "");
    let case = stage.case("what clients say of age changes nothing");
    case.serves(200, "cache-control: max-age=60", "one");
    case.get("");
    for control in ["no-cache", "max-age=0", "min-fresh=99", "no-store"] {
        assert!(case.get(&format!("cache-control: {control}")).is_hit(), "{control}");
    }
    assert!(case.get("pragma: no-cache").is_hit());
    let case = stage.case("no-store keeps the answer out");
    case.serves(200, "cache-control: max-age=60", "one");
    case.serves(200, "cache-control: max-age=60", "two");
    case.get("cache-control: no-store").must_be(200, "one");
    case.get("").must_be(200, "two");
    let case = stage.case("only-if-cached");
    case.get("cache-control: only-if-cached").must_be(504, "504 nothing is stored for this request\n");
    assert!(case.seen().is_empty());
}
