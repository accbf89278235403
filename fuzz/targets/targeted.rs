//! A targeted field that counts is the only one that does (RFC 9213 §2).

#![no_main]

use std::time::Duration;

use caching::{CDN_CACHE_CONTROL, Directives, HITHER_CDN_CACHE_CONTROL, Reach, Voice, directives};
use http::header::{CACHE_CONTROL, EXPIRES, HeaderMap, HeaderName, HeaderValue};
use input::{Input, join_lines};
use libfuzzer_sys::fuzz_target;

const NAMES: [HeaderName; 4] = [CDN_CACHE_CONTROL, HITHER_CDN_CACHE_CONTROL, CACHE_CONTROL, EXPIRES];

/// RFC 9111 §1.2.2.
const MOST: Duration = Duration::from_secs(1 << 31);

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let number = input.number();
    let head = input.head(&NAMES);
    let (said, voice) = directives(&head);

    match voice {
        Voice::General => assert_eq!(said, Directives::of(&head), "another field counts: {head:?}"),
        Voice::Targeted => {
            let alone = without(&head, &[CACHE_CONTROL, EXPIRES]);
            assert_eq!(directives(&alone), (said.clone(), voice), "Cache-Control counts: {head:?}");
            assert!(!said.only_if_cached, "a request's directive in a response: {head:?}");
        }
    }
    let ours = directives(&without(&head, &[CDN_CACHE_CONTROL]));
    if ours.1 == Voice::Targeted {
        assert_eq!(ours, (said.clone(), voice), "our own field is not first: {head:?}");
    }
    // RFC 9651 §4.2: all lines are one value.
    let targeted = without(&head, &[CACHE_CONTROL]);
    assert_eq!(directives(&join_lines(&targeted)), directives(&targeted), "lines count: {head:?}");

    let times = [said.max_age, said.s_maxage, said.stale_while_revalidate, said.stale_if_error];
    assert!(times.into_iter().flatten().all(|time| time <= MOST), "no time is beyond 2^31 seconds: {head:?}");
    for reach in [&said.no_cache, &said.private] {
        assert_ne!(*reach, Reach::Fields(Vec::new()), "a list of no field is about the whole: {head:?}");
    }
    speaks_as_cache_control(number);
});

/// Of what both syntaxes can say, the two fields mean the same. An Integer has 15 digits at most (RFC 9651
/// §3.3.1).
fn speaks_as_cache_control(number: u64) {
    let number = number % 1_000_000_000_000_000;
    let text = format!("max-age={number}, s-maxage={number}, no-cache=\"a, b\", private, must-revalidate");
    let value = HeaderValue::try_from(text).expect("it is made of visible ASCII");
    let of = |name| HeaderMap::from_iter([(name, value.clone())]);
    assert_eq!(directives(&of(CDN_CACHE_CONTROL)).0, directives(&of(CACHE_CONTROL)).0, "max-age={number}");
}

fn without(head: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut head = head.clone();
    for name in names {
        head.remove(name);
    }
    head
}
