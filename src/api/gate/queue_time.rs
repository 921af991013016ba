//! How long requests wait for a processor before the work on them begins, and which of them are refused for it.
//!
//! A server that has more to do than it can answers nobody in time if it serves all in the order in which they come: each is
//! late by then. So a request is refused at once where those that wait before it would take a large part of its caller's time.
//! A connection may always have one request: the callers that send one at a time do not pay for those that send many.
//!
//! What counts is the number of requests that wait now. The wait of those that have begun says too little: hundreds of requests
//! can come at once, before the first of them begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The part of its caller's time that a request may wait: an eightieth. The turns of connections wait behind the same requests, so that
/// what is refused comes back so much later as well.
const PART: u32 = 80;
/// The wait up to which no request is refused, however little time it has.
const SHORT: Duration = Duration::from_millis(12);
/// So many requests may always wait.
const FEW: u64 = 8;
/// A wait after fewer requests than this says nothing: the processor may have been at something else.
const TELLING: u64 = FEW / 2;
/// The part that each request has in the estimate: a 256th.
const STEP: u64 = 256;
/// How many times the estimate a request counts at most. A pause of the machine does not come again for each request.
const MOST: u64 = 4;
/// The estimate of a server that has served no request, in nanoseconds.
const FIRST: u64 = 20_000;
/// An estimate that was not changed for so long counts as [`FIRST`] at most.
const STALE: Duration = Duration::from_secs(1);

/// The requests that wait.
pub(super) struct QueueTime {
    start: Instant,
    waiting: AtomicU64,
    /// An estimate of how much each of them adds to the wait of the next one, in nanoseconds: the mean of the last requests.
    each: AtomicU64,
    /// When the estimate was last changed, in nanoseconds since the start.
    changed: AtomicU64,
}

/// A request that waits, until it is dropped.
pub(super) struct Waiting {
    queue: Arc<QueueTime>,
    arrived: Instant,
    /// How many waited when it arrived.
    before: u64,
}

impl QueueTime {
    /// No request waits.
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { start: Instant::now(), waiting: zero(), each: AtomicU64::new(FIRST), changed: zero() }
    }

    /// Adds a request that has arrived.
    pub(super) fn enter(self: &Arc<Self>) -> Waiting {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting { queue: self.clone(), arrived: Instant::now(), before }
    }

    /// Whether a further request would wait too long here, behind so many more, if its caller waits for so long.
    pub(super) fn is_too_long_for(&self, patience: Duration, more: usize) -> bool {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let waiting = self.waiting.load(Ordering::Relaxed).saturating_add(more);
        let wait = Duration::from_nanos(waiting.saturating_mul(self.each()));
        wait > SHORT && wait > patience / PART
    }

    fn each(&self) -> u64 {
        let each = self.each.load(Ordering::Relaxed);
        let age = nanos(self.start.elapsed()).saturating_sub(self.changed.load(Ordering::Relaxed));
        if age > nanos(STALE) { each.min(FIRST) } else { each }
    }
}

impl Waiting {
    /// Notes that the work on the request begins now.
    pub(super) fn begins(self) {
        if self.before < TELLING {
            return;
        }
        let waited = nanos(self.arrived.elapsed());
        let each = self.queue.each();
        let this = (waited / self.before.max(1)).min(each.saturating_mul(MOST));
        let better = (each.saturating_mul(STEP - 1) + this) / STEP + u64::from(this > each);
        // Two requests that begin at once may lose one of the two: it is an estimate.
        self.queue.each.store(better.clamp(1, nanos(SHORT) / FEW), Ordering::Relaxed);
        self.queue.changed.store(nanos(self.queue.start.elapsed()), Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A hundred times, so many requests arrive at once, and then one after the other begins.
    async fn serve(queue: &Arc<QueueTime>, requests: usize, each: Duration) {
        for _ in 0..100 {
            let waiting: Vec<_> = (0..requests).map(|_| queue.enter()).collect();
            for request in waiting {
                advance(each).await;
                request.begins();
            }
        }
    }

    /// How many requests wait when one with this time is refused. They arrive now and do not begin.
    fn most_for(queue: &Arc<QueueTime>, patience: Duration) -> usize {
        let mut waiting = Vec::new();
        while waiting.len() < 10_000 && !queue.is_too_long_for(patience, 0) {
            waiting.push(queue.enter());
        }
        waiting.len()
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_may_wait_as_begin_in_an_eightieth_of_the_time() {
        let queue = Arc::new(QueueTime::new());
        serve(&queue, 100, Duration::from_micros(100)).await;
        assert!((112..=138).contains(&most_for(&queue, SECOND)), "{}", most_for(&queue, SECOND));
        let ten = most_for(&queue, 10 * SECOND);
        assert!((1125..=1375).contains(&ten), "{ten}");
        let short = most_for(&queue, SECOND / 100);
        assert!((108..=132).contains(&short), "{short}");
        serve(&queue, 100, Duration::from_micros(200)).await;
        assert!((56..=69).contains(&most_for(&queue, SECOND)), "{}", most_for(&queue, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_may_wait_however_slow_the_server_is() {
        let queue = Arc::new(QueueTime::new());
        serve(&queue, 16, Duration::from_millis(50)).await;
        assert_eq!(most_for(&queue, SECOND / 2), 9);
        serve(&queue, 16, Duration::from_micros(10)).await;
        serve(&queue, 16, Duration::from_micros(10)).await;
        assert!(most_for(&queue, SECOND) > 1000, "it is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_refuses_nobody() {
        let queue = Arc::new(QueueTime::new());
        serve(&queue, 10, Duration::from_micros(100)).await;
        let before = most_for(&queue, SECOND);
        let waiting: Vec<_> = (0..10).map(|_| queue.enter()).collect();
        advance(Duration::from_millis(500)).await;
        waiting.into_iter().for_each(Waiting::begins);
        assert!(most_for(&queue, SECOND) * 10 > before * 9, "{before}");
        serve(&queue, 1, Duration::from_millis(100)).await;
        assert!(most_for(&queue, SECOND) * 10 > before * 9, "requests that wait alone");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_slow_is_forgotten_without_further_requests() {
        let queue = Arc::new(QueueTime::new());
        serve(&queue, 16, Duration::from_millis(50)).await;
        assert_eq!(most_for(&queue, SECOND), 9);
        advance(STALE + Duration::from_millis(1)).await;
        assert_eq!(most_for(&queue, SECOND), 626);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_begins_does_not_wait() {
        let queue = Arc::new(QueueTime::new());
        drop((0..100_000).map(|_| queue.enter()).collect::<Vec<_>>());
        assert!(!queue.is_too_long_for(SECOND, 0));
    }
}
