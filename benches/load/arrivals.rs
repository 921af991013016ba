//! When requests are due: at the times of a Poisson process, as those of many independent callers are.
//!
//! The times are fixed before the first request is sent. No answer, however late, moves them.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::mix::{Mix, Work};
use crate::random::Random;

/// A request, and the time at which it is due.
pub struct Arrival {
    pub due: tokio::time::Instant,
    pub work: Work,
}

/// The requests of a step, each with its time since the begin of the step.
pub struct Schedule {
    random: Random,
    mix: Mix,
    /// Requests a second.
    rate: f64,
    /// The time of the request before, in seconds.
    at: f64,
    /// The time at which it ends, in seconds.
    end: f64,
}

impl Schedule {
    /// `rate`: requests a second, on average.
    pub fn new(random: Random, mix: Mix, rate: f64, time: Duration) -> Self {
        Self { random, mix, rate, at: 0.0, end: time.as_secs_f64() }
    }

    /// Gives each request at its time, from a thread of its own: tokio's timers are as coarse as a millisecond.
    pub fn paced(self) -> UnboundedReceiver<Arrival> {
        let (sender, receiver) = unbounded_channel();
        std::thread::spawn(move || {
            let begun = Instant::now();
            for (after, work) in self {
                let due = begun + after;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if sender.send(Arrival { due: due.into(), work }).is_err() {
                    return; // the run was interrupted
                }
            }
        });
        receiver
    }
}

impl Iterator for Schedule {
    type Item = (Duration, Work);

    fn next(&mut self) -> Option<Self::Item> {
        self.at += self.random.exponential() / self.rate;
        let work = self.mix.choose(&mut self.random);
        (self.at < self.end).then(|| (Duration::from_secs_f64(self.at), work))
    }
}
