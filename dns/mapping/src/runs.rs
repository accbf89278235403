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

/// Puts runs together from spans that come in rising order, as from a walk through a search tree.
#[derive(Debug)]
pub struct Collector<T> {
    family: Family,
    runs: Vec<Run<Option<T>>>,
    /// The first key that no span has reached; none after the last.
    next: Option<u64>,
}

impl<T: Copy + PartialEq> Collector<T> {
    /// Nothing known yet.
    #[must_use]
    pub fn new(family: Family) -> Self {
        Self { family, runs: Vec::new(), next: Some(0) }
    }

    /// Adds a span. What an earlier one has reached is that one's, also where spans come out of order.
    pub fn add(&mut self, span: Span<T>) {
        let Some(next) = self.next.filter(|next| span.last >= *next) else {
            return;
        };
        if span.first > next {
            push(&mut self.runs, next, None);
        }
        push(&mut self.runs, span.first.max(next), Some(span.value));
        self.next = span.last.checked_add(1).filter(|next| *next <= self.family.last());
    }

    /// Whether no span was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs, from key 0; what no span covers has no value.
    #[must_use]
    pub fn finish(mut self) -> Vec<Run<Option<T>>> {
        if let Some(next) = self.next {
            push(&mut self.runs, next, None);
        }
        self.runs.shrink_to_fit();
        self.runs
    }
}

/// Lays runs over others: these hold where the upper ones have no value.
#[must_use]
pub fn layer<T: Copy + PartialEq>(upper: &[Run<Option<T>>], lower: &[Run<Option<T>>]) -> Vec<Run<Option<T>>> {
    let mut out = Vec::with_capacity(upper.len() + lower.len());
    let (mut above, mut below) = (upper.iter().peekable(), lower.iter().peekable());
    let (mut high, mut low) = (None, None);
    loop {
        let starts = [above.peek(), below.peek()].into_iter().flatten().map(|run| run.start);
        let Some(start) = starts.min() else {
            return out;
        };
        if let Some(run) = above.next_if(|run| run.start == start) {
            high = run.value;
        }
        if let Some(run) = below.next_if(|run| run.start == start) {
            low = run.value;
        }
        push(&mut out, start, high.or(low));
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

    proptest! {
        #[test]
        fn collected_and_layered_runs_equal_a_naive_scan(
            layers in proptest::collection::vec(
                proptest::collection::vec((0_u64..4096, 0_u64..200, 0_u8..4), 0..20), 2),
        ) {
            let spans = |list: &Vec<(u64, u64, u8)>| list
                .iter().map(|(first, length, value)| Span { first: *first, last: first + length, value: *value })
                .collect::<Vec<_>>();
            // Spans out of order give way to those before them.
            let naive = |list: &Vec<(u64, u64, u8)>, key: u64| {
                let (mut free, mut found) = (0, None);
                for span in spans(list) {
                    if span.last >= free {
                        if (span.first.max(free)..=span.last).contains(&key) { found = Some(span.value); }
                        free = span.last + 1;
                    }
                }
                found
            };
            let collected: Vec<_> = layers.iter().map(|list| {
                let mut collector = Collector::new(Family::V4);
                spans(list).into_iter().for_each(|span| collector.add(span));
                collector.finish()
            }).collect();
            let both = layer(&collected[0], &collected[1]);
            for key in 0..4400 {
                for (runs, list) in collected.iter().zip(&layers) {
                    prop_assert_eq!(at(runs, key), naive(list, key), "key {}", key);
                }
                prop_assert_eq!(at(&both, key), naive(&layers[0], key).or(naive(&layers[1], key)), "key {}", key);
            }
            prop_assert!(both.windows(2).all(|two| two[0].start < two[1].start && two[0].value != two[1].value));
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
