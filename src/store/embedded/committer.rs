//! The only writer of an embedded engine. It takes all waiting transactions, checks them in order, applies the
//! accepted ones as one batch, makes the batch durable with one sync, and only then answers and publishes (group
//! commit). After an error it writes nothing until the engine has been opened again and shows every acknowledged
//! change.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

use super::batch::Batch;
use super::engine_handle::EngineHandle;
use crate::domain::Revision;
use crate::metrics::CommitMetrics;
use crate::store::change::ChangeLog;
use crate::store::{Change, CommitError, Entry, Key, ReplaceError, ReplaceRecords, Transaction, Unavailable};

/// An embedded engine, as the committer and the embedded store use it. Only the committer writes.
pub(super) trait Engine: Send + Sync + Sized + 'static {
    /// The name of the engine, for people.
    const NAME: &'static str;
    /// Where the data is.
    type Place: Send + Sync + 'static;

    /// Opens the data, or creates it, and returns its revision. Everything that it then shows is durable.
    fn open(place: &Self::Place) -> Result<(Self, Revision), Unavailable>;

    /// Fails if the engine knows that it no longer takes writes: a write that it made by itself may have failed.
    fn is_whole(&self) -> Result<(), Unavailable>;

    /// The entry at a key, applied batches included.
    fn read(&self, key: &Key) -> Result<Option<Entry>, Unavailable>;

    /// The first `limit` entries with a prefix, in key order. With `after`, only keys greater than it.
    fn range(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable>;

    /// Applies the changes of consecutive revisions as one atomic step, and stores the last revision with them. The
    /// step is not durable yet.
    fn apply(&self, changes: &[Change]) -> Result<(), Unavailable>;

    /// Makes all applied steps durable.
    fn sync(&self) -> Result<(), Unavailable>;

    /// Whether an attempt to close and open a broken engine may succeed. Until then the engine may still serve
    /// reads.
    fn probe(place: &Self::Place) -> Result<(), Unavailable>;

    /// Opens the data again after an error: like `open`, but the disk may not hold all that the operating system
    /// shows.
    fn recover(place: &Self::Place) -> Result<(Self, Revision), Unavailable>;

    /// Writes the records of a replacement beside the present data, durably, all with this revision.
    fn prepare(place: &Self::Place, records: ReplaceRecords, revision: Revision) -> Result<(), ReplaceError>;

    /// Notes for the next process that acknowledged changes are gone. An installation removes the note.
    fn condemn(place: &Self::Place, why: &Unavailable);

    /// Opens the prepared replacement in place of the present data, which is closed.
    fn install(place: &Self::Place) -> Result<(Self, Revision), Unavailable>;
}

/// A job for the committer.
pub(super) enum Job {
    Commit(PendingCommit),
    Install(Installation),
}

/// A transaction on its way to the committer.
pub(super) struct PendingCommit {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
}

/// A prepared replacement, all of one revision, on its way to take the place of the data.
pub(super) struct Installation {
    pub(super) revision: Revision,
    pub(super) answer: oneshot::Sender<Result<Revision, Unavailable>>,
    /// The lock under which only one replacement is prepared at a time. Held until the installation is done.
    pub(super) turn: OwnedMutexGuard<()>,
}

impl Job {
    fn refuse(self, why: &Unavailable) {
        // The caller may have gone.
        match self {
            Self::Commit(waiting) => drop(waiting.answer.send(Err(why.clone().into()))),
            Self::Install(installation) => drop(installation.answer.send(Err(why.clone()))),
        }
    }
}

pub(super) struct Committer<E: Engine> {
    pub(super) handle: Arc<EngineHandle<E>>,
    pub(super) log: Arc<ChangeLog>,
    /// The newest revision that reads may have shown: set before a batch is applied, and never lowered.
    pub(super) assigned: Arc<AtomicU64>,
    pub(super) waiting: mpsc::Receiver<Job>,
    metrics: Arc<CommitMetrics>,
    /// Why nothing can be written; `None`: the engine works.
    broken: Option<EngineFailure>,
}

/// A failure of the engine.
struct EngineFailure {
    why: Unavailable,
    /// When opening it was last tried.
    tried: Instant,
    /// Whether acknowledged changes are gone. Then only a replacement helps.
    lost: bool,
}

impl EngineFailure {
    fn now(why: Unavailable) -> Self {
        Self { why, tried: Instant::now(), lost: false }
    }
}

/// The pause between two attempts to open a broken engine.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);

impl<E: Engine> Committer<E> {
    pub(super) fn new(
        handle: Arc<EngineHandle<E>>,
        log: Arc<ChangeLog>,
        assigned: Arc<AtomicU64>,
        waiting: mpsc::Receiver<Job>,
        metrics: Arc<CommitMetrics>,
    ) -> Self {
        Self { handle, log, assigned, waiting, metrics, broken: None }
    }

    /// Runs jobs until every sender is gone and every job has been answered.
    pub(super) fn run(mut self) {
        let mut carried: Option<Job> = None;
        while let Some(job) = carried.take().or_else(|| self.waiting.blocking_recv()) {
            // A panic is a defect, and is handled like any other failure. The caller learns of it when its answer
            // is dropped.
            let done = panic::catch_unwind(AssertUnwindSafe(|| self.do_job(job)));
            carried = done.unwrap_or_else(|_panic| {
                let why = Unavailable("it failed because of a defect".into());
                tracing::error!(cause = %why, "nothing is written until the store has been opened again");
                self.broken = Some(EngineFailure::now(why));
                None
            });
        }
    }

    /// Runs a job, and returns the job that was received after it and comes next.
    fn do_job(&mut self, job: Job) -> Option<Job> {
        self.notice();
        match (self.mend(), job) {
            (Ok(()), Job::Commit(first)) => return self.commit(first),
            (Ok(()), Job::Install(installation)) => self.install(installation),
            // No engine is open, so an installation loses nothing.
            (Err(_), Job::Install(installation)) if self.handle.with(|_| Ok(())).is_err() => {
                self.install(installation);
            }
            (Err(why), job) => job.refuse(&why),
        }
        None
    }

    /// Commits a transaction together with the waiting ones, and returns the job that did not fit.
    fn commit(&mut self, first: PendingCommit) -> Option<Job> {
        let mut batch = Batch::new(self.log.durable());
        let mut carried = None;
        let read = |key: &Key| self.handle.with(|engine| engine.read(key));
        batch.add(first, read);
        while batch.has_room() {
            match self.waiting.try_recv() {
                Ok(Job::Commit(next)) if batch.has_room_for(&next.transaction) => batch.add(next, read),
                Ok(job) => {
                    carried = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        if let Err(why) = self.make_durable(batch) {
            tracing::error!(cause = %why, "a commit failed: nothing is written until the store has been opened again");
            self.broken = Some(EngineFailure::now(why));
        }
        carried
    }

    /// Notices an engine that failed by itself. sled also writes while it reads, and does nothing more once such a
    /// write has failed. A change reads before it writes, so no change would get as far as a failed write.
    fn notice(&mut self) {
        if self.broken.is_none()
            && let Err(why) = self.handle.with(E::is_whole)
        {
            tracing::error!(cause = %why, "the store failed: nothing is written until it has been opened again");
            self.broken = Some(EngineFailure::now(why));
        }
    }

    /// Makes a batch durable, publishes it, and answers its callers.
    fn make_durable(&self, batch: Batch) -> Result<(), Unavailable> {
        let Batch { changes, answers, revision, .. } = batch;
        if !changes.is_empty() {
            self.shown_up_to(revision);
            // Reads go on meanwhile. Only an exchange of the engine waits for them.
            let made = self.handle.with(|engine| engine.apply(&changes).and_then(|()| self.sync(engine)));
            if let Err(why) = made {
                self.metrics.failed.add(1);
                for (waiting, _) in answers {
                    let _ = waiting.send(Err(why.clone().into()));
                }
                return Err(why);
            }
            self.metrics.batch.count(u64::try_from(changes.len()).unwrap_or(u64::MAX));
            self.log.publish(changes);
        }
        for (waiting, outcome) in answers {
            // The caller may have gone. Its change is made all the same.
            let _ = waiting.send(outcome.map_err(|refused| refused.at(revision)));
        }
        Ok(())
    }

    fn sync(&self, engine: &E) -> Result<(), Unavailable> {
        let began = Instant::now();
        engine.sync()?;
        self.metrics.sync.observe(began.elapsed());
        Ok(())
    }

    /// Puts the prepared replacement in the place of the data.
    fn install(&mut self, Installation { revision, answer, turn }: Installation) {
        let installed = if revision <= self.log.durable() {
            // The replacement would be older than the data.
            Err(Unavailable("it changed too much while its replacement was made".into()))
        } else {
            self.shown_up_to(revision);
            self.handle.exchange(E::install).inspect_err(|why| {
                tracing::error!(cause = %why, "the replacement of the store could not be opened");
                let lost = self.broken.as_ref().is_some_and(|broken| broken.lost);
                self.broken = Some(EngineFailure { lost, ..EngineFailure::now(why.clone()) });
            })
        };
        if let Ok(revision) = installed {
            self.broken = None; // also if acknowledged changes were lost before
            self.log.reset(revision);
        }
        drop(turn);
        let _ = answer.send(installed);
    }

    /// Opens a broken engine again, at most once per pause, until that succeeds.
    fn mend(&mut self) -> Result<(), Unavailable> {
        let Some(broken) = &self.broken else { return Ok(()) };
        if broken.lost || broken.tried.elapsed() < BETWEEN_ATTEMPTS {
            return Err(broken.why.clone());
        }
        match self.open_again() {
            Ok(revision) => {
                self.broken = None;
                tracing::info!(%revision, "the store was opened again and takes writes");
                Ok(())
            }
            Err(broken) => {
                let why = broken.why.clone();
                self.broken = Some(broken);
                Err(why)
            }
        }
    }

    fn open_again(&self) -> Result<Revision, EngineFailure> {
        let (acknowledged, mut lost) = (self.log.durable(), false);
        let opened = E::probe(self.handle.place()).and_then(|()| {
            self.handle.exchange(|place| {
                let (engine, revision) = E::recover(place)?;
                lost = revision < acknowledged;
                if lost { Err(gone(revision, acknowledged)) } else { Ok((engine, revision)) }
            })
        });
        let revision = opened.map_err(|why| {
            if lost {
                tracing::error!(cause = %why, "acknowledged changes are gone");
                E::condemn(self.handle.place(), &why);
            }
            EngineFailure { lost, ..EngineFailure::now(why) }
        })?;
        // Readers may have seen changes that failed and are gone now, or that were made after all. None of their
        // revisions is given out again: a caller that waits for one would take the lost change for the new one. All
        // watchers read the store again.
        let shown = Revision(self.assigned.load(Ordering::SeqCst));
        let marker = Change { revision: shown.max(revision).next(), put: Vec::new(), delete: Vec::new() };
        self.shown_up_to(marker.revision);
        let marked = self
            .handle
            .with(|engine| engine.apply(std::slice::from_ref(&marker)).and_then(|()| engine.sync()));
        marked.map_err(EngineFailure::now)?;
        self.log.reset(marker.revision);
        Ok(marker.revision)
    }

    fn shown_up_to(&self, revision: Revision) {
        self.assigned.store(revision.0, Ordering::SeqCst);
    }
}

fn gone(revision: Revision, acknowledged: Revision) -> Unavailable {
    Unavailable(
        format!(
            "it came back at revision {revision}, although revision {acknowledged} was acknowledged: nothing more is served. Keep a \
             copy of the folder, and restore a backup"
        )
        .into(),
    )
}
