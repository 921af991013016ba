//! Measures replicas over one etcd: creates of 32 and of 128 clients through 1, 2 and 3 replicas, beside one server over sled, and the start of
//! a replica over a full store.
//!
//! The contenders take turns within one run, so that other load on the computer falls on all. All of them, etcd and the clients
//! share the processors of the machine and one disk, where each commit is synced: `STRONGROOM_BENCH_DIR` chooses the folder; the
//! default is cargo's target folder. With `STRONGROOM_BENCH_SECRETS`, the start of a replica over so many secrets is measured
//! instead. With `STRONGROOM_BENCH_OTHER`, the server of another build takes part too. No result counts as a failure.

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

#[path = "../../tests/tools/etcd.rs"]
mod etcd;
mod server;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::etcd::Etcd;
use self::server::{Build, Client, Server};

/// How many clients create secrets at the same time: few, and enough to fill the commits of three replicas.
const CLIENTS: [usize; 2] = [32, 128];
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(1200);
/// How many clients fill a store for the measurement of its start.
const FILLERS: usize = 64;
const STARTS: usize = 5;

/// Servers that answer as one.
struct Contender {
    name: String,
    servers: Vec<Server>,
    clients: Vec<Client>,
    rates: Vec<f64>,
    /// The changes and the commits before the measurement.
    before: (f64, f64),
}

fn main() {
    let place = std::env::var_os("STRONGROOM_BENCH_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR").into());
    let etcd = Etcd::start_in(Path::new(&place)).expect("an etcd");
    let secrets = std::env::var("STRONGROOM_BENCH_SECRETS").ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match secrets {
            Some(secrets) => starts(&etcd, Path::new(&place), secrets.parse().expect("a number")).await,
            None => creates(&etcd, Path::new(&place)).await,
        }
    });
}

async fn creates(etcd: &Etcd, place: &Path) {
    let mut contenders = vec![Contender::new("sled".into(), vec![Build::This.over_sled(place)])];
    for build in Build::all() {
        for count in 1..=3 {
            let prefix = format!("{build:?}_{count}/");
            let first = build.over_etcd(place, &etcd.url(), &prefix, None);
            let others: Vec<_> =
                (1..count).map(|_| build.over_etcd(place, &etcd.url(), &prefix, Some(&first))).collect();
            let servers = std::iter::once(first).chain(others).collect();
            contenders.push(Contender::new(format!("{}etcd, {count} replica(s)", build.label()), servers));
        }
    }
    println!("Creates in {}, {ROUNDS} rounds of {} ms each, in turns.", place.display(), ROUND.as_millis());
    for clients in CLIENTS {
        measure(&mut contenders, clients).await;
    }
}

/// Measures all contenders with so many clients, and prints the result.
async fn measure(contenders: &mut [Contender], clients: usize) {
    for contender in &mut *contenders {
        contender.connect(clients).await;
    }
    println!(
        "\n{:<24} {:>8} {:>8} {:>8}  {:>14}",
        format!("creates/s, {clients} clients"),
        "min",
        "median",
        "max",
        "changes/commit"
    );
    for round in 0..=ROUNDS {
        for contender in &mut *contenders {
            let rate = contender.create().await;
            // The first round only warms up.
            if round > 0 {
                contender.rates.push(rate);
            }
        }
    }
    let mut medians = Vec::new();
    for contender in &mut *contenders {
        contender.rates.sort_unstable_by(f64::total_cmp);
        let (rates, median) = (&contender.rates, contender.rates[ROUNDS / 2]);
        let (changes, commits) = contender.batches();
        println!(
            "{:<24} {:>8.0} {median:>8.0} {:>8.0}  {:>14.1}",
            contender.name,
            rates[0],
            rates[ROUNDS - 1],
            (changes - contender.before.0) / f64::max(commits - contender.before.1, 1.0)
        );
        medians.push(median);
    }
    let (sled, medians) = (medians[0], &medians[1..]);
    for (build, medians) in Build::all().into_iter().zip(medians.chunks(3)) {
        println!("{}1 replica / sled: {:.2}", build.label(), medians[0] / sled);
        println!("{}2 replicas / 1:   {:.2}", build.label(), medians[1] / medians[0]);
        println!("{}3 replicas / 1:   {:.2}", build.label(), medians[2] / medians[0]);
    }
}

impl Contender {
    fn new(name: String, servers: Vec<Server>) -> Self {
        Self { name, servers, clients: Vec::new(), rates: Vec::new(), before: (0.0, 0.0) }
    }

    /// Replaces its clients by so many new ones, and forgets what was measured.
    async fn connect(&mut self, clients: usize) {
        let root_key = self.servers[0].root_key();
        self.clients.clear();
        for number in 0..clients {
            self.clients.push(self.servers[number % self.servers.len()].client(&root_key).await);
        }
        self.rates.clear();
        self.before = self.batches();
    }

    /// Lets each client create one secret after the other for the time of a round. Gives the creates in a second.
    async fn create(&mut self) -> f64 {
        let begun = Instant::now();
        let running: Vec<_> = self
            .clients
            .drain(..)
            .map(|mut client| {
                tokio::spawn(async move {
                    let mut made = 0_u32;
                    while begun.elapsed() < ROUND {
                        client.create(&next_name()).await;
                        made += 1;
                    }
                    (client, made)
                })
            })
            .collect();
        let mut made = 0;
        for client in running {
            let (client, its) = client.await.expect("a client that does not fail");
            self.clients.push(client);
            made += its;
        }
        f64::from(made) / begun.elapsed().as_secs_f64()
    }

    /// How many changes the commits of the servers have had so far, and how many commits there were.
    fn batches(&self) -> (f64, f64) {
        let all = self.servers.iter().map(Server::batches);
        all.fold((0.0, 0.0), |(changes, commits), (more, further)| (changes + more, commits + further))
    }
}

fn next_name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("service_{}_database_password", NUMBER.fetch_add(1, Ordering::Relaxed))
}

async fn starts(etcd: &Etcd, place: &Path, secrets: u64) {
    let first = Build::This.over_etcd(place, &etcd.url(), "full/", None);
    let root_key = first.root_key();
    let begun = Instant::now();
    let mut fillers = Vec::new();
    for number in 0..FILLERS as u64 {
        let mut client = first.client(&root_key).await;
        fillers.push(tokio::spawn(async move {
            for _ in (number..secrets).step_by(FILLERS) {
                client.create(&next_name()).await;
            }
        }));
    }
    for filler in fillers {
        filler.await.expect("a client that does not fail");
    }
    println!("{secrets} secrets were created in {:.0} s.", begun.elapsed().as_secs_f64());
    let mut all: Vec<_> = Build::all().into_iter().map(|build| (build, Vec::new())).collect();
    for _ in 0..STARTS {
        for (build, times) in &mut all {
            let begun = Instant::now();
            let replica = build.over_etcd(place, &etcd.url(), "full/", Some(&first));
            times.push(begun.elapsed().as_secs_f64());
            drop(replica);
        }
    }
    for (build, times) in &mut all {
        times.sort_unstable_by(f64::total_cmp);
        println!(
            "{}A replica over them is ready after {:.2} s (median of {STARTS} starts; {:.2} to {:.2} s).",
            build.label(),
            times[STARTS / 2],
            times[0],
            times[STARTS - 1]
        );
    }
}
