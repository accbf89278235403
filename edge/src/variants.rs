//! Objects under one key, the newest first: which of them answers, and which go as another comes.
//!
//! Of a variant there is one. But an error of the origin's comes before what it came in place of, not over it:
//! while it is fresh it answers, then what was there before, which may stand in for an origin that fails and can
//! be validated.

use std::sync::Arc;

use caching::{Moment, Reuse, choose, reuse};
use http::HeaderMap;

use crate::object::Object;

/// The object that answers a request, if there is one.
pub(crate) fn chosen<'a>(
    variants: &'a [Arc<Object>],
    request: &HeaderMap,
    seed: u64,
    now: impl FnOnce() -> Moment,
) -> Option<&'a Arc<Object>> {
    // Rarely is there an error: only then it takes a look at all others.
    let now = variants.iter().any(is_failure).then(now);
    let standing = || variants.iter().filter(move |object| now.is_none_or(|now| stands(variants, object, now)));
    let at = choose(standing().map(|object| (&object.head.selector, object.head.date)), request, seed)?;
    standing().nth(at)
}

/// Whether an object goes as another one comes.
pub(crate) fn goes(old: &Arc<Object>, new: &Arc<Object>) -> bool {
    is_same_variant(old, new) && (is_failure(old) || !is_failure(new))
}

/// Whether an object is an error that its origin answered with.
pub(crate) fn is_failure(object: &Arc<Object>) -> bool {
    object.head.status.is_server_error()
}

/// Whether an object is such an error, past its time.
pub(crate) fn is_past_failure(object: &Arc<Object>, now: Moment) -> bool {
    is_failure(object) && reuse(&object.head.terms, now) != Reuse::Fresh
}

/// Whether nothing else of its variant answers in an object's place.
fn stands(variants: &[Arc<Object>], object: &Arc<Object>, now: Moment) -> bool {
    let mut others = variants.iter().filter(|other| is_same_variant(other, object));
    if is_past_failure(object, now) {
        return others.all(is_failure);
    }
    is_failure(object) || !others.any(|other| is_failure(other) && !is_past_failure(other, now))
}

fn is_same_variant(one: &Arc<Object>, other: &Arc<Object>) -> bool {
    one.head.selector.variant == other.head.selector.variant
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use caching::{Keep, Selector, Since, Terms, Validation};
    use http::header::ACCEPT;
    use http::{HeaderValue, StatusCode, Version};

    use super::*;
    use crate::head::Head;
    use crate::object::Body;
    use crate::slices::Slices;

    /// An object for requests that accept this, fresh for so many seconds from the start on.
    fn object(status: u16, accept: &'static str, lifetime: u64) -> Arc<Object> {
        let terms = Terms {
            lifetime: Duration::from_secs(lifetime),
            initial_age: Duration::ZERO,
            received_at: Moment::from_seconds(0),
            validation: Validation::WhenStale,
            grace: Duration::ZERO,
            on_unreachable: Duration::ZERO,
            on_error: Duration::ZERO,
        };
        let selector = Selector::new(vec![ACCEPT], &accepting(accept), &HeaderMap::new(), 1);
        let (headers, for_asker) = Default::default();
        let keep = Keep { headers, terms, nominated: vec![ACCEPT], tags: Vec::new(), for_asker };
        let status = StatusCode::from_u16(status).unwrap();
        let head = Head::new((status, Version::HTTP_11), keep, selector, Since::fetch(0));
        Arc::new(Object::new(head, Body::Whole(Arc::new(Slices::gather(&[])))))
    }

    fn accepting(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))])
    }

    #[test]
    fn an_error_answers_for_its_time_and_then_what_it_came_in_place_of() {
        let variants = [object(500, "a", 5), object(200, "a", 1), object(503, "b", 5), object(200, "c", 1)];
        let status_at = |accept, seconds| {
            let found = chosen(&variants, &accepting(accept), 1, || Moment::from_seconds(seconds));
            found.map(|object| object.head.status.as_u16())
        };
        for (accept, seconds, expected) in [
            ("a", 4, Some(500)),
            ("a", 5, Some(200)),
            ("b", 4, Some(503)),
            ("b", 5, Some(503)),
            ("c", 4, Some(200)),
            ("d", 4, None),
        ] {
            assert_eq!(status_at(accept, seconds), expected, "{accept} at {seconds}");
        }
    }

    #[test]
    fn only_another_error_goes_as_an_error_comes() {
        for (old, new, expected) in
            [(200, 500, false), (404, 503, false), (500, 503, true), (500, 200, true), (200, 404, true)]
        {
            assert_eq!(goes(&object(old, "a", 1), &object(new, "a", 1)), expected, "{old}, then {new}");
            assert!(!goes(&object(old, "a", 1), &object(new, "b", 1)), "{old}, then {new} of another variant");
        }
    }
}
