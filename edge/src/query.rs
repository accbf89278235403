//! The query of a request as its key has it.

use std::borrow::Cow;

use caching::decode_unreserved;
use config::Query;

/// Leaves of a path and query the parameters that count, in their order or in that of their names. A name is compared with
/// its unreserved characters decoded (RFC 3986 §6.2.2.2); what is kept stays as it came.
pub(crate) fn normalise<'t>(target: &'t str, rule: &Query) -> Cow<'t, str> {
    let Some((path, query)) = target.split_once('?') else { return Cow::Borrowed(target) };
    let name = |part: &'t str| decode_unreserved(part.split('=').next().unwrap_or_default());
    let counts = |part: &&str| {
        let matches = |patterns: &[config::Pattern]| {
            let name = decode_unreserved(part.split('=').next().unwrap_or_default());
            patterns.iter().any(|pattern| pattern.matches(name.as_bytes()))
        };
        !part.is_empty() && rule.keep.as_ref().is_none_or(|kept| matches(kept)) && !matches(&rule.ignore)
    };
    let mut parts: Vec<&str> = query.split('&').filter(counts).collect();
    if rule.sort {
        parts.sort_by_cached_key(|part| name(part));
    }
    if parts.is_empty() {
        return Cow::Borrowed(path);
    }
    let joined = parts.join("&");
    if joined == query { Cow::Borrowed(target) } else { Cow::Owned(format!("{path}?{joined}")) }
}

#[cfg(test)]
mod tests {
    use config::Pattern;

    use super::*;

    #[test]
    fn what_does_not_count_is_left_out() {
        let patterns = |names: &[&str]| names.iter().map(|name| Pattern::parse(name).unwrap()).collect::<Vec<_>>();
        let ignore = |names: &[&str], sort| Query { ignore: patterns(names), sort, ..Query::default() };
        let keep = |names: &[&str], sort| Query { keep: Some(patterns(names)), sort, ..Query::default() };
        for (target, rule, expected) in [
            ("/a", ignore(&["utm_*"], true), "/a"),
            ("/a?", ignore(&["utm_*"], false), "/a"),
            ("/a?utm_source=x&b=2&a=1", ignore(&["utm_*"], false), "/a?b=2&a=1"),
            ("/a?utm_source=x", ignore(&["utm_*"], false), "/a"),
            ("/a?%75tm_source=x&b=2", ignore(&["utm_*"], false), "/a?b=2"),
            ("/a?b=2&&a=1&b=1", ignore(&[], true), "/a?a=1&b=2&b=1"),
            ("/a?b=2&a=1&c", keep(&["a", "c"], false), "/a?a=1&c"),
            ("/a?b=%2F&c=?x", keep(&["*"], true), "/a?b=%2F&c=?x"),
            ("/a?b=2", keep(&[], false), "/a"),
        ] {
            assert_eq!(normalise(target, &rule), expected, "{target} {rule:?}");
        }
    }
}
