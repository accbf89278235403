//! In which order the servers are tried.

/// The servers' places in the order in which the `turn`-th fetch tries them. Those that have a weight take the first place
/// in turn, by their weights, and follow each other; then come those without, as written. Without any weights all do.
pub(crate) fn order(weights: &[u16], servers: usize, turn: u64) -> impl Iterator<Item = usize> {
    let weight = move |server: usize| u64::from(weights.get(server).copied().unwrap_or(0));
    let total: u64 = (0..servers).map(weight).sum();
    // Multiples of the golden ratio fill the circle evenly, however few they are (Knuth, TAOCP 3, §6.4).
    let spot = ((turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) * total) >> 32;
    let mut before = 0;
    let first = (0..servers).position(|server| {
        before += weight(server);
        spot < before
    });
    let first = first.unwrap_or(0);
    let shared = (first..servers).chain(0..first).filter(move |server| weight(*server) > 0);
    shared.chain((0..servers).filter(move |server| weight(*server) == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_share_what_comes_first_and_the_rest_follow() {
        let all = |weights: &[u16], servers, turn| order(weights, servers, turn).collect::<Vec<_>>();
        for turn in 0..100 {
            assert_eq!(all(&[], 3, turn), [0, 1, 2], "as written");
            let mixed = all(&[0, 1, 0, 1], 4, turn);
            assert!(mixed == [1, 3, 0, 2] || mixed == [3, 1, 0, 2], "{mixed:?}");
        }
        let mut firsts = [0; 3];
        for turn in 0..100 {
            firsts[all(&[6, 3, 1], 3, turn)[0]] += 1;
        }
        for (count, expected) in firsts.into_iter().zip([60_i32, 30, 10]) {
            assert!((count - expected).abs() <= 2, "{firsts:?}");
        }
        assert_eq!(all(&[1_000; 3], 3, u64::MAX).len(), 3);
    }
}
