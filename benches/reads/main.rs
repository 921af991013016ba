//! Measures what reads cost the server: a Get beside a bare tonic echo of the same sizes, with TLS and without, and reads
//! among many secrets beside the same reads among 1,000. Also the start, the memory and the disk of many secrets.
//!
//! Each contender is a process of its own. All take turns in each round, so that other load on the machine falls on all. The cost is
//! the time of processors that the process has used, its threads in the kernel too. A ratio is the median of the ratios of the
//! rounds. `STRONGROOM_BENCH_SECRETS` is the number of many secrets: 1,000,000 by default, 100,000 in a quick run. Arguments
//! choose contenders by the beginnings of their names, such as `get` (or `=get` for that one alone), and leave out the rest; then
//! nothing is recorded. `STRONGROOM_BENCH_MANY` is a folder that keeps the many secrets for the next run. `STRONGROOM_BENCH_PERF` is a file into which perf profiles the first of them.
//! `STRONGROOM_BENCH_OTHER` is another binary of the server, which is measured beside this one: the ratio of two builds. No result
//! counts as a failure.

// A measurement stops at the first error, and prints its result.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]
// Everything here is private to one binary.
#![allow(missing_docs, unreachable_pub)]

mod contenders;
mod echo;
mod many;
#[path = "../tools/mod.rs"]
mod tools;

use std::time::{Duration, Instant};

use self::contenders::{Contender, Few};
use self::many::Many;
use self::tools::{is_quick, median, record};

/// The argument that makes this program the echo.
pub const ECHO: &str = "--echo";
/// The number of few secrets.
pub const FEW: usize = 1000;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [echo, size, tls @ ..] = &*arguments
        && echo == ECHO
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let tls = match tls {
            [certificate, key] => Some((certificate.clone(), key.clone())),
            _ => None,
        };
        return runtime.block_on(echo::serve(size.parse().expect("a size"), tls));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&arguments));
}

async fn measure(chosen: &[String]) {
    let is_chosen = |name: &str| {
        let is_meant = |chosen: &String| match chosen.strip_prefix('=') {
            Some(whole) => name == whole,
            None => name.starts_with(&**chosen),
        };
        chosen.is_empty() || chosen.iter().any(is_meant)
    };
    // The many first: no connection waits while they are made.
    let many = match many::MANY.iter().any(|name| is_chosen(name)) {
        true => Some(Many::start().await),
        false => None,
    };
    if let Some(many) = &many {
        println!(
            "{} secrets: ready after {:.2} s, {:.0} bytes of memory ({:.0} at most during the start) and {:.0} of disk each",
            many.secrets, many.open_seconds, many.memory_each, many.peak_each, many.disk_each
        );
    }
    let few = Few::start().await;
    let mut contenders: Vec<_> = few.contenders(chosen.is_empty()).await;
    if let Some(many) = &many {
        contenders.extend(many.contenders().await);
    }
    contenders.retain(|contender| is_chosen(contender.name));
    let rounds = if is_quick() { 7 } else { 15 };
    let profile = std::env::var_os("STRONGROOM_BENCH_PERF").map(|file| contenders[0].process.profile(&file));
    let mut costs: Vec<Vec<Cost>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (contender, costs) in contenders.iter().zip(&mut costs) {
            let cost = run(contender, round).await;
            // The first round only warms up.
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    drop(profile);
    println!("{:<18} {:>12} {:>12} {:>12}   medians of {rounds} rounds", "", "CPU µs", "wall µs", "bytes");
    for (contender, costs) in contenders.iter().zip(&costs) {
        let micros =
            |pick: fn(&Cost) -> Duration| median(costs.iter().map(|cost| pick(cost).as_secs_f64() * 1e6));
        println!(
            "{:<18} {:>12.1} {:>12.1} {:>12}",
            contender.name,
            micros(|cost| cost.processor),
            micros(|cost| cost.wall),
            costs[0].received
        );
    }
    let costs_of =
        |name: &str| contenders.iter().position(|contender| contender.name == name).map(|at| &costs[at]);
    let mut results = Vec::new();
    for (result, over, under) in contenders::RATIOS {
        let (Some(over), Some(under)) = (costs_of(over), costs_of(under)) else { continue };
        let ratio = |pick: fn(&Cost) -> Duration| {
            let pairs = over.iter().zip(under);
            median(pairs.map(|(over, under)| pick(over).as_secs_f64() / pick(under).as_secs_f64()))
        };
        let (processor, wall) = (ratio(|cost| cost.processor), ratio(|cost| cost.wall));
        println!("{result:<24} {processor:.3} (wall {wall:.3})");
        results.push((result.to_owned(), processor));
        results.push((format!("{result}_wall"), wall));
    }
    if !chosen.is_empty() {
        return;
    }
    for (contender, costs) in contenders.iter().zip(&costs) {
        let cost = median(costs.iter().map(|cost| cost.processor.as_secs_f64() * 1e6));
        results.push((format!("{}_cpu_us", contender.name), cost));
    }
    if let Some(many) = many {
        results.push(("secrets".to_owned(), many.secrets as f64));
        results.push(("open_1m_seconds".to_owned(), many.open_seconds));
        results.push(("catalog_bytes_per_secret".to_owned(), many.memory_each));
        results.push(("disk_bytes_per_secret".to_owned(), many.disk_each));
    }
    let results: Vec<_> = results.iter().map(|(name, number)| (&**name, *number)).collect();
    record(&results);
}

/// What a request has cost on average, in one round.
struct Cost {
    /// The time of processors.
    processor: Duration,
    /// The time on the clock, with many requests at a time.
    wall: Duration,
    /// The bytes of an answer.
    received: usize,
}

async fn run(contender: &Contender<'_>, round: usize) -> Cost {
    let many = if is_quick() { contender.requests_of_a_round / 2 } else { contender.requests_of_a_round };
    let (before, began) = (contender.process.processor_time(), Instant::now());
    // Each round goes on where the one before has ended: a name can be created once.
    let next = round * many % contender.requests.len();
    let requests = contender.requests.get(next..next + many).unwrap_or(&contender.requests);
    let received = contender.connections.send(requests, many, contenders::IN_FLIGHT).await;
    let (wall, processor) = (began.elapsed(), contender.process.processor_time() - before);
    let each = u32::try_from(many).expect("few requests");
    Cost { processor: processor / each, wall: wall / each, received: received / many }
}
