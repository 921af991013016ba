//! Latency counts from the moment at which a request was due. Time is simulated: it passes as soon as all tasks wait.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::arrivals::{Arrival, Schedule};
use crate::mix::Work;
use crate::open_loop::open_loop;
use crate::random::Random;
use crate::tally::{Outcome, Tally};

const SERVICE: Duration = Duration::from_millis(2);
const DEADLINE: Duration = Duration::from_secs(5);

/// A server that answers one request after the other, and stalls from the fourth second to the fifth.
struct Server {
    begun: Instant,
    free: Semaphore,
}

impl Server {
    fn new() -> Rc<Self> {
        Rc::new(Self { begun: Instant::now(), free: Semaphore::new(1) })
    }

    async fn answer(self: Rc<Self>) -> Outcome {
        let _turn = self.free.acquire().await.unwrap();
        let stall = self.begun + Duration::from_secs(4)..self.begun + Duration::from_secs(5);
        if stall.contains(&Instant::now()) {
            sleep_until(stall.end).await;
        }
        sleep(SERVICE).await;
        Outcome::Answered
    }
}

/// Ten seconds of 100 requests a second, at the simulated times.
fn arrivals() -> UnboundedReceiver<Arrival> {
    let (sender, receiver) = unbounded_channel();
    let (random, begun) = (Random::new(1), Instant::now());
    let schedule = Schedule::new(random, "get=1".parse().unwrap(), 100.0, Duration::from_secs(10));
    tokio::task::spawn_local(async move {
        for (after, work) in schedule {
            sleep_until(begun + after).await;
            sender.send(Arrival { due: begun + after, work }).unwrap();
        }
    });
    receiver
}

/// The tenth of the requests that were due in the stall waited for half a second on average, and those behind them longer than
/// usual.
#[tokio::test(start_paused = true)]
async fn a_stall_shows_in_the_tail_of_an_open_loop() {
    let tally = LocalSet::new()
        .run_until(async {
            let server = Server::new();
            open_loop(arrivals(), DEADLINE, |_, _| server.clone().answer()).await
        })
        .await;
    assert_eq!((tally.answered, tally.offered()), (tally.offered(), tally.latency.count()));
    assert!((900..1100).contains(&tally.offered()), "{}", tally.offered());
    assert!(tally.latency.within(0.5) < 10 * SERVICE, "{:?}", tally.latency.within(0.5));
    assert!(tally.latency.within(0.99) > Duration::from_millis(800), "{:?}", tally.latency.within(0.99));
    assert!(tally.latency.max() > Duration::from_millis(950), "{:?}", tally.latency.max());
}

/// What the open loop avoids: the closed loop sends one request in the stall, and its p99 does not show it.
#[tokio::test(start_paused = true)]
async fn the_same_stall_hides_from_a_closed_loop() {
    let server = Server::new();
    let mut tally = Tally::default();
    while server.begun.elapsed() < Duration::from_secs(10) {
        let sent = Instant::now();
        let outcome = server.clone().answer().await;
        tally.record(Work::Get, outcome, sent.elapsed());
        sleep(Duration::from_millis(8)).await;
    }
    assert!(tally.latency.within(0.99) < 10 * SERVICE, "{:?}", tally.latency.within(0.99));
    assert!(tally.latency.max() > Duration::from_millis(950), "{:?}", tally.latency.max());
}

/// A request that is not answered by its deadline is late, and counts with its deadline at least.
#[tokio::test(start_paused = true)]
async fn requests_without_an_answer_count_with_their_deadline() {
    let deadline = Duration::from_millis(300);
    let tally = LocalSet::new()
        .run_until(async {
            let server = Server::new();
            open_loop(arrivals(), deadline, |_, left| {
                assert!(left <= deadline);
                server.clone().answer()
            })
            .await
        })
        .await;
    assert!((50..90).contains(&tally.late), "{}", tally.late);
    assert_eq!(tally.answered + tally.late, tally.offered());
    assert!(tally.latency.max() >= deadline);
    assert!(tally.latency.within(0.99) >= deadline - Duration::from_millis(1));
    assert_eq!(tally.errors(), format!("late {}", tally.late));
}

/// A refusal is quick: it counts as an error, and does not make the latency look better.
#[tokio::test(start_paused = true)]
async fn refusals_count_by_their_reason_and_not_as_latency() {
    let tally = LocalSet::new()
        .run_until(async {
            let refuse = |_, _| async { Outcome::Failed("TOO_MANY_REQUESTS".into()) };
            open_loop(arrivals(), DEADLINE, refuse).await
        })
        .await;
    assert_eq!((tally.answered, tally.latency.count()), (0, 0));
    assert_eq!(tally.errors(), format!("TOO_MANY_REQUESTS {}", tally.offered()));
}
