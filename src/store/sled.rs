//! The sled engine, used so that what is synced stays: see each step's comment for what goes wrong without it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::Duration;

use super::committer::Engine;
use super::{Change, Entry, Key, Unavailable};
use crate::domain::Revision;

/// The revision of the last commit. Being there, it also shows that the store did not come back empty.
const REVISION: &[u8] = &[0];
/// A file beside sled's own that is made once the store holds its first record.
const MARKER: &str = "store.marker";
/// sled loses data where much of its log, by segments, lies between two syncs, and puts records near a segment into
/// unsynced files of their own; eight megabytes are far from both: see tests/power. Fixed for the life of a store.
const SEGMENT: usize = 8 << 20;
/// How much of the store sled keeps in memory, in bytes.
const CACHE: u64 = 256 << 20;

/// Whether a folder holds a sled store.
pub fn holds_sled(folder: &Path) -> bool {
    folder.join(MARKER).exists() || folder.join("store").exists()
}

/// An engine on sled 0.34.
pub(super) struct SledEngine {
    tree: sled::Db,
    /// Behind the tree, so that it is dropped after it.
    file: OwnFile,
}

/// sled's own file, opened once: sled's flush ends before the disk has the bytes, fdatasync does not.
struct OwnFile(File);

impl Drop for OwnFile {
    /// Waits until sled has let go of the file's lock, which its threads can hold for a moment longer than the tree: from
    /// then on the store can be opened again.
    fn drop(&mut self) {
        for _ in 0..2000 {
            match self.0.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
                Ok(()) | Err(TryLockError::Error(_)) => return, // closing the file unlocks it
            }
        }
    }
}

impl SledEngine {
    /// Opens the store in a folder that exists, or makes it there, and says at which revision it is.
    pub(super) fn open(folder: &Path) -> Result<(Self, Revision), Unavailable> {
        let place = folder.join("store");
        remove_unfinished_snapshots(&place).map_err(|error| unusable(&place, &error))?;
        let tree = open_tree(&place)?;
        let opened = File::open(place.join("db")).map_err(|error| unusable(&place, &error))?;
        let engine = Self { tree, file: OwnFile(opened) };
        // sled has renamed a new snapshot into place and then cleared free segments. Were those synced before the name is,
        // a power loss would leave the old snapshot, which can not do without them: the store would come back empty.
        File::open(&place).and_then(|folder| folder.sync_all()).map_err(|error| unusable(&place, &error))?;
        // What a killed process left can be in the kernel only, and readers are about to see it.
        engine.sync()?;

        let marker = folder.join(MARKER);
        let revision = match engine.revision()? {
            Some(revision) => revision,
            None if marker.exists() => {
                return Err(Unavailable(
                    format!(
                        "{} came back empty although it held data before; nothing was changed. Restore the folder \
                         from a copy; only if its data may be lost, remove {} to begin anew",
                        place.display(),
                        marker.display()
                    )
                    .into(),
                ));
            }
            None => {
                let first = Change { revision: Revision::default(), put: Vec::new(), delete: Vec::new() };
                engine.apply(std::slice::from_ref(&first))?;
                engine.sync()?;
                first.revision
            }
        };
        if !marker.exists() {
            mark(folder, &place, &marker).map_err(|error| unusable(&place, &error))?;
        }
        Ok((engine, revision))
    }

    fn revision(&self) -> Result<Option<Revision>, Unavailable> {
        let Some(stored) = self.tree.get(REVISION).map_err(failed)? else { return Ok(None) };
        let bytes = (*stored).try_into().map_err(|_| Unavailable("its revision record is damaged".into()))?;
        Ok(Some(Revision(u64::from_be_bytes(bytes))))
    }
}

impl Engine for SledEngine {
    const NAME: &'static str = "sled";

    fn read(&self, key: &Key) -> Result<Option<Entry>, Unavailable> {
        self.tree.get(key.as_bytes()).map_err(failed)?.map(|stored| entry(&stored)).transpose()
    }

    fn range(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
        let mut found = Vec::new();
        for item in self.tree.range(start.as_bytes()..) {
            let (key, stored) = item.map_err(failed)?;
            if !key.starts_with(prefix.as_bytes()) || found.len() == limit {
                break;
            }
            if after.is_none_or(|after| after.as_bytes() != &*key) {
                found.push((Key::from_bytes(&key), entry(&stored)?));
            }
        }
        Ok(found)
    }

    fn apply(&self, changes: &[Change]) -> Result<(), Unavailable> {
        let mut batch = sled::Batch::default();
        for change in changes {
            for (key, value) in &change.put {
                let stored = [&change.revision.0.to_be_bytes(), value.as_slice()].concat();
                batch.insert(key.as_bytes(), stored);
            }
            for key in &change.delete {
                batch.remove(key.as_bytes());
            }
        }
        if let Some(last) = changes.last() {
            batch.insert(REVISION, &last.revision.0.to_be_bytes());
        }
        self.tree.apply_batch(batch).map_err(failed)
    }

    fn sync(&self) -> Result<(), Unavailable> {
        self.tree.flush().map_err(failed)?;
        // Never retried: after a failed fdatasync the kernel may have dropped the pages and call the next one a success.
        self.file.0.sync_data().map_err(|error| Unavailable(format!("the disk: {error}").into()))
    }
}

/// A stored value is the revision of its commit, 8 bytes big-endian, and the bytes.
fn entry(stored: &[u8]) -> Result<Entry, Unavailable> {
    let (revision, value) = stored
        .split_first_chunk()
        .ok_or_else(|| Unavailable("a record is damaged: it has no revision".into()))?;
    Ok(Entry { value: value.to_vec(), revision: Revision(u64::from_be_bytes(*revision)) })
}

/// A kill while sled opens leaves an unfinished snapshot, which sled then takes for corruption.
fn remove_unfinished_snapshots(place: &Path) -> io::Result<()> {
    if !place.exists() {
        return Ok(());
    }
    for found in fs::read_dir(place)? {
        let found = found?;
        let name = found.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(found.path())?;
        }
    }
    Ok(())
}

/// sled can panic while it recovers; that becomes an error which names the folder.
fn open_tree(place: &Path) -> Result<sled::Db, Unavailable> {
    let config =
        sled::Config::new().path(place).segment_size(SEGMENT).cache_capacity(CACHE).flush_every_ms(None);
    // Made before sled would, for the owner alone.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(place);
    made.map_err(|error| unusable(place, &error))?;
    let opened = panic::catch_unwind(AssertUnwindSafe(|| config.open()));
    match opened {
        Ok(Ok(tree)) => Ok(tree),
        Ok(Err(sled::Error::Io(error))) if error.to_string().contains("lock") => Err(Unavailable(
            format!(
                "{} is in use by another process: one folder serves one server. Stop the other one, or give this one \
                 another --data-dir",
                place.display()
            )
            .into(),
        )),
        Ok(Err(error)) => Err(unusable(place, &error)),
        Err(_) => Err(unusable(place, &"the engine could not recover it")),
    }
}

/// Makes the files' names durable too, then says so in the marker.
fn mark(folder: &Path, place: &Path, marker: &Path) -> io::Result<()> {
    for file in ["conf", "db"] {
        File::open(place.join(file))?.sync_all()?;
    }
    for directory in [place.join("blobs").as_path(), place, folder] {
        if directory.exists() {
            File::open(directory)?.sync_all()?;
        }
    }
    OpenOptions::new().write(true).create(true).truncate(false).open(marker)?.sync_all()?;
    File::open(folder)?.sync_all()
}

fn unusable(place: &Path, cause: &dyn std::fmt::Display) -> Unavailable {
    Unavailable(
        format!(
            "the store in {} could not be opened: {cause}. Nothing was changed; keep a copy of the folder before you \
             try anything",
            place.display()
        )
        .into(),
    )
}

fn failed(error: sled::Error) -> Unavailable {
    Unavailable(format!("sled: {error}").into())
}
