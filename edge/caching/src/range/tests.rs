use super::*;
use proptest::prelude::*;

fn part(first: u64, last: u64) -> Plan {
    Plan::Part(Part { first, last })
}

fn request(range: &str) -> HeaderMap {
    HeaderMap::from_iter([(RANGE, HeaderValue::from_str(range).unwrap())])
}

#[test]
fn a_range_gets_a_part_the_whole_or_416() {
    let table = [
        ("bytes=0-4", part(0, 4)),
        ("BYTES=0-4", part(0, 4)),
        ("bytes=2-2", part(2, 2)),
        ("bytes=5-", part(5, 9)),
        ("bytes=5-99999999999999999999999", part(5, 9)),
        ("bytes=-3", part(7, 9)),
        ("bytes=-30", part(0, 9)),
        ("bytes= 0-4 ", part(0, 4)),
        ("bytes=,0-4", part(0, 4)),
        ("bytes=10-", Plan::Unsatisfiable),
        ("bytes=10-12", Plan::Unsatisfiable),
        ("bytes=-0", Plan::Unsatisfiable),
        ("bytes=0-1,3-4", Plan::Whole),
        ("bytes=4-0", Plan::Whole),
        ("bytes=a-b", Plan::Whole),
        ("bytes=0-1-2", Plan::Whole),
        ("bytes=0 - 1", Plan::Whole),
        ("bytes=-", Plan::Whole),
        ("bytes=", Plan::Whole),
        ("bytes", Plan::Whole),
        ("bytes =0-4", Plan::Whole),
        ("lines=0-4", Plan::Whole),
    ];
    for (range, expected) in table {
        assert_eq!(plan(&Method::GET, &request(range), &HeaderMap::new(), 10), expected, "{range}");
        assert_eq!(plan(&Method::HEAD, &request(range), &HeaderMap::new(), 10), Plan::Whole, "{range}");
    }
    assert_eq!(plan(&Method::GET, &HeaderMap::new(), &HeaderMap::new(), 10), Plan::Whole);
    assert_eq!(plan(&Method::GET, &request("bytes=-5"), &HeaderMap::new(), 0), Plan::Whole);
    assert_eq!(plan(&Method::GET, &request("bytes=0-"), &HeaderMap::new(), 0), Plan::Unsatisfiable);
}

#[test]
fn if_range_needs_a_strong_tag_or_the_exact_time() {
    let table = [
        ("\"a\"", part(0, 4)),
        ("Mon, 13 Nov 2023 22:13:20 GMT", part(0, 4)),
        ("\"b\"", Plan::Whole),
        ("W/\"a\"", Plan::Whole),
        ("a", Plan::Whole),
        ("Tue, 14 Nov 2023 22:13:20 GMT", Plan::Whole),
        ("", Plan::Whole),
    ];
    for (condition, expected) in table {
        let mut request = request("bytes=0-4");
        request.insert(IF_RANGE, HeaderValue::from_static(condition));
        let mut stored = HeaderMap::new();
        stored.insert(ETAG, HeaderValue::from_static("\"a\""));
        stored.insert(LAST_MODIFIED, HeaderValue::from_static("Mon, 13 Nov 2023 22:13:20 GMT"));
        stored.insert(DATE, HeaderValue::from_static("Mon, 13 Nov 2023 22:13:21 GMT"));
        assert_eq!(plan(&Method::GET, &request, &stored, 10), expected, "{condition}");
        stored.insert(ETAG, HeaderValue::from_static("W/\"a\""));
        if condition.ends_with("\"a\"") {
            assert_eq!(plan(&Method::GET, &request, &stored, 10), Plan::Whole, "{condition}, weak stored");
        }
        stored.insert(ETAG, HeaderValue::from_static("\"other\""));
        stored.insert(DATE, HeaderValue::from_static("Mon, 13 Nov 2023 22:13:20 GMT"));
        assert_eq!(plan(&Method::GET, &request, &stored, 10), Plan::Whole, "{condition}, changed just now");
    }
}

#[test]
fn parts_tell_where_they_belong() {
    let mut headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(10))]);
    set_part(&mut headers, Part { first: 2, last: 4 }, 10);
    assert_eq!(
        (&headers[CONTENT_LENGTH], &headers[CONTENT_RANGE]),
        (&"3".parse().unwrap(), &"bytes 2-4/10".parse().unwrap())
    );
    assert_eq!(unsatisfiable(10)[CONTENT_RANGE], "bytes */10");
}

proptest! {
    #[test]
    fn a_part_lies_inside(range in "bytes=[0-9]{0,3}-[0-9]{0,3}", length in 0_u64..500) {
        if let Plan::Part(part) = plan(&Method::GET, &request(&range), &HeaderMap::new(), length) {
            prop_assert!(part.first <= part.last && part.last < length);
            prop_assert!(part.length() <= length);
            let whole = Part { first: 0, last: length - 1 };
            prop_assert!(whole.covers(part));
        }
    }

    #[test]
    fn any_range_plans_something(range in "[ -~]{0,30}", length in any::<u64>()) {
        let _ = plan(&Method::GET, &request(&range), &HeaderMap::new(), length);
    }
}

#[test]
fn a_range_is_widened_to_slices_and_cut() {
    let table = [
        ("bytes=0-4", Some("bytes=0-99")),
        ("bytes=99-100", Some("bytes=0-199")),
        ("bytes=250-260", Some("bytes=200-299")),
        ("bytes=250-", Some("bytes=200-599")),
        ("bytes=250-99999", Some("bytes=200-599")),
        ("bytes=-5", Some("bytes=-5")),
        ("bytes=18446744073709551614-", Some("bytes=18446744073709551600-18446744073709551614")),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
    ];
    for (range, expected) in table {
        let widened = widen(&Method::GET, &request(range), 100, 400);
        assert_eq!(widened.as_ref().map(|value| value.to_str().unwrap()), expected, "{range}");
    }
    assert_eq!(widen(&Method::POST, &request("bytes=0-4"), 100, 400), None);
    assert_eq!(widen(&Method::GET, &HeaderMap::new(), 100, 400), None);
}

#[test]
fn a_part_is_asked_for_only_under_a_strong_tag() {
    let part = Part { first: 5, last: 9 };
    for (etag, is_asked) in [("\"a\"", true), ("W/\"a\"", false), ("a", false), ("", false)] {
        let stored = HeaderMap::from_iter([(ETAG, HeaderValue::from_static(etag))]);
        let mut asked = request("bytes=0-1");
        assert_eq!(ask_for_part(&mut asked, &stored, part), is_asked, "{etag}");
        if is_asked {
            assert_eq!((&asked[RANGE], &asked[IF_RANGE]), (&HeaderValue::from_static("bytes=5-9"), &stored[ETAG]));
        }
    }
}
