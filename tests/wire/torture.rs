//! Kills servers at random moments, again and again. Acknowledged changes stay; every other change is whole or absent.
//!
//! `STRONGROOM_TORTURE_ROUNDS` is the number of kills. `STRONGROOM_TORTURE_SEED` repeats the choices of a run. The timing
//! depends on the machine, so a seed makes a failure likely to come again, but not certain.

mod change;
mod lane;
mod load;
mod model;
mod random;

use std::io::Write;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use uuid::Uuid;

use self::lane::Lane;
use self::random::Random;

/// The number of servers side by side, each with a data folder of its own. They mostly wait for the disk.
const LANES: u64 = 4;

#[test]
fn kills_at_random_moments_lose_no_acknowledged_change_and_leave_none_half_made() {
    let rounds = setting("STRONGROOM_TORTURE_ROUNDS").unwrap_or(200);
    let seed = setting("STRONGROOM_TORTURE_SEED").unwrap_or_else(|| Uuid::new_v4().as_u64_pair().1);
    say(&format!("torture: {rounds} kills, STRONGROOM_TORTURE_SEED={seed}"));
    let mut random = Random::new(seed);
    let left = Rounds(AtomicU64::new(rounds));
    let total = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|_| {
                let (random, left) = (random.split(), &left);
                scope.spawn(move || Lane::new(random).run(left))
            })
            .collect();
        let mut total = Figures::default();
        for lane in lanes {
            match lane.join() {
                Ok(figures) => total += figures,
                Err(panic) => {
                    left.end();
                    say(&format!("torture: FAILED with STRONGROOM_TORTURE_SEED={seed}"));
                    std::panic::resume_unwind(panic);
                }
            }
        }
        total
    });
    assert_eq!(total.kills(), rounds);
    say(&total.to_string());
}

/// The kills that are still to be made.
struct Rounds(AtomicU64);

impl Rounds {
    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

/// The figures of a run.
#[derive(Default)]
struct Figures {
    under_load: u64,
    after_start: u64,
    during_start: u64,
    during_stop: u64,
    acknowledged: u64,
    made: u64,
    not_made: u64,
    repeated: u64,
}

impl Figures {
    fn kills(&self) -> u64 {
        self.under_load + self.after_start + self.during_start + self.during_stop
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.under_load += other.under_load;
        self.after_start += other.after_start;
        self.during_start += other.during_start;
        self.during_stop += other.during_stop;
        self.acknowledged += other.acknowledged;
        self.made += other.made;
        self.not_made += other.not_made;
        self.repeated += other.repeated;
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            to,
            "torture: {} kills ({} under load, {} right after the start, {} during it, {} during the stop); {} changes \
             acknowledged, 0 lost; in flight at a kill: {} made, {} not made, {} of them asked for again",
            self.kills(),
            self.under_load,
            self.after_start,
            self.during_start,
            self.during_stop,
            self.acknowledged,
            self.made,
            self.not_made,
            self.repeated
        )
    }
}

fn setting(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number, not {text:?}")))
}

/// Writes past the test harness, so that a passing run reports its figures too.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
