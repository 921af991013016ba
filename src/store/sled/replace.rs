//! A store is replaced by building another beside it and renaming folders:
//!
//! | there is | a crash left it | at the next open |
//! | --- | --- | --- |
//! | `store`, `store.building` | while the other one was built | `store.building` is removed |
//! | `store.replaced`, `store.building` | between the two renames | `store.building` becomes `store` |
//! | `store`, `store.replaced` | before the old one was removed | `store.replaced` is removed |
//!
//! Any of them can come with what opening.rs leaves, which is looked at afterwards: the one that was built is opened in its
//! place with a copy of its own, perhaps before the removal of the old one is durable. `store.building` is opened without
//! one, since it is built anew after a crash.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::folder::{sync_files, sync_folder, unusable};
use super::opening::is_in_use;
use super::{Engine, SledEngine};
use crate::domain::Revision;
use crate::store::{Change, Key, MAX_TRANSACTION, Record, Records, ReplaceError, Unavailable};

const STORE: &str = "store";
const BUILDING: &str = "store.building";
const REPLACED: &str = "store.replaced";

/// Builds a store of these records beside the one that is there.
pub(super) fn prepare(data: &Path, records: Records, revision: Revision) -> Result<(), ReplaceError> {
    let building = data.join(BUILDING);
    let built = begin(&building)
        .map_err(|error| unusable(&building, &error).into())
        .and_then(|()| build(&building, records, revision));
    if built.is_err() {
        let _ = fs::remove_dir_all(&building); // the next open tries again
    }
    built
}

/// Puts the store that was built in the place of the one that was there, which is closed.
pub(super) fn install(data: &Path) -> Result<(), Unavailable> {
    exchange(data).map_err(|error| {
        let store = data.join(STORE);
        Unavailable(format!("another store could not take the place of {}: {error}", store.display()).into())
    })
}

/// Brings what a crash interrupted to its end, or undoes it.
pub(super) fn finish_interrupted(data: &Path) -> io::Result<()> {
    let (store, building, replaced) = (data.join(STORE), data.join(BUILDING), data.join(REPLACED));
    if !store.exists() && replaced.exists() {
        // Only a store that was built whole gets as far as that.
        fs::rename(if building.exists() { &building } else { &replaced }, &store)?;
        sync_folder(data)?;
    }
    for leftover in [building, replaced] {
        // One that is being built while the store is opened again is in use.
        if leftover.exists() && !is_in_use(&leftover) {
            fs::remove_dir_all(leftover)?;
        }
    }
    Ok(())
}

fn begin(building: &Path) -> io::Result<()> {
    if building.exists() {
        fs::remove_dir_all(building)?;
    }
    DirBuilder::new().mode(0o700).create(building)
}

fn build(building: &Path, records: Records, revision: Revision) -> Result<(), ReplaceError> {
    let engine = SledEngine::open_at(building)?;
    // By key, of which a batch takes each only once.
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
            Record::Put(key, value) => drop(batch.insert(key, Some(value))),
            Record::Delete(key) => drop(batch.insert(key, None)),
        }
    }
    write(&engine, batch, revision)?; // without a record too: the revision is one
    drop(engine);
    sync_files(building).map_err(|error| unusable(building, &error).into())
}

fn write(
    engine: &SledEngine,
    batch: BTreeMap<Key, Option<Vec<u8>>>,
    revision: Revision,
) -> Result<(), Unavailable> {
    let mut change = Change { revision, put: Vec::new(), delete: Vec::new() };
    for (key, value) in batch {
        match value {
            Some(value) => change.put.push((key, value)),
            None => change.delete.push(key),
        }
    }
    engine.apply(std::slice::from_ref(&change))?;
    engine.sync()
}

fn exchange(data: &Path) -> io::Result<()> {
    let (store, building, replaced) = (data.join(STORE), data.join(BUILDING), data.join(REPLACED));
    sync_folder(data)?;
    fs::rename(&store, &replaced)?;
    sync_folder(data)?;
    fs::rename(&building, &store)?;
    sync_folder(data)?;
    if let Err(error) = fs::remove_dir_all(&replaced) {
        tracing::warn!(%error, "the store that was replaced is removed at the next start");
    }
    Ok(())
}
