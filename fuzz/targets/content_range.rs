//! A Content-Range that counts does not contradict itself (RFC 9110 §14.4).

#![no_main]

use caching::{ContentRange, set_part};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};
use input::{Input, map_values};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let head = Input::new(bytes).head(&[CONTENT_RANGE, CONTENT_LENGTH]);
    let Some(range) = ContentRange::of(&head) else {
        return;
    };
    let ContentRange { part, complete } = range;
    assert!(part.first <= part.last, "{head:?}");
    assert!(complete.is_none_or(|complete| part.last < complete), "{head:?}");
    assert!(complete.is_none_or(|complete| part.length() <= complete), "{head:?}");
    assert_eq!(head.get_all(CONTENT_RANGE).iter().count(), 1, "{head:?}");
    if let Some(length) = head.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()) {
        // A number too large for us is the largest we know.
        let length = length.parse().unwrap_or(u64::MAX);
        assert_eq!(part.length(), length, "{head:?}");
    }
    assert_eq!(ContentRange::of(&map_values(&head, <[u8]>::to_ascii_uppercase)), Some(range), "case counts: {head:?}");
    if let Some(complete) = complete {
        let mut written = HeaderMap::new();
        set_part(&mut written, part, complete);
        assert_eq!(ContentRange::of(&written), Some(range), "{written:?} of {head:?}");
    }
});
