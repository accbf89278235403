//! RFC 9110 (HTTP semantics) and RFC 9112 (HTTP/1.1).

use super::Stage;

#[test]
fn rfc9110_7_6_forwarding() {
    let stage = Stage::new(143, "");
    let case = stage.case("a request is forwarded without its connection's fields");
    case.serves(200, "", "one");
    case.get(
        "x-end: 1\nkeep-alive: x\nproxy-connection: x\nte: trailers\nupgrade: h2c\nproxy-authorization: x\nx-end: 2",
    );
    let seen = case.seen().pop().unwrap().to_ascii_lowercase();
    for gone in ["keep-alive:", "proxy-connection:", "\r\nte:", "upgrade:", "proxy-authorization:"] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    assert!(seen.contains("x-end: 1\r\nx-end: 2\r\n") && seen.contains("via: 1.1 one-1\r\n"), "{seen}");
    let case = stage.case("a response says by which version it came");
    case.says("HTTP/1.0 200 OK\r\ncache-control: max-age=60\r\nvia: 1.1 inner\r\ncontent-length: 3\r\n\r\none");
    for _ in 0..2 {
        case.get("").must_have("via", "1.1 inner | 1.0 one-1");
    }
    let case = stage.case("OPTIONS counts Max-Forwards");
    case.serves(204, "", "");
    case.ask("OPTIONS", "max-forwards: 3", "");
    assert_eq!(case.asked_for("max-forwards").as_deref(), Some("2"));
    let last = case.ask("OPTIONS", "max-forwards: 0", "");
    assert_eq!((last.status, case.seen().len()), (204, 1));
    assert!(last.has("allow"), "{last:?}");
    let case = super::Case {
        path: "/assets/..%2faccount".to_owned(),
        ..stage.case("a path with a dot segment is not stored")
    };
    for body in ["one", "two"] {
        case.serves(200, "cache-control: max-age=60", body);
        case.get("").must_be(200, body).must_have("cache-status", "one-1;fwd=bypass;fwd-status=200");
    }
    let case = stage.case("unknown methods go through with their content");
    case.serves(200, "", "brewed");
    case.ask("BREW", "x-a: 1", "beans").must_be(200, "brewed");
    assert!(case.seen()[0].starts_with("BREW ") && case.seen()[0].ends_with("beans"), "{:?}", case.seen());
    for method in ["TRACE", "PURGE", "CONNECT"] {
        let refused = stage.case("methods that are not served").ask(method, "", "");
        assert!(refused.status == 405 && refused.has("allow"), "{method}: {refused:?}");
    }
}

#[test]
fn rfc9110_9_3_3_post_that_may_be_stored() {
    let stage = Stage::new(144, "");
    for (name, lines, is_stored) in [
        ("its own target and fresh", "cache-control: max-age=60\ncontent-location: PATH", true),
        ("without freshness", "content-location: PATH", false),
        ("another's", "cache-control: max-age=60\ncontent-location: /other", false),
        ("nobody's", "cache-control: max-age=60", false),
    ] {
        let case = stage.case(name);
        case.serves(200, "cache-control: max-age=60", "before");
        case.get("").must_be(200, "before");
        case.serves(200, &lines.replace("PATH", &case.path), "posted");
        case.serves(200, "", "after");
        case.ask("POST", "", "x").must_be(200, "posted");
        let got = case.get("");
        assert_eq!((got.is_hit(), got.body == b"posted"), (is_stored, is_stored), "{name}: {got:?}");
        assert!(!case.ask("POST", "", "y").is_hit(), "{name}: a POST is never answered from the store");
    }
}

#[test]
fn rfc9110_14_ranges() {
    let stage = Stage::new(145, "");
    let case = stage.case("ranges are cut from what is stored");
    case.serves(
        200,
        "cache-control: max-age=60\netag: \"a\"\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\nx-a: 1",
        "0123456789",
    );
    case.get("");
    for (lines, status, body, range) in [
        ("range: bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("range: bytes=7-", 206, "789", "bytes 7-9/10"),
        ("range: bytes=-2", 206, "89", "bytes 8-9/10"),
        ("range: bytes=8-99", 206, "89", "bytes 8-9/10"),
        ("range: BYTES=0-0", 206, "0", "bytes 0-0/10"),
        ("range: bytes=10-", 416, "", "bytes */10"),
        ("range: bytes=-0", 416, "", "bytes */10"),
        ("range: bytes=4-2", 200, "0123456789", ""),
        ("range: lines=1-2", 200, "0123456789", ""),
        ("range: bytes=x", 200, "0123456789", ""),
        ("range: bytes=0-1, 4-5", 200, "0123456789", ""),
        ("range: bytes=2-4\nif-range: \"a\"", 206, "234", "bytes 2-4/10"),
        ("range: bytes=2-4\nif-range: W/\"a\"", 200, "0123456789", ""),
        ("range: bytes=2-4\nif-range: \"b\"", 200, "0123456789", ""),
        ("range: bytes=2-4\nif-range: Mon, 01 Jan 2024 00:00:00 GMT", 206, "234", "bytes 2-4/10"),
        ("range: bytes=2-4\nif-range: Tue, 02 Jan 2024 00:00:00 GMT", 200, "0123456789", ""),
    ] {
        let got = case.get(lines);
        got.must_be(status, body).must_have("content-range", range);
        assert_eq!(got.has("x-a"), status != 416, "{lines}");
    }
    assert_eq!(case.seen().len(), 1);
}

#[test]
fn rfc9110_15_2_interim_responses() {
    let stage = Stage::new(146, "");
    let case = stage.case("103 first, without what it may not have, and never again");
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\ncontent-length: 7\r\nhither-cdn-cache-control: x\r\n\r\n";
    case.says(&format!("{hints}HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 3\r\n\r\none"));
    let first = case.get("");
    assert_eq!((first.status, first.field("link").as_str()), (103, "</a>"));
    assert!(!first.has("content-length") && !first.has("hither-cdn-cache-control"), "{first:?}");
    let last = String::from_utf8_lossy(&first.body).into_owned();
    assert!(
        last.starts_with("HTTP/1.1 200 OK\r\n") && last.ends_with("\r\n\r\none") && !last.contains("link"),
        "{last}"
    );
    let hit = case.get("");
    assert!(hit.is_hit() && hit.status == 200 && !hit.has("link"), "{hit:?}");
}

#[test]
fn rfc9112_6_3_message_body_length() {
    let stage = Stage::new(147, "");
    let case = stage.case("surplus bytes are no next response");
    case.says("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\noneHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
    case.serves(200, "", "two");
    case.get("").must_be(200, "one");
    case.get("").must_be(200, "two");
    let case = stage.case("without a length the body ends with the connection");
    case.says("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\nconnection: close\r\n\r\none two");
    assert!(String::from_utf8_lossy(&case.get("").body).contains("one two"));
    let case = stage.case("a short body is cut, and not stored");
    case.says("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 9\r\nconnection: close\r\n\r\none");
    case.serves(200, "", "two");
    let cut = case.get("");
    assert!(cut.field("content-length") == "9" && cut.body.len() < 9, "{cut:?}");
    case.get("").must_be(200, "two");
    for (name, lines) in [
        ("two lengths", "content-length: 3\r\ncontent-length: 4"),
        ("a length and chunks", "content-length: 3\r\ntransfer-encoding: chunked"),
        ("an unknown coding", "transfer-encoding: gzip"),
    ] {
        let case = stage.case(name);
        case.says(&format!("HTTP/1.1 200 OK\r\n{lines}\r\nconnection: close\r\n\r\none"));
        assert_eq!(case.get("").status, 502, "{name}");
    }
}

#[test]
fn rfc9112_9_3_a_reused_connection() {
    let stage = Stage::new(148, "");
    let case = stage.case("a request that has drawn a byte is not repeated");
    case.serves(200, "", "one");
    case.get("").must_be(200, "one");
    case.says("HTTP/1.1 2\r\nconnection: close");
    case.serves(200, "", "two");
    let got = case.get("");
    assert_eq!((got.status, case.seen().len()), (502, 2), "{got:?}");
}
