//! References to resources of the same origin: Location and Content-Location (RFC 3986 §5).

use http::header::{HeaderMap, HeaderName};

use crate::field;
use crate::key::{CacheKey, Scheme};

/// The key a response's field points to, if it is of the same origin as the request's target (RFC
/// 9110 §4.3.1: same scheme, host and port).
pub(crate) fn pointed(response: &HeaderMap, name: &HeaderName, target: &CacheKey) -> Option<CacheKey> {
    let reference = std::str::from_utf8(field::single(response, name)?).ok()?;
    resolve(target, reference)
}

/// Resolves a reference against a target (RFC 3986 §5.2), without its fragment.
fn resolve(target: &CacheKey, reference: &str) -> Option<CacheKey> {
    let reference = reference.split('#').next().unwrap_or_default();
    let (scheme, rest) = match scheme_of(reference) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
        Some(_) => return None,
        None => (target.scheme(), reference),
    };
    let (host, path_and_query) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
        // A scheme without an authority is no http URI.
        None if rest.len() != reference.len() => return None,
        None => (target.host(), reference),
    };
    let (path, query) = cut_query(path_and_query);
    let (base_path, base_query) = cut_query(target.path_and_query());
    let is_relative = host == target.host() && rest.len() == reference.len() && !rest.starts_with("//");
    let (path, query) = match (path, is_relative) {
        ("", true) if query.is_empty() => (base_path.to_owned(), base_query),
        ("", true) => (base_path.to_owned(), query),
        (path, true) if !path.starts_with('/') => {
            let folder = base_path.rsplit_once('/').map_or("", |(folder, _)| folder);
            (remove_dots(&format!("{folder}/{path}")), query)
        }
        (path, _) => (remove_dots(path), query),
    };
    let key = CacheKey::new(target.site(), scheme, host, &format!("{path}{query}"));
    (key.scheme() == target.scheme() && key.host() == target.host()).then_some(key)
}

/// The scheme of a reference that has one, and what follows its colon.
fn scheme_of(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    (!scheme.contains(['/', '?'])).then_some((scheme, rest))
}

/// Path and query, the latter with its question mark.
fn cut_query(path_and_query: &str) -> (&str, &str) {
    path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()))
}

/// RFC 3986 §5.2.4.
fn remove_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                // The first, empty segment stands for the leading slash.
                if segment == ".." && kept.len() > 1 {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve_as_the_rfcs_examples_do() {
        // RFC 3986 §5.4, then origins and odd ones. The target is http://a/b/c/d;p?q.
        let table = [
            ("g", Some("/b/c/g")),
            ("./g", Some("/b/c/g")),
            ("g/", Some("/b/c/g/")),
            ("/g", Some("/g")),
            ("?y", Some("/b/c/d;p?y")),
            ("g?y", Some("/b/c/g?y")),
            ("#s", Some("/b/c/d;p?q")),
            ("g#s", Some("/b/c/g")),
            (";x", Some("/b/c/;x")),
            ("", Some("/b/c/d;p?q")),
            (".", Some("/b/c/")),
            ("./", Some("/b/c/")),
            ("..", Some("/b/")),
            ("../g", Some("/b/g")),
            ("../..", Some("/")),
            ("../../g", Some("/g")),
            ("../../../g", Some("/g")),
            ("/./g", Some("/g")),
            ("/../g", Some("/g")),
            ("g.", Some("/b/c/g.")),
            ("./g/.", Some("/b/c/g/")),
            ("g/../h", Some("/b/c/h")),
            ("g?y/../x", Some("/b/c/g?y/../x")),
            ("http://a/x", Some("/x")),
            ("HTTP://A:80/x?y", Some("/x?y")),
            ("http://a", Some("/")),
            ("http://a?y", Some("/?y")),
            ("//a/x", Some("/x")),
            ("//a", Some("/")),
            ("http://b/x", None),
            ("//b/x", None),
            ("https://a/x", None),
            ("http://a:8080/x", None),
            ("http://u@a/x", None),
            ("http:g", None),
            ("mailto:x@a", None),
        ];
        let target = CacheKey::new("s", Scheme::Http, "a", "/b/c/d;p?q");
        for (reference, expected) in table {
            let found = resolve(&target, reference);
            assert_eq!(found.as_ref().map(CacheKey::path_and_query), expected, "{reference}");
        }
    }
}
