//! Make a backup while others write.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::Backups;
use super::format::{BackupEnd, BackupPart, BackupRecord};
use crate::app::Error;
use crate::app::commit::Core;
use crate::auth::{Operate, ServiceGrant};
use crate::crypto::{About, BackupSealer, MAX_PART};
use crate::domain::{Revision, now};
use crate::schema::Kind;
use crate::store::{Change, Key, MAX_RECORD, Pages, Unavailable, Watch, WatchEnd};

/// The next bytes of a backup.
pub struct BackupChunk {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many records the backup has so far.
    pub records: u64,
    /// How many records it will have, roughly: others write meanwhile.
    pub expected: u64,
    /// In the last chunk: the revision that the backup is of.
    pub ended_at: Option<Revision>,
}

/// How many records are read from the store at a time.
const PAGE: usize = 500;
/// From how many bytes on a part takes no further record: then it has room for one more of the largest.
const FULL_PART: usize = MAX_PART - MAX_RECORD - 1024;
/// How many chunks wait for a caller that is slower than the store.
const CHUNKS_AHEAD: usize = 4;
/// How long the last change that the pages can have shown may take to become durable.
const DURABLE_TIME: Duration = Duration::from_secs(10);

impl Backups {
    /// Makes a backup, chunk by chunk, as fast as the caller receives them. An error is the last that is received. The backup
    /// is given up when the caller drops the receiver.
    pub fn create(&self, _grant: &ServiceGrant<Operate>) -> mpsc::Receiver<Result<BackupChunk, Error>> {
        let (out, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let core = self.core.clone();
        let work = async move {
            let written = async { BackupWriter::begin(&core, &out).await?.write(&core).await };
            if let Err(Stop::Failed(error)) = written.await {
                let _ = out.send(Err(error)).await;
            }
        };
        tokio::spawn(work.in_current_span()); // its lines in the log have the id of the request
        chunks
    }
}

/// Why a backup is not written to its end.
enum Stop {
    Failed(Error),
    /// The caller does not receive it any more.
    Gone,
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct BackupWriter<'a> {
    sealer: BackupSealer,
    out: &'a mpsc::Sender<Result<BackupChunk, Error>>,
    watch: Watch,
    /// The newest change that is in the backup.
    reached: Revision,
    part: BackupPart,
    /// How many bytes the part has, roughly.
    part_bytes: usize,
    records: u64,
    expected: u64,
}

impl<'a> BackupWriter<'a> {
    async fn begin(
        core: &Arc<Core>,
        out: &'a mpsc::Sender<Result<BackupChunk, Error>>,
    ) -> Result<Self, Stop> {
        let reached = core.store.durable();
        let about = About { created_at: now().as_micros(), revision: reached.0 };
        let (sealer, header) = BackupSealer::begin(&core.master_key.keys(), about)?;
        let writer = Self {
            sealer,
            out,
            watch: core.store.watch(reached),
            reached,
            part: BackupPart::default(),
            part_bytes: 0,
            records: 0,
            expected: core.catalog.records() as u64,
        };
        writer.send(header, None).await?;
        Ok(writer)
    }

    async fn write(mut self, core: &Arc<Core>) -> Result<(), Stop> {
        let mut pages = Pages::new(&*core.store, Key::all(), PAGE);
        while let Some(page) = pages.next().await? {
            for (key, entry) in page {
                if is_backed_up(&key) {
                    self.put(key.as_bytes(), Some(entry.value)).await?;
                }
            }
            // Changes are taken as they are made: the store keeps only the latest for its watchers.
            self.follow(core.store.durable()).await?;
        }
        // The pages can have shown changes that were not durable yet.
        let newest = core.store.revision().await?;
        let late = |_| Unavailable("its newest changes do not become durable".into());
        tokio::time::timeout(DURABLE_TIME, self.follow(newest)).await.map_err(late)??;
        self.part.end = Some(BackupEnd { revision: self.reached.0, records: self.records });
        self.seal(true).await
    }

    /// Puts the changes up to a revision into the backup.
    async fn follow(&mut self, newest: Revision) -> Result<(), Stop> {
        while self.reached < newest {
            let change = self.watch.next().await.map_err(|end| {
                Unavailable(match end {
                    WatchEnd::Compacted => {
                        "it changed faster than its backup was received, or was replaced meanwhile".into()
                    }
                    WatchEnd::Closed => "it is closed".into(),
                })
            })?;
            let Change { revision, put, delete } = &*change;
            for (key, value) in put.iter().filter(|(key, _)| is_backed_up(key)) {
                self.put(key.as_bytes(), Some(value.clone())).await?;
            }
            for key in delete.iter().filter(|key| is_backed_up(key)) {
                self.put(key.as_bytes(), None).await?;
            }
            self.reached = *revision;
        }
        Ok(())
    }

    async fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) -> Result<(), Stop> {
        if self.part_bytes > FULL_PART {
            self.seal(false).await?;
        }
        self.part_bytes += key.len() + value.as_ref().map_or(0, Vec::len) + 16;
        self.part.records.push(BackupRecord { key: key.to_vec(), value });
        self.records += 1;
        Ok(())
    }

    async fn seal(&mut self, last: bool) -> Result<(), Stop> {
        let part = std::mem::take(&mut self.part);
        self.part_bytes = 0;
        let sealed = self.sealer.seal(&part.encode_to_vec(), last)?;
        self.send(sealed, last.then_some(self.reached)).await
    }

    async fn send(&self, bytes: Vec<u8>, ended_at: Option<Revision>) -> Result<(), Stop> {
        let expected = self.expected.max(self.records);
        let chunk = BackupChunk { bytes, records: self.records, expected, ended_at };
        self.out.send(Ok(chunk)).await.map_err(|_| Stop::Gone)
    }
}

/// Whether a record belongs into a backup. What belongs to the audit log of a server does not, nor does the history of events:
/// the revisions of a restored store are others.
fn is_backed_up(key: &Key) -> bool {
    !matches!(key.kind(), Kind::AuditRecord(..) | Kind::AuditAnchor(_) | Kind::Event(_) | Kind::HistoryStart)
}
