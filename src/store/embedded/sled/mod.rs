//! The sled engine, used so that synced data stays. The comment at each step says what goes wrong without it.

mod copy;
mod folder;
mod opening;
mod recover;
mod replace;
mod watchdog;

use std::fs::{File, TryLockError};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::folder::holds_sled;
use self::folder::{StoreFolder, in_use, sync_folder, unusable};
use self::watchdog::Watchdog;
use super::committer::Engine;
use crate::domain::Revision;
use crate::store::{Change, Entry, Key, ReplaceError, ReplaceRecords, Unavailable};

/// The revision of the last commit. Its presence also shows that the store did not come back empty.
const REVISION: &[u8] = &[0];
/// sled loses data where many of its segments lie between two syncs, and puts records near the size of a segment
/// into unsynced files of their own. Eight megabytes are far from both: see tests/power. Fixed for the life of a
/// store.
const SEGMENT: usize = 8 << 20;
/// The size of sled's cache, in bytes of its records on the disk. In memory they take about 1.4 times as much.
const CACHE: u64 = 64 << 20;

/// An engine on sled 0.34.
pub(super) struct SledEngine {
    /// The configuration that opened the tree.
    config: sled::Config,
    /// `None` only while the engine is dropped.
    tree: Option<sled::Db>,
    /// `None` only while the engine is dropped.
    watchdog: Option<Watchdog>,
    file: OwnFile,
}

impl Drop for SledEngine {
    /// The file is closed after the tree. The tree syncs once more as it closes, and panics where that fails.
    fn drop(&mut self) {
        drop(self.watchdog.take());
        let tree = self.tree.take();
        if panic::catch_unwind(AssertUnwindSafe(|| drop(tree))).is_err() {
            tracing::warn!("sled failed as it was closed");
        }
    }
}

/// sled's own file, opened once. sled's flush returns before the disk has the bytes; fdatasync does not.
struct OwnFile(File);

impl Drop for OwnFile {
    fn drop(&mut self) {
        until_unlocked(&self.0);
    }
}

/// Waits until sled has released the lock of its file. sled's threads can hold it a moment longer than the tree, or
/// than an opening that failed. After that the store can be opened again. Another process holds the lock for
/// longer.
fn until_unlocked(file: &File) {
    for _ in 0..2000 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            Ok(()) | Err(TryLockError::Error(_)) => return, // closing the file unlocks it
        }
    }
}

impl SledEngine {
    /// Opens sled in a folder of its own.
    fn open_at(store: &Path) -> Result<Self, Unavailable> {
        let tree = open_tree(store);
        if tree.is_err()
            && let Ok(file) = File::open(store.join("db"))
        {
            until_unlocked(&file);
        }
        let (config, tree) = tree?;
        let watchdog = Some(Watchdog::start(config.clone(), tree.clone())?);
        let file = File::open(store.join("db")).map_err(|error| unusable(store, &error))?;
        let engine = Self { config, tree: Some(tree), watchdog, file: OwnFile(file) };
        // sled renames its snapshot without a sync of the folder: see opening.rs.
        sync_folder(store).map_err(|error| unusable(store, &error))?;
        // The writes of a killed process may be in the kernel only, and readers are about to see them.
        engine.sync()?;
        // No record is large enough for this folder. sled does not sync the files in it.
        if std::fs::read_dir(store.join("blobs")).is_ok_and(|mut blobs| blobs.next().is_some()) {
            tracing::error!(folder = %store.display(), "sled keeps data in blobs/, which a power loss can destroy: make a backup");
        }
        Ok(engine)
    }

    /// Opens sled in a prepared folder, or creates a store there.
    fn open_in(folder: &StoreFolder) -> Result<(Self, Revision), Unavailable> {
        let (engine, found) = folder.opened(|| {
            let engine = Self::open_at(folder.store())?;
            let found = engine.revision()?;
            if found.is_none() && folder.is_marked() {
                return Err(folder.came_back_empty());
            }
            Ok((engine, found))
        })?;
        let revision = found.unwrap_or_default();
        if found.is_none() {
            let first = Change { revision, put: Vec::new(), delete: Vec::new() };
            engine.apply(std::slice::from_ref(&first))?;
            engine.sync()?;
        }
        folder.mark()?;
        Ok((engine, revision))
    }

    fn tree(&self) -> Result<&sled::Db, Unavailable> {
        self.tree.as_ref().ok_or_else(|| Unavailable("it is closed".into()))
    }

    fn revision(&self) -> Result<Option<Revision>, Unavailable> {
        let tree = self.tree()?;
        let Some(stored) = guarded(|| tree.get(REVISION))? else { return Ok(None) };
        let bytes = (*stored).try_into().map_err(|_| Unavailable("its revision record is damaged".into()))?;
        Ok(Some(Revision(u64::from_be_bytes(bytes))))
    }
}

impl Engine for SledEngine {
    const NAME: &'static str = "sled";
    type Place = PathBuf;

    fn open(data: &PathBuf) -> Result<(Self, Revision), Unavailable> {
        let folder = StoreFolder::open(data)?;
        folder.remove_unfinished()?;
        Self::open_in(&folder)
    }

    fn is_whole(&self) -> Result<(), Unavailable> {
        self.config.global_error().map_err(|error| Unavailable(format!("sled: {error}").into()))
    }

    fn read(&self, key: &Key) -> Result<Option<Entry>, Unavailable> {
        let tree = self.tree()?;
        guarded(|| tree.get(key.as_bytes()))?.map(|stored| entry(&stored)).transpose()
    }

    fn range(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
        let mut items = self.tree()?.range(start.as_bytes()..);
        let mut found = Vec::new();
        while found.len() < limit {
            let Some((key, stored)) = guarded(|| items.next().transpose())? else { break };
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            let is_start = after.is_some_and(|after| after.as_bytes() == &*key);
            // The revision belongs to the engine. A scan does not show it.
            if !is_start && *key != *REVISION {
                found.push((Key::from_bytes(&key), entry(&stored)?));
            }
        }
        Ok(found)
    }

    fn apply(&self, changes: &[Change]) -> Result<(), Unavailable> {
        let mut batch = sled::Batch::default();
        let mut stored = Vec::new(); // which sled copies
        for change in changes {
            for (key, value) in &change.put {
                stored.clear();
                stored.extend_from_slice(&change.revision.0.to_be_bytes());
                stored.extend_from_slice(value);
                batch.insert(key.as_bytes(), stored.as_slice());
            }
            for key in &change.delete {
                batch.remove(key.as_bytes());
            }
        }
        if let Some(last) = changes.last() {
            batch.insert(REVISION, &last.revision.0.to_be_bytes());
        }
        let tree = self.tree()?;
        guarded(|| tree.apply_batch(batch))
    }

    fn sync(&self) -> Result<(), Unavailable> {
        let tree = self.tree()?;
        guarded(|| tree.flush())?;
        // Never retried: after a failed fdatasync the kernel may have dropped the pages and call the next one a success.
        self.file.0.sync_data().map_err(|error| Unavailable(format!("the disk: {error}").into()))
    }

    fn probe(data: &PathBuf) -> Result<(), Unavailable> {
        recover::probe(data)
    }

    fn recover(data: &PathBuf) -> Result<(Self, Revision), Unavailable> {
        let folder = StoreFolder::open(data)?;
        recover::rewrite(&folder)?;
        Self::open_in(&folder)
    }

    fn prepare(data: &PathBuf, records: ReplaceRecords, revision: Revision) -> Result<(), ReplaceError> {
        replace::prepare(data, records, revision)
    }

    fn install(data: &PathBuf) -> Result<(Self, Revision), Unavailable> {
        replace::install(data)?;
        let opened = Self::open_in(&StoreFolder::open_condemned(data)?)?;
        folder::pardon(data)?;
        Ok(opened)
    }

    fn condemn(data: &PathBuf, why: &Unavailable) {
        if let Err(error) = folder::condemn(data, &why.to_string()) {
            tracing::error!(%error, "a restart will not know of it");
        }
    }
}

/// A stored value: the revision of its commit (8 bytes, big-endian), then the bytes.
pub(super) fn entry(stored: &[u8]) -> Result<Entry, Unavailable> {
    let (revision, value) = stored
        .split_first_chunk()
        .ok_or_else(|| Unavailable("a record is damaged: it has no revision".into()))?;
    Ok(Entry { value: value.to_vec(), revision: Revision(u64::from_be_bytes(*revision)) })
}

/// Opens sled. A panic while sled recovers becomes an error that names the folder.
fn open_tree(store: &Path) -> Result<(sled::Config, sled::Db), Unavailable> {
    let config =
        sled::Config::new().path(store).segment_size(SEGMENT).cache_capacity(CACHE).flush_every_ms(None);
    let opened = panic::catch_unwind(AssertUnwindSafe(|| config.open()));
    match opened {
        Ok(Ok(tree)) => Ok((config, tree)),
        Ok(Err(sled::Error::Io(error))) if error.to_string().contains("lock") => Err(in_use(store)),
        Ok(Err(error)) => Err(unusable(store, &error)),
        Err(_) => Err(unusable(store, &"the engine could not recover it")),
    }
}

/// Calls sled, and turns its errors and panics into our errors.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Unavailable> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| Unavailable(format!("sled: {error}").into())),
        Err(_) => Err(Unavailable("sled: it failed because of a defect of its own".into())),
    }
}
