//! Commits. A transaction with a digester is made in a group: see [`super::committer`]. Every other one is a
//! transaction of etcd of its own.

use etcd_client::{Compare, CompareOp, GetResponse, KeyValue, Txn, TxnOp, TxnResponse};
use tokio::time::Instant;

use super::cluster::Resend;
use super::group::NESTING_CHECKS;
use super::layout::{Pointer, revision};
use super::{EtcdClient, EtcdStore, gets};
use crate::domain::Revision;
use crate::store::{CommitError, Expect, Key, Transaction, Unavailable};

/// The largest number of operations that etcd takes in one transaction, by default.
const MAX_TXN_OPS: usize = 128;

impl EtcdStore {
    pub(super) async fn make(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        if !transaction.fits() {
            return Err(CommitError::TooLarge);
        }
        if transaction.appends_nowhere() {
            return Err(CommitError::NoDigest);
        }
        if transaction.is_too_late() {
            return Err(CommitError::TooLate);
        }
        match transaction.digester.clone().filter(|_| !transaction.changes_nothing()) {
            Some(digester) => self.committer.commit(transaction, digester).await,
            None => self.client.make_bare(&transaction).await,
        }
    }
}

impl EtcdClient {
    async fn make_bare(&self, transaction: &Transaction) -> Result<Revision, CommitError> {
        let pointer = self.pointer()?;
        let only_asks = transaction.changes_nothing();
        let make = if only_asks {
            self.look(pointer).into()
        } else {
            let put = transaction.put.iter().map(|(key, value)| (key, value.as_slice()));
            self.puts(pointer, put, transaction.delete.iter())
        };
        let resend = if only_asks { Resend::Freely } else { Resend::IfUnsent };
        let required = transaction.require.iter().map(|(key, expect)| self.holds(pointer, key, *expect));
        let when: Vec<_> = required.chain([self.layout.unmoved(pointer)]).collect();
        let txn = Txn::new().when(when).and_then(make).or_else(self.look(pointer));
        let deadline = transaction.deadline.map(Instant::from_std);
        let response = self.cluster.send(txn, resend, deadline).await?;
        if response.succeeded() && !only_asks {
            return Ok(made_at(&response));
        }
        let (_, at) = self.found(pointer, &mut gets(response.op_responses()))?;
        if response.succeeded() { Ok(at) } else { Err(CommitError::Conflict(at)) }
    }

    /// Reads the pointer and the head.
    pub(super) fn look(&self, pointer: Pointer) -> [TxnOp; 2] {
        [TxnOp::get(self.layout.pointer(), None), TxnOp::get(self.layout.head(pointer.generation), None)]
    }

    pub(super) fn holds(&self, pointer: Pointer, key: &Key, expect: Expect) -> Compare {
        let record = self.layout.record(pointer.generation, key);
        match expect {
            Expect::Absent => Compare::create_revision(record, CompareOp::Equal, 0),
            // No record has a revision beyond etcd's count, and 0 is etcd's revision of an absent key.
            Expect::At(at) => {
                let at = i64::try_from(at.0).ok().filter(|at| *at > 0).unwrap_or(i64::MAX);
                Compare::mod_revision(record, CompareOp::Equal, at)
            }
        }
    }

    /// The operations of a change.
    pub(super) fn puts<'a>(
        &self,
        pointer: Pointer,
        put: impl Iterator<Item = (&'a Key, &'a [u8])>,
        delete: impl Iterator<Item = &'a Key>,
    ) -> Vec<TxnOp> {
        let record = |key: &Key| self.layout.record(pointer.generation, key);
        let put = put.map(|(key, value)| TxnOp::put(record(key), value, None));
        let delete = delete.map(|key| TxnOp::delete(record(key), None));
        put.chain(delete).chain([self.put_head(pointer)]).collect()
    }

    /// The last operation of a commit: see [`super::layout`].
    pub(super) fn put_head(&self, pointer: Pointer) -> TxnOp {
        TxnOp::put(self.layout.head(pointer.generation), self.turns.own(), None)
    }

    /// The pointer in force, and the store's newest revision, in the answer to a [`Self::look`].
    pub(super) fn found(
        &self,
        pointer: Pointer,
        found: &mut impl Iterator<Item = GetResponse>,
    ) -> Result<(Pointer, Revision), Unavailable> {
        let in_force = self.adopt_found(found.next().as_ref())?;
        let head = found.next().and_then(|found| found.kvs().first().map(KeyValue::mod_revision));
        // Where the store was replaced, that head belongs to the former generation.
        let head = head.filter(|_| in_force == pointer).unwrap_or(in_force.revision);
        Ok((in_force, revision(head)))
    }
}

/// The changes of a commit as etcd takes them. More than [`MAX_TXN_OPS`] are in transactions within the transaction: etcd limits the
/// operations of one that is within another to what the comparisons and the looks of the other leave, and there can be as many of
/// them.
pub(super) fn nested(changes: Vec<TxnOp>) -> Vec<TxnOp> {
    if changes.len() <= MAX_TXN_OPS {
        return changes;
    }
    // The comparison of the pointer, and the looks at the pointer and the head, come with the checks of the group.
    const WITHIN: usize = MAX_TXN_OPS - NESTING_CHECKS - 2;
    let mut changes = changes.into_iter().peekable();
    let mut within = Vec::new();
    while changes.peek().is_some() {
        let part: Vec<_> = changes.by_ref().take(WITHIN).collect();
        within.push(TxnOp::txn(Txn::new().and_then(part)));
    }
    within
}

pub(super) fn made_at(response: &TxnResponse) -> Revision {
    revision(response.header().map_or(0, |header| header.revision()))
}
