//! Where a part's clients are: with what it was answered of late.

use std::time::Duration;

use crate::topology::PopIndex;

/// Share of the traffic whose clients ask again when the TTL ends; the others keep an address for long:
/// open connections, applications that resolve once.
const FOLLOWING: f64 = 0.85;

/// For how long those keep it, on average.
const STICKING: Duration = Duration::from_secs(180);

/// The PoP of a part, and those before it while any of its clients are still there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trail {
    pop: PopIndex,
    /// The earlier ones, oldest first, and until when they were answered.
    earlier: Vec<(PopIndex, Duration)>,
}

impl Trail {
    pub(super) fn new(pop: PopIndex) -> Self {
        Self { pop, earlier: Vec::new() }
    }

    /// The PoP that is answered.
    pub(super) fn pop(&self) -> PopIndex {
        self.pop
    }

    /// Whether another PoP was answered of late.
    pub(super) fn is_settled(&self) -> bool {
        self.earlier.is_empty()
    }

    /// Answers another PoP from now on.
    pub(super) fn turn(&mut self, pop: PopIndex, now: Duration) {
        self.earlier.push((self.pop, now));
        self.pop = pop;
    }

    /// Forgets PoPs where fewer than a part in 130 can still be; and what a clock set back left ahead.
    pub(super) fn forget(&mut self, now: Duration) {
        self.earlier.retain(|(_, until)| *until <= now && now - *until < 3 * STICKING);
    }

    /// Names each PoP with the share of the clients there now.
    pub(super) fn shares(&self, ttl: Duration, now: Duration, mut name: impl FnMut(PopIndex, f64)) {
        let mut before = 0.0;
        for (pop, until) in &self.earlier {
            let older = older(ttl, now.saturating_sub(*until));
            name(*pop, older - before);
            before = older;
        }
        name(self.pop, 1.0 - before);
    }
}

/// Share of the clients whose answer is older than this: those who follow asked at some moment of the last
/// TTL, those who stick at any, the earlier the less likely.
fn older(ttl: Duration, age: Duration) -> f64 {
    let (ttl, age) = (ttl.as_secs_f64().max(1.0), age.as_secs_f64());
    FOLLOWING * (1.0 - age / ttl).max(0.0) + (1.0 - FOLLOWING) * (-age / STICKING.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_over_a_ttl_and_some_linger() {
        let [a, b, c] = [0, 1, 2].map(PopIndex::from_usize);
        let second = Duration::from_secs;
        let mut trail = Trail::new(a);
        trail.turn(b, second(100));
        trail.turn(c, second(110));
        for (now, expected) in [
            (110, [0.567, 0.433, 0.0]),
            (120, [0.134, 0.433, 0.433]),
            (130, [0.127, 0.007, 0.866]),
            (290, [0.052, 0.003, 0.945]),
        ] {
            let mut shares = [0.0; 3];
            trail.shares(second(20), second(now), |pop, share| shares[pop.as_usize()] += share);
            for (share, expected) in shares.iter().zip(expected) {
                assert!((share - expected).abs() < 0.001, "{now}: {shares:?}");
            }
        }
        trail.forget(second(700));
        assert!(trail.is_settled() && trail.pop() == c);
    }

    #[test]
    fn a_clock_set_back_is_forgotten() {
        let [a, b] = [0, 1].map(PopIndex::from_usize);
        let mut trail = Trail::new(a);
        trail.turn(b, Duration::from_secs(100));
        trail.forget(Duration::from_secs(50));
        assert!(trail.is_settled());
    }
}
