//! Replaces a store: the new one is built beside it, and takes its place by two renames:
//!
//! | there is | a crash left it | at the next open |
//! | --- | --- | --- |
//! | `store`, `store.building` | while the other one was built | `store.building` is removed |
//! | `store`, `store.built` | when it was whole, and waited for its turn | `store.built` is removed |
//! | `store.replaced`, `store.built` | between the two renames | `store.built` becomes `store` |
//! | `store`, `store.replaced` | before the old one was removed | `store.replaced` is removed |
//!
//! A living process, too, can open the store after an error at any of these points. It then leaves the new store to
//! the thread that builds it.
//!
//! Each of these states can occur together with those of opening.rs, which are handled afterwards: the new store is
//! opened in its place with a copy of its own, perhaps before the removal of the old one is durable.
//! `store.building` is opened without a copy, since it is built again after a crash.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::folder::{sync_files, sync_folder, unusable};
use super::opening;
use super::{Engine, SledEngine};
use crate::domain::Revision;
use crate::store::{Change, Key, MAX_TRANSACTION, ReplaceError, ReplaceRecord, ReplaceRecords, Unavailable};

const STORE: &str = "store";
const BUILDING: &str = "store.building";
const BUILT: &str = "store.built";
const REPLACED: &str = "store.replaced";
/// How many records sled gets at once. With some thousands, a new store takes two thirds more of the disk: see docs/performance.md.
const BATCH: usize = 500;

/// Builds a store of these records beside the present one.
pub(super) fn prepare(data: &Path, records: ReplaceRecords, revision: Revision) -> Result<(), ReplaceError> {
    let (building, built) = (data.join(BUILDING), data.join(BUILT));
    let failed = |error| unusable(&building, &error);
    let made = begin(&building, &built)
        .map_err(|error| failed(error).into())
        .and_then(|()| build(&building, records, revision))
        // From here on, and not before, it may take the place of the present store.
        .and_then(|()| {
            let named = fs::rename(&building, &built).and_then(|()| sync_folder(data));
            named.map_err(|error| failed(error).into())
        });
    if made.is_err() {
        let _ = fs::remove_dir_all(&building); // the next start tries again
    }
    made
}

/// Puts the new store in the place of the old one, which is closed.
pub(super) fn install(data: &Path) -> Result<(), Unavailable> {
    exchange(data).map_err(|error| {
        let store = data.join(STORE);
        Unavailable(format!("another store could not take the place of {}: {error}", store.display()).into())
    })
}

/// Completes the two renames, if something came between them.
pub(super) fn finish_interrupted(data: &Path) -> io::Result<()> {
    let (store, built, replaced) = (data.join(STORE), data.join(BUILT), data.join(REPLACED));
    if !store.exists() && replaced.exists() {
        fs::rename(if built.exists() { &built } else { &replaced }, &store)?;
        sync_folder(data)?;
    }
    if replaced.exists() {
        fs::remove_dir_all(replaced)?;
    }
    Ok(())
}

/// Removes the store that an earlier process was building.
pub(super) fn remove_unfinished(data: &Path) -> io::Result<()> {
    for leftover in [data.join(BUILDING), data.join(BUILT)] {
        if leftover.exists() {
            fs::remove_dir_all(leftover)?;
        }
    }
    Ok(())
}

fn begin(building: &Path, built: &Path) -> io::Result<()> {
    for leftover in [building, built] {
        if leftover.exists() {
            fs::remove_dir_all(leftover)?;
        }
    }
    DirBuilder::new().mode(0o700).create(building)
}

fn build(building: &Path, records: ReplaceRecords, revision: Revision) -> Result<(), ReplaceError> {
    let engine = SledEngine::open_at(building)?;
    // By key: a batch takes each key only once.
    let (mut batch, mut bytes) = (BTreeMap::new(), 0);
    for record in records {
        let record = record?;
        if !record.fits() {
            return Err(ReplaceError::TooLarge);
        }
        if bytes + record.size() > MAX_TRANSACTION {
            write(&engine, std::mem::take(&mut batch), revision)?;
            bytes = 0;
        }
        bytes += record.size();
        match record {
            ReplaceRecord::Put(key, value) => drop(batch.insert(key, Some(value))),
            ReplaceRecord::Delete(key) => drop(batch.insert(key, None)),
        }
    }
    write(&engine, batch, revision)?;
    drop(engine);
    sync_files(building).map_err(|error| unusable(building, &error).into())
}

/// Writes records, and syncs once they are all there.
fn write(
    engine: &SledEngine,
    batch: BTreeMap<Key, Option<Vec<u8>>>,
    revision: Revision,
) -> Result<(), Unavailable> {
    let mut records = batch.into_iter();
    loop {
        let mut change = Change { revision, put: Vec::new(), delete: Vec::new() };
        for (key, value) in records.by_ref().take(BATCH) {
            match value {
                Some(value) => change.put.push((key, value)),
                None => change.delete.push(key),
            }
        }
        let is_last = records.len() == 0;
        engine.apply(std::slice::from_ref(&change))?; // without a record too: the revision is one
        if is_last {
            return engine.sync();
        }
    }
}

fn exchange(data: &Path) -> io::Result<()> {
    let (store, built, replaced) = (data.join(STORE), data.join(BUILT), data.join(REPLACED));
    if !built.exists() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "what was built for it is gone"));
    }
    settle(data, &store, &replaced)?;
    fs::rename(&store, &replaced)?;
    sync_folder(data)?;
    fs::rename(&built, &store)?;
    sync_folder(data)?;
    if let Err(error) = fs::remove_dir_all(&replaced) {
        tracing::warn!(%error, "the store that was replaced is removed at the next start");
    }
    Ok(())
}

/// Removes the copy that a failed exchange or opening has left of the old store: it would be taken for a copy of
/// the new one.
fn settle(data: &Path, store: &Path, replaced: &Path) -> io::Result<()> {
    if !store.exists() && replaced.exists() {
        fs::rename(replaced, store)?;
        sync_folder(data)?;
    }
    if replaced.exists() {
        fs::remove_dir_all(replaced)?;
    }
    opening::undo(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data folder with these folders in it. Each holds a file with its own name.
    fn left_by_a_crash(folders: &[&str]) -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir(data.path().join(folder)).unwrap();
            fs::write(data.path().join(folder).join("was"), folder).unwrap();
        }
        data
    }

    fn folders_in(data: &Path) -> Vec<String> {
        let entries = fs::read_dir(data).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_built_has_every_record_whatever_their_number() {
        for count in [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 3] {
            let data = tempfile::tempdir().unwrap();
            let key = |number: usize| Key::from_bytes(format!("k{number:06}").as_bytes());
            let put = move |number| Ok(ReplaceRecord::Put(key(number), number.to_string().into_bytes()));
            // One more, which is deleted again: it must not come back.
            let gone = [put(count), Ok(ReplaceRecord::Delete(key(count)))];
            prepare(data.path(), Box::new((0..count).map(put).chain(gone)), Revision(7)).unwrap();
            let engine = SledEngine::open_at(&data.path().join(BUILT)).unwrap();
            let found = engine.range(&Key::from_bytes(b"k"), None, usize::MAX).unwrap();
            assert_eq!(found.len(), count);
            for (number, (found, entry)) in found.iter().enumerate() {
                assert_eq!((found, &*entry.value), (&key(number), number.to_string().as_bytes()));
                assert_eq!(entry.revision, Revision(7));
            }
            assert_eq!(engine.revision().unwrap(), Some(Revision(7)));
        }
    }

    #[test]
    fn a_start_makes_of_each_crash_what_the_table_says() {
        for (left, store) in [
            (&[STORE][..], STORE),
            (&[STORE, BUILDING], STORE),
            (&[STORE, BUILT], STORE),
            (&[STORE, REPLACED], STORE),
            (&[REPLACED, BUILT], BUILT),
            // A half-built store never takes the place of a whole one.
            (&[REPLACED, BUILDING], REPLACED),
            (&[REPLACED], REPLACED),
        ] {
            let data = left_by_a_crash(left);
            finish_interrupted(data.path()).unwrap();
            remove_unfinished(data.path()).unwrap();
            assert_eq!(folders_in(data.path()), [STORE], "{left:?}");
            assert_eq!(fs::read_to_string(data.path().join("store/was")).unwrap(), store, "{left:?}");
        }
    }

    #[test]
    fn an_opening_in_a_process_that_lives_leaves_what_is_being_built() {
        let data = left_by_a_crash(&[STORE, BUILDING, BUILT]);
        finish_interrupted(data.path()).unwrap();
        assert_eq!(folders_in(data.path()), [STORE, BUILDING, BUILT]);
    }

    #[test]
    fn an_exchange_without_anything_built_leaves_the_store_where_it_is() {
        let data = left_by_a_crash(&[STORE, BUILDING]);
        assert!(exchange(data.path()).is_err());
        assert_eq!(folders_in(data.path()), [STORE, BUILDING]);
        // A replacement that was cut short between its renames starts from the old store.
        let data = left_by_a_crash(&[REPLACED, BUILT]);
        exchange(data.path()).unwrap();
        assert_eq!(folders_in(data.path()), [STORE]);
        assert_eq!(fs::read_to_string(data.path().join("store/was")).unwrap(), BUILT);
    }
}
