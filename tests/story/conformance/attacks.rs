//! Attacks on what HTTP leaves open: every class has its defence here, seen by raw sockets on both sides.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Case, Stage};

impl Stage {
    /// Sends bytes, and reads until the edge closes the connection: what it said, and whether it closed in time.
    fn raw(&self, bytes: &[u8]) -> (String, bool) {
        let mut stream = TcpStream::connect(self.network.edge).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        // A connection that is closed early takes the rest no more.
        let _ = stream.write_all(bytes);
        let mut said = Vec::new();
        let mut buffer = [0; 4_096];
        let closed = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break true,
                Ok(count) => said.extend_from_slice(&buffer[..count]),
                Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        };
        (String::from_utf8_lossy(&said).into_owned(), closed)
    }

    /// Whether the origin has seen a path.
    fn has_seen(&self, path: &str) -> bool {
        self.origin.seen.lock().unwrap().contains_key(path)
    }
}

/// What would be another's request, were the one before it read in another way.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: www.shop.example\r\n\r\n";

#[test]
fn no_request_is_smuggled_within_another() {
    let stage = Stage::new(173, "");
    let chunk = format!("0\r\n\r\n{SMUGGLED}");
    let lengths = |length: &str| format!("Content-Length: {length}");
    let heads = [
        ("both framings", format!("Content-Length: {}\r\nTransfer-Encoding: chunked", chunk.len())),
        ("both framings, the other way", "Transfer-Encoding: chunked\r\nContent-Length: 5".to_owned()),
        ("a space before the colon", "Transfer-Encoding : chunked".to_owned()),
        ("a tab before the colon", "Transfer-Encoding\t: chunked".to_owned()),
        ("a coding that only looks like it", "Transfer-Encoding: xchunked".to_owned()),
        ("a coding with a parameter", "Transfer-Encoding: chunked;q=1".to_owned()),
        ("a quoted coding", "Transfer-Encoding: \"chunked\"".to_owned()),
        ("chunked not last", "Transfer-Encoding: chunked, identity".to_owned()),
        ("two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x".to_owned()),
        ("an empty coding", "Transfer-Encoding: \r\nContent-Length: 5".to_owned()),
        ("a folded line", "X-A: 1\r\n Transfer-Encoding: chunked".to_owned()),
        ("a folded coding", "Transfer-Encoding:\r\n chunked".to_owned()),
        ("a line end within", "X-A: 1\rTransfer-Encoding: chunked".to_owned()),
        ("a NUL in a value", "X-A: 1\0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5".to_owned()),
        ("a NUL in a name", "Transfer-Encoding\0: chunked".to_owned()),
        ("no name", ": x\r\nContent-Length: 5".to_owned()),
        ("two lengths", format!("{}\r\n{}", lengths("0"), lengths("5"))),
        ("two lengths in a line", lengths("0, 5")),
        ("a length with a sign", lengths("+5")),
        ("a negative length", lengths("-5")),
        ("a length in hex", lengths("0x5")),
        ("a length with a space", lengths("5 5")),
        ("a length past all", lengths("18446744073709551621")),
        ("a length that is empty", lengths("")),
    ];
    for (name, lines) in heads {
        let request = format!("POST /framed HTTP/1.1\r\nHost: www.shop.example\r\n{lines}\r\n\r\n{chunk}");
        refuses(&stage, name, &request);
    }
    let old = format!("POST /framed HTTP/1.0\r\nHost: www.shop.example\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    refuses(&stage, "chunked in HTTP/1.0", &old);
    for (name, body) in [
        ("a negative size", "-1\r\na\r\n0\r\n\r\n"),
        ("a size in words", "0x1\r\na\r\n0\r\n\r\n"),
        ("a size past all", "10000000000000001\r\na\r\n0\r\n\r\n"),
        ("no size", "\r\na\r\n0\r\n\r\n"),
        ("bare line feeds", "1\na\n0\n\n"),
        ("a bare line feed after the size", "1\na\r\n0\r\n\r\n"),
        ("a line feed in an extension", "1;x\n\r\na\r\n0\r\n\r\n"),
        ("a size that is too small", "1\r\nab\r\n0\r\n\r\n"),
        ("a bare return after the size", "1\ra\r\n0\r\n\r\n"),
        ("a bare line feed at the end", "1\r\na\n0\r\n\r\n"),
    ] {
        let head = "POST /chunks HTTP/1.1\r\nHost: www.shop.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        refuses(&stage, name, &format!("{head}{body}{SMUGGLED}"));
    }
}

/// The request is answered with an error or not at all, the connection is closed, and nothing after it is another.
#[track_caller]
fn refuses(stage: &Stage, name: &str, request: &str) {
    let (said, closed) = stage.raw(request.as_bytes());
    let answers = said.matches("HTTP/1.1 ").count();
    assert!(closed && answers <= 1, "{name}: {closed} {said}");
    assert!(!said.starts_with("HTTP/1.1 2") && !said.starts_with("HTTP/1.1 3"), "{name}: {said}");
    assert!(!stage.has_seen("/smuggled"), "{name}: the origin has seen it");
}

#[test]
fn a_get_with_a_body_is_one_request_without_it() {
    let stage = Stage::new(174, "");
    let case = stage.case("a fat GET");
    case.serves(200, "cache-control: max-age=60", "clean");
    case.serves(200, "cache-control: max-age=60", "next");
    let next = format!("{}/next", case.path);
    stage
        .origin
        .answers
        .lock()
        .unwrap()
        .entry(next.clone())
        .or_default()
        .push_back("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext".to_owned());
    let body = "x=poison";
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: www.shop.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}\
         GET {next} HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n",
        case.path,
        body.len()
    );
    let (said, closed) = stage.raw(request.as_bytes());
    assert!(closed && said.contains("clean") && said.ends_with("next"), "both are answered, in order: {said}");
    let seen = case.seen().pop().unwrap().to_ascii_lowercase();
    assert!(!seen.contains("poison") && !seen.contains("content-"), "{seen}");
}

#[test]
fn what_makes_an_origin_err_is_not_kept_for_others() {
    let stage = Stage::new(175, "");
    let long = format!("x-long: {}", "a".repeat(40_000));
    let many = (0..200).fold(String::new(), |lines, number| lines + &format!("x-{number}: 1\n"));
    let meta = "x-meta: \u{7}bell";
    for (name, lines, status) in [
        ("a header block that is too large", long.as_str(), 431),
        ("too many lines", many.as_str(), 431),
        ("a control character", meta, 400),
    ] {
        let case = stage.case(name);
        case.serves(200, "cache-control: max-age=60", "good");
        assert_eq!(case.get(lines).status, status, "{name}");
        assert!(case.seen().is_empty(), "{name}: the origin saw it");
        case.get("").must_be(200, "good");
    }
    let case = stage.case("what the origin would take for another method, host, path, scheme or client");
    case.serves(200, "cache-control: max-age=60", "good");
    let lines = "x-http-method-override: POST\nx-original-url: /admin\nx-rewrite-url: /admin\nx-forwarded-host: evil\n\
                 x-forwarded-proto: https\nx-forwarded-scheme: https\nx-forwarded-for: 10.0.0.1\nforwarded: host=evil\n\
                 x-host: evil\nproxy: http://evil\nx_forwarded_host: evil\ncontent-type: text/evil\ntransfer_encoding: chunked";
    case.get(lines).must_be(200, "good");
    let seen = case.seen().pop().unwrap().to_ascii_lowercase();
    assert!(!seen.contains("evil") && !seen.contains("admin") && !seen.contains("10.0.0.1"), "{seen}");
    assert!(!seen.contains("override") && !seen.contains("https") && !seen.contains("_encoding"), "{seen}");
    assert!(case.get("").is_hit());
    for status in [400, 405, 413, 414, 431, 500, 501] {
        let case = stage.case("an error without a word on freshness");
        case.serves(status, "", "bad");
        case.serves(200, "cache-control: max-age=60", "good");
        assert_eq!(case.get("x-odd: 1").status, status);
        case.get("").must_be(200, "good");
    }
}

#[test]
fn ranges_never_add_up_to_more_than_the_object() {
    let stage = Stage::new(176, "");
    let case = stage.case("many ranges");
    let body = "0123456789".repeat(1_000);
    case.serves(200, "cache-control: max-age=60\netag: \"a\"", &body);
    case.get("");
    let overlapping = vec!["0-"; 1_000].join(",");
    let apart = (0..1_000).map(|number| format!("{number}-{number}")).collect::<Vec<_>>().join(",");
    let tails = vec!["-9000"; 1_000].join(",");
    for ranges in [overlapping, apart, tails, "0-1,0-1".to_owned(), "9-1,0-".to_owned()] {
        let got = case.get(&format!("range: bytes={ranges}"));
        assert!(got.body.len() <= body.len(), "{}: {} bytes", &ranges[..20.min(ranges.len())], got.body.len());
        assert!([200, 206, 416].contains(&got.status), "{got:?}");
    }
    assert_eq!(case.seen().len(), 1, "the origin was asked once");
}

#[test]
fn a_hostile_origin_is_a_502_and_harms_nobody() {
    let stage = Stage::new(177, "");
    let good = stage.case("another object");
    good.serves(200, "cache-control: max-age=60", "good");
    good.get("").must_be(200, "good");
    let lines = |count: usize| {
        (0..count).fold(String::new(), |mut lines, number| {
            let _ = write!(lines, "x-{number}: 1\r\n");
            lines
        })
    };
    let end = "content-length: 3\r\n\r\nbad";
    for (name, said) in [
        ("2 MB of fields", format!("HTTP/1.1 200 OK\r\nx: {}\r\n{end}", "a".repeat(2_000_000))),
        (
            "2 MB in many fields",
            format!("HTTP/1.1 200 OK\r\n{}{end}", format!("x: {}\r\n", "a".repeat(2_000)).repeat(1_000)),
        ),
        ("100,000 fields", format!("HTTP/1.1 200 OK\r\n{}{end}", lines(100_000))),
        ("a NUL in a value", format!("HTTP/1.1 200 OK\r\nx: a\0b\r\n{end}")),
        ("a return in a value", format!("HTTP/1.1 200 OK\r\nx: a\rset-cookie: a=1\r\n{end}")),
        ("a space in a name", format!("HTTP/1.1 200 OK\r\nset cookie: a\r\n{end}")),
        ("no status", format!("HTTP/1.1\r\n{end}")),
        ("a status of two digits", format!("HTTP/1.1 99 Odd\r\n{end}")),
        ("a status past all", format!("HTTP/1.1 99999 Odd\r\n{end}")),
        ("not HTTP", "SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
        ("HTTP/2 unasked", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("a negative length", "HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\nbad".to_owned()),
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nbad".to_owned()),
        ("two framings", format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{end}")),
        (
            "a part that nobody asked for",
            "HTTP/1.1 206 X\r\ncontent-range: bytes 0-2/9\r\ncontent-length: 3\r\n\r\nbad".to_owned(),
        ),
        (
            "another protocol that nobody asked for",
            "HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_owned(),
        ),
        ("a 304 to no condition", "HTTP/1.1 304 X\r\netag: \"a\"\r\n\r\n".to_owned()),
    ] {
        let case: Case<'_> = stage.case(name);
        case.says(&said);
        case.serves(200, "cache-control: max-age=60", "well again");
        let start = Instant::now();
        let got = case.get("");
        assert!(got.status == 502 && start.elapsed() < Duration::from_secs(5), "{name}: {got:?}");
        assert!(got.field("proxy-status").starts_with("one-1; error="), "{name}: {got:?}");
        case.get("").must_be(200, "well again");
    }
    assert!(good.get("").is_hit());
}

#[test]
fn a_body_that_breaks_has_no_clean_end_and_interims_have_one() {
    let stage = Stage::new(181, "");
    for (name, said) in [
        ("a chunk of no size", "x\r\n"),
        ("a chunk of a size past all", "fffffffffffffffff\r\nbad"),
        ("a chunk longer than its size", "1\r\nbad\r\n0\r\n\r\n"),
        ("bare line feeds", "3\nbad\n0\n\n"),
    ] {
        let case = stage.case(name);
        case.says(&format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n{said}"));
        case.serves(200, "cache-control: max-age=60", "well again");
        let request = format!("GET {} HTTP/1.1\r\nHost: www.shop.example\r\n\r\n", case.path);
        let (got, closed) = stage.raw(request.as_bytes());
        // What has begun is cut: no clean end.
        assert!(closed && !got.ends_with("0\r\n\r\n"), "{name}: {got:?}");
        case.get("").must_be(200, "well again");
    }
    let case = stage.case("a cut body for a client that takes a close for the end");
    case.says("HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let mut stream = TcpStream::connect(stage.network.edge).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {} HTTP/1.0\r\nHost: www.shop.example\r\n\r\n", case.path).unwrap();
    let end = stream.read_to_end(&mut Vec::new()).expect_err("it is no clean end");
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);

    let case = stage.case("2,000 interim responses");
    let interims = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(2_000);
    case.says(&format!("{interims}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"));
    let got = case.get("");
    let passed_on = String::from_utf8_lossy(&got.body).matches("HTTP/1.1 103").count();
    assert!(got.status == 103 && passed_on < 16 && got.body.ends_with(b"done"), "{passed_on}: {got:?}");
}
