use super::*;

const RECORD: Record<'_> = Record {
    time_ms: 1_796_040_000_123,
    site: "shop",
    client: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
    method: "GET",
    scheme: "https",
    host: "www.shop.example:8443",
    target: "/a/b?c=d",
    version: "2",
    tls: Some("TLSv1.3"),
    status: 200,
    bytes: 1_234,
    duration_ms: 56,
    first_byte_ms: 7,
    cache: "miss",
    complete: true,
    origin: Some("https://origin.shop.example:443"),
    said: Raw(&[]),
};

const SAID: Fields<'_> = Fields {
    user_agent: Some(Raw(b"Mozilla/5.0 (X11; Linux)")),
    referer: Some(Raw(b"https://www.shop.example/")),
    request_id: Some(Raw(b"4d1f")),
};

/// The lines of records, as bytes go to the writer.
fn lines(format: &str, records: &[(Record<'_>, Fields<'_>)]) -> String {
    let mut packed = Vec::new();
    for (record, said) in records {
        let said = postcard::to_stdvec(said).unwrap();
        let record = Record { said: Raw(&said), ..record.clone() };
        postcard::to_io(&record, &mut packed).unwrap();
    }
    let mut out = Vec::new();
    Lines::new(LogFormat::parse(format).unwrap(), "fra-1").render(&packed, &mut out);
    String::from_utf8(out).unwrap()
}

fn line(format: &str, record: &Record<'_>, said: &Fields<'_>) -> String {
    lines(format, &[(record.clone(), said.clone())])
}

#[test]
fn a_request_is_a_line_in_each_format() {
    assert_eq!(
        line("combined", &RECORD, &SAID),
        "192.0.2.7 - - [30/Nov/2026:12:00:00 +0000] \"GET /a/b?c=d HTTP/2.0\" 200 1234 \
         \"https://www.shop.example/\" \"Mozilla/5.0 (X11; Linux)\"\n"
    );
    assert_eq!(
        line("json", &RECORD, &SAID),
        "{\"time_ms\":1796040000123,\"site\":\"shop\",\"client\":\"192.0.2.7\",\"method\":\"GET\",\
         \"host\":\"www.shop.example:8443\",\"target\":\"/a/b?c=d\",\"version\":\"2\",\"status\":200,\"bytes\":1234,\
         \"duration_ms\":56,\"cache\":\"miss\",\"complete\":true,\"first_byte_ms\":7,\"scheme\":\"https\",\
         \"tls\":\"TLSv1.3\",\"origin\":\"https://origin.shop.example:443\",\
         \"user_agent\":\"Mozilla/5.0 (X11; Linux)\",\"referer\":\"https://www.shop.example/\",\"request_id\":\"4d1f\",\
         \"edge\":\"fra-1\"}\n"
    );
}

#[test]
fn every_name_stands_for_its_value_and_a_dash_for_none() {
    let bare = Record { client: None, target: "/", tls: None, origin: None, complete: false, ..RECORD };
    for (name, known, unknown) in [
        ("time", "2026-11-30T12:00:00.123Z", "2026-11-30T12:00:00.123Z"),
        ("time_ms", "1796040000123", "1796040000123"),
        ("time_clf", "30/Nov/2026:12:00:00 +0000", "30/Nov/2026:12:00:00 +0000"),
        ("client_ip", "192.0.2.7", "-"),
        ("method", "GET", "GET"),
        ("scheme", "https", "https"),
        ("host", "www.shop.example:8443", "www.shop.example:8443"),
        ("path", "/a/b", "/"),
        ("query", "c=d", "-"),
        ("target", "/a/b?c=d", "/"),
        ("protocol", "HTTP/2.0", "HTTP/2.0"),
        ("status", "200", "200"),
        ("bytes", "1234", "1234"),
        ("duration_ms", "56", "56"),
        ("first_byte_ms", "7", "7"),
        ("cache", "miss", "miss"),
        ("complete", "true", "false"),
        ("origin", "https://origin.shop.example:443", "-"),
        ("user_agent", "Mozilla/5.0 (X11; Linux)", "-"),
        ("referer", "https://www.shop.example/", "-"),
        ("request_id", "4d1f", "-"),
        ("site", "shop", "shop"),
        ("edge", "fra-1", "fra-1"),
        ("tls", "TLSv1.3", "-"),
    ] {
        let format = format!("<${{{name}}}>");
        assert_eq!(line(&format, &RECORD, &SAID), format!("<{known}>\n"), "{name}");
        assert_eq!(line(&format, &bare, &Fields::default()), format!("<{unknown}>\n"), "{name}");
    }
    assert_eq!(config::LogField::ALL.len(), 24, "a row for each name");
}

#[test]
fn what_a_client_writes_ends_no_line_and_no_value() {
    // As nginx's `escape=default` does it.
    let rows: [(&[u8], &str); 8] = [
        (b"a\" 200 \"b", r"a\x22 200 \x22b"),
        (b"a\r\n192.0.2.9 - - [", r"a\x0D\x0A192.0.2.9 - - ["),
        (b"\\x22", r"\x5Cx22"),
        (b"\x1b[31mred\x1b[0m", r"\x1B[31mred\x1B[0m"),
        (b"\x00\x07\x7f", r"\x00\x07\x7F"),
        ("é\u{9b}".as_bytes(), r"\xC3\xA9\xC2\x9B"),
        (b"\xff\xfe", r"\xFF\xFE"),
        (b"\t ~", r"\x09 ~"),
    ];
    for (written, escaped) in rows {
        let said = Fields { user_agent: Some(Raw(written)), referer: Some(Raw(written)), ..Fields::default() };
        assert_eq!(line("\"${user_agent}\"", &RECORD, &said), format!("\"{escaped}\"\n"));
        let combined = line("combined", &RECORD, &said);
        assert!(combined.ends_with(&format!(" 1234 \"{escaped}\" \"{escaped}\"\n")), "{combined}");
        assert_eq!(combined.matches('\n').count(), 1);
        let json = line("json", &RECORD, &said);
        assert_eq!(json.matches('\n').count(), 1, "{json}");
        assert!(!json.trim_end().chars().any(char::is_control), "{json:?}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["user_agent"], String::from_utf8_lossy(written).into_owned());
        assert_eq!(read["status"], 200);
    }
    let target = Record { target: "/\u{2028}\u{85}\"", ..RECORD };
    let json = line("json", &target, &SAID);
    assert!(json.contains(r#""target":"/\u2028\u0085\"""#), "{json}");
    assert_eq!(line("${target}", &target, &SAID), "/\\xE2\\x80\\xA8\\xC2\\x85\\x22\n");
}

#[test]
fn records_that_wait_together_are_a_line_each() {
    let later = Record { time_ms: RECORD.time_ms + 61_000, site: "news", status: 404, ..RECORD };
    let earlier = Record { time_ms: 0, ..RECORD };
    let all = [(RECORD, SAID), (later, Fields::default()), (earlier, SAID)];
    assert_eq!(
        lines("${time} ${site} ${status} ${request_id}", &all),
        "2026-11-30T12:00:00.123Z shop 200 4d1f\n2026-11-30T12:01:01.123Z news 404 -\n\
         1970-01-01T00:00:00.000Z shop 200 4d1f\n"
    );
}
