//! How the requests of a step ended, and after how long.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::mix::Work;

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should, in time.
    Answered,
    /// Not in time.
    Late,
    /// With an error: the reason of the service, or what else went wrong.
    Failed(String),
}

/// The requests of a step.
#[derive(Default)]
pub struct Tally {
    pub answered: u64,
    pub late: u64,
    /// The others, by reason.
    pub failed: BTreeMap<String, u64>,
    /// The times of the requests that were answered or late, since each was due. A late one counts with its deadline, or with more:
    /// nobody knows how long it would have taken. Those that failed are not here: a refusal is quick.
    pub latency: Latencies,
    /// The same by kind.
    pub by_work: BTreeMap<Work, Latencies>,
    /// How long after its time each request was given to its connection: what the load generator itself was late.
    pub lag: Latencies,
}

impl Tally {
    pub fn record(&mut self, work: Work, outcome: Outcome, after: Duration) {
        match outcome {
            Outcome::Answered => self.answered += 1,
            Outcome::Late => self.late += 1,
            Outcome::Failed(reason) => {
                *self.failed.entry(reason).or_default() += 1;
                return;
            }
        }
        self.latency.record(after);
        self.by_work.entry(work).or_default().record(after);
    }

    /// All requests that were due.
    pub fn offered(&self) -> u64 {
        self.answered + self.late + self.failed.values().sum::<u64>()
    }

    /// The requests without an answer in time, by reason, such as `late 12, TOO_MANY_REQUESTS 3`.
    pub fn errors(&self) -> String {
        let late = Some(("late", self.late)).filter(|(_, late)| *late > 0);
        let failed = self.failed.iter().map(|(reason, count)| (&**reason, *count));
        let all: Vec<_> =
            late.into_iter().chain(failed).map(|(name, count)| format!("{name} {count}")).collect();
        all.join(", ")
    }
}

/// Times, to three digits.
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.record(micros).expect("a histogram that grows");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that this part of all, such as 0.99, does not exceed.
    pub fn within(&self, part: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(part))
    }

    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// The distribution: parts of all, each with its time, closer to each other towards the maximum.
    pub fn distribution(&self) -> Vec<(f64, Duration)> {
        let steps = self.0.iter_quantiles(2);
        steps.map(|step| (step.quantile(), Duration::from_micros(step.value_iterated_to()))).collect()
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits"))
    }
}
