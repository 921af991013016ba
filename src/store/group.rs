use std::collections::HashMap;

use tokio::sync::oneshot;

use super::committer::Waiting;
use super::{Change, CommitError, Entry, Expect, Key, MAX_TRANSACTION, Transaction, Unavailable};
use crate::domain::Revision;

/// How many transactions one sync makes durable at most. Their bytes have the bound of one transaction: sled loses data
/// where the log written between two syncs nears a segment (8 MiB here).
const MAX_GROUP: usize = 512;

/// Transactions that become durable together.
pub(super) struct Group {
    /// What those that hold do.
    pub(super) changes: Vec<Change>,
    /// What to answer once it is durable, in the order in which they came.
    pub(super) answers: Vec<Answer>,
    /// What the group has done so far to the keys it touches: `None` where it deleted.
    touched: HashMap<Key, Option<Revision>>,
    bytes: usize,
    /// The newest revision, the group included.
    pub(super) revision: Revision,
}

type Answer = (oneshot::Sender<Result<Revision, CommitError>>, Result<Revision, Refused>);

/// Why a transaction is not in its group.
pub(super) enum Refused {
    Conflict,
    TooLarge,
    TooLate,
    Unavailable(Unavailable),
}

impl Refused {
    /// The answer, given once the revision that it was decided at is durable.
    pub(super) fn at(self, revision: Revision) -> CommitError {
        match self {
            Self::Conflict => CommitError::Conflict(revision),
            Self::TooLarge => CommitError::TooLarge,
            Self::TooLate => CommitError::TooLate,
            Self::Unavailable(why) => why.into(),
        }
    }
}

impl Group {
    /// An empty group behind a revision.
    pub(super) fn new(revision: Revision) -> Self {
        Self { changes: Vec::new(), answers: Vec::new(), touched: HashMap::new(), bytes: 0, revision }
    }

    pub(super) fn has_room(&self) -> bool {
        self.answers.len() < MAX_GROUP && self.bytes < MAX_TRANSACTION
    }

    pub(super) fn has_room_for(&self, transaction: &Transaction) -> bool {
        self.bytes + transaction.size() <= MAX_TRANSACTION
    }

    /// Adds a transaction, or the reason why it is refused. `read` gives what the store has at a key, without the group.
    pub(super) fn add(
        &mut self,
        waiting: Waiting,
        read: impl Fn(&Key) -> Result<Option<Entry>, Unavailable>,
    ) {
        let Waiting { transaction, answer } = waiting;
        let outcome = self.check(&transaction, read).map(|()| self.take(transaction));
        self.answers.push((answer, outcome));
    }

    fn check(
        &self,
        transaction: &Transaction,
        read: impl Fn(&Key) -> Result<Option<Entry>, Unavailable>,
    ) -> Result<(), Refused> {
        if !transaction.fits() {
            return Err(Refused::TooLarge);
        }
        if transaction.is_too_late() {
            return Err(Refused::TooLate);
        }
        for (key, expect) in &transaction.require {
            let there = match self.touched.get(key) {
                Some(there) => *there,
                None => read(key).map_err(Refused::Unavailable)?.map(|entry| entry.revision),
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
        if transaction.changes_nothing() {
            return self.revision;
        }
        self.revision = self.revision.next();
        self.bytes += transaction.size();
        let Transaction { put, delete, .. } = transaction;
        self.touched.extend(put.iter().map(|(key, _)| (key.clone(), Some(self.revision))));
        self.touched.extend(delete.iter().map(|key| (key.clone(), None)));
        self.changes.push(Change { revision: self.revision, put, delete });
        self.revision
    }
}
