//! Measures the service under three times the load that it can carry: how many requests it still answers in time, how soon it
//! refuses the others, and whether its memory returns to what it was.
//!
//! The server has a quarter of one processor, and the clients have another. First the clients send their next request when they have an
//! answer: that gives the capacity. Then they send three times as many requests a second, whatever comes back, each with a
//! deadline of one second. Like any client of gRPC, they send no more requests at a time on a connection than the server
//! allows, and keep the others back. No result counts as a failure. Arguments are the numbers of connections, in place of 4, 16 and 64.

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

mod load;
mod server;
#[path = "../tools/mod.rs"]
mod tools;

use std::process::Command;
use std::time::Duration;

use self::load::{Clients, Outcome, Tally};
use self::server::Shared;
use self::tools::{Process, is_quick, median, processor_time, record};

/// How long each part is measured.
const PART: Duration = Duration::from_secs(8);
/// The requests in flight on each connection while the capacity is measured.
const IN_FLIGHT: usize = 64;
/// How many times the capacity is offered.
const OVERLOAD: f64 = 3.0;
const DEADLINE: Duration = Duration::from_secs(1);
/// How long after the load its memory is measured: the server looks for free memory every 5 seconds, and gives back smaller amounts every 30.
const LATER: Duration = Duration::from_secs(40);
/// Says that this process is on its own processor.
const PINNED: &str = "STRONGROOM_BENCH_PINNED";

fn main() {
    if std::env::var_os(PINNED).is_none() {
        let this = std::env::current_exe().expect("the path of this program");
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", "1"]).arg(this).args(std::env::args_os().skip(1)).env(PINNED, "1");
        let ended = pinned.status();
        let ended = ended.expect("taskset, of the package util-linux");
        std::process::exit(ended.code().unwrap_or(1));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let chosen: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
        let connections = match chosen.as_slice() {
            [] if is_quick() => &[16],
            [] => [4, 16, 64].as_slice(),
            chosen => chosen,
        };
        let mut all = Vec::new();
        for connections in connections {
            all.push(measure(*connections).await);
        }
        record(&[
            ("overload_goodput_at_3x", median(all.iter().map(|result| result.goodput))),
            ("rss_after_burst_ratio", median(all.iter().map(|result| result.memory))),
        ]);
        if !is_quick() {
            measure_idle(10_000).await;
        }
    });
}

/// What became of the service under load.
struct Overloaded {
    /// The answers in time, as a part of the capacity.
    goodput: f64,
    /// The memory after the load, as a part of the memory before.
    memory: f64,
}

async fn measure(connections: usize) -> Overloaded {
    let shared = Shared::start("").await;
    let process = &shared.server.process;
    let clients = Clients::open(&shared.server, connections).await;
    let part = if is_quick() { PART / 2 } else { PART };
    clients.closed_loop(IN_FLIGHT / (connections / 4), Duration::from_secs(1)).await;
    let begun = Used::by(process);
    let capacity = clients.closed_loop(IN_FLIGHT / (connections / 4), part).await;
    let for_capacity = Used::by(process).since(&begun);
    let before = process.resident();
    let begun = Used::by(process);
    let tally = clients.open_loop(capacity * OVERLOAD, part, DEADLINE).await;
    let in_overload = Used::by(process).since(&begun);
    let peak = process.peak();
    drop(clients);
    tokio::time::sleep(LATER).await;
    let after = process.resident();
    report(connections, capacity, part, &tally, [before, peak, after]);
    report_time(capacity, part, &tally, &for_capacity, &in_overload);
    Overloaded {
        goodput: tally.count(Outcome::Answered) as f64 / part.as_secs_f64() / capacity,
        memory: after as f64 / before as f64,
    }
}

/// What the server and its clients have used of their processors.
struct Used {
    server: Duration,
    clients: Duration,
}

impl Used {
    fn by(server: &Process) -> Self {
        Self { server: server.processor_time(), clients: processor_time("self") }
    }

    fn since(&self, begun: &Self) -> Self {
        Self { server: self.server - begun.server, clients: self.clients - begun.clients }
    }
}

/// Prints what a refusal costs the server, and whether the clients were quick enough to measure it. An answer is taken to cost the same in
/// both parts; the time of the overload has its end too, until the last request has ended.
fn report_time(capacity: f64, part: Duration, tally: &Tally, for_capacity: &Used, in_overload: &Used) {
    let seconds = part.as_secs_f64();
    let of = |time: Duration| time.as_secs_f64() / seconds;
    println!(
        "  processors: the server {:.2}, and {:.2} in the overload; the clients {:.2} and {:.2}. They came to send within {:?} of their \
         time, 99 % of the times",
        of(for_capacity.server),
        of(in_overload.server),
        of(for_capacity.clients),
        of(in_overload.clients),
        tally.lag(0.99)
    );
    let answer = of(for_capacity.server) / capacity;
    let refusals = of(in_overload.server) * seconds - tally.count(Outcome::Answered) as f64 * answer;
    let refusal = refusals / tally.count(Outcome::Refused).max(1) as f64;
    println!(
        "  of the server's time: {:.1} µs for an answer, {:.1} µs for a refusal",
        answer * 1e6,
        refusal * 1e6
    );
}

/// Prints what connections cost that do nothing, each with an API key of its own.
async fn measure_idle(many: usize) {
    let limits = format!("connections = {0}\nconnections_per_peer = {0}", many + 10);
    let shared = Shared::start(&limits).await;
    let keys = shared.keys(many).await;
    let before = shared.server.process.settled().await;
    let mut open = Vec::new();
    // A connection that has not used its key yet has fewer places.
    for keys in keys.chunks(100) {
        let clients = Clients::open(&shared.server, keys.len()).await;
        assert_eq!(clients.use_keys(keys).await, keys.len());
        open.push(clients);
    }
    let cost = shared.server.process.settled().await.saturating_sub(before);
    println!("{many} idle connections: {} MiB, {} KiB each", cost >> 20, (cost / many) >> 10);
}

fn report(
    connections: usize,
    capacity: f64,
    part: Duration,
    tally: &Tally,
    [before, peak, after]: [usize; 3],
) {
    let seconds = part.as_secs_f64();
    let answered = tally.count(Outcome::Answered) as f64 / seconds;
    println!("{connections} connections, capacity {capacity:.0} requests a second");
    println!(
        "  offered {:.2} x, answered in time {:.2} x",
        tally.sent() as f64 / seconds / capacity,
        answered / capacity
    );
    println!(
        "  answers: median {:?}, 99 % within {:?}",
        tally.within(Outcome::Answered, 0.5),
        tally.within(Outcome::Answered, 0.99)
    );
    match tally.count(Outcome::Refused) {
        0 => println!(
            "  no refusals: the clients kept {} requests back until their deadlines",
            tally.count(Outcome::Late)
        ),
        refused => println!(
            "  {refused} refusals, 99 % within {:?}, {} of them without RetryInfo; {} requests were late",
            tally.within(Outcome::Refused, 0.99),
            tally.count(Outcome::RefusedWithoutRetryInfo),
            tally.count(Outcome::Late)
        ),
    }
    if tally.count(Outcome::Lost) > 0 {
        println!("  {} requests were lost with their connections", tally.count(Outcome::Lost));
    }
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "  memory: {:.0} MiB before, {:.0} MiB at most, {:.0} MiB {} s later",
        mib(before),
        mib(peak),
        mib(after),
        LATER.as_secs()
    );
}
