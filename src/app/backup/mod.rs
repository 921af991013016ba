//! Backups: all records of the store as they are sealed, at one revision, sealed once more as a file of their own.
//!
//! A backup is made while others write (`create.rs`). The store is read page by page, and the changes that are made meanwhile
//! follow each page. Who puts all records into an empty store, in order, has the state of the revision that the backup ends
//! at. A restore keeps the bytes in a file until all of them have arrived, verifies them whole (`verify.rs`), and only then
//! replaces the store (`restore.rs`).

mod create;
mod format;
mod restore;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore};

pub use self::create::BackupChunk;
pub use self::restore::{IncomingBackup, RestoreOptions, RestoreProgress, Restored};
use super::commit::Core;
#[cfg(any(test, fuzzing))]
use crate::crypto::MasterKeys;

/// Backup and restore of the whole store.
pub struct Backups {
    core: Arc<Core>,
    /// Where the bytes of a restore are kept until all of them have arrived.
    data_dir: PathBuf,
    /// One restore runs at a time.
    restoring: Arc<Semaphore>,
    /// Notified when a restore has replaced the store.
    restored: Arc<Notify>,
}

impl Backups {
    pub(super) fn new(core: Arc<Core>, data_dir: PathBuf, restored: Arc<Notify>) -> Self {
        Self { core, data_dir, restoring: Arc::new(Semaphore::new(1)), restored }
    }
}

/// Bytes as the only part of a backup, in the clear: an entry for `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzing(masters: &MasterKeys, part: &[u8]) {
    use crate::crypto::{About, BackupSealer};
    use crate::integrity::StoreDigest;
    let Ok((mut sealer, mut backup)) = BackupSealer::begin(masters, About { created_at: 1, revision: 1 })
    else {
        return;
    };
    let Ok(sealed) = sealer.seal(part, true) else { return };
    backup.extend(sealed);
    let _ = verify::verify(masters, &StoreDigest::default(), std::io::Cursor::new(backup), |_, _| {});
}
