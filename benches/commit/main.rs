//! Measures a durable commit: the service and its store beside the bare engine, which makes as many syncs.
//!
//! 1, 16 and 64 writers at once create and rotate secrets of 256 bytes. Each writer begins its next change as soon as the
//! one before is durable. Four contenders take turns within one run, so that other load on the computer falls on all:
//!
//! - `engine, a sync each`: sled alone; each writer applies its batch and syncs by itself.
//! - `engine, grouped`: sled alone; one thread takes all waiting batches, applies them as one and syncs once.
//! - `store`: [`Store::commit`], which also checks the preconditions of the transaction, and keeps the change for watchers.
//! - `service`: [`SecretOperations::create`] and [`SecretOperations::rotate`], which also seal the records and wait until the
//!   catalog shows them.
//!
//! A rotation is one of a secret with as many versions as are kept: its record has the times and the seal of each of them.
//!
//! All four write records of the same sizes, into folders of their own on the same disk. It must be a real disk:
//! `STRONGROOM_BENCH_DIR` chooses the folder; the default is cargo's target folder. No result counts as a failure.
//!
//! [`SecretOperations::create`]: strongroom::app::SecretOperations::create
//! [`SecretOperations::rotate`]: strongroom::app::SecretOperations::rotate

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

mod engine;
mod report;
mod service;
#[path = "../tools/mod.rs"]
mod tools;
mod work;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use strongroom::domain::MAX_KEPT_VERSIONS;

use self::engine::Engine;
use self::report::Round;
use self::service::{OverApp, OverStore};
use self::tools::{data_folder, is_quick, processor_time, record};
use self::work::{Kind, Sizes};

const WRITERS: [usize; 3] = [1, 16, 64];
const ROUNDS: usize = 11;
const ROUND: Duration = Duration::from_millis(350);

/// One of many writers. `change` returns once the change is durable. It returns the number of the sync that made it so,
/// which is the same for all changes of one sync.
trait Writer: Send + 'static {
    fn change(&mut self, kind: Kind) -> impl Future<Output = u64> + Send;
}

fn main() {
    let folder = data_folder();
    let (all_writers, count_rounds) =
        if is_quick() { (&WRITERS[2..], ROUNDS / 2) } else { (&WRITERS[..], ROUNDS) };
    // The same runtime as the server's.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let sizes = Sizes::measured().await;
        report::begin(folder.path(), sizes, count_rounds, ROUND);
        for kind in [Kind::Create, Kind::Rotate] {
            // Each kind has folders of its own, so that it does not begin among the other kind's records.
            let place = |name: &str| {
                let place = folder.path().join(format!("{kind:?}-{name}"));
                std::fs::create_dir(&place).expect("a folder for a contender");
                place
            };
            let most = WRITERS[WRITERS.len() - 1];
            let mut alone = Engine::open(&place("alone"), sizes).writers_alone(most);
            let mut grouped = Engine::open(&place("grouped"), sizes).writers_grouped(most);
            let mut store = OverStore::writers(&place("store"), sizes, most).await;
            let mut app = OverApp::writers(&place("service"), most).await;
            if kind == Kind::Rotate {
                fill(&mut alone).await;
                fill(&mut grouped).await;
                fill(&mut store).await;
                fill(&mut app).await;
            }
            for writers in all_writers.iter().copied() {
                let mut rounds: [Vec<Round>; 4] = Default::default();
                for at in 0..=count_rounds {
                    let round = [
                        run(&mut alone, writers, kind).await,
                        run(&mut grouped, writers, kind).await,
                        run(&mut store, writers, kind).await,
                        run(&mut app, writers, kind).await,
                    ];
                    // The first round only warms up.
                    if at > 0 {
                        rounds.iter_mut().zip(round).for_each(|(rounds, round)| rounds.push(round));
                    }
                }
                let (rate, processor) = report::rows(kind, writers, rounds);
                if writers == most {
                    let names = match kind {
                        Kind::Create => ["durable_create_vs_engine_64", "durable_create_cpu_vs_engine_64"],
                        Kind::Rotate => ["durable_rotate_vs_engine_64", "durable_rotate_cpu_vs_engine_64"],
                    };
                    record(&[(names[0], rate), (names[1], processor)]);
                }
            }
        }
    });
}

/// Rotates each secret until it has as many versions as are kept, so that all rotations that are measured are alike.
async fn fill<W: Writer>(writers: &mut Vec<W>) {
    let filling: Vec<_> = writers
        .drain(..)
        .map(|mut writer| {
            tokio::spawn(async move {
                for _ in 0..MAX_KEPT_VERSIONS {
                    writer.change(Kind::Rotate).await;
                }
                writer
            })
        })
        .collect();
    for writer in filling {
        writers.push(writer.await.expect("a writer that does not fail"));
    }
}

/// Lets `count` of the writers make one change after the other for the time of a round.
async fn run<W: Writer>(writers: &mut Vec<W>, count: usize, kind: Kind) -> Round {
    let (began, used) = (Instant::now(), processor_time("self"));
    let running: Vec<_> = writers
        .drain(..count)
        .map(|mut writer| {
            tokio::spawn(async move {
                let mut syncs = Vec::new();
                while began.elapsed() < ROUND {
                    syncs.push(writer.change(kind).await);
                }
                (writer, syncs)
            })
        })
        .collect();
    let (mut commits, mut syncs) = (0, HashSet::new());
    for writer in running {
        let (writer, its) = writer.await.expect("a writer that does not fail");
        writers.push(writer);
        commits += its.len();
        syncs.extend(its);
    }
    Round { commits, syncs: syncs.len(), took: began.elapsed(), used: processor_time("self") - used }
}
