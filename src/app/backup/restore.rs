//! Restore a backup: receive it, verify it, and replace the store by it.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::Backups;
use super::format::BackupReader;
use super::verify::{BackupContents, ForeignKeys, verify};
use crate::app::Error;
use crate::app::commit::Core;
use crate::auth::{Authorization, Operate, ServiceGrant};
use crate::catalog::Counts;
use crate::crypto::{BackupCheck, BackupError, MasterKeys};
use crate::domain::{Revision, Timestamp};
use crate::store::{ReplaceError, ReplaceRecord, Unavailable, Unreadable};

/// A backup on its way into the store. Its bytes are kept in a file without a name in the data folder until all of them have
/// arrived. The file is gone when this is dropped, or when the process ends.
pub struct IncomingBackup {
    core: Arc<Core>,
    restored: Arc<Notify>,
    /// The caller who asks for the restore, and may.
    caller: Authorization,
    /// One restore runs at a time.
    permit: OwnedSemaphorePermit,
    sender: mpsc::Sender<Vec<u8>>,
    receiver: JoinHandle<Result<(File, Timestamp), Error>>,
}

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreProgress {
    /// That many of that many records have been opened.
    Verifying(u64, u64),
    /// That many of that many records have been written beside the store.
    Replacing(u64, u64),
}

/// The outcome of a restore.
#[derive(Debug, Clone, Copy)]
pub struct Restored {
    /// When the backup was made.
    pub created_at: Timestamp,
    /// The revision that the backup is of.
    pub of: Revision,
    /// How many records of the backup cannot be opened.
    pub damaged: u64,
    /// Whether the backup's records do not match its digest.
    pub altered: bool,
    /// How much the store has now, and at which revision; `None` where the backup was only verified.
    pub now: Option<(Counts, Revision)>,
}

/// What to do with a backup that has arrived.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreOptions {
    /// Verify it, and replace nothing.
    pub verify_only: bool,
    /// Restore it although some of its records cannot be opened.
    pub accept_damaged: bool,
    /// Restore it although its records do not match its digest.
    pub accept_altered: bool,
}

/// How many chunks wait for the disk.
const CHUNKS_AHEAD: usize = 4;
/// How many bytes of the disk are left free for others, such as the store.
const FREE_BYTES: u64 = 64 << 20;
/// How often the catalog is waited for, 10 s each time: it reads the whole store.
const CATALOG_WAITS: usize = 60;

impl Backups {
    /// Begins to receive a backup, unless another restore is running.
    pub fn restore(&self, grant: &ServiceGrant<Operate>) -> Result<IncomingBackup, Error> {
        let busy = |_| Error::Busy("Another backup is being restored");
        let permit = self.restoring.clone().try_acquire_owned().map_err(busy)?;
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let data_dir = self.data_dir.clone();
        let receiver = tokio::task::spawn_blocking(move || receive(&data_dir, chunks));
        let (core, restored) = (self.core.clone(), self.restored.clone());
        let caller = Authorization::new(grant.principal().clone());
        caller.note(grant.granted());
        Ok(IncomingBackup { core, restored, caller, permit, sender, receiver })
    }
}

impl IncomingBackup {
    /// Takes the next bytes of the backup. Returns whether it takes more; where it does not, `finish` says why.
    pub async fn take(&self, bytes: Vec<u8>) -> bool {
        self.sender.send(bytes).await.is_ok()
    }

    /// After all bytes have arrived: verifies the whole backup, and only then replaces the store by it. Fails where the caller's
    /// key ends before the store is being replaced, and not later.
    pub async fn finish(
        self,
        options: RestoreOptions,
        progress: impl Fn(RestoreProgress) + Clone + Send + 'static,
    ) -> Result<Restored, Error> {
        // The permit is held until the end.
        let Self { core, restored: notify_restored, caller, permit, sender, receiver } = self;
        drop(sender);
        let (file, created_at) = joined(receiver).await?;
        let file = Arc::new(file);

        let (master, from, told) = (core.master_key.keys(), file.clone(), progress.clone());
        let present = core.catalog.digest();
        let verified = tokio::task::spawn_blocking(move || {
            let contents = verify(&master, &present, BufReader::new(&*from), |seen, of| {
                told(RestoreProgress::Verifying(seen, of))
            });
            // The permit is held though nobody waits for the outcome any more.
            Ok((contents?, permit))
        });
        let (contents, _permit) = tokio::select! {
            verified = joined(verified) => verified?,
            ended = core.ended(&caller) => return Err(ended),
        };
        let BackupContents { revision: of, records, damaged, foreign, verified, last_records } = contents;
        if foreign.count() > 0 {
            let foreign = foreign.count();
            tracing::warn!(foreign, "the backup has records that are not of this service: they are left out");
        }
        let mut restored = Restored { created_at, of, damaged, altered: !verified, now: None };
        if options.verify_only {
            return Ok(restored);
        }
        if damaged > 0 && !options.accept_damaged {
            return Err(Error::BackupDamaged(damaged, records));
        }
        if !verified && !options.accept_altered {
            return Err(Error::BackupInvalid(BackupError::Unvouched));
        }
        let records = open_records(core.master_key.keys(), &file, (records, foreign), progress)?;
        let last_records = last_records.into_iter().map(|(key, record)| Ok(ReplaceRecord::Put(key, record)));
        let records = Box::new(records.chain(last_records));
        core.confirm_all(&caller)?;
        let revision = core.store.replace(records, of).await?;
        // The store is replaced now, however long the catalog takes to show it.
        for _ in 0..CATALOG_WAITS {
            if core.catalog.at_least(revision).await.is_ok() {
                break;
            }
        }
        if let Err(error) = core.begin_history().await {
            tracing::warn!(%error, "the history of changes has not begun yet; this is tried again");
        }
        // The backup may be sealed for an earlier master key.
        notify_restored.notify_one();
        restored.now = Some((core.catalog.counts(), revision));
        Ok(restored)
    }
}

async fn joined<T>(work: JoinHandle<Result<T, Error>>) -> Result<T, Error> {
    work.await.unwrap_or(Err(Error::Internal("a backup could not be read")))
}

/// Writes the chunks into a file, as long as they can be a backup. Returns the file, and when the backup was made.
fn receive(data_dir: &Path, mut chunks: mpsc::Receiver<Vec<u8>>) -> Result<(File, Timestamp), Error> {
    let full = |error: std::io::Error| {
        Unavailable(format!("the bytes of a backup cannot be kept until all have arrived: {error}").into())
    };
    let mut file = tempfile::tempfile_in(data_dir).map_err(full)?;
    let mut check = BackupCheck::new();
    while let Some(chunk) = chunks.blocking_recv() {
        check.update(&chunk)?;
        let disk = rustix::fs::fstatvfs(&file).map_err(|error| full(error.into()))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < FREE_BYTES {
            return Err(full(std::io::ErrorKind::StorageFull.into()).into());
        }
        file.write_all(&chunk).map_err(full)?;
    }
    let about = check.finish()?;
    file.seek(SeekFrom::Start(0)).map_err(full)?;
    Ok((file, Timestamp::from_micros(about.created_at)))
}

/// The records of a verified backup, as the store takes them. `all` is how many it has, foreign ones included.
fn open_records(
    master: Arc<MasterKeys>,
    file: &File,
    (all, foreign): (u64, ForeignKeys),
    progress: impl Fn(RestoreProgress) + Send + 'static,
) -> Result<crate::store::ReplaceRecords, Error> {
    let failed =
        |error: std::io::Error| Unavailable(format!("a backup cannot be read again: {error}").into());
    let mut reader = BackupReader::open(&master, BufReader::new(file.try_clone().map_err(failed)?))?;
    let mut seen = 0;
    let records = std::iter::from_fn(move || {
        let record = reader.next_record().map_err(|error| Unreadable(error.to_string().into())).transpose();
        if record.is_some() {
            seen += 1;
            if seen % 1000 == 0 || seen == all {
                progress(RestoreProgress::Replacing(seen, all));
            }
        }
        record
    });
    let is_ours = move |record: &Result<ReplaceRecord, _>| {
        !record.as_ref().is_ok_and(|record| foreign.contains(record.key()))
    };
    Ok(Box::new(records.filter(is_ours)))
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Failed(error) => error.into(),
            BackupError::Unreadable(_) => {
                Unavailable(format!("a backup that is being restored: {error}").into()).into()
            }
            other => Self::BackupInvalid(other),
        }
    }
}

impl From<ReplaceError> for Error {
    fn from(error: ReplaceError) -> Self {
        match error {
            // The backup was read whole a moment ago.
            ReplaceError::Unreadable(_) => {
                Self::Internal("a backup that was verified could not be read again")
            }
            ReplaceError::TooLarge => Self::BackupInvalid(BackupError::Damaged),
            ReplaceError::Unavailable(why) => why.into(),
        }
    }
}
