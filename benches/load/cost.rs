//! Measures what each RPC costs the server among few secrets and many: the time of processors of a request, in all threads and
//! in the kernel.
//!
//! There is a server for each number of secrets. All servers and RPCs take turns in each round, so that other load on the machine
//! falls on all.

use std::time::Duration;

use crate::messages::Messages;
use crate::mix::Work;
use crate::options::Options;
use crate::target::Own;
use crate::tools::{Connections, Request, median};

const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 64;
/// The requests at a time while secrets are made.
const WRITERS: usize = 256;
/// The secrets that are made with requests that are in memory together.
const PORTION: usize = 10_000;

/// The cost of an RPC among so many secrets.
pub struct Cost {
    pub work: Work,
    pub secrets: usize,
    /// The median of the rounds.
    pub processor: Duration,
}

/// Measures all. Begins with the servers and their secrets, which takes most of the time.
pub async fn measure(options: &Options) -> Vec<Cost> {
    let mut contenders = Vec::new();
    for secrets in &options.sizes {
        contenders.push(Contender::start(options, *secrets).await);
    }
    let mut rounds: Vec<Vec<Vec<Duration>>> = vec![vec![Vec::new(); Work::ALL.len()]; contenders.len()];
    for round in 0..=options.rounds() {
        for (contender, costs) in contenders.iter_mut().zip(&mut rounds) {
            for (work, costs) in Work::ALL.into_iter().zip(costs) {
                let cost = contender.cost(work, requests(work, options.quick)).await;
                // The first round only warms up.
                if round > 0 {
                    costs.push(cost);
                }
            }
        }
    }
    let of = |(contender, costs): (&Contender, Vec<Vec<Duration>>)| {
        let secrets = contender.messages.secrets;
        let costs = Work::ALL.into_iter().zip(costs);
        let of = move |(work, costs): (Work, Vec<Duration>)| Cost {
            work,
            secrets,
            processor: Duration::from_secs_f64(median(costs.iter().map(Duration::as_secs_f64))),
        };
        costs.map(of).collect::<Vec<_>>()
    };
    contenders.iter().zip(rounds).flat_map(of).collect()
}

/// The requests of a round. The time of processors is known to 10 ms.
fn requests(work: Work, is_quick: bool) -> usize {
    let requests = match work {
        Work::Get => 8000,
        Work::BatchGet | Work::List | Work::ListFiltered => 2000,
        Work::Create | Work::Update | Work::Rotate | Work::Delete => 4000,
    };
    if is_quick { requests / 2 } else { requests }
}

/// A server with so many secrets.
struct Contender {
    own: Own,
    messages: Messages,
    connections: Connections,
    /// The secrets that were created in the rounds, and those of them that were deleted.
    created: usize,
    deleted: usize,
}

impl Contender {
    async fn start(options: &Options, secrets: usize) -> Self {
        let own = Own::start(options);
        let messages = own.messages(options, secrets);
        let connections = Connections::open(&own.server.process, None, CONNECTIONS).await;
        for from in (0..secrets).step_by(PORTION) {
            let numbers = from..secrets.min(from + PORTION);
            let create = |number| {
                let message = messages.prepared(number);
                Request::new("strongroom.v1.SecretService/CreateSecret", &messages.key, &message)
            };
            let requests: Vec<_> = numbers.map(create).collect();
            connections.send(&requests, requests.len(), WRITERS).await;
        }
        Self { own, messages, connections, created: 0, deleted: 0 }
    }

    /// The mean cost of so many requests.
    async fn cost(&mut self, work: Work, many: usize) -> Duration {
        let before = match work {
            Work::Create => Some(&mut self.created),
            Work::Delete => Some(&mut self.deleted),
            _ => None,
        };
        let from = before.map_or(0, |before| {
            *before += many;
            *before - many
        });
        let requests: Vec<_> =
            (from..from + many).map(|number| self.messages.request(work, number)).collect();
        let process = &self.own.server.process;
        let before = process.processor_time();
        self.connections.send(&requests, many, IN_FLIGHT).await;
        (process.processor_time() - before) / u32::try_from(many).expect("few requests")
    }
}
