//! Idempotency: a request with a request id is carried out once.
//!
//! A change commits the outcome of its request together with itself, as an idempotency record at the HMAC of the caller's name
//! and the request id. The same request within 24 hours gets this outcome again, and changes nothing. A record that cannot
//! be opened still blocks its request id, so that damage never makes a request run twice. A request that changed nothing leaves
//! no record.
//!
//! Records are small, and each principal has a limit of them (`count.rs`).

mod count;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use zeroize::Zeroizing;

use self::count::RecordCounts;
pub(super) use self::record::{Outcome, reseal_idempotency_record};
use super::Error;
use super::commit::Core;
use crate::auth::{Principal, PrincipalName};
use crate::crypto::{Keyring, Mac, Purpose};
use crate::domain::{Namespace, RequestId, Revision, Secret, Timestamp, now};
use crate::limits::LimitUse;
use crate::schema::IdempotencyRecord;
use crate::store::{Expect, Key, MAX_OPERATIONS, Pages, Transaction};

/// How long the outcome of a request is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The request id of a request, and the request itself.
pub struct Idempotency {
    /// The id that the caller gave the request.
    pub id: RequestId,
    /// The request, RPC included, in an encoding that is the same for the same request. It can hold a value.
    pub body: Zeroizing<Vec<u8>>,
}

/// The stored outcomes of requests with a request id.
pub struct IdempotencyRecords {
    core: Arc<Core>,
    /// The records that cannot be opened, and since when this process knows it.
    damaged: Mutex<HashMap<Mac, Timestamp>>,
    /// How many records each principal has.
    counts: RecordCounts,
    /// How many records a principal has, at most.
    limit: usize,
    /// How many requests were refused since their callers had so many.
    refused: AtomicU64,
}

/// What the store knows of a request.
pub(super) enum KnownRequest {
    /// It was carried out before, with this outcome and revision.
    Answered(Outcome, Revision),
    /// It is new. Its change is to commit this record.
    New(PendingRecord),
}

/// What an operation finds of its request: the answer in its own terms.
pub(super) enum Earlier<T> {
    /// The request was carried out before, with this answer.
    Answered(T),
    /// It was not. Its change is to commit the record, if the request has an id.
    New(Option<PendingRecord>),
}

impl<T> Earlier<T> {
    /// The answer, if there is one.
    pub(super) fn answer(self) -> Option<T> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::New(_) => None,
        }
    }
}

/// What stands at a request id.
enum LookedUp {
    /// The record of this request, and the revision of its outcome.
    Found(Box<IdempotencyRecord>, Revision),
    /// Nothing that counts.
    New(PendingRecord),
}

/// An idempotency record that the change of a request is going to commit.
pub(super) struct PendingRecord {
    mac: Mac,
    body: Mac,
    principal: PrincipalName,
    /// The revision of an expired record that it replaces.
    replaces: Option<Revision>,
}

impl IdempotencyRecords {
    /// The records, of which a principal has `limit` at most.
    pub(super) fn new(core: Arc<Core>, limit: usize) -> Self {
        let refused = AtomicU64::new(0);
        Self { core, damaged: Mutex::default(), counts: RecordCounts::default(), limit, refused }
    }

    /// How much of the limit is used, by the principal with the most records.
    pub(super) fn usage(&self) -> LimitUse {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        LimitUse {
            name: "idempotency_records_per_principal",
            limit: count(self.limit),
            used: count(self.counts.most()),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Looks a request up. Fails with [`Error::RequestIdReused`] where its id belongs to another request, and with
    /// [`Error::TooManyRequestIds`] where it is new and the caller has too many records.
    pub(super) async fn find(
        &self,
        principal: &Principal,
        namespace: &Namespace,
        request: &Idempotency,
    ) -> Result<KnownRequest, Error> {
        let (record, revision) = match self.look_up(principal, request).await? {
            LookedUp::Found(record, revision) => (record, revision),
            LookedUp::New(pending) => return Ok(KnownRequest::New(pending)),
        };
        // The answer has the secret as it is now.
        self.core.freshness.reach_head().await?;
        let present = self.present_secret(namespace, &record)?;
        let outcome = record.outcome(namespace, revision, present.as_deref()).ok_or(Error::Integrity)?;
        Ok(KnownRequest::Answered(outcome, revision))
    }

    /// The same for a request to create a binding.
    pub(super) async fn find_binding(
        &self,
        principal: &Principal,
        request: &Idempotency,
    ) -> Result<KnownRequest, Error> {
        match self.look_up(principal, request).await? {
            LookedUp::Found(record, revision) => {
                let binding = record.created_binding(revision).ok_or(Error::Integrity)?;
                Ok(KnownRequest::Answered(Outcome::Bound(binding), revision))
            }
            LookedUp::New(pending) => Ok(KnownRequest::New(pending)),
        }
    }

    /// The record of a request that is taken for a new one, without looking it up. Where it is not new, the commit of its record is
    /// refused.
    pub(super) fn expect_new(
        &self,
        principal: &Principal,
        request: &Idempotency,
    ) -> Result<PendingRecord, Error> {
        let keyring = self.core.keyring();
        let principal = principal.name().clone();
        let mac = request_mac(&keyring, &principal, request.id);
        let body = keyring.request_mac(&[b"body", &request.body]);
        self.within_limit(PendingRecord { mac, body, principal, replaces: None })
    }

    /// What a request comes to: what this attempt at it came to, or the outcome of the same request elsewhere.
    ///
    /// Another replica can have carried out the same request after this attempt looked for its record. Then the attempt may have
    /// been refused because of that very change, or have found nothing left to change. So before such an end is told, `again` looks
    /// for the record again: it was committed with the change, so it is there if the change is the reason.
    pub(super) async fn or_earlier<T>(
        attempted: Result<T, Error>,
        changed_nothing: impl FnOnce(&T) -> bool,
        again: impl AsyncFnOnce() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let is_final = match &attempted {
            Ok(made) => !changed_nothing(made),
            Err(refused) => !refused.can_follow_from_a_change(),
        };
        if is_final {
            return attempted;
        }
        match again().await {
            Ok(Some(earlier)) => Ok(earlier),
            // A refusal is told only where the request was certainly not carried out.
            Err(unknown @ Error::Unavailable(_)) if attempted.is_err() => Err(unknown),
            Err(known @ (Error::RequestIdReused | Error::Integrity)) => Err(known),
            Ok(None) | Err(_) => attempted,
        }
    }

    async fn look_up(&self, principal: &Principal, request: &Idempotency) -> Result<LookedUp, Error> {
        let keyring = self.core.keyring();
        let principal = principal.name().clone();
        let mac = request_mac(&keyring, &principal, request.id);
        let body = keyring.request_mac(&[b"body", &request.body]);
        let Some((record, stored_at)) = self.read(&mac).await? else {
            let new = PendingRecord { mac, body, principal, replaces: None };
            return Ok(LookedUp::New(self.within_limit(new)?));
        };
        if is_expired(Timestamp::from_micros(record.at)) {
            let new = PendingRecord { mac, body, principal, replaces: Some(stored_at) };
            return Ok(LookedUp::New(self.within_limit(new)?));
        }
        if !keyring.is_request_mac(&[b"body", &request.body], &record.body) {
            return Err(Error::RequestIdReused);
        }
        let revision = record.revision(stored_at);
        Ok(LookedUp::Found(Box::new(record), revision))
    }

    fn within_limit(&self, record: PendingRecord) -> Result<PendingRecord, Error> {
        if self.counts.of(&record.principal) >= self.limit {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Error::TooManyRequestIds(self.limit));
        }
        Ok(record)
    }

    /// The secret of a record as it is now; `None` where it is deleted or gone, or the record does without it.
    fn present_secret(
        &self,
        namespace: &Namespace,
        record: &IdempotencyRecord,
    ) -> Result<Option<Arc<Secret>>, Error> {
        let id = record.secret_id().ok_or(Error::Integrity)?;
        if !record.needs_present_secret() {
            return Ok(None);
        }
        match self.core.catalog.namespace(namespace) {
            Some(catalog) if catalog.is_damaged(id) => Err(Error::Integrity),
            Some(catalog) => Ok(catalog.secret_of(id).filter(|secret| !secret.is_deleted())),
            None => Err(Error::Integrity),
        }
    }

    /// Counts the record that was committed for a request.
    pub(super) fn count(&self, principal: &Principal) {
        self.counts.add(principal.name().clone());
    }

    /// Removes the expired records, counts the others, and returns how many were removed.
    pub async fn remove_expired(&self) -> Result<usize, Error> {
        self.core.confirm_clock().await?; // with a wrong clock, records of other servers would go too early
        const PAGE: usize = MAX_OPERATIONS - 1;
        let keyring = self.core.keyring();
        let mut recount = self.counts.recount(now());
        let mut pages = Pages::new(&*self.core.store, Key::idempotency_records(), PAGE);
        let mut removed = 0;
        while let Some(page) = pages.next().await? {
            let mut transaction = Transaction::default();
            for (key, entry) in page {
                let Some(mac) = key.as_bytes().get(1..).and_then(|mac| mac.try_into().ok()) else { continue };
                let (made_at, principal) = match IdempotencyRecord::open(&keyring, mac, &entry.value) {
                    Ok(record) => (Timestamp::from_micros(record.at), record.principal()),
                    Err(_) => (self.damaged_since(*mac), None),
                };
                if !is_expired(made_at) {
                    recount.add(principal, made_at);
                } else {
                    transaction.require.push((key.clone(), Expect::At(entry.revision)));
                    transaction.delete.push(key);
                }
            }
            let expired = transaction.delete.len();
            if expired > 0 && self.core.commit(&keyring, transaction).await?.is_some() {
                removed += expired;
            }
        }
        recount.finish();
        Ok(removed)
    }

    /// The record at an HMAC, and the revision that put it there.
    async fn read(&self, mac: &Mac) -> Result<Option<(IdempotencyRecord, Revision)>, Error> {
        loop {
            let (keyring, shown) = (self.core.keyring(), self.core.catalog.revision());
            let stored = self.core.store.get(&Key::idempotency_record(mac)).await?;
            // Asked after the record was read: it can have been altered a moment before.
            if self.core.catalog.is_idempotency_record_altered(mac) {
                return Err(Error::Integrity);
            }
            let Some(entry) = stored else { return Ok(None) };
            // A record newer than the catalog may not be durable, and can vanish. One that the catalog shows stays.
            if entry.revision > shown {
                self.core.wait_visible(entry.revision).await?;
                continue;
            }
            match IdempotencyRecord::open(&keyring, mac, &entry.value) {
                Ok(record) => return Ok(Some((record, entry.revision))),
                // A rekey has sealed it again since it was read.
                Err(_) if !Arc::ptr_eq(&keyring, &self.core.keyring()) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Since when a record is known to be damaged. The record is older than that, so it stays for as long as its request can
    /// be repeated.
    fn damaged_since(&self, record: Mac) -> Timestamp {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        *damaged.entry(record).or_insert_with(|| {
            tracing::error!(
                "an idempotency record was altered: its request is refused until the record expires, 24 hours from now"
            );
            now()
        })
    }
}

impl PendingRecord {
    /// Adds the record of this outcome to a transaction, which then requires that nobody else has put one there. An outcome that
    /// changes nothing has no record.
    pub(super) fn put(
        &self,
        transaction: &mut Transaction,
        keyring: &Keyring,
        outcome: &Outcome,
    ) -> Result<(), Error> {
        let record = IdempotencyRecord::new(self.body, &self.principal, outcome);
        let Some(record) = record else { return Ok(()) };
        let sealed = keyring.seal(Purpose::IdempotencyRecord, &self.mac, &record.encode_to_vec())?;
        let expect = self.replaces.map_or(Expect::Absent, Expect::At);
        transaction.require.push((Key::idempotency_record(&self.mac), expect));
        transaction.put.push((Key::idempotency_record(&self.mac), sealed));
        Ok(())
    }
}

/// The HMAC of a request's id, which is the place of its record: each principal has request ids of its own.
fn request_mac(keyring: &Keyring, principal: &PrincipalName, id: RequestId) -> Mac {
    match principal {
        PrincipalName::ApiKey(key) => keyring.request_mac(&[b"id", &key.0, id.as_bytes()]),
        PrincipalName::Certificate(_) | PrincipalName::Token(_) | PrincipalName::Group(_) => {
            keyring.request_mac(&[b"id of principal", principal.to_string().as_bytes(), id.as_bytes()])
        }
    }
}

fn is_expired(made_at: Timestamp) -> bool {
    made_at.plus(KEPT) <= now()
}
