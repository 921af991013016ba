//! A store over any engine whose disk fails when a test says so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::EmbeddedStore;
use super::committer::Engine;
use super::memory::MemoryEngine;
use super::sled::SledEngine;
use crate::domain::Revision;
use crate::store::{Change, Entry, Key, ReplaceError, ReplaceRecords, Store, Unavailable};

/// The faults, set while the store is in use.
#[derive(Default)]
pub(crate) struct Faults {
    plan: Mutex<Plan>,
    changed: Condvar,
}

#[derive(Default)]
struct Plan {
    /// How many batches the disk still takes; `None`: all.
    applies: Option<usize>,
    /// How many syncs still succeed; `None`: all.
    syncs: Option<usize>,
    /// Whether the disk takes no writes at all, because it is full or read-only.
    unwritable: bool,
    /// Whether reads fail too.
    unreadable: bool,
    /// Whether the next read makes the engine fail for good, as sled does when a read has something to write.
    breaks_at_reads: bool,
    /// Whether an applied but unsynced batch survives a failure.
    keeps_unsynced: bool,
    /// Whether a synced batch is gone after a failure.
    loses_synced: bool,
    /// Whether syncs wait.
    held: bool,
    /// How many syncs have begun.
    begun: usize,
}

impl Faults {
    pub(crate) fn fail_apply_after(&self, batches: usize) {
        self.plan().applies = Some(batches);
    }

    pub(crate) fn fail_sync_after(&self, syncs: usize) {
        self.plan().syncs = Some(syncs);
    }

    /// The disk is full, or read-only.
    pub(crate) fn refuse_writes(&self) {
        self.plan().unwritable = true;
    }

    pub(crate) fn refuse_reads(&self) {
        self.plan().unreadable = true;
    }

    /// The next read fails, and after it all else, until the engine is opened again.
    pub(crate) fn break_at_reads(&self) {
        self.plan().breaks_at_reads = true;
    }

    /// A batch whose sync failed is on the disk after all.
    pub(crate) fn keep_unsynced(&self) {
        self.plan().keeps_unsynced = true;
    }

    /// The disk has lied: synced data is gone after a failure.
    pub(crate) fn lose_synced(&self) {
        self.plan().loses_synced = true;
    }

    /// Syncs wait until the fault ends.
    pub(crate) fn hold_syncs(&self) {
        self.plan().held = true;
    }

    /// Waits until this many syncs have begun in all.
    pub(crate) fn begun(&self, syncs: usize) {
        drop(self.changed.wait_while(self.plan(), |plan| plan.begun < syncs));
    }

    /// The faults end.
    pub(crate) fn end(&self) {
        let begun = self.plan().begun;
        *self.plan() = Plan { begun, ..Plan::default() };
        self.changed.notify_all();
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> Result<(), Unavailable> {
        if self.plan().unwritable { Err(Unavailable("the disk takes no writes".into())) } else { Ok(()) }
    }
}

/// Counts down, and fails at 0.
fn count(left: &mut Option<usize>, what: &str) -> Result<(), Unavailable> {
    match left {
        Some(0) => Err(Unavailable(format!("{what} failed").into())),
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

/// Memory with faults.
pub(crate) fn open_faulty_memory() -> (Arc<dyn Store>, Arc<Faults>) {
    over::<MemoryEngine>(Arc::default())
}

/// A sled store in a folder, with faults.
pub(crate) fn open_faulty_sled(folder: &std::path::Path) -> (Arc<dyn Store>, Arc<Faults>) {
    over::<SledEngine>(folder.to_owned())
}

fn over<E: Engine>(place: E::Place) -> (Arc<dyn Store>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let faulty = EmbeddedStore::<Faulty<E>>::open((place, faults.clone())).unwrap();
    (Arc::new(faulty), faults)
}

/// An engine that holds back applied batches until they are synced, as the cache of a disk does.
struct Faulty<E: Engine> {
    inner: E,
    faults: Arc<Faults>,
    unsynced: Arc<Mutex<Vec<Change>>>,
    /// Whether a read broke it.
    is_broken: AtomicBool,
}

impl<E: Engine> Faulty<E> {
    fn unsynced(&self) -> MutexGuard<'_, Vec<Change>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over((inner, revision): (E, Revision), faults: &Arc<Faults>) -> (Self, Revision) {
        let unsynced = Arc::default();
        (Self { inner, faults: faults.clone(), unsynced, is_broken: AtomicBool::new(false) }, revision)
    }
}

/// Closing the engine decides what a failure leaves unsynced.
impl<E: Engine> Drop for Faulty<E> {
    fn drop(&mut self) {
        if self.faults.plan().keeps_unsynced {
            let unsynced = std::mem::take(&mut *self.unsynced());
            self.inner.apply(&unsynced).and_then(|()| self.inner.sync()).unwrap();
        }
    }
}

impl<E: Engine> Engine for Faulty<E> {
    const NAME: &'static str = E::NAME;
    type Place = (E::Place, Arc<Faults>);

    fn open((place, faults): &Self::Place) -> Result<(Self, Revision), Unavailable> {
        Ok(Self::over(E::open(place)?, faults))
    }

    fn is_whole(&self) -> Result<(), Unavailable> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(Unavailable("a read broke it".into()));
        }
        self.inner.is_whole()
    }

    fn read(&self, key: &Key) -> Result<Option<Entry>, Unavailable> {
        if self.faults.plan().unreadable {
            return Err(Unavailable("the disk cannot be read".into()));
        }
        if self.faults.plan().breaks_at_reads {
            self.is_broken.store(true, Ordering::SeqCst);
        }
        self.is_whole()?;
        for change in self.unsynced().iter().rev() {
            if let Some((_, value)) = change.put.iter().find(|(put, _)| put == key) {
                return Ok(Some(Entry { value: value.clone(), revision: change.revision }));
            }
            if change.delete.contains(key) {
                return Ok(None);
            }
        }
        self.inner.read(key)
    }

    fn range(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        let mut found = self.inner.range(prefix, after, usize::MAX)?;
        for change in self.unsynced().iter() {
            found.retain(|(key, _)| !change.delete.contains(key));
            let fits = |key: &Key| {
                key.as_bytes().starts_with(prefix.as_bytes()) && after.is_none_or(|after| key > after)
            };
            for (key, value) in change.put.iter().filter(|(key, _)| fits(key)) {
                found.retain(|(found, _)| found != key);
                found.push((key.clone(), Entry { value: value.clone(), revision: change.revision }));
            }
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found.truncate(limit);
        Ok(found)
    }

    fn apply(&self, changes: &[Change]) -> Result<(), Unavailable> {
        self.is_whole()?;
        self.faults.write()?;
        count(&mut self.faults.plan().applies, "a write")?;
        let copy = |change: &Change| Change {
            revision: change.revision,
            put: change.put.clone(),
            delete: change.delete.clone(),
        };
        self.unsynced().extend(changes.iter().map(copy));
        Ok(())
    }

    fn sync(&self) -> Result<(), Unavailable> {
        self.faults.plan().begun += 1;
        self.faults.changed.notify_all();
        let held = self.faults.changed.wait_while(self.faults.plan(), |plan| plan.held);
        drop(held);
        self.faults.write()?;
        count(&mut self.faults.plan().syncs, "a sync")?;
        if self.faults.plan().loses_synced {
            self.unsynced().clear();
            return Ok(());
        }
        let unsynced = std::mem::take(&mut *self.unsynced());
        self.inner.apply(&unsynced)?;
        self.inner.sync()
    }

    fn probe((place, faults): &Self::Place) -> Result<(), Unavailable> {
        faults.write()?;
        E::probe(place)
    }

    fn recover((place, faults): &Self::Place) -> Result<(Self, Revision), Unavailable> {
        faults.write()?;
        Ok(Self::over(E::recover(place)?, faults))
    }

    fn prepare(
        (place, faults): &Self::Place,
        records: ReplaceRecords,
        revision: Revision,
    ) -> Result<(), ReplaceError> {
        faults.write()?;
        E::prepare(place, records, revision)
    }

    fn condemn((place, _): &Self::Place, why: &Unavailable) {
        E::condemn(place, why);
    }

    fn install((place, faults): &Self::Place) -> Result<(Self, Revision), Unavailable> {
        faults.write()?;
        Ok(Self::over(E::install(place)?, faults))
    }
}
