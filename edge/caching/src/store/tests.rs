use super::*;
use crate::age::age_seconds;
use crate::control::MOST_SECONDS;
use crate::key::Scheme;
use crate::reuse::ttl;
use crate::validate::{Conclusion, conclude, merge};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use proptest::prelude::*;

const NOW: Moment = Moment::from_seconds(1_700_000_000);
const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const CHANGED: (&str, &str) = ("last-modified", "Tue, 14 Nov 2023 12:13:20 GMT");
const COOKIE: (&str, &str) = ("set-cookie", "a=b");
const CREDENTIALS: (&str, &str) = ("authorization", "Basic x");
const TAG: (&str, &str) = ("etag", "\"a\"");
const TWO_BYTES: (&str, &str) = ("range", "bytes=0-1");

type Fields = &'static [(&'static str, &'static str)];

fn build(fields: Fields) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

struct Case {
    method: Method,
    request: HeaderMap,
    payload: Payload,
    status: u16,
    response: HeaderMap,
    policy: Policy,
}

fn get(request: Fields, status: u16, response: Fields) -> Case {
    let (request, response) = (build(request), build(response));
    Case { method: Method::GET, request, payload: Payload::Empty, status, response, policy: Policy::default() }
}

fn under(policy: Policy, case: Case) -> Case {
    Case { policy, ..case }
}

fn cookies(set_cookie: SetCookiePolicy) -> Policy {
    Policy { set_cookie, ..Policy::default() }
}

impl Case {
    fn judge(&self) -> Judgement {
        let key = CacheKey::new("s", Scheme::Http, "h", "/a");
        let asked = Asked { method: &self.method, key: &key, headers: &self.request, payload: self.payload };
        let status = StatusCode::from_u16(self.status).unwrap();
        let received = Received { status, headers: &self.response, asked_at: NOW, received_at: NOW };
        judge(&asked, &received, &self.policy)
    }

    fn why(&self) -> Option<Why> {
        match self.judge().verdict {
            Verdict::Not(why) => Some(why),
            _ => None,
        }
    }

    fn keep(&self) -> Keep {
        match self.judge().verdict {
            Verdict::Store(keep) | Verdict::StorePart(keep, _) | Verdict::Share(keep) => *keep,
            Verdict::Not(why) => panic!("not stored: {why:?}"),
        }
    }
}

#[test]
fn what_forbids_storing_forbids_it() {
    let table: [(Fields, u16, Fields, Option<Why>); 31] = [
        (&[], 200, &[FRESH], None),
        (&[], 200, &[("cache-control", "no-store, max-age=60")], Some(Why::NoStore)),
        (&[], 200, &[("cache-control", "private, max-age=60")], Some(Why::Private)),
        (&[], 200, &[("cache-control", "private=\"a\", max-age=60")], None),
        (&[], 200, &[FRESH, ("vary", "a, *")], Some(Why::Vary)),
        (&[], 200, &[FRESH, COOKIE], Some(Why::SetCookie)),
        (&[], 200, &[("cache-control", "max-age=60, no-cache=\"set-cookie\""), COOKIE], None),
        (&[("cookie", "a=b")], 200, &[FRESH], None),
        (&[CREDENTIALS], 200, &[FRESH], Some(Why::Authorization)),
        (&[CREDENTIALS], 200, &[("cache-control", "max-age=60, public")], None),
        (&[CREDENTIALS], 200, &[("cache-control", "max-age=60, must-revalidate")], None),
        (&[CREDENTIALS], 200, &[("cache-control", "s-maxage=60")], None),
        (&[], 200, &[("cache-control", "must-understand, no-store, max-age=60")], None),
        (&[], 299, &[("cache-control", "must-understand, max-age=60")], Some(Why::NotUnderstood)),
        (&[], 200, &[], Some(Why::Useless)),
        (&[], 200, &[("cache-control", "public")], Some(Why::Useless)),
        (&[], 200, &[TAG], None),
        (&[], 200, &[CHANGED], None),
        (&[], 302, &[CHANGED, TAG], Some(Why::Unmarked)),
        (&[], 302, &[TAG, ("cache-control", "public")], None),
        (&[], 200, &[("cache-control", "no-cache")], Some(Why::Useless)),
        (&[], 200, &[("cache-control", "no-cache"), TAG], None),
        (&[], 200, &[("cache-control", "max-age=0, must-revalidate")], Some(Why::Useless)),
        (&[], 200, &[("cache-control", "max-age=0")], None),
        (&[], 200, &[("cache-control", "no-store"), ("cdn-cache-control", "max-age=60")], None),
        (&[], 200, &[FRESH, ("cdn-cache-control", "no-store")], Some(Why::NoStore)),
        (&[], 304, &[FRESH], Some(Why::Status)),
        (&[], 103, &[FRESH], Some(Why::Status)),
        (&[], 206, &[FRESH, ("content-range", "bytes 0-1/10")], Some(Why::Part)),
        (&[TWO_BYTES], 206, &[FRESH, ("content-range", "bytes 1-0/10")], Some(Why::Part)),
        (&[TWO_BYTES], 206, &[FRESH, ("content-range", "bytes 0-1/10")], None),
    ];
    for (request, status, response, expected) in table {
        assert_eq!(get(request, status, response).why(), expected, "{request:?} {status} {response:?}");
    }
}

#[test]
fn explicit_freshness_makes_any_final_status_storable() {
    for status in (200..=599).filter(|status| ![206, 304].contains(status)) {
        assert_eq!(get(&[], status, &[FRESH]).why(), None, "{status}");
    }
}

#[test]
fn an_error_that_an_odd_request_drew_is_not_for_others() {
    let large = HeaderValue::try_from("x".repeat(PLAIN_HEADER_BYTES)).unwrap();
    for status in [400, 405, 412, 413, 414, 416, 417, 431] {
        let plain = get(&[], status, &[FRESH]);
        let ranged = get(&[TWO_BYTES], status, &[FRESH]);
        let with_body = Case { payload: Payload::Present, ..get(&[], status, &[FRESH]) };
        let mut oversized = get(&[], status, &[FRESH]);
        oversized.request.insert("x", large.clone());
        let found = [plain, ranged, with_body, oversized].map(|case| case.why());
        assert_eq!(found, [None, Some(Why::OddRequest), Some(Why::OddRequest), Some(Why::OddRequest)], "{status}");
    }
}

#[test]
fn a_post_is_stored_only_as_its_own_content() {
    let table: [(Method, u16, Fields, Option<Why>); 8] = [
        (Method::POST, 200, &[FRESH, ("content-location", "/a")], None),
        (Method::POST, 200, &[FRESH, ("content-location", "http://H:80/a")], None),
        (Method::POST, 200, &[FRESH, ("content-location", "/b")], Some(Why::Method)),
        (Method::POST, 200, &[FRESH], Some(Why::Method)),
        (Method::POST, 200, &[CHANGED, ("content-location", "/a")], Some(Why::Method)),
        (Method::POST, 201, &[FRESH, ("content-location", "/a")], Some(Why::Method)),
        (Method::PUT, 200, &[FRESH, ("content-location", "/a")], Some(Why::Method)),
        (Method::HEAD, 200, &[FRESH], Some(Why::Method)),
    ];
    for (method, status, response, expected) in table {
        let case = Case { method, ..get(&[], status, response) };
        assert_eq!(case.why(), expected, "{} {status} {response:?}", case.method);
    }
}

#[test]
fn a_cookie_is_passed_stripped_or_stored_as_the_site_says() {
    let table: [(SetCookiePolicy, Fields, Result<bool, Why>); 5] = [
        (SetCookiePolicy::Pass, &[FRESH, COOKIE], Err(Why::SetCookie)),
        (SetCookiePolicy::Strip, &[FRESH, COOKIE], Ok(false)),
        (SetCookiePolicy::Strip, &[CHANGED, COOKIE], Ok(false)),
        (SetCookiePolicy::Store, &[FRESH, COOKIE], Ok(true)),
        (SetCookiePolicy::Store, &[CHANGED, COOKIE], Err(Why::SetCookie)),
    ];
    for (set_cookie, response, expected) in table {
        let case = under(cookies(set_cookie), get(&[], 200, response));
        let found = case.why().map_or_else(|| Ok(case.keep().headers.contains_key(SET_COOKIE)), Err);
        assert_eq!(found, expected, "{set_cookie:?} {response:?}");
    }
}

#[test]
fn a_forced_ttl_overrides_the_origin_but_not_credentials_or_cookies() {
    let force = Policy { force_ttl: Some(Duration::from_secs(9)), ..Policy::default() };
    let table: [(Fields, u16, Fields, Option<Why>); 7] = [
        (&[], 200, &[("cache-control", "no-store, private, no-cache")], None),
        (&[], 404, &[], None),
        (&[], 200, &[COOKIE], Some(Why::SetCookie)),
        (&[], 200, &[("vary", "*")], Some(Why::Vary)),
        (&[CREDENTIALS], 200, &[], Some(Why::Authorization)),
        (&[], 500, &[], Some(Why::Unmarked)),
        (&[TWO_BYTES], 416, &[("cache-control", "no-store")], Some(Why::NoStore)),
    ];
    for (request, status, response, expected) in table {
        let case = under(force.clone(), get(request, status, response));
        assert_eq!(case.why(), expected, "{request:?} {status} {response:?}");
        if expected.is_none() {
            assert_eq!((case.keep().terms.lifetime.as_secs(), reuse(&case.keep().terms, NOW)), (9, Reuse::Fresh));
        }
    }
}

#[test]
fn a_forced_ttl_begins_as_the_response_comes_in_and_others_as_it_was_made() {
    let sixty = Some(Duration::from_secs(60));
    let force = Policy { force_ttl: sixty, ..Policy::default() };
    let default = Policy { ttl: sixty, ..Policy::default() };
    let silent = Policy::default();
    let never = Policy { force_ttl: Some(Duration::ZERO), ..Policy::default() };
    // What the site says, what the origin says; seconds it is fresh from now, and its age now and a minute later.
    let table: [(&Policy, Fields, i64, [u64; 2]); 8] = [
        (&force, &[("age", "1000")], 60, [1000, 1060]),
        (&force, &[("age", "1000"), ("cache-control", "max-age=3600")], 60, [1000, 1060]),
        (&force, &[("age", "99999999999999999999")], 60, [MOST_SECONDS; 2]),
        (&force, &[("date", "Tue, 14 Nov 2023 22:11:40 GMT")], 60, [100, 160]),
        (&force, &[], 60, [0, 60]),
        (&default, &[("age", "1000"), TAG], -940, [1000, 1060]),
        (&silent, &[("age", "1000"), FRESH, TAG], -940, [1000, 1060]),
        (&never, &[("age", "1000"), TAG], 0, [1000, 1060]),
    ];
    let minute = NOW.after(Duration::from_secs(60));
    for (policy, response, left, ages) in table {
        let terms = under(policy.clone(), get(&[], 200, response)).keep().terms;
        let found = [NOW, minute].map(|now| age_seconds(&terms, now));
        assert_eq!((ttl(&terms, NOW), found), (left, ages), "{response:?}");
        assert_eq!(reuse(&terms, NOW) == Reuse::Fresh, left > 0, "{response:?}");
        assert_ne!(reuse(&terms, minute), Reuse::Fresh, "{response:?}");
    }
}

#[test]
fn what_is_stored_lacks_what_may_not_be_stored() {
    let response: Fields = &[
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("cache-control", "max-age=60, private=\"a\", no-cache=\"b, c\""),
        ("a", "1"),
        ("b", "1"),
        ("c", "1"),
        ("d", "1"),
        ("d", "2"),
        ("vary", "y, X"),
    ];
    let keep = get(&[], 200, response).keep();
    let expected: Fields = &[
        ("cache-control", "max-age=60, private=\"a\", no-cache=\"b, c\""),
        ("d", "1"),
        ("d", "2"),
        ("vary", "y, X"),
        ("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
    ];
    assert_eq!(keep.headers, build(expected));
    assert_eq!(keep.nominated, ["x", "y"]);
    assert_eq!(keep.terms.lifetime, Duration::from_secs(60));
}

#[test]
fn waiting_requests_share_what_is_usable_and_a_key_that_never_is_gets_remembered() {
    let alone = |remember| Sharing::Alone { remember };
    let table: [(Fields, u16, Fields, Sharing); 13] = [
        (&[], 200, &[FRESH], Sharing::Shared),
        (&[], 200, &[("cache-control", "max-age=0, stale-while-revalidate=9")], Sharing::Shared),
        (&[("cache-control", "no-store")], 200, &[FRESH], Sharing::Shared),
        (&[], 200, &[("cache-control", "no-cache"), TAG], alone(ALONE_FOR)),
        (&[], 200, &[("cache-control", "max-age=0"), TAG], alone(ALONE_FOR)),
        (&[], 200, &[("cache-control", "no-store")], alone(ALONE_FOR)),
        (&[], 200, &[FRESH, COOKIE], alone(ALONE_FOR)),
        (&[], 200, &[FRESH, ("vary", "*")], alone(ALONE_FOR)),
        (&[], 302, &[], alone(ALONE_FOR)),
        (&[CREDENTIALS], 200, &[FRESH], alone(Duration::ZERO)),
        (&[], 503, &[], alone(Duration::ZERO)),
        (&[], 403, &[("cache-control", "no-store")], alone(Duration::ZERO)),
        (&[TWO_BYTES], 400, &[FRESH], alone(Duration::ZERO)),
    ];
    for (request, status, response, expected) in table {
        assert_eq!(get(request, status, response).judge().sharing, expected, "{request:?} {status} {response:?}");
    }
}

#[test]
fn a_requests_no_store_keeps_the_response_out_but_not_from_those_who_wait() {
    let no_store: Fields = &[("cache-control", "No-Store")];
    let case = under(cookies(SetCookiePolicy::Strip), get(no_store, 200, &[FRESH, COOKIE]));
    let Verdict::Share(keep) = case.judge().verdict else { panic!() };
    assert!(!keep.headers.contains_key(SET_COOKIE));
    assert_eq!(get(no_store, 200, &[("cache-control", "no-cache"), TAG]).why(), Some(Why::RequestNoStore));
}

#[test]
fn a_validated_response_is_as_fresh_as_its_304_says() {
    let first = get(&[], 200, &[FRESH, TAG, ("age", "50"), ("content-length", "3")]).keep();
    let later = NOW.after(Duration::from_secs(15));
    assert!(matches!(reuse(&first.terms, later), Reuse::Stale { .. }));
    let answer = build(&[("cache-control", "max-age=5"), ("content-length", "0")]);
    assert_eq!(conclude(&Validators::of(&first.headers), StatusCode::NOT_MODIFIED, &answer), Conclusion::Holds);

    let key = CacheKey::new("s", Scheme::Http, "h", "/a");
    let none = HeaderMap::new();
    let asked = Asked { method: &Method::GET, key: &key, headers: &none, payload: Payload::Empty };
    let merged = merge(&first.headers, &answer, later);
    let received = Received { status: StatusCode::OK, headers: &merged, asked_at: later, received_at: later };
    let Verdict::Store(second) = judge(&asked, &received, &Policy::default()).verdict else { panic!() };
    assert_eq!((second.terms.lifetime.as_secs(), second.terms.initial_age.as_secs()), (5, 0));
    assert_eq!(
        (&second.headers["content-length"], &second.headers["etag"]),
        (&first.headers["content-length"], &first.headers["etag"])
    );
}

proptest! {
    #[test]
    fn nothing_that_says_no_store_is_stored(
        before in "[a-z=\", ]{0,20}",
        after in "[a-z0-9=\", ]{0,20}",
        status in 200_u16..600,
        grace in 0_u64..100,
    ) {
        let mut case = get(&[], status, &[TAG, CHANGED]);
        let control = format!("{}, no-store, max-age=60, {after}", before.replace('"', ""));
        case.response.insert(CACHE_CONTROL, HeaderValue::try_from(control).unwrap());
        case.policy = Policy { ttl: Some(Duration::from_secs(9)), grace: Duration::from_secs(grace), ..Policy::default() };
        prop_assert!(case.why().is_some());
    }

    #[test]
    fn any_response_is_judged(
        fields in proptest::collection::vec((0..FIELDS.len(), "[ -~]{0,24}"), 0..10),
        status in 100_u16..1000,
        force in proptest::option::of(0_u64..u64::MAX),
    ) {
        let mut case = get(&[TWO_BYTES], status, &[]);
        for (name, value) in fields {
            case.response.append(FIELDS[name], HeaderValue::from_str(&value).unwrap());
        }
        case.policy.force_ttl = force.map(Duration::from_secs);
        case.policy.grace = Duration::MAX;
        if let Verdict::Store(keep) = case.judge().verdict {
            prop_assert!(keep.headers.contains_key("date"));
            prop_assert!(!keep.headers.contains_key("connection"));
            let _ = reuse(&keep.terms, Moment::from_millis(i64::MAX));
        }
    }
}

const FIELDS: [&str; 9] = [
    "cache-control",
    "cdn-cache-control",
    "expires",
    "date",
    "age",
    "last-modified",
    "vary",
    "connection",
    "content-range",
];
