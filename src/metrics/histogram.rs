//! Histograms with fixed bounds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;

/// The bounds of times, in nanoseconds: from a read in memory to the longest time that a request may take.
const TIMES: &[u64] = &[
    100 * MICROSECOND,
    250 * MICROSECOND,
    500 * MICROSECOND,
    MILLISECOND,
    2_500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    1_000 * MILLISECOND,
    2_500 * MILLISECOND,
    5_000 * MILLISECOND,
    10_000 * MILLISECOND,
    30_000 * MILLISECOND,
];
/// The bounds of sizes: a committer takes at most 512 transactions at once.
const SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// A histogram. All its users count together.
#[derive(Debug)]
pub struct Histogram {
    /// The greatest value of each bucket but the last one, which takes all others.
    bounds: &'static [u64],
    buckets: Vec<AtomicU64>,
    sum: AtomicU64,
    /// How many units of the bounds are 1 of what is read.
    scale: f64,
}

/// What a histogram has counted.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramReading {
    /// The greatest value of each bucket, and how many values are in this bucket alone. The last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Histogram {
    /// A histogram of times, which are read in seconds.
    pub fn of_times() -> Self {
        Self::new(TIMES, 1e9)
    }

    /// A histogram of sizes.
    pub fn of_sizes() -> Self {
        Self::new(SIZES, 1.0)
    }

    fn new(bounds: &'static [u64], scale: f64) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0), scale }
    }

    /// Counts a time.
    pub fn observe(&self, time: Duration) {
        self.count(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts a value, in the unit of the bounds.
    pub fn count(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What was counted until now.
    pub fn read(&self) -> HistogramReading {
        let bounds = self.bounds.iter().map(|bound| self.scaled(*bound)).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        HistogramReading { buckets, count, sum: self.scaled(self.sum.load(Ordering::Relaxed)) }
    }

    fn scaled(&self, value: u64) -> f64 {
        value as f64 / self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let sizes = Histogram::of_sizes();
        for size in [0, 1, 2, 3, 512, 513] {
            sizes.count(size);
        }
        let reading = sizes.read();
        let counted: Vec<_> = reading.buckets.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [&(1.0, 2), &(2.0, 1), &(4.0, 1), &(512.0, 1), &(f64::INFINITY, 1)]);
        assert_eq!((reading.count, reading.sum), (6, 1031.0));
    }

    #[test]
    fn times_are_read_in_seconds() {
        let times = Histogram::of_times();
        times.observe(Duration::from_millis(1));
        times.observe(Duration::from_secs(60));
        let reading = times.read();
        let counted: Vec<_> = reading.buckets.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [&(0.001, 1), &(f64::INFINITY, 1)]);
        assert_eq!((reading.count, reading.sum), (2, 60.001));
    }
}
