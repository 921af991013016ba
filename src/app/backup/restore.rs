use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::Reader;
use super::verify::{Content, Ignored, verify};
use crate::app::{App, Error};
use crate::auth::{Operate, ServiceGrant};
use crate::catalog::Counts;
use crate::crypto::{BackupCheck, BackupError, MasterKeys};
use crate::domain::{Revision, Timestamp};
use crate::store::{ReplaceError, ReplaceRecord, Unavailable, Unreadable};

/// A backup on its way into the store. Its bytes are kept in a file without a name in the data folder until all of them
/// have come; it is gone when this is dropped, or when the process ends.
pub struct Restore {
    app: Arc<App>,
    /// There is one at a time.
    _turn: OwnedSemaphorePermit,
    sender: mpsc::Sender<Vec<u8>>,
    receiver: JoinHandle<Result<(File, Timestamp), Error>>,
}

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many records of so many have been opened.
    Verifying(u64, u64),
    /// So many records of so many have been put beside the store.
    Replacing(u64, u64),
}

/// What a restore came to.
#[derive(Debug, Clone, Copy)]
pub struct Restored {
    /// When the backup was made.
    pub created_at: Timestamp,
    /// The revision that the backup is of.
    pub of: Revision,
    /// How many records it has that can not be opened.
    pub damaged: u64,
    /// Whether its digest does not vouch for its records.
    pub altered: bool,
    /// What there is now, and since which revision; `None` where it was only looked at.
    pub now: Option<(Counts, Revision)>,
}

/// What to do with a backup that has come.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreOptions {
    /// Look at it, and replace nothing.
    pub verify_only: bool,
    /// Take records too that can not be opened.
    pub accept_damaged: bool,
    /// Take them although the backup's digest does not vouch for them.
    pub accept_altered: bool,
}

/// How many chunks wait for the disk.
const AHEAD: usize = 4;
/// How much room is left to others on the disk, the store among them, in bytes.
const ROOM: u64 = 64 << 20;
/// How often the catalog is waited for, 10 s each time: it reads the whole store.
const LOADS: usize = 60;

impl App {
    /// Begins to take a backup in, unless another one is on its way.
    pub fn restore(self: &Arc<Self>, _grant: &ServiceGrant<Operate>) -> Result<Restore, Error> {
        let busy = |_| Error::Busy("Another backup is being restored");
        let turn = self.restoring.clone().try_acquire_owned().map_err(busy)?;
        let (sender, chunks) = mpsc::channel(AHEAD);
        let app = self.clone();
        let receiver = tokio::task::spawn_blocking(move || receive(&app, chunks));
        Ok(Restore { app: self.clone(), _turn: turn, sender, receiver })
    }
}

impl Restore {
    /// Takes the next bytes of it, and says whether it takes more: where it does not, `finish` says why.
    pub async fn take(&self, bytes: Vec<u8>) -> bool {
        self.sender.send(bytes).await.is_ok()
    }

    /// Once all has come: verifies it whole, and only then replaces what there is by it.
    pub async fn finish(
        self,
        options: RestoreOptions,
        progress: impl Fn(Progress) + Clone + Send + 'static,
    ) -> Result<Restored, Error> {
        let Self { app, _turn, sender, receiver } = self;
        drop(sender);
        let (file, created_at) = joined(receiver).await?;
        let file = Arc::new(file);

        let (master, from, told) = (app.provider.keys(), file.clone(), progress.clone());
        let present = app.catalog.digest();
        let verified = tokio::task::spawn_blocking(move || {
            verify(&master, &present, BufReader::new(&*from), |seen, of| told(Progress::Verifying(seen, of)))
                .map_err(Error::from)
        });
        let Content { revision: of, records, damaged, ignored, vouched, vouchers } = joined(verified).await?;
        if ignored.count() > 0 {
            let ignored = ignored.count();
            tracing::warn!(
                ignored,
                "the backup has records that are none of this service's: they are left out"
            );
        }
        let mut restored = Restored { created_at, of, damaged, altered: !vouched, now: None };
        if options.verify_only {
            return Ok(restored);
        }
        if damaged > 0 && !options.accept_damaged {
            return Err(Error::BackupDamaged(damaged, records));
        }
        if !vouched && !options.accept_altered {
            return Err(Error::BackupInvalid(BackupError::Unvouched));
        }
        let records = open_records(app.provider.keys(), &file, (records, ignored), progress)?;
        let vouchers = vouchers.into_iter().map(|(key, record)| Ok(ReplaceRecord::Put(key, record)));
        let records = Box::new(records.chain(vouchers));
        let revision = app.store.replace(records, of).await?;
        // It is done, however long it takes until it is seen here.
        for _ in 0..LOADS {
            if app.catalog.at_least(revision).await.is_ok() {
                break;
            }
        }
        // What was restored may be sealed for an earlier master key.
        app.keys_due.notify_one();
        restored.now = Some((app.catalog.counts(), revision));
        Ok(restored)
    }
}

async fn joined<T>(work: JoinHandle<Result<T, Error>>) -> Result<T, Error> {
    work.await.unwrap_or(Err(Error::Internal("a backup could not be looked at")))
}

/// Keeps what comes in a file, as long as it can be a backup.
fn receive(app: &App, mut chunks: mpsc::Receiver<Vec<u8>>) -> Result<(File, Timestamp), Error> {
    let full =
        |error: std::io::Error| Unavailable(format!("a backup can not be kept meanwhile: {error}").into());
    let mut file = tempfile::tempfile_in(&app.data_dir).map_err(full)?;
    let mut check = BackupCheck::new();
    while let Some(chunk) = chunks.blocking_recv() {
        check.update(&chunk)?;
        let disk = rustix::fs::fstatvfs(&file).map_err(|error| full(error.into()))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM {
            return Err(full(std::io::ErrorKind::StorageFull.into()).into());
        }
        file.write_all(&chunk).map_err(full)?;
    }
    let about = check.finish()?;
    file.seek(SeekFrom::Start(0)).map_err(full)?;
    Ok((file, Timestamp::from_micros(about.created_at)))
}

/// The records of a backup that was verified, as the store takes them.
fn open_records(
    master: Arc<MasterKeys>,
    file: &File,
    (all, ignored): (u64, Ignored),
    progress: impl Fn(Progress) + Send + 'static,
) -> Result<crate::store::ReplaceRecords, Error> {
    let failed =
        |error: std::io::Error| Unavailable(format!("a backup can not be read again: {error}").into());
    let mut reader = Reader::open(&master, BufReader::new(file.try_clone().map_err(failed)?))?;
    let mut seen = 0;
    let records = std::iter::from_fn(move || {
        let record = reader.next_record().map_err(|error| Unreadable(error.to_string().into())).transpose();
        if record.is_some() {
            seen += 1;
            if seen % 1000 == 0 || seen == all {
                progress(Progress::Replacing(seen, all));
            }
        }
        record
    });
    let is_ours = move |record: &Result<ReplaceRecord, _>| {
        !record.as_ref().is_ok_and(|record| ignored.has(record.key()))
    };
    Ok(Box::new(records.filter(is_ours)))
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Failed(error) => error.into(),
            BackupError::Unreadable(_) => {
                Unavailable(format!("a backup on its way into it: {error}").into()).into()
            }
            other => Self::BackupInvalid(other),
        }
    }
}

impl From<ReplaceError> for Error {
    fn from(error: ReplaceError) -> Self {
        match error {
            // It was read whole a moment ago.
            ReplaceError::Unreadable(_) => {
                Self::Internal("a backup that was verified could not be read again")
            }
            ReplaceError::TooLarge => Self::BackupInvalid(BackupError::Damaged),
            ReplaceError::Unavailable(why) => why.into(),
        }
    }
}
