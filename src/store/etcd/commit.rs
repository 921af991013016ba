//! Commits. One that has a digester rewrites the digest too, so such commits are made one after the other, by all
//! replicas together: where another one was faster, the digest is computed anew and sent again, which is not seen outside.

use etcd_client::{Compare, CompareOp, GetOptions, GetResponse, KeyValue, Txn, TxnOp, TxnResponse};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout_at};

use super::cluster::Resend;
use super::layout::{Pointer, revision};
use super::{EtcdStore, gets};
use crate::domain::Revision;
use crate::store::{Changed, CommitError, Digester, Entry, Expect, Key, Transaction, Unavailable};

/// The digest as this replica last saw it, and the generation that it is of.
#[derive(Default)]
pub(super) struct Seen(Option<(u64, Entry)>);

/// How often a commit is sent anew because other replicas were faster.
const ATTEMPTS: usize = 64;

impl EtcdStore {
    pub(super) async fn make(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        if !transaction.fits() {
            return Err(CommitError::TooLarge);
        }
        if transaction.is_too_late() {
            return Err(CommitError::TooLate);
        }
        match transaction.digester.clone().filter(|_| !transaction.changes_nothing()) {
            Some(digester) => self.make_digested(&transaction, &*digester).await,
            None => self.make_bare(&transaction).await,
        }
    }

    async fn make_bare(&self, transaction: &Transaction) -> Result<Revision, CommitError> {
        let pointer = self.shared.pointer()?;
        let only_asks = transaction.changes_nothing();
        let make = if only_asks { self.look(pointer).into() } else { self.puts(pointer, transaction, None) };
        let resend = if only_asks { Resend::Freely } else { Resend::IfUnsent };
        let response = self.send(pointer, transaction, Vec::new(), make, Vec::new(), resend).await?;
        match response.succeeded() {
            true if only_asks => Ok(self.found(pointer, response)?),
            true => Ok(made_at(&response)),
            false => Err(CommitError::Conflict(self.found(pointer, response)?)),
        }
    }

    async fn make_digested(
        &self,
        transaction: &Transaction,
        digester: &dyn Digester,
    ) -> Result<Revision, CommitError> {
        let mut seen = self.turn(transaction).await?;
        for _ in 0..ATTEMPTS {
            let pointer = self.shared.pointer()?;
            let there = self.there(pointer, transaction, digester, &mut seen).await?;
            let Some(Some(digest)) = there.first().map(|(_, entry)| entry) else {
                return Err(CommitError::NoDigest);
            };
            let before = |key: &Key| {
                let found = there.iter().skip(1).find(|(there, _)| there == key);
                found.and_then(|(_, entry)| entry.as_ref()).map(|entry| entry.value.as_slice())
            };
            let put = transaction.put.iter().map(|(key, value)| (key, Some(value.as_slice())));
            let deleted = transaction.delete.iter().map(|key| (key, None));
            let changed: Vec<_> =
                put.chain(deleted).map(|(key, after)| Changed { key, before: before(key), after }).collect();
            let after = digester.after(&digest.value, &changed).ok_or(CommitError::NoDigest)?;

            // What it was computed from has to be unchanged, beside what the transaction requires.
            let required = |key: &Key| transaction.require.iter().any(|(there, _)| there == key);
            let unchanged: Vec<_> = there.iter().filter(|(key, _)| !required(key)).collect();
            let when = unchanged.iter().map(|(key, entry)| {
                let at = entry.as_ref().map_or(Expect::Absent, |entry| Expect::At(entry.revision));
                self.holds(pointer, key, at)
            });
            let look = unchanged.iter().map(|(key, _)| {
                let options = GetOptions::new().with_keys_only();
                TxnOp::get(self.shared.layout.record(pointer.generation, key), Some(options))
            });
            let puts = self.puts(pointer, transaction, Some(after.clone()));
            let (when, look) = (when.collect(), look.collect());
            // Whatever comes of it, what was seen is not what is there any more.
            seen.0 = None;
            let response = self.send(pointer, transaction, when, puts, look, Resend::IfUnsent).await?;
            if response.succeeded() {
                let revision = made_at(&response);
                seen.0 = Some((pointer.generation, Entry { value: after, revision }));
                return Ok(revision);
            }
            let mut found = gets(response.op_responses()).skip(2);
            let stale = unchanged.iter().any(|(_, entry)| {
                let now = found.next().and_then(|found| found.kvs().first().map(KeyValue::mod_revision));
                now.map(revision) != entry.as_ref().map(|entry| entry.revision)
            });
            if !stale {
                return Err(CommitError::Conflict(self.found(pointer, response)?));
            }
        }
        Err(Unavailable("other replicas change it all the time".into()).into())
    }

    /// Waits until it is this transaction's turn, up to its deadline.
    async fn turn(&self, transaction: &Transaction) -> Result<MutexGuard<'_, Seen>, CommitError> {
        match transaction.deadline {
            Some(deadline) => timeout_at(Instant::from_std(deadline), self.digest.lock())
                .await
                .map_err(|_elapsed| CommitError::TooLate),
            None => Ok(self.digest.lock().await),
        }
    }

    /// What stands at the digest's key, which comes first, and at those that the transaction changes and the digest covers.
    async fn there(
        &self,
        pointer: Pointer,
        transaction: &Transaction,
        digester: &dyn Digester,
        seen: &mut Seen,
    ) -> Result<Vec<(Key, Option<Entry>)>, Unavailable> {
        let absent = |key: &Key| {
            transaction.require.iter().any(|(there, expect)| there == key && *expect == Expect::Absent)
        };
        let changed = transaction.put.iter().map(|(key, _)| key).chain(&transaction.delete);
        let mut keys = vec![Key::digest()];
        keys.extend(changed.filter(|key| digester.covers(key) && !absent(key)).cloned());
        match &seen.0 {
            Some((generation, digest)) if keys.len() == 1 && *generation == pointer.generation => {
                return Ok(vec![(Key::digest(), Some(digest.clone()))]);
            }
            Some(_) | None => {}
        }
        let looks: Vec<_> = keys
            .iter()
            .map(|key| TxnOp::get(self.shared.layout.record(pointer.generation, key), None))
            .collect();
        let response = self.shared.cluster.send(Txn::new().and_then(looks), Resend::Freely, None).await?;
        let found = gets(response.op_responses()).map(|found| found.kvs().first().map(super::entry));
        Ok(keys.into_iter().zip(found).collect())
    }

    /// Sends what is to be made where the transaction's requirements hold, and these too; else it looks at the pointer, the
    /// head, and these.
    async fn send(
        &self,
        pointer: Pointer,
        transaction: &Transaction,
        mut when: Vec<Compare>,
        make: Vec<TxnOp>,
        look: Vec<TxnOp>,
        resend: Resend,
    ) -> Result<TxnResponse, Unavailable> {
        when.push(self.shared.layout.unmoved(pointer));
        when.extend(transaction.require.iter().map(|(key, expect)| self.holds(pointer, key, *expect)));
        let look: Vec<_> = self.look(pointer).into_iter().chain(look).collect();
        let txn = Txn::new().when(when).and_then(make).or_else(look);
        let deadline = transaction.deadline.map(Instant::from_std);
        self.shared.cluster.send(txn, resend, deadline).await
    }

    fn look(&self, pointer: Pointer) -> [TxnOp; 2] {
        let layout = &self.shared.layout;
        [TxnOp::get(layout.pointer(), None), TxnOp::get(layout.head(pointer.generation), None)]
    }

    fn holds(&self, pointer: Pointer, key: &Key, expect: Expect) -> Compare {
        let record = self.shared.layout.record(pointer.generation, key);
        match expect {
            Expect::Absent => Compare::create_revision(record, CompareOp::Equal, 0),
            // No record has a revision beyond what etcd can count.
            Expect::At(at) => {
                Compare::mod_revision(record, CompareOp::Equal, i64::try_from(at.0).unwrap_or(i64::MAX))
            }
        }
    }

    fn puts(&self, pointer: Pointer, transaction: &Transaction, digest: Option<Vec<u8>>) -> Vec<TxnOp> {
        let layout = &self.shared.layout;
        let record = |key: &Key| layout.record(pointer.generation, key);
        let digest = digest.map(|digest| (Key::digest(), digest));
        let put = transaction.put.iter().chain(&digest);
        let mut make: Vec<_> =
            put.map(|(key, value)| TxnOp::put(record(key), value.as_slice(), None)).collect();
        make.extend(transaction.delete.iter().map(|key| TxnOp::delete(record(key), None)));
        make.push(TxnOp::put(layout.head(pointer.generation), Vec::new(), None)); // last: see `layout`
        make
    }

    /// The store's newest revision, which a look at it found.
    fn found(&self, pointer: Pointer, response: TxnResponse) -> Result<Revision, Unavailable> {
        let mut found = gets(response.op_responses());
        let in_force = self.shared.adopt_found(found.next().as_ref())?;
        let head =
            found.next().and_then(|found: GetResponse| found.kvs().first().map(KeyValue::mod_revision));
        // Where the store was replaced, the head that was looked at is of what was in force before.
        let head = head.filter(|_| in_force == pointer).unwrap_or(in_force.revision);
        Ok(revision(head))
    }
}

fn made_at(response: &TxnResponse) -> Revision {
    revision(response.header().map_or(0, |header| header.revision()))
}
