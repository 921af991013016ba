//! Measurements that the parts of the service take of themselves: atomic counts, so that a measurement costs no lock and no
//! allocation. They are always taken. `server/metrics` reads them, where somebody asks for them.

mod histogram;

use std::sync::atomic::{AtomicU64, Ordering};

pub use self::histogram::{Histogram, HistogramReading};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Total(AtomicU64);

impl Total {
    /// Adds to it.
    pub fn add(&self, many: u64) {
        self.0.fetch_add(many, Ordering::Relaxed);
    }

    /// The number.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a store measures of its commits.
#[derive(Debug)]
pub struct CommitMetrics {
    /// How many transactions were made durable at once.
    pub batch: Histogram,
    /// How long that took: a sync of the disk, or a transaction of etcd.
    pub sync: Histogram,
    /// How often it failed.
    pub failed: Total,
}

impl Default for CommitMetrics {
    fn default() -> Self {
        Self { batch: Histogram::of_sizes(), sync: Histogram::of_times(), failed: Total::default() }
    }
}
