//! The history of changes: the events in the store, for watchers that come back.
//!
//! Each change of a secret appends its event, so the keys of the events are in the order of their revisions. The record of the
//! start says up to which revision events are no longer kept: a watcher that comes back from before that has missed some.
//!
//! *Always:* events are removed from the oldest on, in commits that also move the start. So a reader of events that then finds
//! that the start is not behind the revision from which it read, has read all of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Error;
use super::commit::Core;
use crate::catalog::HistoryChanges;
use crate::config::HistorySettings;
use crate::crypto::{self, open_event, open_history_start, seal_history_start};
use crate::domain::{Revision, Timestamp};
use crate::schema::EventRecord;
use crate::store::{Entry, Expect, Key, Pages, Transaction};

/// How many events a commit removes, at most.
const AT_ONCE: usize = 100;
/// The pause between two such commits: changes go first.
const PAUSE: Duration = Duration::from_millis(10);
/// How many events are counted at a time.
const COUNT_PAGE: usize = 500;
/// How many events are read at a time: more than one revision can have.
const READ_PAGE: usize = 128;
/// How many bytes of events are taken from a page: they wait in memory until their watcher takes them.
const READ_BYTES: usize = 32 << 10;

/// The history of changes, and how much of it is kept.
pub struct History {
    core: Arc<Core>,
    settings: HistorySettings,
    /// How many events the store had, and what the catalog had seen of it then.
    counted: Mutex<Option<(u64, HistoryChanges)>>,
}

impl History {
    pub(super) fn new(core: Arc<Core>, settings: HistorySettings) -> Self {
        Self { core, settings, counted: Mutex::default() }
    }

    /// Removes the events that are older than the settings say, or further back, and returns how many were removed. Another
    /// replica may do the same: then it goes on, and this ends.
    pub async fn sweep(&self) -> Result<usize, Error> {
        self.core.begin_history().await?;
        self.core.confirm_clock().await?; // with a wrong clock, events would go too early
        let mut removed = 0;
        loop {
            let of_commit = self.remove_oldest().await?;
            removed += of_commit;
            if of_commit < AT_ONCE {
                return Ok(removed);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Removes the oldest events, as far as they are not to be kept and one commit takes them.
    async fn remove_oldest(&self) -> Result<usize, Error> {
        let core = &*self.core;
        let keyring = core.keyring();
        // Read first, and required to be unchanged: so no other replica has removed events since they were counted.
        let start = core.store.get(&Key::history_start()).await?.ok_or(Error::Integrity)?;
        core.wait_visible(start.revision).await?;
        let beyond = self.count().await?.saturating_sub(self.settings.max_events);
        let is_old = |at: Timestamp| at.plus(self.settings.max_age) <= core.clock.now();
        // Mostly the oldest one is to be kept.
        let oldest = core.store.scan(&Key::appended(), None, 1).await?;
        let Some((_, entry)) = oldest.first() else { return Ok(0) };
        if beyond == 0 && core.event_in(entry).await?.is_some_and(|event| !is_old(event.at())) {
            return Ok(0);
        }
        let page = core.store.scan(&Key::appended(), None, AT_ONCE).await?;
        let (mut transaction, mut newest) = (Transaction::default(), Revision::default());
        for (nth, (key, entry)) in (0..).zip(page) {
            // One that does not open is of no use to anybody. It goes with those beside it.
            let event = core.event_in(&entry).await?;
            let old = event.as_ref().is_none_or(|event| is_old(event.at()));
            if !old && nth >= beyond {
                break;
            }
            newest = newest.max(event.map_or(entry.revision, |event| event.revision(entry.revision)));
            transaction.delete.push(key);
        }
        let removed = transaction.delete.len();
        if removed == 0 {
            return Ok(0);
        }
        let before = core.history_start_in(&start).await?.unwrap_or_default();
        let record = seal_history_start(&keyring, Some(before.max(newest)))?;
        transaction.require.push((Key::history_start(), Expect::At(start.revision)));
        transaction.put.push((Key::history_start(), record));
        Ok(if core.commit(&keyring, transaction).await?.is_some() { removed } else { 0 })
    }

    /// About how many events there are. The first call counts them, and later ones go by what the catalog has seen since. Where
    /// another replica removes events meanwhile, the first count can be too low, so that more events are kept.
    async fn count(&self) -> Result<u64, Error> {
        let changes = self.core.catalog.history_changes();
        let counted = *self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = match counted {
            Some(counted) => counted,
            None => {
                let last = self.core.catalog.digest().commits;
                let mut pages = Pages::new(&*self.core.store, Key::appended(), COUNT_PAGE);
                let mut count = 0;
                while let Some(page) = pages.next().await? {
                    let known = |(key, _): &&(Key, Entry)| key.appended_position() <= Some(last);
                    count += u64::try_from(page.iter().filter(known).count()).unwrap_or(u64::MAX);
                    tokio::task::yield_now().await;
                }
                *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((count, changes));
                (count, changes)
            }
        };
        let appended = changes.appended.saturating_sub(since.appended);
        let removed = changes.removed.saturating_sub(since.removed);
        Ok(count.saturating_add(appended).saturating_sub(removed))
    }
}

impl Core {
    /// Puts the start of the history, where the store has none that opens: the store is new, of an earlier release, or was restored.
    pub(super) async fn begin_history(&self) -> Result<(), Error> {
        let keyring = self.keyring();
        let found = self.store.get(&Key::history_start()).await?;
        let expect = match &found {
            Some(entry) if self.history_start_in(entry).await?.is_some() => return Ok(()),
            Some(entry) => {
                tracing::error!("the start of the history cannot be opened: the history begins again");
                Expect::At(entry.revision)
            }
            None => Expect::Absent,
        };
        let mut transaction = Transaction::default();
        transaction.require.push((Key::history_start(), expect));
        transaction.put.push((Key::history_start(), seal_history_start(&keyring, None)?));
        // Another replica may have been faster.
        self.commit(&keyring, transaction).await.map(drop)
    }

    /// The revision up to which events are no longer kept; `None`: the history has not begun, or its start cannot be opened.
    pub(super) async fn history_start(&self) -> Result<Option<Revision>, Error> {
        match self.store.get(&Key::history_start()).await? {
            Some(entry) => self.history_start_in(&entry).await,
            None => Ok(None),
        }
    }

    async fn history_start_in(&self, entry: &Entry) -> Result<Option<Revision>, Error> {
        self.open_by_keyring(entry, |keyring| open_history_start(keyring, &entry.value, entry.revision)).await
    }

    /// The record of an event; `None` where it does not open.
    pub(super) async fn event_in(&self, entry: &Entry) -> Result<Option<EventRecord>, Error> {
        self.open_by_keyring(entry, |keyring| open_event(keyring, &entry.value)).await
    }

    /// Opens a record that was read from the store; `None` where it does not open. The keyring that sealed it can be newer than
    /// the one that the catalog had a moment ago.
    async fn open_by_keyring<T>(
        &self,
        entry: &Entry,
        open: impl Fn(&crypto::Keyring) -> Result<T, crypto::Error>,
    ) -> Result<Option<T>, Error> {
        if let Ok(opened) = open(&self.keyring()) {
            return Ok(Some(opened));
        }
        match self.wait_visible(entry.revision).await {
            Ok(()) => Ok(open(&self.keyring()).ok()),
            Err(Error::Integrity) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The key behind which the events after a revision stand; `None`: all events come after it. The catalog shows the revision.
    ///
    /// A binary search over the positions of the events, which are in the order of the revisions. Positions can leap.
    pub(super) async fn seek_event(&self, after: Revision) -> Result<Option<Key>, Error> {
        let position_after = self.catalog.digest().commits.saturating_add(1);
        let Some((first, at)) = self.first_event(0).await? else { return Ok(None) };
        if at > after {
            return Ok(None);
        }
        let mut search = PositionSearch::new(first, position_after);
        while let Some(position) = search.next() {
            search.answer(self.first_event(position).await?, after);
        }
        Ok(Some(Key::appended_at(search.last(), u16::MAX)))
    }

    /// The position and the revision of the first event at a position or behind it.
    async fn first_event(&self, position: u64) -> Result<Option<(u64, Revision)>, Error> {
        let before = position.checked_sub(1).map(|before| Key::appended_at(before, u16::MAX));
        let found = self.store.scan(&Key::appended(), before.as_ref(), 1).await?;
        let Some((key, entry)) = found.first() else { return Ok(None) };
        let position = key.appended_position().ok_or(Error::Integrity)?;
        let event = self.event_in(entry).await?;
        Ok(Some((position, event.map_or(entry.revision, |event| event.revision(entry.revision)))))
    }

    /// Gives the events behind a key to `take`, in order and up to a revision, as many as one page has, and
    /// not many more than [`READ_BYTES`]. Events of one revision are given in one call.
    ///
    /// Fails with [`Error::RevisionCompacted`] where events after `from` may have been removed before they were read. All events up
    /// to `from` were read before.
    pub(super) async fn read_events(
        &self,
        behind: Option<Key>,
        from: Revision,
        to: Revision,
        mut take: impl FnMut(Revision, Vec<EventRecord>) -> Result<(), Error>,
    ) -> Result<ReadEvents, Error> {
        let page = self.store.scan(&Key::appended(), behind.as_ref(), READ_PAGE).await?;
        // What was removed before the scan is behind the start by now.
        match self.history_start().await? {
            Some(start) if start <= from => {}
            Some(_) | None => return Err(Error::RevisionCompacted),
        }
        let full = page.len() >= READ_PAGE;
        let mut read = ReadEvents { behind, more: false };
        // The events of one revision so far, and the key of the last of them.
        let mut together: Option<(Revision, Key, Vec<EventRecord>)> = None;
        let mut bytes = 0;
        for (key, entry) in page {
            let record = self.event_in(&entry).await?.ok_or(Error::Integrity)?;
            let revision = record.revision(entry.revision);
            if let Some((at, last, records)) = together.take_if(|(at, ..)| *at != revision) {
                take(at, records)?;
                read.behind = Some(last);
                if bytes > READ_BYTES {
                    read.more = true;
                    return Ok(read);
                }
            }
            if revision > to {
                return Ok(read);
            }
            bytes += entry.value.len();
            let (_, last, records) = together.get_or_insert_with(|| (revision, key.clone(), Vec::new()));
            records.push(record);
            *last = key;
        }
        match together {
            // There may be more events of this revision on the next page.
            Some(_) if full => read.more = true,
            Some((at, last, records)) => {
                take(at, records)?;
                read.behind = Some(last);
            }
            None => {}
        }
        Ok(read)
    }
}

/// A binary search for the last position of an event that is not after a revision.
struct PositionSearch {
    /// Events here and before are not after the revision.
    low: u64,
    /// Events here and behind it are.
    high: u64,
}

impl PositionSearch {
    /// Between the position of an event that is not after the revision, and the end of all positions.
    fn new(first: u64, end: u64) -> Self {
        Self { low: first, high: end.max(first.saturating_add(1)) }
    }

    /// The position to look at; `None`: the search has ended.
    fn next(&self) -> Option<u64> {
        let between = self.high - self.low;
        (between > 1).then(|| self.low + between / 2)
    }

    /// Takes the position and the revision of the first event at that position or behind it.
    fn answer(&mut self, found: Option<(u64, Revision)>, after: Revision) {
        let Some(middle) = self.next() else { return };
        match found {
            Some((position, at)) if at <= after && position < self.high => self.low = position,
            Some(_) | None => self.high = middle,
        }
    }

    /// The position, once the search has ended.
    fn last(&self) -> u64 {
        self.low
    }
}

/// How far a page of events was read.
pub(super) struct ReadEvents {
    /// The key of the last event that was given.
    pub(super) behind: Option<Key>,
    /// Whether there may be more events up to the revision.
    pub(super) more: bool,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The steps between two events: in positions, which leap at a restore, and in revisions, which some events share.
        #[test]
        fn the_place_of_each_revision_is_found_in_few_steps(
            steps in prop::collection::vec((prop_oneof![9 => 1..4u64, 1 => Just(1u64 << 32)], 0..3u64), 0..40),
            first in 0..100u64,
        ) {
            let (mut position, mut revision) = (first, 5);
            let mut events = BTreeMap::from([(position, Revision(revision))]);
            for (leap, later) in steps {
                // Events of one position have one revision, and a later position has a later revision.
                position += leap;
                revision += later + 1;
                events.insert(position, Revision(revision));
            }
            for after in (5..revision + 2).map(Revision) {
                let (mut search, mut asked) = (PositionSearch::new(first, position + 1), 0);
                while let Some(middle) = search.next() {
                    let found = events.range(middle..).next();
                    search.answer(found.map(|(position, revision)| (*position, *revision)), after);
                    asked += 1;
                }
                let expected = events.iter().rfind(|(_, at)| **at <= after).map(|(position, _)| *position);
                prop_assert_eq!(Some(search.last()), expected);
                prop_assert!(asked <= 64);
            }
        }
    }
}
