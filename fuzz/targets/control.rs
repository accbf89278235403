//! Cache-Control means the same however it is written (RFC 9111 §5.2).

#![no_main]

use std::time::Duration;

use caching::{Directives, Reach};
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use input::{Input, has_quotes, join_lines, map_values};
use libfuzzer_sys::fuzz_target;

/// RFC 9111 §1.2.2.
const MOST: Duration = Duration::from_secs(1 << 31);

fuzz_target!(|bytes: &[u8]| {
    let head = Input::new(bytes).head(&[CACHE_CONTROL]);
    let said = Directives::of(&head);

    let times = [said.max_age, said.s_maxage, said.stale_while_revalidate, said.stale_if_error];
    assert!(times.into_iter().flatten().all(|time| time <= MOST), "no time is beyond 2^31 seconds: {head:?}");
    for reach in [&said.no_cache, &said.private] {
        assert_ne!(*reach, Reach::Fields(Vec::new()), "a list of no field is about the whole: {head:?}");
    }

    assert_eq!(Directives::of(&map_values(&head, <[u8]>::to_ascii_uppercase)), said, "case counts: {head:?}");
    assert_eq!(Directives::of(&with(&head, ", ,x-unknown=1,,")), said, "an unknown directive counts: {head:?}");
    if !has_quotes(&head) {
        assert_eq!(Directives::of(&join_lines(&head)), said, "lines count: {head:?}");
    }

    let forbidden = Directives { no_store: true, ..said.clone() };
    assert_eq!(Directives::of(&with(&head, "no-store")), forbidden, "no-store is hidden: {head:?}");
    let later = Directives { max_age: said.max_age.or(Some(Duration::from_secs(1))), ..said };
    assert_eq!(Directives::of(&with(&head, "max-age=1")), later, "the first max-age does not count: {head:?}");
});

/// The head and one more line.
fn with(head: &HeaderMap, line: &'static str) -> HeaderMap {
    let mut head = head.clone();
    head.append(CACHE_CONTROL, HeaderValue::from_static(line));
    head
}
