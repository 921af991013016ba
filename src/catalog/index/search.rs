//! A search for the secrets that match a filter, run without the index's lock.
//!
//! A search sees the secrets of the moment when it began. The [`SearchChanges`] holds what changed since, so that its result
//! can catch up before the cache takes it.

use std::collections::VecDeque;

use super::Page;
use super::filter_cache::FilterQuery;
use super::orders::Orders;
use super::packed::PackedSecret;
use crate::domain::{Order, Start};

/// A change to the index.
pub(super) enum IndexChange {
    /// The secret was added.
    Put(PackedSecret),
    /// The secret, in this state, was removed. A secret that changes is removed in its old state and added in its new one.
    Removed(PackedSecret),
}

/// The latest changes to an index, oldest first.
#[derive(Default)]
pub(super) struct SearchChanges {
    latest: VecDeque<IndexChange>,
    /// How many changes there have been in all.
    count: u64,
}

/// How many changes the log holds: a result that missed more of them is not cached.
const LOGGED_CHANGES: usize = 4096;

impl SearchChanges {
    /// Adds a change, and forgets the oldest one when the log is full.
    pub(super) fn record(&mut self, change: IndexChange) {
        self.count += 1;
        self.latest.push_back(change);
        if self.latest.len() > LOGGED_CHANGES {
            self.latest.pop_front();
        }
    }

    /// The end of the log, to be given to [`SearchChanges::since`] later.
    pub(super) fn position(&self) -> u64 {
        self.count
    }

    /// The changes after a position; `None` where the log does not hold all of them any more.
    fn since(&self, position: u64) -> Option<impl Iterator<Item = &IndexChange>> {
        let missed = usize::try_from(self.count - position).unwrap_or(usize::MAX);
        Some(self.latest.iter().skip(self.latest.len().checked_sub(missed)?))
    }
}

/// A search that has yet to run.
pub(in crate::catalog) struct Search {
    pub(super) query: FilterQuery,
    /// Every secret that can match.
    pub(super) candidates: Vec<PackedSecret>,
    /// The position of the change log when the search began.
    pub(super) began_at: u64,
    /// The prefix of the names that the page asks for; empty in an order by time.
    pub(super) range: Box<str>,
}

/// The secrets that a search found, as of the moment when it began.
pub(in crate::catalog) struct SearchResult {
    pub(super) query: FilterQuery,
    pub(super) matches: Orders,
    began_at: u64,
    range: Box<str>,
}

impl Search {
    /// Looks at every candidate. Needs no lock.
    pub(in crate::catalog) fn run(self) -> SearchResult {
        let Self { query, mut candidates, began_at, range } = self;
        candidates.retain(|secret| query.matches(secret));
        SearchResult { query, matches: Orders::of(candidates), began_at, range }
    }
}

impl SearchResult {
    /// A page of the secrets found.
    pub(in crate::catalog) fn page(&self, order: Order, start: &Start, limit: usize) -> Page<PackedSecret> {
        self.matches.page(&self.range, order, start, limit)
    }

    /// Applies the changes made since the search began. `false` where the log does not hold all of them.
    pub(super) fn catch_up(&mut self, log: &SearchChanges) -> bool {
        let Some(changes) = log.since(self.began_at) else { return false };
        for change in changes {
            match change {
                IndexChange::Put(secret) if self.query.matches(secret) => self.matches.insert(secret),
                IndexChange::Removed(secret) if self.query.matches(secret) => {
                    self.matches.remove(secret, None)
                }
                IndexChange::Put(_) | IndexChange::Removed(_) => {}
            }
        }
        true
    }
}
