use std::collections::HashMap;

use tokio::sync::oneshot;

use super::committer::PendingCommit;
use crate::domain::Revision;
use crate::store::{
    Change, Changed, CommitError, Entry, Expect, Key, MAX_TRANSACTION, NextDigest, Transaction, Unavailable,
};

/// The largest number of transactions that one sync makes durable. Their bytes have the bound of one transaction:
/// sled loses data where the log between two syncs comes near the size of a segment (8 MiB here).
const MAX_BATCH: usize = 512;

/// Transactions that one sync makes durable together.
pub(super) struct Batch {
    /// The changes of the accepted transactions.
    pub(super) changes: Vec<Change>,
    /// The answers to give once the batch is durable, in the order of arrival.
    pub(super) answers: Vec<Answer>,
    /// What stands at the keys that the batch has read or changed so far. All transactions require some keys in common.
    known: HashMap<Key, Known>,
    bytes: usize,
    /// The newest revision, this batch included.
    pub(super) revision: Revision,
}

/// What stands at a key; `None`: nothing.
enum Known {
    /// What the engine has.
    Stored(Option<Entry>),
    /// What the batch has left there.
    Changed(Option<Touched>),
}

/// Where the latest value of a key stands in the batch's changes.
#[derive(Clone, Copy)]
struct Touched {
    revision: Revision,
    change: usize,
    put: usize,
}

type Answer = (oneshot::Sender<Result<Revision, CommitError>>, Result<Revision, Rejection>);

/// Why a transaction is not part of its batch.
pub(super) enum Rejection {
    Conflict,
    TooLarge,
    TooLate,
    NoDigest,
    Unavailable(Unavailable),
}

impl Rejection {
    /// The answer to the caller. It is given once the revision at which it was decided is durable.
    pub(super) fn at(self, revision: Revision) -> CommitError {
        match self {
            Self::Conflict => CommitError::Conflict(revision),
            Self::TooLarge => CommitError::TooLarge,
            Self::TooLate => CommitError::TooLate,
            Self::NoDigest => CommitError::NoDigest,
            Self::Unavailable(why) => why.into(),
        }
    }
}

impl Batch {
    /// An empty batch after a revision.
    pub(super) fn new(revision: Revision) -> Self {
        Self { changes: Vec::new(), answers: Vec::new(), known: HashMap::new(), bytes: 0, revision }
    }

    pub(super) fn has_room(&self) -> bool {
        self.answers.len() < MAX_BATCH && self.bytes < MAX_TRANSACTION
    }

    pub(super) fn has_room_for(&self, transaction: &Transaction) -> bool {
        self.bytes + transaction.size() <= MAX_TRANSACTION
    }

    /// Adds a transaction, or the reason why it is refused. `read` gives the entry that the engine has at a key,
    /// without this batch.
    pub(super) fn add(
        &mut self,
        waiting: PendingCommit,
        read: impl Fn(&Key) -> Result<Option<Entry>, Unavailable>,
    ) {
        let PendingCommit { transaction, answer } = waiting;
        let checked = self.check(&transaction, &read).and_then(|()| self.digest(&transaction, &read));
        let outcome = checked.map(|digest| self.take(transaction, digest));
        self.answers.push((answer, outcome));
    }

    fn check(
        &mut self,
        transaction: &Transaction,
        read: impl Fn(&Key) -> Result<Option<Entry>, Unavailable>,
    ) -> Result<(), Rejection> {
        if !transaction.fits() {
            return Err(Rejection::TooLarge);
        }
        if transaction.appends_nowhere() {
            return Err(Rejection::NoDigest);
        }
        if transaction.is_too_late() {
            return Err(Rejection::TooLate);
        }
        for (key, expect) in &transaction.require {
            self.learn(key, &read)?;
            let found = self.present(key).map(|(revision, _)| revision);
            let holds = match expect {
                Expect::Absent => found.is_none(),
                Expect::At(revision) => found == Some(*revision),
            };
            if !holds {
                return Err(Rejection::Conflict);
            }
        }
        Ok(())
    }

    /// The digest after the transaction, if the transaction has a digester.
    fn digest(
        &mut self,
        transaction: &Transaction,
        read: impl Fn(&Key) -> Result<Option<Entry>, Unavailable>,
    ) -> Result<Option<NextDigest>, Rejection> {
        let Some(digester) = transaction.digester.as_ref().filter(|_| !transaction.changes_nothing()) else {
            return Ok(None);
        };
        let put = transaction.put.iter().map(|(key, value)| (key, Some(value.as_slice())));
        let changes = put.chain(transaction.delete.iter().map(|key| (key, None)));
        for (key, _) in changes.clone().filter(|(key, _)| digester.covers(key)) {
            self.learn(key, &read)?;
        }
        self.learn(&Key::digest(), &read)?;
        let value = |key: &Key| self.present(key).map(|(_, value)| value);
        let before = |key: &Key| if digester.covers(key) { value(key) } else { None };
        let changed: Vec<_> =
            changes.map(|(key, after)| Changed { key, before: before(key), after }).collect();
        let digest = value(&Key::digest()).ok_or(Rejection::NoDigest)?;
        let after = digester.after(digest, &changed, transaction.append.len());
        Ok(Some(after.ok_or(Rejection::NoDigest)?))
    }

    /// Reads what the engine has at a key, unless the batch has changed it or it was read before.
    fn learn(
        &mut self,
        key: &Key,
        read: impl Fn(&Key) -> Result<Option<Entry>, Unavailable>,
    ) -> Result<(), Rejection> {
        if !self.known.contains_key(key) {
            self.known.insert(key.clone(), Known::Stored(read(key).map_err(Rejection::Unavailable)?));
        }
        Ok(())
    }

    /// The revision and the value of a key that was learned, this batch included.
    fn present(&self, key: &Key) -> Option<(Revision, &[u8])> {
        match self.known.get(key)? {
            Known::Stored(entry) => entry.as_ref().map(|entry| (entry.revision, entry.value.as_slice())),
            Known::Changed(touched) => {
                touched.and_then(|touched| Some((touched.revision, self.value(touched)?)))
            }
        }
    }

    fn value(&self, Touched { change, put, .. }: Touched) -> Option<&[u8]> {
        Some(&self.changes.get(change)?.put.get(put)?.1)
    }

    fn take(&mut self, transaction: Transaction, digest: Option<NextDigest>) -> Revision {
        if transaction.changes_nothing() {
            return self.revision;
        }
        self.revision = self.revision.next();
        self.bytes += transaction.size();
        let Transaction { mut put, delete, append, .. } = transaction;
        if let Some(NextDigest { record, position }) = digest {
            let keys = (0..=u16::MAX).map(|index| Key::appended_at(position, index));
            put.extend(keys.zip(append));
            put.push((Key::digest(), record));
        }
        let (revision, change) = (self.revision, self.changes.len());
        let touched = |(put, (key, _)): (usize, &(Key, Vec<u8>))| {
            (key.clone(), Known::Changed(Some(Touched { revision, change, put })))
        };
        self.known.extend(put.iter().enumerate().map(touched));
        self.known.extend(delete.iter().map(|key| (key.clone(), Known::Changed(None))));
        self.changes.push(Change { revision, put, delete });
        revision
    }
}
