//! Replaces all records: a new generation is written beside the one in force, and one transaction moves the pointer.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use etcd_client::{Compare, DeleteOptions, GetOptions, KeyValue, Txn, TxnOp};
use tokio::sync::mpsc;

use super::cluster::Resend;
use super::layout::{Pointer, behind, end_of, revision};
use super::{EtcdClient, EtcdStore, gets};
use crate::store::{
    Key, MAX_OPERATIONS, MAX_TRANSACTION, ReplaceError, ReplaceRecord, ReplaceRecords, Unavailable,
};

/// The number of keys removed at a time.
const REMOVED_AT_ONCE: i64 = 1000;

impl EtcdStore {
    /// Writes the records and moves the pointer to them.
    pub(super) async fn replace_by(&self, records: ReplaceRecords) -> Result<Pointer, ReplaceError> {
        let client = &self.client;
        let before = client.position().await?.pointer;
        let generation = client.claim().await?;
        if let Err(why) = client.write(before, generation, records).await {
            if let Err(error) = client.abandon(generation).await {
                tracing::warn!(cause = %error, "records that were not taken are left in etcd until the next restore");
            }
            return Err(why);
        }
        // From here on an error removes nothing of the new generation: the pointer may still move to it.
        let pointer = client.point_to(before, generation).await?;
        client.adopt(pointer);
        // The caller must see the replacement here too. Where that takes longer, the follower goes on trying.
        let _ = client.followed_to(revision(pointer.revision)).await;
        Ok(pointer)
    }

    /// Removes the generations before the one in force, in the background. No replica reads or writes them any
    /// more.
    pub(super) fn clear_below(&self, in_force: Pointer) {
        let client = self.client.clone();
        let clearing = tokio::spawn(async move {
            for (from, end) in client.layout.below(in_force.generation) {
                if let Err(error) = client.clear(from, end, client.layout.unmoved(in_force)).await {
                    tracing::warn!(cause = %error, "replaced records are left in etcd until the next start");
                }
            }
        });
        let before = self.clearing.lock().unwrap_or_else(PoisonError::into_inner).replace(clearing);
        if let Some(before) = before {
            before.abort(); // this one removes the rest as well
        }
    }
}

impl EtcdClient {
    /// The number of a new generation, greater than every other.
    pub(super) async fn claim(&self) -> Result<u64, Unavailable> {
        let put = TxnOp::put(self.layout.claim(), Vec::new(), None);
        let response = self.cluster.send(Txn::new().and_then([put]), Resend::Freely, None).await?;
        Ok(response.header().map_or(0, |header| header.revision()).unsigned_abs())
    }

    /// Writes records to a generation that is not in force, as long as the pointer is unchanged.
    pub(super) async fn write(
        &self,
        before: Pointer,
        generation: u64,
        records: ReplaceRecords,
    ) -> Result<(), ReplaceError> {
        let (sender, mut batches) = mpsc::channel(2);
        let reading = tokio::task::spawn_blocking(move || read(records, &sender));
        while let Some(batch) = batches.recv().await {
            let record = |key| self.layout.record(generation, key);
            let steps: Vec<_> = batch
                .steps
                .iter()
                .map(|(key, value)| match value {
                    Some(value) => TxnOp::put(record(key), value.as_slice(), None),
                    None => TxnOp::delete(record(key), None),
                })
                .collect();
            let txn = Txn::new().when([self.layout.unmoved(before)]).and_then(steps);
            // Sent twice, a batch could arrive after a later one that has newer records of the same keys.
            if !self.cluster.send(txn, Resend::IfUnsent, None).await?.succeeded() {
                return Err(raced().into());
            }
        }
        // Only the end of the reading says that the batches were complete. A reader whose receiver has gone ends
        // well too, but then this line is not reached.
        reading.await.map_err(|_| Unavailable("the records could not be read because of a defect".into()))?
    }

    /// Removes a generation that never came into force and never will.
    async fn abandon(&self, generation: u64) -> Result<(), Unavailable> {
        let in_force = self.position().await?.pointer;
        if in_force.generation == generation {
            return Ok(());
        }
        let all = self.layout.record(generation, &Key::from_bytes(&[]));
        self.clear(all.clone(), end_of(&all), self.layout.unmoved(in_force)).await
    }

    /// Moves the pointer to a complete generation, unless it has moved meanwhile.
    pub(super) async fn point_to(&self, before: Pointer, generation: u64) -> Result<Pointer, Unavailable> {
        let txn = Txn::new().when([self.layout.unmoved(before)]).and_then([
            TxnOp::put(self.layout.pointer(), Pointer::encode(generation), None),
            TxnOp::put(self.layout.head(generation), Vec::new(), None),
        ]);
        match self.cluster.send(txn, Resend::IfUnsent, None).await {
            Ok(response) if response.succeeded() => {
                let at = response.header().map_or(0, |header| header.revision());
                Ok(Pointer { generation, revision: at })
            }
            Ok(_) => Err(raced()),
            // It may have moved all the same.
            Err(why) => match self.position().await {
                Ok(now) if now.pointer.generation == generation => Ok(now.pointer),
                Ok(_) | Err(_) => Err(why),
            },
        }
    }

    /// Removes a range of keys in steps, as long as a condition holds.
    async fn clear(&self, from: Vec<u8>, end: Vec<u8>, guard: Compare) -> Result<(), Unavailable> {
        loop {
            let options =
                GetOptions::new().with_range(end.clone()).with_keys_only().with_limit(REMOVED_AT_ONCE);
            let look = TxnOp::get(from.clone(), Some(options));
            let found = self.cluster.send(Txn::new().and_then([look]), Resend::Freely, None).await?;
            let found = gets(found.op_responses()).next();
            let last = found.as_ref().and_then(|found| found.kvs().last()).map(KeyValue::key);
            let Some(last) = last else { return Ok(()) };
            let options = DeleteOptions::new().with_range(behind(last.to_vec()));
            let remove = TxnOp::delete(from.clone(), Some(options));
            let txn = Txn::new().when([guard.clone()]).and_then([remove]);
            if !self.cluster.send(txn, Resend::Freely, None).await?.succeeded() {
                return Ok(()); // the replica that moved the pointer removes the rest, or the next replacement
            }
        }
    }
}

fn raced() -> Unavailable {
    Unavailable("another replica replaced the store meanwhile".into())
}

/// Records that are written together: the last step of each key, since etcd takes one step per key.
#[derive(Default)]
struct WriteBatch {
    steps: BTreeMap<Key, Option<Vec<u8>>>,
    bytes: usize,
}

/// Reads the records to their end, and sends them in batches.
fn read(records: ReplaceRecords, batches: &mpsc::Sender<WriteBatch>) -> Result<(), ReplaceError> {
    let mut batch = WriteBatch::default();
    for record in records {
        let record = record?;
        if !record.fits() {
            return Err(ReplaceError::TooLarge);
        }
        let full = batch.steps.len() == MAX_OPERATIONS || batch.bytes + record.size() > MAX_TRANSACTION;
        if full && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
            return Ok(()); // the writing has failed, and says why
        }
        batch.bytes += record.size();
        match record {
            ReplaceRecord::Put(key, value) => batch.steps.insert(key, Some(value)),
            ReplaceRecord::Delete(key) => batch.steps.insert(key, None),
        };
    }
    // The receiver has gone if the writing has failed.
    let _ = batches.blocking_send(batch);
    Ok(())
}
