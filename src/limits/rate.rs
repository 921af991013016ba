//! How many requests a principal may make in a second.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{LimitReached, LimitUse};

/// The requests of one principal in a second, and what is left of them. Each one is free again after its part of the second.
pub(super) struct Rate {
    allowed: NonZeroU32,
    left: DefaultDirectRateLimiter,
    made: Instant,
    /// When all of them are left again, in nanoseconds since this was made.
    unused_at: AtomicU64,
    refused: AtomicU64,
}

impl Rate {
    /// So many requests in a second, all of which are left.
    pub(super) fn new(allowed: NonZeroU32) -> Self {
        let left = RateLimiter::direct(Quota::per_second(allowed));
        let (unused_at, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { allowed, left, made: Instant::now(), unused_at, refused }
    }

    /// Counts a request, or says how long there is none left.
    pub(super) fn check(&self) -> Result<(), LimitReached> {
        if let Err(early) = self.left.check() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let wait = early.wait_time_from(DefaultClock::default().now());
            return Err(LimitReached::RequestsPerSecond(self.allowed.get(), wait));
        }
        let (now, part) = (self.now(), self.part());
        let later = |unused_at: u64| Some(unused_at.max(now).saturating_add(part));
        let _ = self.unused_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later); // there is always a later time
        Ok(())
    }

    /// Whether all of them are left, so that a new rate allows nothing more.
    pub(super) fn is_unused(&self) -> bool {
        self.unused_at.load(Ordering::Relaxed) <= self.now()
    }

    /// How much of it is used.
    pub(super) fn usage(&self) -> LimitUse {
        let until_unused = self.unused_at.load(Ordering::Relaxed).saturating_sub(self.now());
        LimitUse {
            name: "requests_per_second",
            limit: self.allowed.get().into(),
            used: until_unused.div_ceil(self.part()).min(self.allowed.get().into()),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// The part of a second that one request takes, in nanoseconds.
    fn part(&self) -> u64 {
        (nanos(Duration::from_secs(1)) / u64::from(self.allowed.get())).max(1)
    }

    fn now(&self) -> u64 {
        nanos(self.made.elapsed())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
