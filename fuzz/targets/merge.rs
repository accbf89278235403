//! A 304 updates what is stored, once and for all (RFC 9111 §3.2, §4.3.4).

#![no_main]

use caching::{Conclusion, Validators, add_validators, conclude, has_conditions, merge, remove_conditions, write_date};
use http::StatusCode;
use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, EXPIRES, HeaderMap,
    HeaderName, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED, RANGE, TRANSFER_ENCODING, UPGRADE, VARY,
};
use input::Input;
use libfuzzer_sys::fuzz_target;

const X_A: HeaderName = HeaderName::from_static("x-a");
const NAMES: [HeaderName; 13] = [
    AGE,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    TRANSFER_ENCODING,
    VARY,
    X_A,
];
const OF_THE_BODY: [HeaderName; 3] = [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE];
const OF_THE_CONNECTION: [HeaderName; 3] = [CONNECTION, TRANSFER_ENCODING, UPGRADE];
const ASKED: [HeaderName; 4] = [IF_MATCH, IF_NONE_MATCH, RANGE, X_A];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let (received_at, later) = (input.moment(), input.moment());
    let status = input.one_of(&[StatusCode::NOT_MODIFIED, StatusCode::OK, StatusCode::BAD_GATEWAY]);
    let mut stored = input.head(&NAMES);
    // What is stored has no fields of a connection.
    OF_THE_CONNECTION.iter().for_each(|name| _ = stored.remove(name));
    let answer = input.head(&NAMES);

    let merged = merge(&stored, &answer, received_at);
    assert_eq!(merge(&merged, &answer, received_at), merged, "merging twice: {stored:?}, {answer:?}");
    let mut redated = merge(&merged, &answer, later);
    if !answer_dates(&answer) {
        redated.insert(DATE, write_date(received_at));
    }
    assert_eq!(redated, merged, "a later receipt is more than another Date: {stored:?}, {answer:?}");
    assert!(merged.contains_key(DATE), "{merged:?}");
    for name in &OF_THE_CONNECTION {
        assert!(!merged.contains_key(name), "{name} is stored: {merged:?}");
    }
    for name in &OF_THE_BODY {
        assert!(merged.get_all(name).iter().eq(stored.get_all(name)), "{name} is another's: {stored:?}, {answer:?}");
    }
    // A field of the stored response stays, unless the answer has it too.
    for name in stored.keys().filter(|name| !answer.contains_key(*name) && **name != AGE && **name != DATE) {
        assert!(merged.get_all(name).iter().eq(stored.get_all(name)), "{name} is lost: {stored:?}, {answer:?}");
    }
    asks_and_concludes(&stored, &answer, status, input.head(&ASKED));
});

/// Whether the answer brings a Date: no Connection can take it away, but may nominate it.
fn answer_dates(answer: &HeaderMap) -> bool {
    merge(&HeaderMap::new(), answer, caching::Moment::default()).get(DATE) == answer.get(DATE)
}

/// A validation has our conditions alone, and a 304 about what we asked holds.
fn asks_and_concludes(stored: &HeaderMap, answer: &HeaderMap, status: StatusCode, mut request: HeaderMap) {
    let validators = Validators::of(stored);
    add_validators(&mut request, &validators);
    assert_eq!(has_conditions(&request), !validators.is_empty(), "{request:?}");
    assert_eq!(request.get(IF_NONE_MATCH), stored.get(ETAG), "{request:?}");
    remove_conditions(&mut request);
    assert!(!has_conditions(&request), "{request:?}");
    let conclusion = conclude(&validators, status, answer);
    let is_asked = status == StatusCode::NOT_MODIFIED;
    assert_eq!(matches!(conclusion, Conclusion::Holds | Conclusion::Mismatch), is_asked, "{status} {answer:?}");
    if is_asked && !validators.is_empty() {
        let own = conclude(&validators, status, &HeaderMap::new());
        assert_eq!(own, Conclusion::Holds, "a 304 without an entity tag: {stored:?}");
    }
}
