//! Power loss: after a power failure at any moment, the store opens and holds every acknowledged change. It holds every
//! other change whole or not at all.
//!
//! A machine (machine.rs: a process with mounts of its own) runs the store on ext4 or XFS, on a loop device over a disk that
//! logs every write and flush (disk.rs, fuse.rs). It notes which changes were acknowledged at which position of that log
//! (life.rs, history.rs). Then images of the disk are made as power losses could leave it (image.rs), and another machine
//! checks each image. A seed decides what is written (workload.rs); the timing depends on the computer.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `STRONGROOM_POWER_IMAGES` | the number of images of each scenario; 12 by default |
//! | `STRONGROOM_POWER_SEED` | the seed; 1 by default |
//! | `STRONGROOM_POWER_ONLY` | one scenario, and the number of the one image to try: `churn:7` |

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Everything here is private to one test binary.
#![allow(missing_docs, unreachable_pub)]

mod disk;
mod fuse;
mod history;
mod image;
mod life;
mod machine;
mod scenario;
mod subject;
mod workload;

use self::history::{Expected, What};
use self::image::Recording;
use self::machine::FileSystem;
use self::scenario::say;

macro_rules! holds_through_power_loss {
    ($($scenario:ident),* $(,)?) => {$(
        #[test]
        fn $scenario() {
            let Some(outcome) = run(stringify!($scenario)) else { return };
            assert!(outcome.failures.is_empty(), "{}", outcome.failures.join("\n"));
        }
    )*};
}

holds_through_power_loss!(
    single_commits,
    group_commits,
    large_values,
    largest_records,
    large_batches,
    purges,
    first_start,
    reopen_after_a_crash,
    churn,
    churn_on_xfs,
);

/// Proves that this suite finds lost changes: sled alone, flushed as its documentation says, loses some.
#[test]
fn control() {
    let Some(outcome) = run("control") else { return };
    assert!(!outcome.failures.is_empty(), "{} images of sled alone, and none lost a change", outcome.tried);
}

/// Proves that the disk loses writes that were not synced. So nothing between the store and the disk adds a sync or leaves
/// one out.
#[test]
fn only_synced_writes_survive_a_crash() {
    if !ready("only_synced_writes_survive_a_crash", FileSystem::Ext4) {
        return;
    }
    let environment = [
        (life::SCENARIO, "control".to_owned()),
        (life::SEED, "0".to_owned()),
        (life::EXPECTED, Expected::nothing(1).to_string()),
    ];
    let run = machine::run(FileSystem::Ext4, machine::formatted(FileSystem::Ext4), &["probe"], &environment);
    run.outcome.unwrap();
    let notes = history::read(&run.notes);
    let at = |what, change| notes.iter().find(|note| note.what == what && note.change == change).unwrap().at;
    let recording = Recording {
        before: machine::formatted(FileSystem::Ext4),
        log: run.disk.log,
        notes: vec![],
        expected: Expected::nothing(1),
    };

    for (end, bytes) in [
        (at(What::Submitted, 0), 0),
        (at(What::Submitted, 1), 100_000),
        (at(What::Acknowledged, 0), 100_000),
        (at(What::Acknowledged, 1), 200_000),
    ] {
        let looked = machine::run(FileSystem::Ext4, recording.worst_at(end), &["look"], &environment);
        looked.outcome.unwrap();
        assert_eq!(looked.notes, [bytes.to_string()], "a crash at {end}");
    }
}

/// Not a test: the program of a machine.
#[test]
#[ignore = "the tests start it themselves, in machines of their own"]
fn machine() {
    life::lead();
}

/// Runs a scenario as the environment says. `None` where this computer cannot run it, or another one was chosen.
fn run(name: &str) -> Option<scenario::Outcome> {
    let scenario = scenario::named(name);
    if !ready(name, scenario.file_system) {
        return None;
    }
    let only = std::env::var("STRONGROOM_POWER_ONLY").ok();
    let only = only.as_ref().map(|only| only.split_once(':').expect("SCENARIO:IMAGE"));
    if only.is_some_and(|(wanted, _)| wanted != name) {
        return None;
    }
    let only = only.map(|(_, image)| image.parse().unwrap());
    Some(scenario.run(
        number("STRONGROOM_POWER_SEED", 1),
        number("STRONGROOM_POWER_IMAGES", 12) as usize,
        only,
    ))
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

/// Whether this computer can run machines. In CI, where no test may be skipped, it is an error if it cannot.
fn ready(name: &str, file_system: FileSystem) -> bool {
    let Some(reason) = machine::missing(file_system) else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} cannot run: {reason}");
    say(&format!("power: {name} SKIPPED: {reason}"));
    false
}
