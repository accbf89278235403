//! Accept-Encoding, cut down before the variant is worked out (RFC 9110 §12.5.3).

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};

use crate::quality::{Weighted, weighted};

/// Rewrites the request's Accept-Encoding to those of the `known` codings that it accepts, in their
/// order; `identity` if it accepts none of them. The rewritten field is what must be forwarded.
///
/// So the many ways browsers write the same wish become a few variants. A request without the field,
/// with a malformed one, or one that refuses `identity`, stays as it is.
pub fn normalise_encoding(request: &mut HeaderMap, known: &[&str]) {
    if !request.contains_key(ACCEPT_ENCODING) {
        return;
    }
    let Some(weights) = weights(request, known) else { return };
    let wanted = known.iter().zip(weights).filter(|(_, weight)| *weight > 0).map(|(name, _)| *name);
    let wanted: Vec<&str> = wanted.collect();
    let plain = if wanted.is_empty() { "identity".to_owned() } else { wanted.join(", ") };
    if let Ok(value) = HeaderValue::try_from(plain) {
        request.insert(ACCEPT_ENCODING, value);
    }
}

/// How much a request likes each of these codings, in thousandths; none where it is malformed or refuses `identity`.
pub(crate) fn weights(request: &HeaderMap, known: &[&str]) -> Option<Vec<u16>> {
    let mut accepted = Vec::new();
    for line in request.get_all(ACCEPT_ENCODING) {
        accepted.extend(weighted(line.as_bytes())?);
    }
    let is_refused = weight_of(&accepted, "identity") == Some(0);
    (!is_refused).then(|| known.iter().map(|coding| weight_of(&accepted, coding).unwrap_or(0)).collect())
}

/// The weight of a coding: its own, else that of `*` (RFC 9110 §12.5.3).
fn weight_of(accepted: &[Weighted], coding: &str) -> Option<u16> {
    let find = |name: &str| accepted.iter().find(|accepted| accepted.name == name.as_bytes());
    find(coding).or_else(|| find("*")).map(|accepted| accepted.weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wishes_become_few() {
        let table = [
            ("gzip, deflate, br, zstd", "br, gzip"),
            ("GZIP;q=0.5,br", "br, gzip"),
            ("gzip", "gzip"),
            ("gzip;q=0, br", "br"),
            ("*", "br, gzip"),
            ("*;q=0.1, br;q=0", "gzip"),
            ("deflate", "identity"),
            ("", "identity"),
            ("identity;q=0, gzip", "identity;q=0, gzip"),
            ("gzip, *;q=0", "gzip, *;q=0"),
            ("gzip;level=9", "gzip;level=9"),
        ];
        for (line, expected) in table {
            let mut request = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(line))]);
            normalise_encoding(&mut request, &["br", "gzip"]);
            assert_eq!(request[ACCEPT_ENCODING], expected, "{line}");
        }
        let mut request = HeaderMap::new();
        normalise_encoding(&mut request, &["br"]);
        assert!(request.is_empty());
    }
}
