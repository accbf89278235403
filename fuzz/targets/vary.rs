//! A request finds the object that was fetched for it, and the most recent one (RFC 9111 §4.1).

#![no_main]

use caching::{Moment, Selector, Variant, Vary, choose};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_LANGUAGE, HeaderMap, HeaderName, USER_AGENT, VARY,
};
use input::{Input, has_quotes, join_lines, map_values};
use libfuzzer_sys::fuzz_target;

const X_A: HeaderName = HeaderName::from_static("x-a");
const ASKED: [HeaderName; 4] = [ACCEPT_LANGUAGE, ACCEPT_ENCODING, ACCEPT, X_A];
const ANSWERED: [HeaderName; 2] = [VARY, CONTENT_LANGUAGE];

/// As many objects as a small key has.
const OBJECTS: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let seed = input.number();
    let mut stored: Vec<(Selector, Moment)> = Vec::new();
    for _ in 0..OBJECTS {
        let date = Moment::from_seconds(i64::from(input.byte()));
        let request = input.head(&ASKED);
        let response = input.head(&ANSWERED);
        let Some(nominated) = nominated(&response) else {
            continue;
        };
        let selector = Selector::new(nominated, &request, &response, seed);
        finds_itself(&selector, &request, seed);
        stored.push((selector, date));
        chooses(&stored, &request, seed);
    }
    chooses(&stored, &input.head(&ASKED), seed);
});

/// The names, if any request can match.
fn nominated(response: &HeaderMap) -> Option<Vec<HeaderName>> {
    let read = Vary::of(response);
    let upper = map_values(response, <[u8]>::to_ascii_uppercase);
    assert_eq!(Vary::of(&upper), read, "case counts: {response:?}");
    let is_any = response.get_all(VARY).iter().any(|line| line == "*");
    let Vary::Fields(names) = read else {
        return None;
    };
    assert!(!is_any, "`*` matches: {response:?}");
    assert!(names.iter().map(HeaderName::as_str).is_sorted_by(|one, next| one < next), "{names:?}");
    Some(names)
}

/// However its request is written, and whatever it says in other fields.
fn finds_itself(selector: &Selector, request: &HeaderMap, seed: u64) {
    assert!(selector.matches(request, seed), "{selector:?} is not found by its own {request:?}");
    let mut same = request.clone();
    for name in ASKED.iter().chain([&USER_AGENT]).filter(|name| !selector.nominated.contains(name)) {
        same.insert(name.clone(), http::HeaderValue::from_static("other"));
    }
    assert_eq!(Variant::of(&selector.nominated, &same, seed), selector.variant, "other fields count: {request:?}");
    if !has_quotes(request) {
        // Spaces at the ends of a value are none of it.
        let padded = map_values(request, |value| [b" \t", value, b" "].concat());
        assert_eq!(Variant::of(&selector.nominated, &padded, seed), selector.variant, "spaces count: {request:?}");
        let joined = join_lines(request);
        assert_eq!(Variant::of(&selector.nominated, &joined, seed), selector.variant, "lines count: {request:?}");
    }
}

/// The chosen one matches, and none that matches is better.
fn chooses(stored: &[(Selector, Moment)], request: &HeaderMap, seed: u64) {
    let chosen = choose(stored.iter().map(|(selector, date)| (selector, *date)), request, seed);
    let rank = |(selector, date): &(Selector, Moment)| (!selector.nominated.is_empty(), *date);
    let best = stored.iter().filter(|(selector, _)| selector.matches(request, seed)).map(rank).max();
    let chosen = chosen.and_then(|index| stored.get(index));
    assert_eq!(chosen.map(rank), best, "{request:?} of {stored:?}");
    assert!(chosen.is_none_or(|(selector, _)| selector.matches(request, seed)), "{request:?} of {stored:?}");
}
