//! When requests are due, and which.

use std::time::Duration;

use crate::arrivals::Schedule;
use crate::mix::{Mix, Work};
use crate::random::Random;

const MIX: &str = "get=90,list=5,rotate=4,create=1";

fn schedule(seed: u64, rate: f64, seconds: u64) -> Vec<(Duration, Work)> {
    Schedule::new(Random::new(seed), MIX.parse().unwrap(), rate, Duration::from_secs(seconds)).collect()
}

#[test]
fn a_seed_repeats_the_requests() {
    assert_eq!(schedule(7, 100.0, 10), schedule(7, 100.0, 10));
    assert_ne!(schedule(7, 100.0, 10), schedule(8, 100.0, 10));
}

/// The gaps of a Poisson process have an exponential distribution: its deviation is its mean, and the part 1 - 1/e is shorter
/// than the mean.
#[test]
fn arrivals_are_a_poisson_process() {
    let times: Vec<_> = schedule(1, 1000.0, 100).iter().map(|(after, _)| after.as_secs_f64()).collect();
    assert!(times.is_sorted());
    assert!(times.last().unwrap() < &100.0);
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let count = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / count;
    let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count).sqrt();
    let short = gaps.iter().filter(|gap| **gap < mean).count() as f64 / count;
    assert!((mean * 1000.0 - 1.0).abs() < 0.02, "{mean}");
    assert!((deviation / mean - 1.0).abs() < 0.02, "{deviation}");
    assert!((short - (1.0 - (-1.0_f64).exp())).abs() < 0.01, "{short}");
}

#[test]
fn requests_are_mixed_in_proportion() {
    let all = schedule(1, 1000.0, 100);
    for (work, percent) in [(Work::Get, 90.0), (Work::List, 5.0), (Work::Rotate, 4.0), (Work::Create, 1.0)] {
        let count = all.iter().filter(|(_, other)| *other == work).count();
        let measured = count as f64 * 100.0 / all.len() as f64;
        assert!((measured - percent).abs() < 0.5, "{work:?}: {measured} %");
    }
}

#[test]
fn a_mix_says_what_is_wrong_with_it() {
    for (text, reason) in [
        ("get", "has no `=`"),
        ("got=1", "is none of get, batch_get, list, list_filtered, create, update, rotate"),
        ("delete=1", "is none of"),
        ("get=some", "is not a number"),
        ("get=1,get=2", "twice"),
        ("get=0", "nothing is left to send"),
    ] {
        let error = text.parse::<Mix>().expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
    assert_eq!("get=3,list=0,rotate=1".parse::<Mix>().unwrap().to_string(), "get=3,rotate=1");
}
