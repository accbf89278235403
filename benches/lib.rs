//! Benchmarks: how fast, and how good, beside a peer in the same run. Each is a file beside this one.

/// The middle one of some figures, at least one.
#[must_use]
pub fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = figures.collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The wait that so many of a thousand do not exceed; 0 where there are none.
#[must_use]
pub fn wait_us(waits_us: &mut [u32], of_thousand: usize) -> u32 {
    waits_us.sort_unstable();
    waits_us.get(waits_us.len() * of_thousand / 1_000).copied().unwrap_or(0)
}
