use super::*;
use http::HeaderValue;
use proptest::prelude::*;

const NOW: Moment = Moment::from_seconds(1_700_000_000);
const DATE: (&str, &str) = ("date", "Tue, 14 Nov 2023 22:13:20 GMT");

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn a_validation_carries_our_validators_and_the_clients_other_fields() {
    let mut request = headers(&[
        ("accept-language", "de"),
        ("if-none-match", "\"theirs\""),
        ("if-modified-since", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("if-match", "*"),
        ("if-unmodified-since", "x"),
        ("if-range", "x"),
        ("range", "bytes=0-1"),
    ]);
    add_validators(&mut request, &Validators::of(&headers(&[("etag", "W/unquoted"), ("last-modified", "0")])));
    let expected = [("accept-language", "de"), ("if-none-match", "W/unquoted"), ("if-modified-since", "0")];
    assert_eq!(request, headers(&expected));
}

#[test]
fn an_answer_holds_replaces_mismatches_or_fails() {
    let table = [
        (304, "\"a\"", "\"a\"", Conclusion::Holds),
        (304, "\"a\"", "", Conclusion::Holds),
        (304, "\"a\"", "W/\"a\"", Conclusion::Holds),
        (304, "W/\"a\"", "W/\"a\"", Conclusion::Holds),
        (304, "a", "a", Conclusion::Holds),
        (304, "W/\"a\"", "\"a\"", Conclusion::Mismatch),
        (304, "\"a\"", "\"b\"", Conclusion::Mismatch),
        (304, "", "", Conclusion::Mismatch),
        (200, "\"a\"", "\"a\"", Conclusion::Replaces),
        (404, "\"a\"", "", Conclusion::Replaces),
        (501, "\"a\"", "", Conclusion::Replaces),
        (500, "\"a\"", "", Conclusion::Failed),
        (504, "\"a\"", "", Conclusion::Failed),
    ];
    for (status, stored, new, expected) in table {
        let tagged = |tag: &str| if tag.is_empty() { HeaderMap::new() } else { headers(&[("etag", tag)]) };
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(
            conclude(&Validators::of(&tagged(stored)), status, &tagged(new)),
            expected,
            "{status} {stored} {new}"
        );
    }
    let modified = Validators::of(&headers(&[("last-modified", "0")]));
    assert_eq!(conclude(&modified, StatusCode::NOT_MODIFIED, &headers(&[("etag", "\"new\"")])), Conclusion::Holds);
}

#[test]
fn a_304_replaces_fields_but_those_about_the_body() {
    let stored = headers(&[
        ("date", "Mon, 13 Nov 2023 22:13:20 GMT"),
        ("age", "100"),
        ("content-length", "10"),
        ("content-type", "text/plain"),
        ("cache-control", "max-age=1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=1"),
        ("x-old", "1"),
        ("x-both", "old"),
    ]);
    let answer = headers(&[
        ("content-length", "0"),
        ("content-encoding", "gzip"),
        ("content-range", "bytes 0-1/2"),
        ("content-md5", "x"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("cache-control", "max-age=2"),
        ("cache-control", "public"),
        ("set-cookie", "c=1"),
        ("x-both", "new"),
        ("x-new", "1"),
    ]);
    let expected = headers(&[
        DATE,
        ("content-length", "10"),
        ("content-type", "text/plain"),
        ("cache-control", "max-age=2"),
        ("cache-control", "public"),
        ("set-cookie", "c=1"),
        ("x-old", "1"),
        ("x-both", "new"),
        ("x-new", "1"),
    ]);
    assert_eq!(merge(&stored, &answer, NOW), expected);
}

#[test]
fn a_strong_tag_outlives_a_weak_one_that_is_the_same() {
    let (strong, weak) = ("\"a\"", "W/\"a\"");
    let table = [
        (strong, weak, strong),
        (strong, strong, strong),
        (weak, weak, weak),
        (weak, strong, strong),
        (strong, "W/\"b\"", "W/\"b\""),
        (strong, "\"b\"", "\"b\""),
        (strong, "", strong),
        ("", weak, weak),
        ("a", "W/a", "W/a"),
    ];
    let tagged = |tag: &str| if tag.is_empty() { HeaderMap::new() } else { headers(&[("etag", tag)]) };
    for (stored, new, expected) in table {
        let merged = merge(&tagged(stored), &tagged(new), NOW);
        assert_eq!(merged, headers(&[DATE, ("etag", expected)]), "{stored} {new}");
    }
}

proptest! {
    #[test]
    fn merging_twice_is_merging_once(
        stored in proptest::collection::vec((0..FIELDS.len(), "[a-c]{0,3}"), 0..12),
        answer in proptest::collection::vec((0..FIELDS.len(), "[a-c]{0,3}"), 0..12),
    ) {
        let build = |fields: Vec<(usize, String)>| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(FIELDS[name], HeaderValue::from_str(&value).unwrap());
            }
            headers
        };
        let (stored, answer) = (build(stored), build(answer));
        let once = merge(&stored, &answer, NOW);
        prop_assert_eq!(merge(&once, &answer, NOW), once);
    }
}

const FIELDS: [&str; 10] =
    ["a", "b", "c", "age", "date", "connection", "content-length", "set-cookie", "etag", "cache-control"];

#[test]
fn only_a_word_for_everybody_ends_what_is_stored() {
    for (field, status, expected) in [
        (None, 200, true),
        (None, 304, true),
        (None, 404, true),
        (None, 410, true),
        (None, 401, false),
        (None, 403, false),
        (None, 429, false),
        (None, 503, false),
        (Some(("authorization", "x")), 200, false),
        (Some(("cache-control", "no-store")), 304, false),
        (Some(("cache-control", "no-cache")), 200, true),
    ] {
        let mut request = HeaderMap::new();
        if let Some((name, value)) = field {
            request.insert(name, http::HeaderValue::from_static(value));
        }
        assert_eq!(displaces(&request, StatusCode::from_u16(status).unwrap()), expected, "{field:?} {status}");
    }
}
