//! Targeted cache control: CDN-Cache-Control and our own field (RFC 9213).

use std::time::Duration;

use http::HeaderName;
use http::header::HeaderMap;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::control::{Directives, MOST_SECONDS, Reach};

/// Whose word a response's directives are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// A targeted field's: Cache-Control, Expires and heuristics do not count.
    Targeted,
    /// Cache-Control's, beside which Expires and heuristics count too.
    General,
}

/// For every CDN (RFC 9213 §3.1).
pub const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// For this CDN alone: it goes before `CDN-Cache-Control` and never leaves the fleet.
pub const HITHER_CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("hither-cdn-cache-control");

/// The directives a response is to be stored and reused by.
///
/// RFC 9213 §2.2: a cache "MUST select the first … field with a valid, non-empty value and use its
/// value to determine the caching policy for the response", and "MUST ignore the Cache-Control and
/// Expires header fields in that response".
#[must_use]
pub fn directives(response: &HeaderMap) -> (Directives, Voice) {
    for target in [&HITHER_CDN_CACHE_CONTROL, &CDN_CACHE_CONTROL] {
        if let Some(directives) = read(response, target) {
            return (directives, Voice::Targeted);
        }
    }
    (Directives::of(response), Voice::General)
}

/// Whether any field says that the content may not be changed on its way, whosever word the rest is: RFC 9110 §7.7 is not
/// about caches alone.
#[must_use]
pub fn forbids_transform(response: &HeaderMap) -> bool {
    Directives::of(response).no_transform || directives(response).0.no_transform
}

/// RFC 9213 §2.1: "If a targeted field in a given response is empty, or a parsing error is
/// encountered, that field MUST be ignored by the cache (i.e., it behaves as if the field were not
/// present …)."
fn read(headers: &HeaderMap, target: &HeaderName) -> Option<Directives> {
    // RFC 9651 §4.2: all lines are one value, joined by commas.
    if !headers.contains_key(target) {
        return None;
    }
    let lines: Vec<&[u8]> = headers.get_all(target).into_iter().map(http::HeaderValue::as_bytes).collect();
    let dictionary: Dictionary = Parser::new(&lines.join(b", ".as_slice())).parse().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let flag = |name: &str| reach(&dictionary, name) != Reach::Nothing;
    Some(Directives {
        no_store: flag("no-store"),
        no_cache: reach(&dictionary, "no-cache"),
        private: reach(&dictionary, "private"),
        public: flag("public"),
        must_understand: flag("must-understand"),
        must_revalidate: flag("must-revalidate"),
        proxy_revalidate: flag("proxy-revalidate"),
        no_transform: flag("no-transform"),
        only_if_cached: false,
        max_age: seconds(&dictionary, "max-age"),
        s_maxage: seconds(&dictionary, "s-maxage"),
        stale_while_revalidate: seconds(&dictionary, "stale-while-revalidate"),
        stale_if_error: seconds(&dictionary, "stale-if-error"),
    })
}

fn item<'a>(dictionary: &'a Dictionary, name: &str) -> Option<&'a BareItem> {
    match dictionary.get(name)? {
        ListEntry::Item(item) => Some(&item.bare_item),
        ListEntry::InnerList(_) => None,
    }
}

/// RFC 9213 §2.1: delta-seconds are an Integer, and "Implementations SHOULD NOT consume values that
/// violate these inferred constraints". Negative ones are zero, as in Cache-Control.
fn seconds(dictionary: &Dictionary, name: &str) -> Option<Duration> {
    let BareItem::Integer(seconds) = item(dictionary, name)? else {
        return None;
    };
    let seconds = u64::try_from(i64::from(*seconds)).unwrap_or(0);
    Some(Duration::from_secs(seconds.min(MOST_SECONDS)))
}

/// RFC 9213 §2.1: a directive without argument is Boolean true. What is neither that nor a list of
/// field names counts as the whole too, against the same section: it was meant to restrict.
fn reach(dictionary: &Dictionary, name: &str) -> Reach {
    match (dictionary.get(name), item(dictionary, name)) {
        (None, _) | (_, Some(BareItem::Boolean(false))) => Reach::Nothing,
        (_, Some(BareItem::String(list))) => Reach::of_list(list.as_str().as_bytes()),
        (_, Some(BareItem::Token(name))) => Reach::of_list(name.as_str().as_bytes()),
        _ => Reach::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::CACHE_CONTROL;

    fn response(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn a_valid_targeted_field_silences_cache_control() {
        let table: [(&[&str], Option<u64>); 14] = [
            (&["max-age=10"], Some(10)),
            (&["max-age=10;a=b, foo"], Some(10)),
            (&["foo", "max-age=10"], Some(10)),
            (&["max-age=1, max-age=10"], Some(10)),
            (&["max-age=-5"], Some(0)),
            (&["max-age=999999999999999"], Some(MOST_SECONDS)),
            (&["max-age=\"10\""], None),
            (&["max-age=10.5"], None),
            (&["max-age"], None),
            (&["max-age=9999999999999999"], Some(99)),
            (&["MAX-AGE=10"], Some(99)),
            (&["max-age=10, &"], Some(99)),
            (&["max-age=10,"], Some(99)),
            (&[""], Some(99)),
        ];
        for (lines, expected) in table {
            let mut headers = response(&[("cache-control", "max-age=99")]);
            for line in lines {
                headers.append(CDN_CACHE_CONTROL, HeaderValue::from_static(line));
            }
            assert_eq!(directives(&headers).0.max_age, expected.map(Duration::from_secs), "{lines:?}");
        }
    }

    #[test]
    fn our_own_field_goes_before_the_common_one() {
        let headers = response(&[
            ("cdn-cache-control", "max-age=1"),
            ("hither-cdn-cache-control", "max-age=2, private, no-store=?0, no-cache=\"a\""),
            ("cache-control", "no-store"),
        ]);
        let (found, voice) = directives(&headers);
        assert_eq!((found.max_age, voice), (Some(Duration::from_secs(2)), Voice::Targeted));
        assert_eq!((found.private, found.no_store), (Reach::Whole, false));
        assert_eq!(found.no_cache, Reach::Fields(vec![HeaderName::from_static("a")]));
        assert_eq!(directives(&response(&[(CACHE_CONTROL.as_str(), "no-store")])).1, Voice::General);
    }
}
