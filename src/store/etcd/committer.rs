//! Makes the commits that rewrite the digest. Over all replicas only one can be under way at a time, so each takes
//! all waiting transactions: they become one transaction of etcd, with one revision and one digest, or none of them
//! is made. Replicas take turns ([`super::turns`]). Where another replica was faster all the same, the group goes back
//! into the queue, and is made at the next turn with the digest as it is then, unseen by the callers. Where a
//! precondition of one member does not hold, that member is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use etcd_client::{GetOptions, Txn, TxnOp};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::cluster::Resend;
use super::commit::{made_at, nested};
use super::group::{ExistingEntries, QueuedTransaction, TxnGroup};
use super::layout::Pointer;
use super::{EtcdClient, entry, gets};
use crate::domain::Revision;
use crate::metrics::CommitMetrics;
use crate::store::{CommitError, Digester, Entry, Key, Transaction, Unavailable};

/// How often the transaction that has waited longest is sent again because other replicas were faster.
const ATTEMPTS: usize = 64;

pub(super) struct EtcdCommitter {
    client: Arc<EtcdClient>,
    queue: Mutex<Queue>,
    /// Held while a group is made.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) metrics: Arc<CommitMetrics>,
}

/// The waiting transactions, in the order of their arrival.
#[derive(Default)]
struct Queue {
    waiting: Vec<QueuedTransaction>,
    tickets: u64,
}

impl EtcdCommitter {
    pub(super) fn new(client: Arc<EtcdClient>) -> Arc<Self> {
        Arc::new(Self {
            client,
            queue: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            metrics: Arc::default(),
        })
    }

    /// Makes a transaction that is within the limits and changes something. If it is not answered, its outcome is
    /// unknown.
    pub(super) async fn commit(
        self: &Arc<Self>,
        transaction: Transaction,
        digester: Arc<dyn Digester>,
    ) -> Result<Revision, CommitError> {
        let deadline = transaction.deadline;
        let (answer, answered) = oneshot::channel();
        let ticket = {
            let mut queue = self.queue();
            queue.tickets += 1;
            let ticket = queue.tickets;
            queue.waiting.push(QueuedTransaction { ticket, transaction, digester, answer });
            ticket
        };
        // In a task of its own, since a group serves other callers too, and must not end when this caller goes
        // away. Each task makes at least the transaction that has waited longest, so every transaction is made.
        tokio::spawn(self.clone().make_next());
        let answer = match deadline {
            None => answered.await,
            Some(deadline) => match timeout_at(Instant::from_std(deadline), answered).await {
                Ok(answer) => answer,
                Err(_elapsed) if self.withdraw(ticket) => return Err(CommitError::TooLate),
                Err(_elapsed) => {
                    return Err(Unavailable("etcd has not answered by the deadline".into()).into());
                }
            },
        };
        answer.map_err(|_| Unavailable("a commit was not answered because of a defect".into()))?
    }

    /// Takes a transaction out of the queue. Returns whether it was still there.
    fn withdraw(&self, ticket: u64) -> bool {
        let mut queue = self.queue();
        let at = queue.waiting.iter().position(|waiting| waiting.ticket == ticket);
        at.map(|at| queue.waiting.remove(at)).is_some()
    }

    /// Makes the next group, unless other tasks have made all waiting transactions.
    async fn make_next(self: Arc<Self>) {
        let _turn = self.turn.lock().await;
        let mut existing = ExistingEntries::new();
        for _ in 0..ATTEMPTS {
            if !self.is_waited_for() {
                return;
            }
            self.client.turns.wait().await;
            let mut group = self.next();
            group.refuse(&CommitError::TooLate, |member| member.transaction.is_too_late());
            if group.is_empty() {
                continue;
            }
            let began = Instant::now();
            match self.attempt(&mut group, &mut existing).await {
                Ok(None) => self.put_back(group),
                Ok(Some(made)) => {
                    self.client.turns.took(began.elapsed());
                    self.metrics.sync.observe(began.elapsed());
                    self.metrics.batch.count(group.size());
                    return group.answer(&Ok(made));
                }
                Err(refused) => {
                    self.metrics.failed.add(1);
                    return group.answer(&Err(refused));
                }
            }
        }
        self.next().answer(&Err(Unavailable("other replicas change it too often".into()).into()));
    }

    /// Whether a caller waits for its transaction.
    fn is_waited_for(&self) -> bool {
        let mut queue = self.queue();
        queue.waiting.retain(|waiting| !waiting.answer.is_closed());
        !queue.waiting.is_empty()
    }

    /// Takes the transactions that can be made together with the one that has waited longest.
    fn next(&self) -> TxnGroup {
        let (mut queue, mut group) = (self.queue(), TxnGroup::default());
        for next in std::mem::take(&mut queue.waiting) {
            if next.answer.is_closed() {
                continue; // the caller has gone
            }
            if group.takes(&next) {
                group.add(next);
            } else {
                queue.waiting.push(next);
            }
        }
        group
    }

    /// Puts a group that was not made back before those that wait.
    fn put_back(&self, group: TxnGroup) {
        self.queue().waiting.splice(..0, group.into_members());
    }

    /// Sends a group once, and returns the revision at which it was made. `None`: nothing was made, and the rest of
    /// the group is to be sent again. An error is the answer for the whole group. `existing` keeps what was read from
    /// one attempt to the next.
    async fn attempt(
        &self,
        group: &mut TxnGroup,
        existing: &mut ExistingEntries,
    ) -> Result<Option<Revision>, CommitError> {
        let client = &*self.client;
        let pointer = client.pointer()?;
        self.read_existing(pointer, group, existing).await?;
        let Some(Some(before)) = existing.get(&Key::digest()).cloned() else {
            return Err(CommitError::NoDigest);
        };
        group.refuse(&CommitError::NoDigest, |member| !member.digester.carries_on(&before.value));
        if group.is_empty() {
            return Ok(None);
        }
        let after = group.digest_after(&before.value, existing).ok_or(CommitError::NoDigest)?;

        let appended = group.appended(after.position);
        let (checks, digest) = (group.checks(existing), (Key::digest(), after.record));
        let when = checks.iter().map(|(key, expect)| client.holds(pointer, key, *expect));
        let when: Vec<_> = when.chain([client.layout.unmoved(pointer)]).collect();
        let puts = group.puts().map(|(key, value)| (key, value.as_slice()));
        let appends = appended.iter().map(|(key, value)| (key, *value));
        let puts = puts.chain(appends).chain([(&digest.0, digest.1.as_slice())]);
        let make = nested(client.puts(pointer, puts, group.deletes()));
        let look = checks.iter().map(|(key, _)| {
            // Of the others, only their revisions are asked for.
            let options = (*key != digest.0).then(|| GetOptions::new().with_keys_only());
            TxnOp::get(client.layout.record(pointer.generation, key), options)
        });
        let look: Vec<_> = client.look(pointer).into_iter().chain(look).collect();
        let txn = Txn::new().when(when).and_then(make).or_else(look);
        let response = client.cluster.send(txn, Resend::IfUnsent, group.until()).await?;
        if response.succeeded() {
            let revision = made_at(&response);
            client.see_digest(pointer.generation, Entry { value: digest.1, revision });
            client.turns.committed(client.turns.own(), revision);
            return Ok(Some(revision));
        }

        let mut found = gets(response.op_responses());
        let (in_force, at) = client.found(pointer, &mut found)?;
        if in_force != pointer {
            return Err(CommitError::Conflict(at)); // all preconditions were about the former generation
        }
        let stands = found.map(|found| found.kvs().first().map(entry));
        let stands: HashMap<_, _> = checks.into_iter().map(|(key, _)| key).zip(stands).collect();
        if let Some(stored) = stands.get(&digest.0) {
            client.correct_digest(pointer.generation, &before, stored.clone());
        }
        let stands: HashMap<_, _> =
            stands.into_iter().map(|(key, stored)| (key, stored.map(|entry| entry.revision))).collect();
        let revision_of = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.revision);
        existing.retain(|key, entry| stands.get(key).is_some_and(|stands| *stands == revision_of(entry)));
        group.refuse(&CommitError::Conflict(at), |member| !member.holds(&stands));
        Ok(None)
    }

    /// Completes the entries at the keys that a group reads, the digest among them.
    async fn read_existing(
        &self,
        pointer: Pointer,
        group: &TxnGroup,
        existing: &mut ExistingEntries,
    ) -> Result<(), Unavailable> {
        // Another replica may have carried it on since, and members may have seen that.
        let digest = self.client.seen_digest(pointer.generation).filter(|seen| group.carries_on(&seen.value));
        let of_digest = digest.is_none().then(Key::digest);
        existing.insert(Key::digest(), digest);
        let unread = group.looks_at().filter(|key| !existing.contains_key(key)).cloned();
        let unread: Vec<_> = of_digest.into_iter().chain(unread).collect();
        if unread.is_empty() {
            return Ok(());
        }
        let record = |key| self.client.layout.record(pointer.generation, key);
        let looks: Vec<_> = unread.iter().map(|key| TxnOp::get(record(key), None)).collect();
        let response = self.client.cluster.send(Txn::new().and_then(looks), Resend::Freely, None).await?;
        let found = gets(response.op_responses()).map(|found| found.kvs().first().map(entry));
        existing.extend(unread.into_iter().zip(found));
        Ok(())
    }

    /// The number of waiting transactions.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue().waiting.len()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
