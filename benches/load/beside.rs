//! Measures Gets beside work that keeps the store busy: 64 writers that rotate, and the re-keying of the namespace.
//!
//! The Gets are due at the times of a Poisson process, as in [`crate::latency`], at a rate that is far below the capacity. They
//! have connections of their own, so that a slow one waits in the server and not behind another request. What they wait beside
//! counts as processed when it is answered, and is given as a rate.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use strongroom::api::v1::RotateNamespaceKeysRequest;
use tokio::task::JoinSet;

use crate::arrivals::Schedule;
use crate::lines::Lines;
use crate::mix::{Mix, Work};
use crate::namespace::Failure;
use crate::open_loop::open_loop;
use crate::options::Options;
use crate::random::Random;
use crate::report;
use crate::tally::{Outcome, Tally};
use crate::target::Target;
use crate::tools::Request;

/// The Gets a second.
const RATE: f64 = 500.0;
/// How many requests of the other kind are under way at a time.
const WRITERS: usize = 64;
/// How long a request of the other kind may take.
const LONG: Duration = Duration::from_secs(600);
/// How long it runs before the first Get.
const PAUSE: Duration = Duration::from_secs(1);

/// What runs beside the Gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Other {
    Nothing,
    Rotations,
    Rekeying,
}

impl Other {
    const ALL: [Self; 3] = [Self::Nothing, Self::Rotations, Self::Rekeying];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Rotations => "64 rotating writers",
            Self::Rekeying => "re-keying",
        }
    }
}

/// The Gets beside one kind of work.
pub struct Beside {
    pub other: Other,
    pub gets: Tally,
    /// How much of the other work ended, in a second: rotations, or re-keyings of the whole namespace.
    pub others: f64,
}

/// Measures all, in a namespace that has the secrets. Must be called on a tokio `LocalSet`.
pub async fn measure(target: &Target, options: &Options) -> Result<Vec<Beside>, Failure> {
    let lines = Lines::open(&target.places, options.connections.into()).await?;
    let busy = Lines::open(&target.places, options.connections.into()).await?;
    let gets: Mix = "get=1".parse()?;
    let mut random = Random::new(options.seed);
    report::begin_beside(options, RATE);
    let mut measured = Vec::new();
    for other in Other::ALL {
        let ended = Rc::new(Cell::new(0_u32));
        let mut others = keep_busy(target, &busy, other, &ended);
        tokio::time::sleep(PAUSE).await;
        let (before, begun) = (ended.get(), tokio::time::Instant::now());
        let schedule = Schedule::new(random.split(), gets.clone(), RATE, options.time());
        let sent = Cell::new(0);
        let get = |work, left| {
            let request = target.messages.request(work, sent.replace(sent.get() + 1));
            lines.clone().send(request, left)
        };
        let tally = open_loop(schedule.paced(), options.deadline, get).await;
        let others_ended = f64::from(ended.get() - before) / begun.elapsed().as_secs_f64();
        if let Some(failed) = others.try_join_next() {
            return Err(
                failed.map_or_else(Failure::from, |outcome| format!("{}: {outcome}", other.name()).into())
            );
        }
        others.shutdown().await;
        measured.push(Beside { other, gets: tally, others: others_ended });
        report::beside(&measured[measured.len() - 1]);
    }
    Ok(measured)
}

/// Starts the other work, which goes on until it is dropped. A task that ends has failed, and gives the reason.
fn keep_busy(target: &Target, lines: &Rc<Lines>, other: Other, ended: &Rc<Cell<u32>>) -> JoinSet<String> {
    let messages = &target.messages;
    let requests: Vec<Request> = match other {
        Other::Nothing => Vec::new(),
        Other::Rotations => (0..WRITERS).map(|number| messages.request(Work::Rotate, number)).collect(),
        Other::Rekeying => {
            let message =
                RotateNamespaceKeysRequest { namespace: messages.namespace.clone(), ..Default::default() };
            vec![Request::new("strongroom.v1.OperatorService/RotateNamespaceKeys", &messages.key, &message)]
        }
    };
    let mut others = JoinSet::new();
    for request in requests {
        let (lines, ended) = (lines.clone(), ended.clone());
        others.spawn_local(async move {
            loop {
                match lines.clone().send(request.clone(), LONG).await {
                    Outcome::Answered => ended.set(ended.get() + 1),
                    Outcome::Late => return "late".into(),
                    Outcome::Failed(reason) => return reason,
                }
            }
        });
    }
    others
}
