//! The two shares by which a cache is judged: whoever tells one, of now, since a start or of a day, has it from here.

/// The hit ratio: of the requests answered, the share that was answered from the store, fresh or stale. None without
/// requests. What an edge answers by itself, such as a redirect, is a request and no hit.
#[must_use]
pub fn hit_ratio(requests: u64, hits: u64) -> Option<f64> {
    // Whoever reads counters while they grow, or is told them by others, may find more hits than requests.
    share(hits.min(requests), requests)
}

/// The byte offload: of the bytes of bodies that clients were sent, the share that origins did not have to send. None where
/// nothing was sent, less than 0 where more came from origins than clients took.
#[must_use]
pub fn byte_offload(bytes_out: u64, bytes_in: u64) -> Option<f64> {
    share(bytes_in, bytes_out).map(|fetched| 1.0 - fetched)
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_a_share_of_all_requests() {
        for (requests, hits, expected) in [
            (0, 0, None),
            (0, 1, None),
            (10, 0, Some(0.0)),
            (10, 8, Some(0.8)),
            (10, 10, Some(1.0)),
            (10, 11, Some(1.0)),
            (u64::MAX, u64::MAX, Some(1.0)),
        ] {
            assert_eq!(hit_ratio(requests, hits), expected, "{hits} of {requests}");
        }
    }

    #[test]
    fn bytes_that_origins_did_not_send_are_a_share_of_those_sent() {
        for (bytes_out, bytes_in, expected) in [
            (0, 0, None),
            (0, 5, None),
            (4_000, 0, Some(1.0)),
            (4_000, 1_000, Some(0.75)),
            (4_000, 4_000, Some(0.0)),
            (10, 30, Some(-2.0)),
        ] {
            assert_eq!(byte_offload(bytes_out, bytes_in), expected, "{bytes_in} in, {bytes_out} out");
        }
    }
}
