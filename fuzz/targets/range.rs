//! A part lies inside its whole, and what we ask for has what the client asked for (RFC 9110 §14).

#![no_main]

use caching::{
    ContentRange, Part, Plan, ask_for_part, has_strong_tag, plan, set_part, set_whole, unsatisfiable, widen,
};
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE};
use input::Input;
use libfuzzer_sys::fuzz_target;

const ASKED: [HeaderName; 3] = [RANGE, IF_RANGE, RANGE];
const STORED: [HeaderName; 3] = [ETAG, LAST_MODIFIED, DATE];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    // Slices are of a power of two, and at least one is asked for.
    let slice = 1 << (input.byte() % 40 + 1);
    let most = slice * (u64::from(input.byte()) + 1);
    let length = input.number();
    let mut request = input.head(&ASKED);
    let stored = input.head(&STORED);

    assert_eq!(plan(&Method::HEAD, &request, &stored, length), Plan::Whole, "{request:?}");
    let planned = plan(&Method::GET, &request, &stored, length);
    if let Plan::Part(part) = planned {
        assert!(part.first <= part.last && part.last < length, "{part:?} is not inside {length}: {request:?}");
        answers(part, length, &stored);
        asks(part, length, &stored);
    }
    if planned == Plan::Unsatisfiable {
        let fields = unsatisfiable(length);
        assert_eq!(ContentRange::of(&fields), None, "a 416 holds no part: {fields:?}");
    }
    // If-Range is not the next hop's matter.
    request.remove(IF_RANGE);
    widens(&request, length, slice, most);
});

/// The fields of a 206 tell the part, and those of its whole do not.
fn answers(part: Part, length: u64, stored: &HeaderMap) {
    assert_eq!(part.last - part.first + 1, part.length());
    assert_eq!(part.first + part.length() + (length - part.last - 1), length);
    let mut fields = stored.clone();
    set_part(&mut fields, part, length);
    assert_eq!(ContentRange::of(&fields), Some(ContentRange { part, complete: Some(length) }), "{fields:?}");
    set_whole(&mut fields, length);
    assert_eq!(ContentRange::of(&fields), None, "{fields:?}");
    assert!(!fields.contains_key(CONTENT_RANGE) && fields.get(CONTENT_LENGTH) == Some(&length.into()), "{fields:?}");
}

/// A part that we ask for ourselves is the one that the same response gives.
fn asks(part: Part, length: u64, stored: &HeaderMap) {
    let mut request = HeaderMap::new();
    let is_asked = ask_for_part(&mut request, stored, part);
    assert_eq!(is_asked, has_strong_tag(stored), "{stored:?}");
    if is_asked {
        assert_eq!(plan(&Method::GET, &request, stored, length), Plan::Part(part), "{request:?} of {stored:?}");
    }
}

/// What is asked for begins on a slice, is no more than may be asked for, and has the client's bytes as far
/// as it goes.
fn widens(request: &HeaderMap, length: u64, slice: u64, most: u64) {
    let whole = HeaderMap::new();
    let planned = plan(&Method::GET, request, &whole, length);
    let Some(range) = widen(&Method::GET, request, slice, most) else {
        assert_eq!(planned, Plan::Whole, "what counts is not asked for: {request:?}");
        return;
    };
    let is_suffix = range.as_bytes().starts_with(b"bytes=-");
    let widened = HeaderMap::from_iter([(RANGE, range.clone())]);
    match (planned, plan(&Method::GET, &widened, &whole, length)) {
        (Plan::Part(wanted), Plan::Part(got)) if is_suffix => assert_eq!(wanted, got, "{range:?}"),
        (Plan::Part(wanted), Plan::Part(got)) => {
            assert!(got.first.is_multiple_of(slice), "{range:?} begins inside a slice of {slice}");
            assert!(got.length() <= most, "{range:?} is more than {most}");
            let reach = Part { first: wanted.first, last: wanted.last.min(got.first.saturating_add(most - 1)) };
            assert!(got.covers(reach), "{range:?} has not the bytes of {request:?} in {length}");
        }
        // The client's first byte may lie behind the end, and its slice before.
        (Plan::Unsatisfiable, Plan::Part(got)) => assert!(got.last == length - 1, "{range:?} for {request:?}"),
        (Plan::Unsatisfiable, Plan::Unsatisfiable) => {}
        (Plan::Whole, Plan::Whole) if is_suffix && length == 0 => {}
        (wanted, got) => panic!("{wanted:?} became {got:?}: {range:?} for {request:?} in {length}"),
    }
}
