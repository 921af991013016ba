//! Measures latency at one load after the other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::arrivals::Schedule;
use crate::lines::Lines;
use crate::messages::{Messages, SPREAD};
use crate::mix::{Mix, Work};
use crate::namespace::Failure;
use crate::open_loop::open_loop;
use crate::options::Options;
use crate::random::Random;
use crate::report;
use crate::tally::{Outcome, Tally};
use crate::target::Target;
use crate::tools::Request;

/// Before the capacity is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// Between two loads, and after a request of the closed loop that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// What was measured.
pub struct Latency {
    /// Answers a second in a closed loop, unless the rates were given.
    pub capacity: Option<f64>,
    pub steps: Vec<Step>,
}

/// A load.
pub struct Step {
    /// In percent of the capacity.
    pub percent: Option<u32>,
    /// Requests a second, on average.
    pub rate: f64,
    pub time: Duration,
    pub tally: Tally,
    /// How many processors the server used, where it was started for the load.
    pub processors: Option<f64>,
}

impl Step {
    /// Answers in time, a second.
    pub fn goodput(&self) -> f64 {
        self.tally.answered as f64 / self.time.as_secs_f64()
    }

    pub fn offered(&self) -> f64 {
        self.tally.offered() as f64 / self.time.as_secs_f64()
    }
}

/// Measures all loads, in a namespace that has the secrets. Must be called on a tokio `LocalSet`.
pub async fn measure(target: &Target, options: &Options) -> Result<Latency, Failure> {
    let lines = Lines::open(&target.places, options.connections.into()).await?;
    let requests = Rc::new(Requests::new(target.messages.clone(), &options.mix));
    let mut random = Random::new(options.seed);
    let (capacity, loads) = if options.rates.is_empty() {
        closed_loop(&lines, &requests, options, random.split(), WARM_UP).await?;
        let capacity = closed_loop(&lines, &requests, options, random.split(), options.time()).await?;
        let rate = |percent: &u32| (Some(*percent), capacity * f64::from(*percent) / 100.0);
        (Some(capacity), options.steps.iter().map(rate).collect())
    } else {
        (None, options.rates.iter().map(|rate| (None, *rate)).collect::<Vec<_>>())
    };
    report::begin_latency(options, capacity);
    let mut steps = Vec::new();
    for (percent, rate) in loads {
        tokio::time::sleep(PAUSE).await;
        let schedule = Schedule::new(random.split(), options.mix.clone(), rate, options.time());
        let used = || target.process().map(|process| process.processor_time());
        let (before, began) = (used(), Instant::now());
        let send = |work, left| lines.clone().send(requests.next(work), left);
        let tally = open_loop(schedule.paced(), options.deadline, send).await;
        let used = before.zip(used()).map(|(before, after)| (after - before).as_secs_f64());
        let processors = used.map(|used| used / began.elapsed().as_secs_f64());
        steps.push(Step { percent, rate, time: options.time(), tally, processors });
        report::step(&steps[steps.len() - 1]);
    }
    Ok(Latency { capacity, steps })
}

/// Sends the next request when the one before is answered. Gives the answers in a second.
async fn closed_loop(
    lines: &Rc<Lines>,
    requests: &Rc<Requests>,
    options: &Options,
    mut random: Random,
    time: Duration,
) -> Result<f64, Failure> {
    let tally = Rc::<RefCell<Tally>>::default();
    let end = Instant::now() + time;
    let mut callers = JoinSet::new();
    for _ in 0..options.in_flight {
        let (lines, requests, tally) = (lines.clone(), requests.clone(), tally.clone());
        let (mix, mut random) = (options.mix.clone(), random.split());
        callers.spawn_local(async move {
            while Instant::now() < end {
                let (work, sent) = (mix.choose(&mut random), Instant::now());
                let outcome = lines.clone().send(requests.next(work), Duration::from_secs(30)).await;
                if outcome != Outcome::Answered {
                    tokio::time::sleep(PAUSE).await;
                }
                tally.borrow_mut().record(work, outcome, sent.elapsed());
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended?;
    }
    match tally.take() {
        Tally { answered, .. } if answered > 0 => Ok(answered as f64 / time.as_secs_f64()),
        tally => Err(format!("no request was answered: {}", tally.errors()).into()),
    }
}

/// Requests of each kind, made before they are sent: the generator is to be quick.
struct Requests {
    messages: Messages,
    ready: BTreeMap<Work, Vec<Request>>,
    turn: Cell<usize>,
    /// The secrets that were created.
    created: Cell<usize>,
}

impl Requests {
    fn new(messages: Messages, mix: &Mix) -> Self {
        // Each create has a name of its own.
        let repeated = mix.works().filter(|work| *work != Work::Create);
        let of = |work| (work, (0..SPREAD).map(|number| messages.request(work, number)).collect());
        let ready = repeated.map(of).collect();
        Self { messages, ready, turn: Cell::new(0), created: Cell::new(0) }
    }

    fn next(&self, work: Work) -> Request {
        let Some(ready) = self.ready.get(&work) else {
            return self.messages.request(work, self.created.replace(self.created.get() + 1));
        };
        ready[self.turn.replace(self.turn.get() + 1) % ready.len()].clone()
    }
}
