//! When to move a group to another PoP, and where to try one.

use xxhash_rust::xxh3::xxh3_64;

use crate::latency::estimate::Estimate;
use crate::load::Tried;
use crate::topology::PopIndex;
use crate::unit::List;

/// A move needs a difference of so many standard deviations.
const SURE: f64 = 0.5;
/// A move for less gains nothing that a client notices, milliseconds.
const LEAST_GAIN_MS: f64 = 2.0;
/// Never move a group on a prior alone: with 8 samples wrong moves fall from 6.0 to 2.5 in 100 groups.
const LEAST_SAMPLES: u32 = 8;
/// Trials that promise less are not worth a client, milliseconds.
const LEAST_PROMISE_MS: f64 = 0.1;
/// The largest share of a group that tries another PoP, of 10,000.
const MOST_OF_A_GROUP: u32 = 2_000;
/// The share of all answers that may be trials, of 10,000.
pub(super) const BUDGET: u32 = 100;

/// A PoP that may serve a group, with what is believed of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The PoP.
    pub pop: PopIndex,
    /// The round trip to it.
    pub estimate: Estimate,
}

/// Some answers of a group name another PoP, to measure it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// The PoP to try.
    pub pop: PopIndex,
    /// Of 10,000 answers, how many.
    pub share: u32,
    /// The gain expected of knowing more, milliseconds: expected improvement (Jones et al. 1998).
    pub promise_ms: f64,
}

/// A group that may try another PoP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'c> {
    /// Its number.
    pub(super) group: usize,
    /// Its share of the traffic; all together 1.
    pub(super) traffic: f64,
    /// Its present PoP.
    pub(super) current: Candidate,
    pub(super) candidates: &'c [Candidate],
}

/// The PoP a group had better go to than the present one, if there is one beyond doubt.
#[must_use]
pub(super) fn decide(current: &Candidate, candidates: &[Candidate]) -> Option<PopIndex> {
    let better = |other: &&Candidate| {
        let (now, then) = (current.estimate, other.estimate);
        let doubt = now.spread.hypot(then.spread);
        other.pop != current.pop
            && then.samples >= LEAST_SAMPLES
            && now.mean - then.mean > SURE * doubt
            && now.milliseconds() - then.milliseconds() > LEAST_GAIN_MS
    };
    let best = candidates.iter().filter(better).min_by(|a, b| a.estimate.mean.total_cmp(&b.estimate.mean));
    best.map(|candidate| candidate.pop)
}

/// Which groups try which PoPs: the most promising first, weighed by traffic, until the budget is used.
#[must_use]
pub(super) fn trials<'c>(groups: impl IntoIterator<Item = Asked<'c>>) -> Vec<(usize, Trial)> {
    let mut wanted: Vec<(f64, usize, Trial)> = Vec::new();
    for Asked { group, traffic, current, candidates } in groups {
        let promises = candidates.iter().filter(|candidate| candidate.pop != current.pop).map(|candidate| {
            let promise_ms = expected_improvement(current.estimate, candidate.estimate);
            Trial { pop: candidate.pop, share: 0, promise_ms }
        });
        let best = promises.max_by(|a, b| a.promise_ms.total_cmp(&b.promise_ms));
        wanted.extend(best.filter(|trial| trial.promise_ms >= LEAST_PROMISE_MS).map(|trial| (traffic, group, trial)));
    }
    wanted.sort_by(|a, b| (b.0 * b.2.promise_ms).total_cmp(&(a.0 * a.2.promise_ms)).then(a.1.cmp(&b.1)));
    let mut left = f64::from(BUDGET);
    let mut chosen = Vec::new();
    for (traffic, group, trial) in wanted {
        let most = (left / traffic.max(f64::MIN_POSITIVE)).min(f64::from(MOST_OF_A_GROUP));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2,000")]
        let share = most.max(0.0) as u32;
        if share == 0 {
            break;
        }
        left -= f64::from(share) * traffic;
        chosen.push((group, Trial { share, ..trial }));
    }
    chosen
}

impl Trial {
    /// Which blocks of a list try the PoP in a slot of time.
    #[must_use]
    pub fn tried(&self, list: &List, slot: u64) -> Tried {
        // By its PoPs, not its number: numbers change whenever the map is compiled.
        let pops = list.ranked.iter().flat_map(|ranked| ranked.pop.as_usize().to_le_bytes());
        let bytes: Vec<u8> = pops.chain(slot.to_le_bytes()).collect();
        Tried { pop: self.pop, share: self.share, turn: xxh3_64(&bytes) }
    }
}

/// What knowing more of another PoP is expected to gain, milliseconds.
fn expected_improvement(current: Estimate, other: Estimate) -> f64 {
    if other.spread <= 0.0 {
        return 0.0;
    }
    let z = (current.mean - other.mean) / other.spread;
    current.milliseconds() * other.spread * (z * normal_below(z) + normal_density(z))
}

/// The normal distribution's density.
fn normal_density(z: f64) -> f64 {
    (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// The share of a normal distribution that lies below.
fn normal_below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::estimate::estimate;

    fn candidate(pop: usize, prior_ms: f64, measured: Option<(f64, u32, u32)>) -> Candidate {
        Candidate { pop: PopIndex::from_usize(pop), estimate: estimate(prior_ms, measured) }
    }

    #[test]
    fn a_group_moves_for_what_was_measured_and_for_enough() {
        let now = candidate(0, 40.0, Some((60.0, 100, 20)));
        let rows = [
            ("quicker and sure", candidate(1, 45.0, Some((40.0, 100, 20))), true),
            ("a prior alone", candidate(1, 10.0, None), false),
            ("seven samples", candidate(1, 45.0, Some((20.0, 7, 7))), false),
            ("eight samples", candidate(1, 45.0, Some((20.0, 8, 8))), true),
            ("within two milliseconds", candidate(1, 59.0, Some((59.0, 1_000, 20))), false),
            ("itself", candidate(0, 10.0, Some((10.0, 100, 20))), false),
        ];
        for (name, other, moves) in rows {
            assert_eq!(decide(&now, &[other]).is_some(), moves, "{name}");
        }
        let quickest = candidate(2, 30.0, Some((30.0, 100, 20)));
        let quick = candidate(1, 40.0, Some((40.0, 100, 20)));
        assert_eq!(decide(&now, &[quick, quickest]), Some(quickest.pop));
    }

    #[test]
    fn trials_keep_to_the_budget_and_go_where_they_promise_most() {
        let sure = candidate(0, 20.0, Some((20.0, 1_000, 20)));
        let far = candidate(1, 200.0, None);
        let near = candidate(1, 19.0, None);
        fn asked(group: usize, traffic: f64, candidates: &[Candidate]) -> Asked<'_> {
            Asked { group, traffic, current: candidate(0, 20.0, Some((20.0, 1_000, 20))), candidates }
        }
        let chosen = trials([asked(7, 0.5, &[sure, far]), asked(8, 0.3, &[sure, near]), asked(9, 0.2, &[sure])]);
        assert_eq!(chosen.iter().map(|(group, _)| *group).collect::<Vec<_>>(), [8]);
        assert!(f64::from(chosen[0].1.share) * 0.3 <= f64::from(BUDGET));
        let near = [near];
        let small = [1, 2, 3].map(|group| asked(group, 0.001, &near));
        assert!(trials(small).iter().all(|(_, trial)| trial.share == MOST_OF_A_GROUP), "at most a fifth of a group");
    }
}
