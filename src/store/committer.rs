//! The one writer of an embedded engine: it takes all waiting transactions, checks them in order, applies those that
//! hold as one batch, makes it durable with one sync, and only then answers and publishes them (group commit).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::change::ChangeLog;
use super::{Change, CommitError, Entry, Expect, Key, MAX_RECORD, Transaction, Unavailable};
use crate::domain::Revision;

/// An embedded engine, as the committer and the embedded store use it.
pub(super) trait Engine: Send + Sync + 'static {
    /// For people.
    const NAME: &'static str;

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
}

/// A transaction on its way to the committer.
pub(super) struct Waiting {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
}

pub(super) struct Committer<E> {
    pub(super) engine: Arc<E>,
    pub(super) log: Arc<ChangeLog>,
    /// The newest revision that reads may have shown: set before a batch is applied.
    pub(super) assigned: Arc<AtomicU64>,
    pub(super) waiting: mpsc::Receiver<Waiting>,
}

/// How much one sync makes durable at most. sled loses data where the log written between two syncs nears a segment
/// (8 MiB here).
const MAX_GROUP_BYTES: usize = 512 * 1024;
const MAX_GROUP: usize = 512;

impl<E: Engine> Committer<E> {
    /// Commits until every sender is gone, and everything sent has been answered.
    pub(super) fn run(mut self) {
        let mut failed: Option<Unavailable> = None;
        let mut carried: Option<Waiting> = None;
        while let Some(first) = carried.take().or_else(|| self.waiting.blocking_recv()) {
            if let Some(why) = &failed {
                // A failed sync leaves unknown what is on disk: nothing more is written until a restart has looked.
                answer(first, Err(why.clone().into()));
                continue;
            }
            let mut group = Group::new(self.log.durable());
            group.add(first, &*self.engine);
            while group.has_room() {
                let Ok(next) = self.waiting.try_recv() else { break };
                if !group.has_room_for(&next.transaction) {
                    carried = Some(next);
                    break;
                }
                group.add(next, &*self.engine);
            }
            failed = self.commit(group).err();
        }
    }

    /// Makes a group durable, publishes it, and answers its callers.
    fn commit(&self, group: Group) -> Result<(), Unavailable> {
        let Group { changes, answers, revision, .. } = group;
        if !changes.is_empty() {
            self.assigned.store(revision.0, Ordering::SeqCst);
            if let Err(why) = self.engine.apply(&changes).and_then(|()| self.engine.sync()) {
                tracing::error!(cause = %why, "a commit failed: no more writes until a restart");
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
}

fn answer(waiting: Waiting, outcome: Result<Revision, CommitError>) {
    let _ = waiting.answer.send(outcome);
}

type Answer = (oneshot::Sender<Result<Revision, CommitError>>, Result<Revision, Refused>);

/// Why a transaction is not in its group.
enum Refused {
    Conflict,
    TooLarge,
    Unavailable(Unavailable),
}

impl Refused {
    /// The answer, given once the revision that it was decided at is durable.
    fn at(self, revision: Revision) -> CommitError {
        match self {
            Self::Conflict => CommitError::Conflict(revision),
            Self::TooLarge => CommitError::TooLarge,
            Self::Unavailable(why) => why.into(),
        }
    }
}

/// Transactions that become durable together.
struct Group {
    changes: Vec<Change>,
    answers: Vec<Answer>,
    /// What the group has done so far to the keys it touches: `None` where it deleted.
    touched: HashMap<Key, Option<Revision>>,
    bytes: usize,
    revision: Revision,
}

impl Group {
    fn new(revision: Revision) -> Self {
        Self { changes: Vec::new(), answers: Vec::new(), touched: HashMap::new(), bytes: 0, revision }
    }

    fn has_room(&self) -> bool {
        self.answers.len() < MAX_GROUP && self.bytes < MAX_GROUP_BYTES
    }

    fn has_room_for(&self, transaction: &Transaction) -> bool {
        self.bytes + size(transaction) <= MAX_GROUP_BYTES
    }

    /// Adds a transaction, or the reason why it is refused.
    fn add<E: Engine>(&mut self, waiting: Waiting, engine: &E) {
        let Waiting { transaction, answer } = waiting;
        let outcome = self.check(&transaction, engine).map(|()| self.take(transaction));
        self.answers.push((answer, outcome));
    }

    fn check<E: Engine>(&self, transaction: &Transaction, engine: &E) -> Result<(), Refused> {
        if transaction.put.iter().any(|(_, value)| value.len() > MAX_RECORD)
            || size(transaction) > MAX_GROUP_BYTES
        {
            return Err(Refused::TooLarge);
        }
        for (key, expect) in &transaction.require {
            let there = match self.touched.get(key) {
                Some(there) => *there,
                None => engine.read(key).map_err(Refused::Unavailable)?.map(|entry| entry.revision),
            };
            let holds = match expect {
                Expect::Absent => there.is_none(),
                Expect::At(revision) => there == Some(*revision),
            };
            if !holds {
                return Err(Refused::Conflict);
            }
        }
        Ok(())
    }

    fn take(&mut self, transaction: Transaction) -> Revision {
        if transaction.put.is_empty() && transaction.delete.is_empty() {
            return self.revision; // only asked whether something holds
        }
        self.revision = self.revision.next();
        self.bytes += size(&transaction);
        let Transaction { put, delete, .. } = transaction;
        self.touched.extend(put.iter().map(|(key, _)| (key.clone(), Some(self.revision))));
        self.touched.extend(delete.iter().map(|key| (key.clone(), None)));
        self.changes.push(Change { revision: self.revision, put, delete });
        self.revision
    }
}

fn size(transaction: &Transaction) -> usize {
    let put: usize = transaction.put.iter().map(|(key, value)| key.as_bytes().len() + value.len()).sum();
    let deleted: usize = transaction.delete.iter().map(|key| key.as_bytes().len()).sum();
    put + deleted
}
