//! The clients: what they send, and how it ended.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use strongroom::api::v1::GetSecretRequest;
use tokio::task::LocalSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::server::NAME;
use crate::tools::{Connections, Request, Server};

/// How often the client sends what is due by then.
const TICK: Duration = Duration::from_millis(1);

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With the secret, in time.
    Answered,
    /// With RESOURCE_EXHAUSTED, in time.
    Refused,
    /// The same, but nothing says when to try again.
    RefusedWithoutRetryInfo,
    /// Not in time.
    Late,
    /// With the connection.
    Lost,
}

/// How the requests ended, and after how long, with the time for which the client kept them back.
#[derive(Default)]
pub struct Tally {
    ended: Vec<(Outcome, Duration)>,
    /// How late the client came to send, each time.
    lags: Vec<Duration>,
}

impl Tally {
    pub fn sent(&self) -> usize {
        self.ended.len()
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.ended.iter().filter(|(ended, _)| *ended == outcome).count()
    }

    /// The time within which this part of the requests with an outcome ended.
    pub fn within(&self, outcome: Outcome, part: f64) -> Duration {
        let of_outcome = self.ended.iter().filter(|(ended, _)| *ended == outcome);
        within(of_outcome.map(|(_, time)| *time).collect(), part)
    }

    /// How late the client came to send at most, in this part of the times.
    pub fn lag(&self, part: f64) -> Duration {
        within(self.lags.clone(), part)
    }
}

/// The longest of this part of the times, of which the shortest ones come first.
fn within(mut times: Vec<Duration>, part: f64) -> Duration {
    times.sort_unstable();
    let place = (times.len() as f64 * part) as usize;
    times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Clients that read one secret.
pub struct Clients {
    connections: Connections,
    request: Request,
}

impl Clients {
    /// Opens connections that use the root key.
    pub async fn open(server: &Server, many: usize) -> Self {
        let connections = Connections::open(&server.process, None, many).await;
        let message = GetSecretRequest { name: NAME.into(), ..Default::default() };
        Self {
            connections,
            request: Request::new("strongroom.v1.SecretService/GetSecret", &server.key, &message),
        }
    }

    /// Sends one request on each connection, each with a key of its own. Gives the number of those that were answered.
    pub async fn use_keys(&self, keys: &[String]) -> usize {
        let mut answered = 0;
        for (sender, key) in self.connections.0.iter().zip(keys) {
            let request = self.request.with_key(key);
            answered += usize::from(send(&request, sender.clone(), "30S").await.0 == Outcome::Answered);
        }
        answered
    }

    /// Sends the next request when the one before is answered, so many at a time on each connection. Gives the answers in a
    /// second.
    pub async fn closed_loop(&self, in_flight: usize, time: Duration) -> f64 {
        let end = Instant::now() + time;
        let tally = Rc::<RefCell<Tally>>::default();
        let tasks = LocalSet::new();
        for sender in &self.connections.0 {
            for _ in 0..in_flight {
                let (sender, request, tally) = (sender.clone(), self.request.clone(), tally.clone());
                tasks.spawn_local(async move {
                    while Instant::now() < end {
                        let sent = Instant::now();
                        let outcome = send(&request, sender.clone(), "30S").await.0;
                        tally.borrow_mut().ended.push((outcome, sent.elapsed()));
                    }
                });
            }
        }
        tasks.await;
        let answered = tally.borrow().count(Outcome::Answered);
        answered as f64 / time.as_secs_f64()
    }

    /// Sends so many requests in each second, whatever comes back.
    pub async fn open_loop(&self, rate: f64, time: Duration, deadline: Duration) -> Tally {
        let tally = Rc::<RefCell<Tally>>::default();
        let tasks = LocalSet::new();
        let offering = tasks.run_until(async {
            let begun = Instant::now();
            let mut sent = 0_usize;
            while begun.elapsed() < time {
                let due = (begun.elapsed().as_secs_f64() * rate) as usize;
                while sent < due {
                    let senders = &self.connections.0;
                    let sender = senders[sent % senders.len()].clone();
                    let (request, tally) = (self.request.clone(), tally.clone());
                    tokio::task::spawn_local(async move {
                        let due = Instant::now();
                        let answer = tokio::time::timeout(deadline, send(&request, sender, "1S")).await;
                        let ended = answer.unwrap_or((Outcome::Late, deadline));
                        // The timer can be late where much is to do.
                        let late = due.elapsed() > deadline && ended.0 != Outcome::Lost;
                        let ended = if late { (Outcome::Late, deadline) } else { ended };
                        tally.borrow_mut().ended.push(ended);
                    });
                    sent += 1;
                }
                let next = Instant::now() + TICK;
                tokio::time::sleep_until(next.into()).await;
                tally.borrow_mut().lags.push(next.elapsed());
            }
        });
        offering.await;
        tasks.await;
        tally.take()
    }
}

/// Gives a request to the client, which sends it once the connection has room for it. Gives its outcome, and the time since then.
async fn send(request: &Request, sender: SendRequest<Bytes>, timeout: &str) -> (Outcome, Duration) {
    let begun = Instant::now();
    match request.send(sender, timeout).await {
        Ok(ended) if ended.status.code() == Code::Ok => (Outcome::Answered, ended.after),
        Ok(ended) => (refused(&ended.status), ended.after),
        Err(_lost) => (Outcome::Lost, begun.elapsed()),
    }
}

fn refused(status: &Status) -> Outcome {
    match status.code() {
        Code::ResourceExhausted if status.get_details_retry_info().is_some() => Outcome::Refused,
        Code::ResourceExhausted => Outcome::RefusedWithoutRetryInfo,
        Code::DeadlineExceeded => Outcome::Late,
        code => panic!("{code:?}: {}", status.message()),
    }
}
