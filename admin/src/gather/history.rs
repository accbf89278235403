//! How much went on, of the fleet and of its parts: a point each second for ten minutes, and each ten seconds for six hours.
//! Pure: times come in.

use std::collections::{BTreeMap, VecDeque};

use config::limits;
use schemars::JsonSchema;
use serde::Serialize;

use super::rates::{Of, Rates, Sum};

/// Everything that is remembered.
#[derive(Debug, Default)]
pub(crate) struct History {
    series: BTreeMap<Of, Series>,
    /// When the last points were made, fine and coarse.
    made_ms: Option<[u64; 2]>,
}

/// What is remembered of one.
#[derive(Debug, Default)]
struct Series {
    fine: VecDeque<Kept>,
    coarse: VecDeque<Kept>,
    /// Counted since the last points.
    counted: [Sum; 2],
}

/// A point as it is kept: 40 bytes. What there is not is not a number.
#[derive(Clone, Copy, Debug)]
struct Kept {
    at_ms: u64,
    numbers: [f32; 8],
}

/// How far back is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    TenMinutes,
    Hour,
    SixHours,
}

/// How much went on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Point {
    /// When the time that it is of has ended, Unix milliseconds.
    pub(crate) at_ms: u64,
    /// What that comes to a second.
    #[serde(flatten)]
    pub(crate) rates: Rates,
}

/// How often a fine point is made, and how many are kept: ten minutes.
const FINE_MS: u64 = 1_000;
const FINE_KEPT: usize = 600;
/// The same of coarse ones: six hours.
const COARSE_MS: u64 = 10_000;
const COARSE_KEPT: usize = 2_160;

impl Span {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "10m" => Some(Self::TenMinutes),
            "1h" => Some(Self::Hour),
            "6h" => Some(Self::SixHours),
            _ => None,
        }
    }

    pub(crate) fn seconds(self) -> u64 {
        match self {
            Self::TenMinutes => 600,
            Self::Hour => 3_600,
            Self::SixHours => 21_600,
        }
    }

    /// The time between two points.
    pub(crate) fn step_seconds(self) -> u64 {
        match self {
            Self::TenMinutes => FINE_MS / 1_000,
            Self::Hour | Self::SixHours => COARSE_MS / 1_000,
        }
    }

    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::TenMinutes => "10 minutes",
            Self::Hour => "hour",
            Self::SixHours => "6 hours",
        }
    }
}

impl History {
    /// Takes in what was counted since the last time, and makes the points that are due.
    pub(crate) fn take(&mut self, now_ms: u64, sums: &BTreeMap<Of, Sum>) {
        for (of, sum) in sums {
            if self.series.len() >= limits::HISTORY_SERIES && !self.series.contains_key(of) {
                continue;
            }
            let series = self.series.entry(of.clone()).or_default();
            series.counted.iter_mut().for_each(|counted| counted.add(sum));
        }
        let [fine_ms, coarse_ms] = self.made_ms.get_or_insert([now_ms; 2]);
        // A clock that was set back begins anew.
        let over = |made_ms: u64| now_ms.checked_sub(made_ms).unwrap_or(u64::MAX);
        if over(*fine_ms) >= FINE_MS {
            let over_ms = over(*fine_ms).min(COARSE_MS);
            *fine_ms = now_ms;
            self.series.values_mut().for_each(|series| series.make_fine(now_ms, over_ms));
        }
        if over(*coarse_ms) >= COARSE_MS {
            let over_ms = over(*coarse_ms).min(10 * COARSE_MS);
            *coarse_ms = now_ms;
            self.series.values_mut().for_each(|series| series.make_coarse(now_ms, over_ms));
        }
    }

    /// Forgets what the config no longer has.
    pub(crate) fn keep(&mut self, is_known: impl Fn(&Of) -> bool) {
        self.series.retain(|of, _| is_known(of));
    }

    /// How much goes on now; nothing is known before the first point.
    pub(crate) fn now(&self, of: &Of) -> Rates {
        self.series.get(of).and_then(|series| series.fine.back()).map(Kept::rates).unwrap_or_default()
    }

    /// The points of a span, the oldest first; none where nothing is known of that.
    pub(crate) fn points(&self, of: &Of, span: Span, now_ms: u64) -> Option<Vec<Point>> {
        let series = self.series.get(of)?;
        let kept = match span {
            Span::TenMinutes => &series.fine,
            Span::Hour | Span::SixHours => &series.coarse,
        };
        let from_ms = now_ms.saturating_sub(1_000 * span.seconds());
        let within = kept.iter().filter(|kept| kept.at_ms >= from_ms);
        Some(within.map(|kept| Point { at_ms: kept.at_ms, rates: kept.rates() }).collect())
    }
}

impl Series {
    fn make_fine(&mut self, now_ms: u64, over_ms: u64) {
        let [counted, _] = &mut self.counted;
        push(&mut self.fine, FINE_KEPT, Kept::new(now_ms, std::mem::take(counted).rates(over_ms)));
    }

    fn make_coarse(&mut self, now_ms: u64, over_ms: u64) {
        let [_, counted] = &mut self.counted;
        push(&mut self.coarse, COARSE_KEPT, Kept::new(now_ms, std::mem::take(counted).rates(over_ms)));
    }
}

fn push(list: &mut VecDeque<Kept>, most: usize, kept: Kept) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(kept);
}

impl Kept {
    fn new(at_ms: u64, rates: Rates) -> Self {
        let Rates { queries_s, requests_s, bytes_s, fetches_s, hit_ratio, byte_offload, p50_ms, p99_ms } = rates;
        let all = [queries_s, requests_s, bytes_s, fetches_s, hit_ratio, byte_offload, p50_ms, p99_ms];
        Self { at_ms, numbers: all.map(|number| number.map_or(f32::NAN, |number| number as f32)) }
    }

    fn rates(&self) -> Rates {
        let known = self.numbers.map(|number| (!number.is_nan()).then(|| told(number)));
        let [queries_s, requests_s, bytes_s, fetches_s, hit_ratio, byte_offload, p50_ms, p99_ms] = known;
        Rates { queries_s, requests_s, bytes_s, fetches_s, hit_ratio, byte_offload, p50_ms, p99_ms }
    }
}

/// A number as it is told: 0.9 is kept as 0.899999976.
fn told(number: f32) -> f64 {
    (f64::from(number) * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::OfSite;

    fn sums(queries: u64, requests: u64, hits: u64) -> BTreeMap<Of, Sum> {
        let site = OfSite { requests, hits, ..OfSite::default() };
        [(Of::Fleet, Sum { queries, site, ..Sum::default() })].into()
    }

    #[test]
    fn a_point_is_made_each_second_of_all_that_was_counted() {
        let mut history = History::default();
        for (now_ms, queries) in [(0, 0), (500, 3), (1_000, 5), (1_500, 2), (2_500, 1)] {
            history.take(now_ms, &sums(queries, 0, 0));
        }
        let points = history.points(&Of::Fleet, Span::TenMinutes, 2_500).unwrap();
        let told: Vec<_> = points.iter().map(|point| (point.at_ms, point.rates.queries_s)).collect();
        assert_eq!(told, [(1_000, Some(8.0)), (2_500, Some(2.0))]);
        assert_eq!(history.now(&Of::Fleet).queries_s, Some(2.0));
        assert_eq!(history.now(&Of::Fleet).hit_ratio, None, "there were no requests");
        assert_eq!(history.points(&Of::Pop("fra".to_owned()), Span::Hour, 0), None);
    }

    #[test]
    fn what_is_kept_is_bounded_and_coarse_points_are_of_ten_seconds() {
        let mut history = History::default();
        for second in 0..30_000_u64 {
            history.take(1_000 * second, &sums(10, 4, 2));
        }
        let now_ms = 29_999_000;
        let of = |span| history.points(&Of::Fleet, span, now_ms).unwrap();
        assert_eq!(of(Span::TenMinutes).len(), FINE_KEPT);
        assert_eq!(of(Span::SixHours).len(), COARSE_KEPT);
        assert_eq!(of(Span::Hour).len(), 360);
        let last = *of(Span::SixHours).last().unwrap();
        assert_eq!((last.rates.queries_s, last.rates.hit_ratio), (Some(10.0), Some(0.5)));
        let series = &history.series[&Of::Fleet];
        assert_eq!((series.fine.len(), series.coarse.len()), (FINE_KEPT, COARSE_KEPT));
    }

    #[test]
    fn no_more_is_remembered_than_the_bound_and_what_is_gone_is_forgotten() {
        let mut history = History::default();
        let many: BTreeMap<Of, Sum> =
            (0..limits::HISTORY_SERIES + 50).map(|number| (Of::Site(format!("s{number}")), Sum::default())).collect();
        history.take(0, &sums(1, 0, 0));
        history.take(1_000, &many);
        assert_eq!(history.series.len(), limits::HISTORY_SERIES);
        assert!(history.series.contains_key(&Of::Fleet));
        history.keep(|of| *of == Of::Fleet);
        assert_eq!(history.series.len(), 1);
    }

    #[test]
    fn a_clock_that_goes_back_makes_points_again() {
        let mut history = History::default();
        for now_ms in [10_000, 11_000, 2_000, 3_000] {
            history.take(now_ms, &sums(1, 0, 0));
        }
        assert_eq!(history.series[&Of::Fleet].fine.len(), 3);
    }
}
