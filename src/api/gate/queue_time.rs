//! How long requests wait for a processor before the work on them begins, and which of them are refused for it.
//!
//! A server that has more to do than it can answers nobody in time if it serves all in the order in which they come: each is
//! late by then. So a request is refused at once where the wait of others says that it would take a large part of its
//! caller's time. A connection may always have one request: the callers that send one at a time do not pay for those that send
//! many.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The part of its caller's time that a request may wait: a twentieth.
const PART: u32 = 20;
/// The wait up to which no request is refused, however little time it has.
const SHORT: Duration = Duration::from_millis(20);
/// The last wait counts an eighth of the mean.
const WEIGHT: u64 = 8;
/// After this time without a request, the wait of earlier ones says nothing.
const STALE: Duration = Duration::from_millis(100);

/// The mean wait of the last requests.
pub(super) struct QueueTime {
    start: Instant,
    /// In nanoseconds.
    mean: AtomicU64,
    /// When the last request began, in nanoseconds since the start.
    noted: AtomicU64,
}

impl QueueTime {
    /// No request has waited yet.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), mean: AtomicU64::new(0), noted: AtomicU64::new(0) }
    }

    /// Notes that a request which arrived then begins now.
    pub(super) fn began(&self, arrived: Instant) {
        let now = Instant::now();
        let waited = nanos(now.duration_since(arrived));
        let mean = self.mean.load(Ordering::Relaxed);
        // Two requests that begin at once may lose one of the two: it is a mean.
        self.mean.store(mean - mean / WEIGHT + waited / WEIGHT, Ordering::Relaxed);
        self.noted.store(nanos(now.duration_since(self.start)), Ordering::Relaxed);
    }

    /// How long requests wait, if that is too long for one whose caller waits for so long.
    pub(super) fn too_long_for(&self, patience: Option<Duration>) -> Option<Duration> {
        let mean = Duration::from_nanos(self.mean.load(Ordering::Relaxed));
        let too_long = mean > SHORT && mean > patience? / PART;
        let age =
            || self.start.elapsed().saturating_sub(Duration::from_nanos(self.noted.load(Ordering::Relaxed)));
        (too_long && age() < STALE).then_some(mean)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Option<Duration> = Some(Duration::from_secs(1));

    /// Notes requests that have waited for so long.
    async fn note(queue_time: &QueueTime, requests: usize, wait: Duration) {
        for _ in 0..requests {
            let arrived = Instant::now();
            advance(wait).await;
            queue_time.began(arrived);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_too_long_for_callers_with_little_time() {
        let queue_time = QueueTime::new();
        assert_eq!(queue_time.too_long_for(SECOND), None);
        note(&queue_time, 100, Duration::from_millis(60)).await;
        let wait = queue_time.too_long_for(SECOND).unwrap();
        assert!((55..=60).contains(&wait.as_millis()), "{wait:?}");
        assert_eq!(queue_time.too_long_for(Some(Duration::from_secs(2))), None);
        assert_eq!(queue_time.too_long_for(None), None);
        note(&queue_time, 100, Duration::from_millis(40)).await;
        assert_eq!(queue_time.too_long_for(SECOND), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_long_wait_and_short_waits_refuse_nobody() {
        let queue_time = QueueTime::new();
        note(&queue_time, 1, Duration::from_millis(300)).await;
        assert_eq!(queue_time.too_long_for(SECOND), None);
        note(&queue_time, 100, Duration::from_millis(19)).await;
        assert_eq!(queue_time.too_long_for(Some(Duration::from_millis(1))), None);
    }

    #[tokio::test(start_paused = true)]
    async fn earlier_waits_are_forgotten() {
        let queue_time = QueueTime::new();
        note(&queue_time, 100, Duration::from_millis(500)).await;
        assert!(queue_time.too_long_for(SECOND).is_some());
        advance(STALE + Duration::from_millis(1)).await;
        assert_eq!(queue_time.too_long_for(SECOND), None);
    }
}
