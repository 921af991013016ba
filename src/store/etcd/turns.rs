//! Whose turn it is to commit, so that replicas do not race on the digest.
//!
//! All replicas together make one commit at a time, since each commit requires the digest of the one before. Replicas that send
//! theirs at the same moment race, and all but one have to send again. So they take turns: the head of each commit names its
//! author, every replica sees it by its watch, and the next one in the order of their ids goes on at once. The replicas after it
//! wait for its commit, and go on without it when it does not come within a [`Turns::slot`]. A replica that misses its turn is out of
//! the order until it commits again. So a replica that has ended, or is frozen, delays the others once, and by one slot.
//!
//! A turn is advice, and no lock. It is kept in no place, needs no clock that replicas share, and a commit out of turn is as
//! correct as any: each requires the digest as its author knew it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::domain::Revision;

/// The id of a replica among those that commit.
pub(super) type Author = [u8; 16];

/// The bounds of a slot: shorter would be taken for missed where a processor is busy, and longer would be felt.
const SLOT: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(200));
/// How many of the last commits the usual time of a commit depends on, about.
const REMEMBERED: u32 = 8;
/// How many replicas have a place in the order. More than that take no turns.
const MAX_AUTHORS: usize = 64;

pub(super) struct Turns {
    own: Author,
    order: watch::Sender<Order>,
    /// The time that a commit of this replica usually takes.
    usual: Mutex<Duration>,
}

/// The order of the replicas that commit, and where it stands.
#[derive(Clone, Default)]
struct Order {
    authors: BTreeSet<Author>,
    /// The last commit.
    last: Option<Last>,
}

#[derive(Clone, Copy)]
struct Last {
    author: Author,
    revision: Revision,
    seen_at: Instant,
}

impl Turns {
    pub(super) fn of(own: Author) -> Self {
        Self { own, order: watch::Sender::default(), usual: Mutex::new(SLOT.0) }
    }

    pub(super) fn own(&self) -> Author {
        self.own
    }

    /// Notes a commit, which the watch shows or etcd has acknowledged.
    pub(super) fn committed(&self, author: Author, revision: Revision) {
        let slot = self.slot();
        self.order.send_if_modified(|order| order.committed(author, revision, slot));
    }

    /// Notes how long a commit of this replica took.
    pub(super) fn took(&self, time: Duration) {
        let mut usual = self.usual();
        *usual = (*usual * (REMEMBERED - 1) + time) / REMEMBERED;
    }

    /// Forgets all commits: the store is not the one that they were seen in.
    pub(super) fn forget(&self) {
        self.order.send_replace(Order::default());
    }

    /// Waits until it is this replica's turn: at once where it is the only one that commits.
    pub(super) async fn wait(&self) {
        let mut order = self.order.subscribe();
        loop {
            let due = order.borrow_and_update().due(&self.own, self.slot());
            let Some(due) = due.filter(|due| *due > Instant::now()) else { return };
            tokio::select! {
                () = sleep_until(due) => return,
                // The sender lives as long as `self`.
                _ = order.changed() => {}
            }
        }
    }

    /// How long the replicas after another one wait for its commit: twice the time that a commit usually takes.
    fn slot(&self) -> Duration {
        (*self.usual() * 2).clamp(SLOT.0, SLOT.1)
    }

    fn usual(&self) -> MutexGuard<'_, Duration> {
        self.usual.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Order {
    /// Notes a commit. Returns whether it is newer than those that are known.
    fn committed(&mut self, author: Author, revision: Revision, slot: Duration) -> bool {
        if self.last.is_some_and(|last| last.revision >= revision) {
            return false;
        }
        if let Some(last) = self.last {
            // Those in between whose slots have passed have missed their turns.
            let passed = last.seen_at.elapsed().as_nanos() / slot.as_nanos().max(1);
            let (earlier, later): (Vec<Author>, Vec<Author>) =
                self.authors.iter().copied().partition(|one| *one < last.author);
            let in_order = later.into_iter().chain(earlier);
            let skipped = in_order.filter(|one| is_between(&last.author, one, &author));
            let missed: Vec<_> = skipped.take(usize::try_from(passed).unwrap_or(usize::MAX)).collect();
            self.authors.retain(|one| !missed.contains(one));
        }
        if self.authors.len() < MAX_AUTHORS {
            self.authors.insert(author);
        }
        self.last = Some(Last { author, revision, seen_at: Instant::now() });
        true
    }

    /// When it is the turn of a replica, with so much time for each one before it. `None`: now.
    fn due(&self, own: &Author, slot: Duration) -> Option<Instant> {
        let last = self.last?;
        let before = self.authors.iter().filter(|one| is_between(&last.author, one, own)).count();
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        (before > 0).then(|| last.seen_at + slot.saturating_mul(before))
    }
}

/// Whether a replica comes after the first and before the last in the order, which begins again at its end. From a replica to
/// itself, all others are in between.
fn is_between(first: &Author, one: &Author, last: &Author) -> bool {
    if first < last { first < one && one < last } else { first < one || one < last }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const AUTHORS: [Author; 3] = [[1; 16], [2; 16], [3; 16]];

    /// Three replicas, each of which has committed.
    fn three() -> [Turns; 3] {
        let turns = AUTHORS.map(Turns::of);
        for (revision, author) in (1..).zip(AUTHORS) {
            committed(&turns, author, revision);
        }
        turns
    }

    fn committed(turns: &[Turns], author: Author, revision: u64) {
        turns.iter().for_each(|turns| turns.committed(author, Revision(revision)));
    }

    /// How many slots a replica waits from now on.
    fn slots(turns: &Turns) -> f64 {
        let due = turns.order.borrow().due(&turns.own, turns.slot());
        let wait = due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
        wait.as_secs_f64() / turns.slot().as_secs_f64()
    }

    fn all_slots(turns: &[Turns; 3]) -> [f64; 3] {
        [slots(&turns[0]), slots(&turns[1]), slots(&turns[2])]
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_is_alone_or_comes_after_a_pause_waits_for_nobody() {
        let [one, ..] = AUTHORS.map(Turns::of);
        one.wait().await;
        one.committed(AUTHORS[0], Revision(1));
        let begun = Instant::now();
        one.wait().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let turns = three();
        advance(SLOT.1).await;
        assert_eq!(all_slots(&turns), [0.0; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_turn_goes_round_with_each_commit() {
        let turns = three();
        assert_eq!(all_slots(&turns), [0.0, 1.0, 2.0]);
        committed(&turns, AUTHORS[0], 4);
        assert_eq!(all_slots(&turns), [2.0, 0.0, 1.0]);
        committed(&turns, AUTHORS[1], 5);
        assert_eq!(all_slots(&turns), [1.0, 2.0, 0.0]);
        // What is seen late, or again, changes nothing.
        committed(&turns, AUTHORS[0], 4);
        committed(&turns, AUTHORS[2], 5);
        assert_eq!(all_slots(&turns), [1.0, 2.0, 0.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_is_frozen_delays_the_others_once_and_by_one_slot() {
        let turns = three();
        committed(&turns, AUTHORS[0], 4);
        let begun = Instant::now();
        turns[2].wait().await;
        assert_eq!(begun.elapsed(), turns[2].slot(), "the second one does not take its turn");
        committed(&turns, AUTHORS[2], 5);
        let begun = Instant::now();
        for (revision, at) in (6..16).zip([0, 2].into_iter().cycle()) {
            turns[at].wait().await;
            committed(&turns, AUTHORS[at], revision);
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "it is out of the order");
        committed(&turns, AUTHORS[1], 16);
        assert_eq!(all_slots(&turns), [1.0, 2.0, 0.0], "it is back, and took the turn of nobody");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_whose_others_have_ended_waits_once() {
        let turns = three();
        turns[2].wait().await;
        committed(&turns[2..], AUTHORS[2], 4);
        assert_eq!(slots(&turns[2]), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_the_commit_before_and_never_lasts_long() {
        let turns = std::sync::Arc::new(three());
        let begun = Instant::now();
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { turns[1].wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        committed(&*turns, AUTHORS[0], 4);
        waiting.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // However slow etcd is.
        for _ in 0..100 {
            turns[2].took(Duration::from_secs(4));
        }
        let begun = Instant::now();
        turns[2].wait().await;
        assert_eq!(begun.elapsed(), SLOT.1);
        turns[2].forget();
        turns[2].committed(AUTHORS[0], Revision(1));
        assert_eq!(slots(&turns[2]), 0.0, "of another history, nothing is known");
    }
}
