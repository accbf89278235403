//! Sorted lists of runs: the shape in which everything enters the map.

use crate::address::Family;

/// A value from its start to the next run's start, or to the family's last key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<T> {
    /// First key.
    pub start: u64,
    /// What holds from there.
    pub value: T,
}

/// A value on a closed range of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<T> {
    /// First key.
    pub first: u64,
    /// Last key.
    pub last: u64,
    /// What holds there.
    pub value: T,
}

/// Appends a run; one with its neighbour's value only lengthens it.
pub(crate) fn push<T: PartialEq>(runs: &mut Vec<Run<T>>, start: u64, value: T) {
    match runs.last_mut() {
        Some(last) if last.value == value => {}
        Some(last) if last.start == start => last.value = value,
        _ => runs.push(Run { start, value }),
    }
}

/// Lays spans over runs. Spans are sorted by first key; where two overlap, the earlier wins there.
#[must_use]
pub fn overlay<T: Copy + PartialEq>(family: Family, base: &[Run<T>], over: &[Span<T>]) -> Vec<Run<T>> {
    let mut out = Vec::with_capacity(base.len() + over.len());
    let mut at = 0;
    // The base value at a key; keys are asked in rising order.
    let mut base_at = |key: u64, out: &mut Vec<Run<T>>, until: u64| {
        while at + 1 < base.len() && base.get(at + 1).is_some_and(|run| run.start <= key) {
            at += 1;
        }
        let mut start = key;
        while let Some(run) = base.get(at) {
            push(out, start, run.value);
            match base.get(at + 1) {
                Some(next) if next.start <= until => {
                    at += 1;
                    start = next.start;
                }
                _ => break,
            }
        }
    };
    let mut next = 0_u64;
    for span in over {
        let first = span.first.max(next);
        if span.last < first {
            continue;
        }
        if first > next {
            base_at(next, &mut out, first - 1);
        }
        push(&mut out, first, span.value);
        match span.last.checked_add(1) {
            Some(after) if span.last < family.last() => next = after,
            _ => return out,
        }
    }
    base_at(next, &mut out, family.last());
    out
}

/// Gives every unknown run to its neighbours, half to each, cut at a block border: an address no
/// database knows is most likely where the nearest registered block is.
#[must_use]
pub fn fill_gaps<T: Copy + PartialEq>(family: Family, runs: &[Run<Option<T>>], otherwise: T) -> Vec<Run<T>> {
    let mut out = Vec::with_capacity(runs.len());
    for (index, run) in runs.iter().enumerate() {
        if let Some(value) = run.value {
            push(&mut out, run.start, value);
            continue;
        }
        let before = index.checked_sub(1).and_then(|index| runs.get(index)).and_then(|run| run.value);
        let following = runs.get(index + 1);
        let last = following.map_or(family.last(), |run| run.start - 1);
        match (before, following.and_then(|run| run.value)) {
            (Some(before), Some(after)) => {
                let middle = (run.start + (last - run.start) / 2 + 1) & !(family.block() - 1);
                push(&mut out, run.start, before);
                if middle > run.start {
                    push(&mut out, middle, after);
                }
            }
            (Some(only), None) | (None, Some(only)) => push(&mut out, run.start, only),
            (None, None) => push(&mut out, run.start, otherwise),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at<T: Copy>(runs: &[Run<T>], key: u64) -> T {
        runs[runs.partition_point(|run| run.start <= key) - 1].value
    }

    proptest! {
        #[test]
        fn overlay_equals_a_naive_scan(
            base in proptest::collection::btree_map(0_u64..4096, 0_u8..4, 0..20),
            over in proptest::collection::vec((0_u64..4096, 0_u64..200, 4_u8..8), 0..20),
        ) {
            let mut runs = vec![Run { start: 0, value: 9 }];
            for (start, value) in base { push(&mut runs, start, value); }
            let mut spans: Vec<Span<u8>> =
                over.into_iter().map(|(first, length, value)| Span { first, last: first + length, value }).collect();
            spans.sort_by_key(|span| span.first);
            let out = overlay(Family::V4, &runs, &spans);
            for key in 0..4400 {
                let mut free = 0;
                let mut expected = at(&runs, key);
                for span in &spans {
                    let first = span.first.max(free);
                    if span.last >= first {
                        if (first..=span.last).contains(&key) { expected = span.value; }
                        free = span.last + 1;
                    }
                }
                prop_assert_eq!(at(&out, key), expected, "key {}", key);
            }
            prop_assert!(out.windows(2).all(|two| two[0].start < two[1].start && two[0].value != two[1].value));
        }
    }

    #[test]
    fn a_gap_goes_half_to_each_neighbour() {
        let runs = [
            Run { start: 0, value: None },
            Run { start: 1024, value: Some('a') },
            Run { start: 2048, value: None },
            Run { start: 4096, value: Some('b') },
        ];
        let filled = fill_gaps(Family::V4, &runs, 'z');
        assert_eq!(at(&filled, 0), 'a');
        assert_eq!(at(&filled, 2_500), 'a');
        assert_eq!(at(&filled, 4_000), 'b');
        assert_eq!(fill_gaps(Family::V4, &[Run { start: 0, value: None }], 'z'), [Run { start: 0, value: 'z' }]);
    }

    #[test]
    fn a_gap_of_whole_blocks_is_not_cut_a_block_early() {
        for (blocks, first_of_after) in [(1, None), (2, Some(1)), (3, Some(1)), (4, Some(2)), (256, Some(128))] {
            let end = 256 * (1 + blocks);
            let runs = [
                Run { start: 0, value: Some('a') },
                Run { start: 256, value: None },
                Run { start: end, value: Some('b') },
            ];
            let filled = fill_gaps(Family::V4, &runs, 'z');
            assert_eq!(filled[1].start, first_of_after.map_or(end, |block| 256 * (1 + block)), "{blocks} blocks");
        }
    }
}
