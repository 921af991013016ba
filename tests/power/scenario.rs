//! The scenarios: the load that is recorded, the number of images made of it, and the outcome.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Instant;

use strongroom::store::MAX_RECORD;

use super::disk::{Content, SIZE};
use super::history::{self, Expected};
use super::image::{Image, Recording};
use super::life;
use super::machine::{self, FileSystem};
use super::workload::{Random, Shape};

/// One kind of load, and the runs of the machine under it.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub shape: Shape,
    /// The runs of the machine while its disk is recorded. Each `write` ends by closing the store, each `killed` does not.
    pub lives: &'static [&'static str],
    /// The number of crashes and recoveries before the recording of which the images are made.
    pub crashes: usize,
    /// Use sled alone, as its documentation says, instead of Strongroom's store.
    pub control: bool,
    pub file_system: FileSystem,
}

const SHAPE: Shape =
    Shape { writers: 1, changes: 60, secrets: 8, touched: 1, value: (20, 3000), purge: u64::MAX };
const PLAIN: Scenario = Scenario {
    name: "",
    shape: SHAPE,
    lives: &["write", "killed"],
    crashes: 0,
    control: false,
    file_system: FileSystem::Ext4,
};

/// Makes sled reuse segments of its log. Opening the store then clears some of them.
const CHURN: Scenario = Scenario {
    name: "churn",
    shape: Shape { writers: 6, changes: 80, secrets: 4, touched: 2, value: (20_000, 70_000), ..SHAPE },
    lives: &["write", "killed", "write", "killed"],
    ..PLAIN
};

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "single_commits", ..PLAIN },
    Scenario {
        name: "group_commits",
        shape: Shape { writers: 8, changes: 30, ..SHAPE },
        lives: &["write", "killed", "killed"],
        ..PLAIN
    },
    Scenario {
        name: "large_values",
        shape: Shape { writers: 4, changes: 25, value: (60_000, 70_000), ..SHAPE },
        lives: &["write", "killed", "write"],
        ..PLAIN
    },
    // Leaf pages with records of the largest size only are the largest pages that sled writes.
    Scenario {
        name: "largest_records",
        shape: Shape {
            writers: 3,
            changes: 25,
            secrets: 20,
            touched: 2,
            value: (MAX_RECORD - 1000, MAX_RECORD),
            ..SHAPE
        },
        ..PLAIN
    },
    Scenario {
        name: "large_batches",
        shape: Shape { writers: 3, changes: 15, secrets: 60, touched: 28, value: (4000, 8000), ..SHAPE },
        lives: &["killed", "write", "killed"],
        ..PLAIN
    },
    // A delete has few bytes, but makes sled write more than a segment before the sync.
    Scenario {
        name: "purges",
        shape: Shape {
            writers: 3,
            changes: 48,
            secrets: 200,
            touched: 7,
            value: (64_000, 66_000),
            purge: 15,
        },
        ..PLAIN
    },
    Scenario { name: "first_start", shape: Shape { changes: 3, ..SHAPE }, lives: &["write"], ..PLAIN },
    Scenario {
        name: "reopen_after_a_crash",
        shape: Shape { writers: 4, changes: 15, value: (20, 30_000), ..SHAPE },
        lives: &["killed", "write"],
        crashes: 2,
        ..PLAIN
    },
    CHURN,
    // On XFS the store is copied while it opens, and the copy is put back after a crash.
    Scenario { name: "churn_on_xfs", crashes: 1, file_system: FileSystem::Xfs, ..CHURN },
    Scenario {
        name: "control",
        shape: Shape { writers: 4, changes: 100, ..SHAPE },
        lives: &["write"],
        control: true,
        ..PLAIN
    },
];

pub fn named(name: &str) -> Scenario {
    *SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a scenario of this name")
}

/// The number of images made of one recording.
const PER_RECORDING: usize = 30;
/// The number of images of failures that are kept.
const KEPT: usize = 3;

/// The outcome of a scenario.
#[derive(Default)]
pub struct Outcome {
    pub tried: usize,
    pub failures: Vec<String>,
    acknowledged: u64,
    /// The most bytes that were written to the disk between two flushes.
    at_once: u64,
}

impl Scenario {
    /// Records the scenario as often as needed, and checks `count` images of crashes in it.
    pub fn run(&self, seed: u64, count: usize, only: Option<usize>) -> Outcome {
        let started = Instant::now();
        let mut outcome = Outcome::default();
        for first in (0..count).step_by(PER_RECORDING) {
            let here = first..count.min(first + PER_RECORDING);
            if only.is_some_and(|only| !here.contains(&only)) {
                continue;
            }
            let seed = seed + (first / PER_RECORDING) as u64;
            let mut random = Random::new(&[seed]);
            let recording = self.record(seed, &mut random);
            outcome.at_once = outcome.at_once.max(recording.most_at_once());
            for (number, image) in here.clone().zip(recording.images(here.len(), &mut random)) {
                if only.is_none_or(|only| only == number) {
                    self.try_image(number, seed, image, &mut outcome);
                }
            }
        }
        let Outcome { tried, failures, acknowledged, at_once } = &outcome;
        let (failed, at_once, seconds) = (failures.len(), at_once / 1024, started.elapsed().as_secs());
        say(&format!(
            "power: {:<21} {tried:>4} images, {failed:>3} failed, {acknowledged:>6} acknowledged changes checked, at most {at_once:>5} KiB \
             between two flushes, {seconds} s",
            self.name
        ));
        outcome
    }

    /// Records the disk of a machine through the runs of the scenario, after the crashes that the scenario asks for.
    fn record(&self, seed: u64, random: &mut Random) -> Recording {
        let nothing = Expected::nothing(self.shape.writers);
        let mut recording = self.record_on(machine::formatted(self.file_system), nothing, seed);
        for _ in 0..self.crashes {
            let crashed = recording.images(1, random).remove(0);
            recording = self.record_on(crashed.content, crashed.expected, seed);
        }
        recording
    }

    fn record_on(&self, content: Content, expected: Expected, seed: u64) -> Recording {
        let run =
            machine::run(self.file_system, content.clone(), self.lives, &self.environment(seed, &expected));
        run.outcome.unwrap_or_else(|why| panic!("{}: a recording of seed {seed} failed: {why}", self.name));
        Recording { before: content, log: run.disk.log, notes: history::read(&run.notes), expected }
    }

    fn try_image(&self, number: usize, seed: u64, image: Image, outcome: &mut Outcome) {
        let run = machine::run(
            self.file_system,
            image.content.clone(),
            &["check"],
            &self.environment(seed, &image.expected),
        );
        outcome.tried += 1;
        outcome.acknowledged += image.expected.acknowledged();
        let Err(why) = run.outcome else { return };
        let mut failure = format!("{} image {number} of seed {seed}, {}: {why}", self.name, image.how);
        if outcome.failures.len() < KEPT && !self.control {
            let kept = keep(&format!("{}-{seed}-{number}.img", self.name), &image.content).unwrap();
            failure += &format!("the image is kept in {}; expected: {}\n", kept.display(), image.expected);
        }
        outcome.failures.push(failure);
    }

    fn environment(&self, seed: u64, expected: &Expected) -> [(&'static str, String); 3] {
        [
            (life::SCENARIO, self.name.to_owned()),
            (life::SEED, seed.to_string()),
            (life::EXPECTED, expected.to_string()),
        ]
    }
}

/// Writes an image to a file that a person can mount: `mount -o loop,ro`.
fn keep(name: &str, content: &Content) -> io::Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("power");
    fs::create_dir_all(&folder)?;
    let place = folder.join(name);
    let file = File::create(&place)?;
    file.set_len(SIZE)?;
    for (offset, block) in content.written() {
        file.write_all_at(block, offset)?;
    }
    Ok(place)
}

/// Prints a line, also when the test passes: cargo captures what a passing test prints by other means.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
