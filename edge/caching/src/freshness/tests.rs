use super::*;
use crate::targeted::directives;
use http::{HeaderName, HeaderValue};

/// Tue, 14 Nov 2023 22:13:20 GMT.
const NOW: Moment = Moment::from_seconds(1_700_000_000);
const DATE: (&str, &str) = ("date", "Tue, 14 Nov 2023 22:13:20 GMT");
const HOUR_LATER: (&str, &str) = ("expires", "Tue, 14 Nov 2023 23:13:20 GMT");
const HOUR_EARLIER: (&str, &str) = ("expires", "Tue, 14 Nov 2023 21:13:20 GMT");
const UNCHANGED_FOR_10_HOURS: (&str, &str) = ("last-modified", "Tue, 14 Nov 2023 12:13:20 GMT");

type Fields = &'static [(&'static str, &'static str)];

fn found(status: u16, fields: Fields, policy: &Policy) -> Lifetime {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let (directives, voice) = directives(&headers);
    lifetime(StatusCode::from_u16(status).unwrap(), &headers, (&directives, voice), NOW, policy)
}

fn explicit(seconds: u64) -> Lifetime {
    Lifetime::Explicit(Duration::from_secs(seconds))
}

fn heuristic(seconds: u64) -> Lifetime {
    Lifetime::Heuristic(Duration::from_secs(seconds))
}

#[test]
fn the_first_source_present_counts() {
    let table: [(Fields, Lifetime); 18] = [
        (&[DATE, ("cache-control", "max-age=10, s-maxage=20"), HOUR_LATER], explicit(20)),
        (&[DATE, ("cache-control", "max-age=0, s-maxage=20"), HOUR_EARLIER], explicit(20)),
        (&[DATE, ("cache-control", "max-age=20, s-maxage=10")], explicit(10)),
        (&[DATE, ("cache-control", "max-age=0"), HOUR_LATER], explicit(0)),
        (&[DATE, ("cache-control", "max-age=x"), HOUR_LATER, UNCHANGED_FOR_10_HOURS], explicit(0)),
        (&[DATE, HOUR_LATER], explicit(3600)),
        (&[HOUR_LATER], explicit(3600)),
        (&[("date", "never"), HOUR_LATER], explicit(3600)),
        (&[DATE, HOUR_EARLIER, UNCHANGED_FOR_10_HOURS], explicit(0)),
        (&[DATE, ("expires", "0"), UNCHANGED_FOR_10_HOURS], explicit(0)),
        (&[DATE, HOUR_LATER, HOUR_LATER], explicit(0)),
        (&[("date", "Wed, 15 Nov 2023 22:13:20 GMT"), HOUR_LATER], explicit(0)),
        (&[DATE, UNCHANGED_FOR_10_HOURS], heuristic(3600)),
        (&[DATE, ("last-modified", "Fri, 14 Nov 1997 12:13:20 GMT")], heuristic(86_400)),
        (&[DATE, ("last-modified", "Wed, 15 Nov 2023 22:13:20 GMT")], heuristic(0)),
        (&[DATE, ("last-modified", "0")], Lifetime::None),
        (&[DATE, ("cdn-cache-control", "max-age=5"), ("cache-control", "s-maxage=20")], explicit(5)),
        (&[DATE, ("cdn-cache-control", "foo"), HOUR_LATER, UNCHANGED_FOR_10_HOURS], Lifetime::None),
    ];
    for (fields, expected) in table {
        assert_eq!(found(200, fields, &Policy::default()), expected, "{fields:?}");
    }
}

#[test]
fn only_some_statuses_are_guessed_at_and_public_makes_it_all() {
    let guessed = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
    for status in 200..=599 {
        let expected = if guessed.contains(&status) { heuristic(3600) } else { Lifetime::None };
        assert_eq!(found(status, &[DATE, UNCHANGED_FOR_10_HOURS], &Policy::default()), expected, "{status}");
        let public: Fields = &[DATE, UNCHANGED_FOR_10_HOURS, ("cache-control", "public")];
        assert_eq!(found(status, public, &Policy::default()), heuristic(3600), "{status}");
    }
}

#[test]
fn the_sites_ttl_fills_the_gap_but_stores_no_errors() {
    let policy = Policy { ttl: Some(Duration::from_secs(60)), ..Policy::default() };
    let default = Lifetime::Default(Duration::from_secs(60));
    let table: [(u16, Fields, Lifetime); 6] = [
        (200, &[], default),
        (404, &[UNCHANGED_FOR_10_HOURS], default),
        (200, &[("cache-control", "max-age=0")], explicit(0)),
        (200, &[("expires", "0")], explicit(0)),
        (500, &[], Lifetime::None),
        (400, &[], Lifetime::None),
    ];
    for (status, fields, expected) in table {
        assert_eq!(found(status, fields, &policy), expected, "{status} {fields:?}");
    }
}
