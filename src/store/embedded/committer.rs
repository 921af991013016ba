//! The one writer of an embedded engine: it takes all waiting transactions, checks them in order, applies those that
//! hold as one batch, makes it durable with one sync, and only then answers and publishes them (group commit). After an
//! error it writes nothing until the engine has been opened again, and shows what it had acknowledged.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

use super::batch::Batch;
use super::engine_handle::EngineHandle;
use crate::domain::Revision;
use crate::store::change::ChangeLog;
use crate::store::{Change, CommitError, Entry, Key, ReplaceError, ReplaceRecords, Transaction, Unavailable};

/// An embedded engine, as the committer and the embedded store use it.
pub(super) trait Engine: Send + Sync + Sized + 'static {
    /// For people.
    const NAME: &'static str;
    /// Where the data is.
    type Place: Send + Sync + 'static;

    /// Opens what is there, or makes it, and says at which revision it is. All that it then shows is durable.
    fn open(place: &Self::Place) -> Result<(Self, Revision), Unavailable>;

    /// Whether it still takes writes, as far as it knows: it can have failed at one that it made by itself.
    fn is_whole(&self) -> Result<(), Unavailable>;

    /// What is stored at a key, applied batches included.
    fn read(&self, key: &Key) -> Result<Option<Entry>, Unavailable>;

    /// The first `limit` entries with a prefix, behind `after`, in key order.
    fn range(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable>;

    /// Applies the changes of consecutive revisions as one atomic step, and keeps the last revision with them. The
    /// step is not yet durable.
    fn apply(&self, changes: &[Change]) -> Result<(), Unavailable>;

    /// Makes all that was applied durable.
    fn sync(&self) -> Result<(), Unavailable>;

    /// Whether it is worth while to close a broken engine, from which reads may still be served, and to open it again.
    fn probe(place: &Self::Place) -> Result<(), Unavailable>;

    /// Opens it again after an error: like `open`, but what the operating system shows may not be on the disk.
    fn recover(place: &Self::Place) -> Result<(Self, Revision), Unavailable>;

    /// Puts records, all of this revision, beside what is there, durably.
    fn prepare(place: &Self::Place, records: ReplaceRecords, revision: Revision) -> Result<(), ReplaceError>;

    /// Notes for the next process that what is there is not what was acknowledged. An installation takes it back.
    fn condemn(place: &Self::Place, why: &Unavailable);

    /// Opens what was prepared in place of what was there, which is closed.
    fn install(place: &Self::Place) -> Result<(Self, Revision), Unavailable>;
}

/// What the committer is asked for.
pub(super) enum Job {
    Commit(PendingCommit),
    Install(Installation),
}

/// A transaction on its way to the committer.
pub(super) struct PendingCommit {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
}

/// What was prepared, all of it of this revision, on its way to replace all that is there.
pub(super) struct Installation {
    pub(super) revision: Revision,
    pub(super) answer: oneshot::Sender<Result<Revision, Unavailable>>,
    /// Held until it is done: what is prepared is for one at a time.
    pub(super) turn: OwnedMutexGuard<()>,
}

impl Job {
    fn refuse(self, why: &Unavailable) {
        // Whoever asked may have gone.
        match self {
            Self::Commit(waiting) => drop(waiting.answer.send(Err(why.clone().into()))),
            Self::Install(installation) => drop(installation.answer.send(Err(why.clone()))),
        }
    }
}

pub(super) struct Committer<E: Engine> {
    pub(super) handle: Arc<EngineHandle<E>>,
    pub(super) log: Arc<ChangeLog>,
    /// The newest revision that reads may have shown: set before a batch is applied, and never back.
    pub(super) assigned: Arc<AtomicU64>,
    pub(super) waiting: mpsc::Receiver<Job>,
    /// Why nothing can be written.
    broken: Option<EngineFailure>,
}

/// An engine that failed.
struct EngineFailure {
    why: Unavailable,
    /// When it was last tried to open it again.
    tried: Instant,
    /// Whether what it had acknowledged is gone: then no opening helps, and only a replacement does.
    lost: bool,
}

impl EngineFailure {
    fn now(why: Unavailable) -> Self {
        Self { why, tried: Instant::now(), lost: false }
    }
}

/// How long a broken engine is left alone between two attempts to open it again.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);

impl<E: Engine> Committer<E> {
    pub(super) fn new(
        handle: Arc<EngineHandle<E>>,
        log: Arc<ChangeLog>,
        assigned: Arc<AtomicU64>,
        waiting: mpsc::Receiver<Job>,
    ) -> Self {
        Self { handle, log, assigned, waiting, broken: None }
    }

    /// Commits until every sender is gone, and everything sent has been answered.
    pub(super) fn run(mut self) {
        let mut carried: Option<Job> = None;
        while let Some(job) = carried.take().or_else(|| self.waiting.blocking_recv()) {
            // A panic is a defect, and is to be mended like any other failure: whoever waits is told by its answer's end.
            let done = panic::catch_unwind(AssertUnwindSafe(|| self.do_job(job)));
            carried = done.unwrap_or_else(|_panic| {
                let why = Unavailable("it failed by a defect".into());
                tracing::error!(cause = %why, "nothing is written until the store was opened again");
                self.broken = Some(EngineFailure::now(why));
                None
            });
        }
    }

    /// Does a job, and gives back one that was waiting behind it and comes next.
    fn do_job(&mut self, job: Job) -> Option<Job> {
        self.notice();
        match (self.mend(), job) {
            (Ok(()), Job::Commit(first)) => return self.commit(first),
            (Ok(()), Job::Install(installation)) => self.install(installation),
            // Where nothing is open, nothing is lost by it.
            (Err(_), Job::Install(installation)) if self.handle.with(|_| Ok(())).is_err() => {
                self.install(installation);
            }
            (Err(why), job) => job.refuse(&why),
        }
        None
    }

    /// Commits a transaction together with those that wait behind it, and gives back the job that did not fit.
    fn commit(&mut self, first: PendingCommit) -> Option<Job> {
        let mut group = Batch::new(self.log.durable());
        let mut carried = None;
        let read = |key: &Key| self.handle.with(|engine| engine.read(key));
        group.add(first, read);
        while group.has_room() {
            match self.waiting.try_recv() {
                Ok(Job::Commit(next)) if group.has_room_for(&next.transaction) => group.add(next, read),
                Ok(job) => {
                    carried = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        if let Err(why) = self.make_durable(group) {
            tracing::error!(cause = %why, "a commit failed: nothing is written until the store was opened again");
            self.broken = Some(EngineFailure::now(why));
        }
        carried
    }

    /// Looks whether the engine failed by itself: sled writes as it reads, too, and does nothing more once one of its writes
    /// has failed. A change needs reads before it is written, so none of them would get as far as to tell.
    fn notice(&mut self) {
        if self.broken.is_none()
            && let Err(why) = self.handle.with(E::is_whole)
        {
            tracing::error!(cause = %why, "the store failed: nothing is written until it was opened again");
            self.broken = Some(EngineFailure::now(why));
        }
    }

    /// Makes a group durable, publishes it, and answers its callers.
    fn make_durable(&self, group: Batch) -> Result<(), Unavailable> {
        let Batch { changes, answers, revision, .. } = group;
        if !changes.is_empty() {
            self.shown_up_to(revision);
            // Reads may go on meanwhile; only an exchange would wait for them.
            let made = self.handle.with(|engine| engine.apply(&changes).and_then(|()| engine.sync()));
            if let Err(why) = made {
                for (waiting, _) in answers {
                    let _ = waiting.send(Err(why.clone().into()));
                }
                return Err(why);
            }
            self.log.publish(changes);
        }
        for (waiting, outcome) in answers {
            // The caller may have gone: the change stands all the same.
            let _ = waiting.send(outcome.map_err(|refused| refused.at(revision)));
        }
        Ok(())
    }

    /// Puts what was prepared in place of what there is.
    fn install(&mut self, Installation { revision, answer, turn }: Installation) {
        let installed = if revision <= self.log.durable() {
            // What was prepared would be older than what it should replace.
            Err(Unavailable("it changed too much while its replacement was made".into()))
        } else {
            self.shown_up_to(revision);
            self.handle.exchange(E::install).inspect_err(|why| {
                tracing::error!(cause = %why, "what should replace the store could not be opened");
                let lost = self.broken.as_ref().is_some_and(|broken| broken.lost);
                self.broken = Some(EngineFailure { lost, ..EngineFailure::now(why.clone()) });
            })
        };
        if let Ok(revision) = installed {
            self.broken = None; // also where what there was had been lost
            self.log.reset(revision);
        }
        drop(turn);
        let _ = answer.send(installed);
    }

    /// Opens a broken engine again, now and then, until that succeeds.
    fn mend(&mut self) -> Result<(), Unavailable> {
        let Some(broken) = &self.broken else { return Ok(()) };
        if broken.lost || broken.tried.elapsed() < BETWEEN_ATTEMPTS {
            return Err(broken.why.clone());
        }
        match self.open_again() {
            Ok(revision) => {
                self.broken = None;
                tracing::info!(%revision, "the store was opened again: writes are taken");
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
        // Readers may have seen what failed and is gone now, or what was made after all. None of those revisions is given
        // out again, or whoever waits for one would take what is gone for what is there; and all watchers look anew.
        let shown = Revision(self.assigned.load(Ordering::SeqCst));
        let anew = Change { revision: shown.max(revision).next(), put: Vec::new(), delete: Vec::new() };
        self.shown_up_to(anew.revision);
        let marked =
            self.handle.with(|engine| engine.apply(std::slice::from_ref(&anew)).and_then(|()| engine.sync()));
        marked.map_err(EngineFailure::now)?;
        self.log.reset(anew.revision);
        Ok(anew.revision)
    }

    fn shown_up_to(&self, revision: Revision) {
        self.assigned.store(revision.0, Ordering::SeqCst);
    }
}

fn gone(revision: Revision, acknowledged: Revision) -> Unavailable {
    Unavailable(
        format!(
            "it came back at revision {revision}, although {acknowledged} was acknowledged: nothing more is served. Keep a \
             copy of the folder, and restore a backup"
        )
        .into(),
    )
}
