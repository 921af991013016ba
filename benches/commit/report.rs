use std::path::Path;
use std::time::Duration;

use strongroom::domain::MAX_KEPT_VERSIONS;

use super::work::{Kind, Sizes};

/// The work of some writers in one round.
pub struct Round {
    pub commits: usize,
    pub syncs: usize,
    pub took: Duration,
    /// The time of processors, in all threads of the writers and of the contender, and in the kernel.
    pub used: Duration,
}

impl Round {
    fn rate(&self) -> f64 {
        self.commits as f64 / self.took.as_secs_f64()
    }

    /// The time of processors for a commit, in microseconds.
    fn cost(&self) -> f64 {
        self.used.as_secs_f64() * 1e6 / self.commits as f64
    }

    fn per_sync(&self) -> f64 {
        self.commits as f64 / self.syncs as f64
    }
}

/// Prints what is measured, and the head of the table.
pub fn begin(folder: &Path, sizes: Sizes, rounds: usize, round: Duration) {
    println!("Durable commits in {}, on {}.", folder.display(), file_system(folder));
    println!(
        "A secret's records are of {} bytes (name), {} (secret; {} with {MAX_KEPT_VERSIONS} versions, as in rotations), {} (version) \
         and {} (event), the digest of {} bytes.",
        sizes.name, sizes.secret, sizes.rotated, sizes.version, sizes.event, sizes.digest
    );
    println!(
        "{rounds} rounds of {} ms of each contender, in turns. `x grouped` is the ratio of the medians.\n",
        round.as_millis()
    );
    println!(
        "{:<7} {:>7}  {:<20} {:>8} {:>8} {:>8}  {:>12}  {:>9}  {:>10}",
        "change", "writers", "commits/s", "min", "median", "max", "commits/sync", "x grouped", "CPU, us"
    );
}

/// Prints the rows of the four contenders with this number of writers. Gives the service's rate as a part of that of the engine with
/// the same groups, and its time of processors for a commit as a part of the engine's: medians of the rounds, in each of which both
/// had a turn.
pub fn rows(kind: Kind, writers: usize, rounds: [Vec<Round>; 4]) -> (f64, f64) {
    const NAMES: [&str; 4] = ["engine, a sync each", "engine, grouped", "store", "service"];
    let change = match kind {
        Kind::Create => "create",
        Kind::Rotate => "rotate",
    };
    let grouped = median(rounds[1].iter().map(Round::rate));
    let both = || rounds[3].iter().zip(&rounds[1]);
    let rate = median(both().map(|(service, engine)| service.rate() / engine.rate()));
    let processor = median(both().map(|(service, engine)| service.cost() / engine.cost()));
    for (name, rounds) in NAMES.into_iter().zip(rounds) {
        let rates = sorted(rounds.iter().map(Round::rate));
        let middle = median(rates.iter().copied());
        println!(
            "{change:<7} {writers:>7}  {name:<20} {:>8.0} {middle:>8.0} {:>8.0}  {:>12.1}  {:>9.2}  {:>10.0}",
            rates[0],
            rates[rates.len() - 1],
            median(rounds.iter().map(Round::per_sync)),
            middle / grouped,
            median(rounds.iter().map(Round::cost))
        );
    }
    (rate, processor)
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values[values.len() / 2]
}

/// The file system that a folder is on, and its device.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().expect("the folder for the data");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|mount| {
        let mut fields = mount.split(' ');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    // The last of the deepest mounts counts: a mount hides an earlier one at the same place.
    let of = mounts.filter(|(_, at, _)| folder.starts_with(at)).max_by_key(|(_, at, _)| at.len());
    match of {
        Some((_, _, "tmpfs")) => "tmpfs, where a sync costs nothing: the ratios mean little".into(),
        Some((device, _, kind)) => format!("{kind} ({device})"),
        None => "an unknown file system".into(),
    }
}
