//! How many idempotency records each principal has.
//!
//! The sweep that removes expired records counts all of them. In between, each process adds the records that it commits itself. So
//! where several replicas share a store, a principal can exceed its limit by what the others commit between two sweeps. Only
//! principals with live records are counted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::auth::PrincipalName;
use crate::domain::Timestamp;

type Counts = HashMap<PrincipalName, usize>;

/// The number of records of each principal.
#[derive(Default)]
pub(super) struct RecordCounts(Mutex<State>);

#[derive(Default)]
struct State {
    counts: Counts,
    /// The records that were committed since the present recount began; `None` while there is none.
    since: Option<Counts>,
}

impl RecordCounts {
    /// How many records a principal has.
    pub(super) fn of(&self, principal: &PrincipalName) -> usize {
        self.lock().counts.get(principal).copied().unwrap_or(0)
    }

    /// How many records the principal has that has most.
    pub(super) fn most(&self) -> usize {
        self.lock().counts.values().copied().max().unwrap_or(0)
    }

    /// Counts a record that was committed.
    pub(super) fn add(&self, principal: PrincipalName) {
        let mut state = self.lock();
        if let Some(since) = &mut state.since {
            *since.entry(principal.clone()).or_default() += 1;
        }
        *state.counts.entry(principal).or_default() += 1;
    }

    /// Begins to count all records again. Nothing changes until the end of it.
    pub(super) fn recount(&self, now: Timestamp) -> Recount<'_> {
        self.lock().since = Some(Counts::new());
        Recount { of: self, began_at: now, found: Counts::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A count of all records.
pub(super) struct Recount<'a> {
    of: &'a RecordCounts,
    began_at: Timestamp,
    found: Counts,
}

impl Recount<'_> {
    /// Counts a record that was found. One that was made after the beginning was counted when it was committed.
    pub(super) fn add(&mut self, principal: Option<PrincipalName>, made_at: Timestamp) {
        if let Some(principal) = principal.filter(|_| made_at < self.began_at) {
            *self.found.entry(principal).or_default() += 1;
        }
    }

    /// Puts the new counts in place of the former ones.
    pub(super) fn finish(self) {
        let mut state = self.of.lock();
        let mut counts = self.found;
        for (principal, added) in state.since.take().unwrap_or_default() {
            *counts.entry(principal).or_default() += added;
        }
        state.counts = counts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ApiKeyId;

    #[test]
    fn a_recount_has_the_records_that_are_found_and_those_that_are_made_meanwhile() {
        let (counts, at) = (RecordCounts::default(), Timestamp::from_micros);
        let [one, other] = [1, 2].map(|byte| PrincipalName::ApiKey(ApiKeyId([byte; 10])));
        counts.add(one.clone());
        counts.add(one.clone());
        let mut recount = counts.recount(at(10));
        recount.add(Some(one.clone()), at(5));
        recount.add(None, at(5));
        counts.add(other.clone());
        recount.add(Some(other.clone()), at(11));
        assert_eq!((counts.of(&one), counts.of(&other), counts.most()), (2, 1, 2));
        recount.finish();
        assert_eq!((counts.of(&one), counts.of(&other)), (1, 1));
        // A recount that fails changes nothing.
        drop(counts.recount(at(20)));
        assert_eq!((counts.of(&one), counts.of(&other)), (1, 1));
    }
}
