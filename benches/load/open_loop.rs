//! Sends each request when it is due, whatever became of those before it, and measures from then on.
//!
//! A closed loop sends its next request after the answer to the one before: while the server stalls, it sends nothing, and the
//! requests that would have come then are missing in its figures (coordinated omission). Here they are due all the same, and
//! their waiting counts.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::arrivals::Arrival;
use crate::mix::Work;
use crate::tally::{Outcome, Tally};

/// Sends the requests until there are no more, and waits for the last. `send` is told how much of the deadline is left. Must be
/// called on a tokio `LocalSet`.
pub async fn open_loop<F>(
    mut arrivals: UnboundedReceiver<Arrival>,
    deadline: Duration,
    send: impl Fn(Work, Duration) -> F,
) -> Tally
where
    F: Future<Output = Outcome> + 'static,
{
    let tally = Rc::<RefCell<Tally>>::default();
    let mut under_way = JoinSet::new();
    while let Some(Arrival { due, work }) = arrivals.recv().await {
        let lag = due.elapsed();
        tally.borrow_mut().lag.record(lag);
        let answer = send(work, deadline.saturating_sub(lag));
        let tally = tally.clone();
        under_way.spawn_local(async move {
            let outcome = timeout_at(due + deadline, answer).await.unwrap_or(Outcome::Late);
            let after = due.elapsed();
            let (outcome, after) = match outcome {
                Outcome::Answered if after > deadline => (Outcome::Late, after),
                Outcome::Late => (Outcome::Late, after.max(deadline)),
                other => (other, after),
            };
            tally.borrow_mut().record(work, outcome, after);
        });
        while let Some(ended) = under_way.try_join_next() {
            ended.expect("a request");
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended.expect("a request");
    }
    tally.take()
}
