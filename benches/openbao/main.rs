//! Measures what a read and a rewrite of a secret of 256 bytes cost the server, Strongroom beside OpenBao.
//!
//! `STRONGROOM_BENCH_BAO` is the path of OpenBao's program. Each server is a process of its own. It listens on 127.0.0.1 without TLS, has
//! 1,000 secrets and keeps 100 versions of each, on the same disk. Each writes an audit log, and syncs each change to the disk
//! before it answers. Each request has a credential of an ordinary principal: an API key with the role `editor`, and a service token with
//! a policy for the path of the secrets. OpenBao gives each token the policy `default` too; `no_default` is a read with a token that was made
//! without it. There are 64 requests at a time: over gRPC on 4 connections for Strongroom, and on 64 connections for
//! OpenBao, since its listener without TLS speaks HTTP/1.1, which has one request at a time on each.
//!
//! All contenders take turns in each round, so that other load on the machine falls on all. The cost is the time of processors that
//! the process has used, its threads in the kernel too. A ratio is the median of the ratios of the rounds. It is OpenBao's cost divided
//! by Strongroom's: larger means that Strongroom is cheaper. No result counts as a failure.

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

mod bao;
mod contenders;
mod http1;
#[path = "../tools/mod.rs"]
mod tools;

use std::time::{Duration, Instant};

use self::contenders::{Contender, Servers};
use self::tools::{is_quick, median, record};

/// The results: the first contender is OpenBao's.
const RATIOS: [(&str, &str, &str); 3] = [
    ("read_cpu_vs_openbao", "openbao_read", "read"),
    ("read_cpu_vs_openbao_no_default", "openbao_read_no_default", "read"),
    ("rewrite_cpu_vs_openbao", "openbao_rewrite", "rewrite"),
];

fn main() {
    let program = bao::program();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let servers = Servers::start(&program).await;
        let mut contenders = servers.contenders().await;
        measure(&mut contenders).await;
    });
}

async fn measure(contenders: &mut [Contender<'_>]) {
    let rounds = if is_quick() { 5 } else { 11 };
    let mut costs: Vec<Vec<Cost>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (contender, costs) in contenders.iter_mut().zip(&mut costs) {
            let cost = run(contender).await;
            // The first round only warms up.
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    println!("{:<24} {:>12} {:>12}   a request, medians of {rounds} rounds", "", "CPU µs", "wall µs");
    let mut results = Vec::new();
    for (contender, costs) in contenders.iter().zip(&costs) {
        let micros =
            |pick: fn(&Cost) -> Duration| median(costs.iter().map(|cost| pick(cost).as_secs_f64() * 1e6));
        let (processor, wall) = (micros(|cost| cost.processor), micros(|cost| cost.wall));
        println!("{:<24} {processor:>12.1} {wall:>12.1}", contender.name);
        results.push((format!("{}_cpu_us", contender.name), processor));
    }
    println!("OpenBao's cost divided by Strongroom's: larger means that Strongroom is cheaper.");
    let costs_of = |name: &str| {
        let at = contenders.iter().position(|contender| contender.name == name);
        &costs[at.expect("a contender")]
    };
    for (result, over, under) in RATIOS {
        let ratio = |pick: fn(&Cost) -> Duration| {
            let pairs = costs_of(over).iter().zip(costs_of(under));
            median(pairs.map(|(over, under)| pick(over).as_secs_f64() / pick(under).as_secs_f64()))
        };
        let (processor, wall) = (ratio(|cost| cost.processor), ratio(|cost| cost.wall));
        println!("{result:<32} {processor:.2} (wall {wall:.2})");
        results.push((result.to_owned(), processor));
        results.push((format!("{result}_wall"), wall));
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
}

async fn run(contender: &mut Contender<'_>) -> Cost {
    let many = contender.requests_of_a_round / if is_quick() { 2 } else { 1 };
    let (before, began) = (contender.process.processor_time(), Instant::now());
    contender.load.send(many).await;
    let (wall, processor) = (began.elapsed(), contender.process.processor_time() - before);
    let each = u32::try_from(many).expect("few requests");
    Cost { processor: processor / each, wall: wall / each }
}
