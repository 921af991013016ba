use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::sync::mpsc;

use super::{End, Part, PartRecord};
use crate::app::{App, Error};
use crate::auth::{Operate, ServiceGrant};
use crate::crypto::{About, BackupSealer, MAX_PART};
use crate::domain::{Revision, now};
use crate::store::{Change, Key, MAX_RECORD, Pages, Unavailable, Watch, WatchEnd};

/// Some more bytes of a backup.
pub struct Chunk {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many records have been put into the backup so far.
    pub records: u64,
    /// How many it will have, roughly: others write meanwhile.
    pub expected: u64,
    /// In the last chunk: the revision that the backup is of.
    pub ended_at: Option<Revision>,
}

/// How many records are read from the store at a time.
const SCAN: usize = 500;
/// How large a part may be before the next record is put into another, in bytes.
const FULL: usize = MAX_PART - MAX_RECORD - 1024;
/// How many chunks wait for a caller that is slower than the store.
const AHEAD: usize = 4;
/// How long the last change that the scan can have shown may take to become durable.
const PATIENCE: Duration = Duration::from_secs(10);

impl App {
    /// Makes a backup, chunk by chunk, at the pace at which they are received; an error is the last of them. It ends when
    /// nobody receives any more.
    pub fn backup(self: &Arc<Self>, _grant: &ServiceGrant<Operate>) -> mpsc::Receiver<Result<Chunk, Error>> {
        let (out, chunks) = mpsc::channel(AHEAD);
        let app = self.clone();
        tokio::spawn(async move {
            let written = async { Writer::begin(&app, &out).await?.write(&app).await };
            if let Err(Some(error)) = written.await.map_err(Stop::into_error) {
                let _ = out.send(Err(error)).await;
            }
        });
        chunks
    }
}

/// Why a backup is not written to its end.
enum Stop {
    Failed(Error),
    /// Nobody receives it any more.
    Gone,
}

impl Stop {
    fn into_error(self) -> Option<Error> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Gone => None,
        }
    }
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct Writer<'a> {
    sealer: BackupSealer,
    out: &'a mpsc::Sender<Result<Chunk, Error>>,
    watch: Watch,
    /// The newest change that is in the backup.
    reached: Revision,
    part: Part,
    bytes: usize,
    records: u64,
    expected: u64,
}

impl<'a> Writer<'a> {
    async fn begin(app: &App, out: &'a mpsc::Sender<Result<Chunk, Error>>) -> Result<Self, Stop> {
        let reached = app.store.durable();
        let about = About { created_at: now().as_micros(), revision: reached.0 };
        let (sealer, header) = BackupSealer::begin(&app.provider.keys(), about)?;
        let watch = app.store.watch(reached);
        let expected = app.catalog.records() as u64;
        let part = Part::default();
        let writer = Self { sealer, out, watch, reached, part, bytes: 0, records: 0, expected };
        writer.send(header, None).await?;
        Ok(writer)
    }

    async fn write(mut self, app: &App) -> Result<(), Stop> {
        let mut pages = Pages::new(&*app.store, Key::all(), SCAN);
        while let Some(found) = pages.next().await? {
            for (key, entry) in found {
                self.put(key.as_bytes(), Some(entry.value)).await?;
            }
            // Taken in as they come, so that they do not leave the store's bounded log before.
            self.follow(app.store.durable()).await?;
        }
        // The scan can have shown what was not yet durable.
        let newest = app.store.revision().await?;
        let late = |_| Unavailable("its newest changes do not become durable".into());
        tokio::time::timeout(PATIENCE, self.follow(newest)).await.map_err(late)??;
        self.part.end = Some(End { revision: self.reached.0, records: self.records });
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
            for (key, value) in put {
                self.put(key.as_bytes(), Some(value.clone())).await?;
            }
            for key in delete {
                self.put(key.as_bytes(), None).await?;
            }
            self.reached = *revision;
        }
        Ok(())
    }

    async fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) -> Result<(), Stop> {
        if self.bytes > FULL {
            self.seal(false).await?;
        }
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len) + 16;
        self.part.records.push(PartRecord { key: key.to_vec(), value });
        self.records += 1;
        Ok(())
    }

    async fn seal(&mut self, last: bool) -> Result<(), Stop> {
        let part = std::mem::take(&mut self.part);
        self.bytes = 0;
        let sealed = self.sealer.seal(&part.encode_to_vec(), last)?;
        self.send(sealed, last.then_some(self.reached)).await
    }

    async fn send(&self, bytes: Vec<u8>, ended_at: Option<Revision>) -> Result<(), Stop> {
        let expected = self.expected.max(self.records);
        let chunk = Chunk { bytes, records: self.records, expected, ended_at };
        self.out.send(Ok(chunk)).await.map_err(|_| Stop::Gone)
    }
}
