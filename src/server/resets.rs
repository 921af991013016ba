//! The requests of a connection whose streams the peer resets before they are answered. A loop of requests and resets costs the
//! peer little and the server much, so it ends the connection.
//!
//! A reset of a request that was not begun costs little, and counts little. A client of an overloaded server keeps requests
//! back until there is room for them on the connection. It sends many of them just before their deadlines, and resets them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::api::{Closing, Connection};

/// In how much time all requests that a connection may have at a time may be reset, for ever. A client whose every request
/// reaches a deadline of one second, since the server is overloaded, is honest.
const PERIOD: Duration = Duration::from_secs(1);
/// How many times as many may be reset at once.
const BURST: u32 = 10;
/// What the reset of a request counts whose work had begun. Another one counts 1.
const BEGUN: u32 = 16;

/// The resets of a connection.
pub(super) struct Resets {
    connection: Arc<Connection>,
    /// How much is too much.
    most: u32,
    /// The time after which 1 is forgiven.
    forgiving: Duration,
    count: Mutex<Count>,
}

struct Count {
    /// The resets that are not forgiven, each with what it counts.
    resets: u32,
    /// The time to which they were counted.
    counted: Instant,
}

/// A request that is not answered yet.
pub(super) struct Unanswered {
    resets: Option<Arc<Resets>>,
    begun: bool,
}

impl Resets {
    /// The resets of a connection that may have so many requests at a time.
    pub(super) fn new(connection: Arc<Connection>, requests: u32) -> Self {
        let count = Mutex::new(Count { resets: 0, counted: Instant::now() });
        let at_a_time = requests.saturating_mul(BEGUN).max(1);
        Self { connection, most: at_a_time.saturating_mul(BURST), forgiving: PERIOD / at_a_time, count }
    }

    /// Begins a request. It counts as reset if it is dropped before it is answered.
    pub(super) fn begin(self: &Arc<Self>) -> Unanswered {
        Unanswered { resets: Some(self.clone()), begun: true }
    }

    fn reset(&self, begun: bool) {
        let now = Instant::now();
        let too_many = self.with(|count| {
            let forgiven = now.duration_since(count.counted).as_nanos() / self.forgiving.as_nanos().max(1);
            if forgiven > 0 {
                let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
                count.resets = count.resets.saturating_sub(forgiven);
                count.counted =
                    if count.resets == 0 { now } else { count.counted + self.forgiving * forgiven };
            }
            let before = count.resets;
            count.resets = before.saturating_add(if begun { BEGUN } else { 1 });
            before <= self.most && count.resets > self.most
        });
        if too_many {
            self.connection.close(Closing::Resets);
        }
    }

    /// An answer forgives a reset.
    fn answered(&self) {
        self.with(|count| count.resets = count.resets.saturating_sub(BEGUN));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Count) -> T) -> T {
        work(&mut self.count.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Unanswered {
    /// The request is answered.
    pub(super) fn answered(&mut self) {
        if let Some(resets) = self.resets.take() {
            resets.answered();
        }
    }

    /// The work on the request has not begun.
    pub(super) fn not_begun(&mut self) {
        self.begun = false;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(resets) = self.resets.take() {
            resets.reset(self.begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resets() -> (Arc<Connection>, Arc<Resets>) {
        let connection = Arc::new(Connection::new(([127, 0, 0, 1], 1).into(), 10, 1));
        (connection.clone(), Arc::new(Resets::new(connection, 4)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_of_resets_closes_the_connection() {
        let (connection, resets) = resets();
        for _ in 0..40 {
            drop(resets.begin());
        }
        assert_eq!(connection.closing(), None);
        drop(resets.begin());
        assert_eq!(connection.closing(), Some(Closing::Resets));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reset_of_a_request_that_was_not_begun_counts_little() {
        let (connection, resets) = resets();
        for _ in 0..640 {
            resets.begin().not_begun();
        }
        assert_eq!(connection.closing(), None);
        resets.begin().not_begun();
        assert_eq!(connection.closing(), Some(Closing::Resets));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_whose_requests_reach_a_deadline_of_a_second_keeps_its_connection() {
        let (connection, resets) = resets();
        for _ in 0..1000 {
            let requests = [(); 4].map(|()| resets.begin());
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(requests);
        }
        assert_eq!(connection.closing(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_forgive_resets() {
        let (connection, resets) = resets();
        for _ in 0..1000 {
            resets.begin().answered();
            drop(resets.begin());
        }
        assert_eq!(connection.closing(), None);
    }
}
