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

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::folder::{sync_files, sync_folder, unusable};
use super::{Engine, SledEngine};
use crate::domain::Revision;
use crate::store::{Change, MAX_TRANSACTION, Record, Records, ReplaceError, Unavailable};

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
    exchange(data).map_err(|error| unusable(&data.join(STORE), &error))
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
        if leftover.exists() {
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
    let mut change = Change { revision, put: Vec::new(), delete: Vec::new() };
    let mut bytes = 0;
    for record in records {
        let record = record?;
        if !record.fits() {
            return Err(ReplaceError::TooLarge);
        }
        if bytes + record.size() > MAX_TRANSACTION {
            write(&engine, &mut change)?;
            bytes = 0;
        }
        bytes += record.size();
        take(&mut change, record);
    }
    write(&engine, &mut change)?; // without a record too: the revision is one
    drop(engine);
    sync_files(building).map_err(|error| unusable(building, &error).into())
}

/// A batch takes its insertions before its removals, so a key stands in one of them only.
fn take(change: &mut Change, record: Record) {
    match record {
        Record::Put(key, value) => {
            change.delete.retain(|deleted| *deleted != key);
            change.put.push((key, value));
        }
        Record::Delete(key) => {
            change.put.retain(|(put, _)| *put != key);
            change.delete.push(key);
        }
    }
}

fn write(engine: &SledEngine, change: &mut Change) -> Result<(), Unavailable> {
    engine.apply(std::slice::from_ref(change))?;
    engine.sync()?;
    change.put.clear();
    change.delete.clear();
    Ok(())
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
