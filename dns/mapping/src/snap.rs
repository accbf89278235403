//! Cutting runs at block borders: nothing is mapped finer than the longest scope, but the
//! operator's own longer rules.

use crate::address::Family;
use crate::runs::{Run, push};

/// Gives every block that several runs share to one of them: in IPv4 to the one with the most
/// addresses. In IPv6 most of a block is unused, and what is named inside it says more of where its
/// hosts are than what reaches beyond it.
pub(crate) fn snap(family: Family, runs: &[Run<u32>]) -> Vec<Run<u32>> {
    let block = family.block();
    let mut out = Vec::with_capacity(runs.len());
    let mut at = 0;
    let mut position = 0_u64;
    while let Some(run) = runs.get(at) {
        let last = last_of(family, runs, at);
        if position <= last {
            let cut = last.wrapping_add(1) & (block - 1);
            let whole_until = if cut == 0 { last } else { (last - (cut - 1)).wrapping_sub(1) };
            let has_whole = cut == 0 || last + 1 - cut > position;
            if has_whole && whole_until >= position {
                push(&mut out, position, run.value);
            }
            if cut != 0 {
                let first = last + 1 - cut;
                if first >= position {
                    push(&mut out, first, majority(family, runs, at, first));
                    position = first.saturating_add(block);
                }
            } else {
                position = last.saturating_add(1);
            }
        }
        at += 1;
    }
    out
}

fn last_of(family: Family, runs: &[Run<u32>], at: usize) -> u64 {
    runs.get(at + 1).map_or(family.last(), |next| next.start - 1)
}

/// The value that a block gets; the first of equals.
fn majority(family: Family, runs: &[Run<u32>], at: usize, first: u64) -> u32 {
    let last = first + (family.block() - 1);
    let (mut all, mut inside): (Counts, Counts) = (Vec::new(), Vec::new());
    let mut at = at;
    while let Some(run) = runs.get(at).filter(|run| run.start <= last) {
        let run_last = last_of(family, runs, at);
        let keys = run_last.min(last) - run.start.max(first) + 1;
        count(&mut all, run.value, keys);
        if run.start >= first && run_last <= last {
            count(&mut inside, run.value, keys);
        }
        at += 1;
    }
    let counts = if family == Family::V6 && !inside.is_empty() { inside } else { all };
    let best = counts.iter().map(|count| count.1).max().unwrap_or(0);
    counts.iter().find(|count| count.1 == best).map_or(0, |count| count.0)
}

/// Keys by value, in the order in which values come.
type Counts = Vec<(u32, u64)>;

fn count(counts: &mut Counts, value: u32, keys: u64) {
    match counts.iter_mut().find(|count| count.0 == value) {
        Some(count) => count.1 += keys,
        None => counts.push((value, keys)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_block_goes_to_the_majority() {
        let runs = |list: &[(u64, u32)]| {
            list.iter().map(|(start, value)| Run { start: *start, value: *value }).collect::<Vec<_>>()
        };
        for (input, expected) in [
            (vec![(0, 1), (512, 2)], vec![(0, 1), (512, 2)]),
            (vec![(0, 1), (600, 2)], vec![(0, 1), (512, 2)]),
            (vec![(0, 1), (700, 2)], vec![(0, 1), (768, 2)]),
            (vec![(0, 1), (520, 2), (530, 3)], vec![(0, 1), (512, 3)]),
            (vec![(0, 1), (512, 2), (600, 3), (620, 2), (768, 1)], vec![(0, 1), (512, 2), (768, 1)]),
            (vec![(0, 7), (10, 8), (20, 9)], vec![(0, 9)]),
        ] {
            assert_eq!(snap(Family::V4, &runs(&input)), runs(&expected), "{input:?}");
        }
        // One /64 named inside a /56 of a wider network.
        let named = runs(&[(0, 1), (0x305, 2), (0x306, 1)]);
        assert_eq!(snap(Family::V6, &named), runs(&[(0, 1), (0x300, 2), (0x400, 1)]));
    }
}
