use std::sync::{Arc, PoisonError};
use std::time::Duration;

use prost::Message;
use zeroize::Zeroizing;

use super::{App, Error};
use crate::auth::Principal;
use crate::crypto::{self, Keyring, Mac, Purpose};
use crate::domain::{Namespace, RequestId, Revision, Secret, SecretId, Timestamp, now};
use crate::schema::{IdempotencyRecord, decode_secret, encode_secret};
use crate::store::{Expect, Key, MAX_OPERATIONS, Pages, Transaction};

/// What makes a request idempotent: the caller's id of it, and what it asks for.
pub struct Idempotency {
    /// The caller's id of the request.
    pub id: RequestId,
    /// The request, RPC included, in an encoding that is the same for the same request. It can hold a value.
    pub body: Zeroizing<Vec<u8>>,
}

/// What a change came to.
pub(super) enum Outcome {
    /// The secret as it then was.
    Secret(Secret),
    /// The secret as it was before, and is: there was nothing to change.
    Unchanged(Secret),
    /// It was deleted.
    Deleted(SecretId, Timestamp),
}

/// For how long a request id is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the receipt of a request stands, and what stands there.
pub(super) struct Slot {
    mac: Mac,
    body: Mac,
    /// The revision of an old receipt there, whose time has passed.
    passed: Option<Revision>,
}

impl App {
    /// The first outcome of this request, or where the receipt of it is to be put.
    pub(super) async fn first_outcome(
        &self,
        principal: &Principal,
        namespace: &Namespace,
        request: &Idempotency,
    ) -> Result<Result<(Outcome, Revision), Slot>, Error> {
        let keyring = self.keyring();
        let mac = keyring.request_mac(&[b"id", &principal.api_key().id.0, request.id.as_bytes()]);
        let body = keyring.request_mac(&[b"body", &request.body]);
        let (receipt, stored_at) = loop {
            let (keyring, reached) = (self.keyring(), self.catalog.revision());
            let found = self.store.get(&Key::idempotency_record(&mac)).await?;
            // After it was read, since somebody else may have put it there only now.
            if self.catalog.is_idempotency_record_altered(&mac) {
                return Err(Error::Integrity);
            }
            let Some(entry) = found else {
                return Ok(Err(Slot { mac, body, passed: None }));
            };
            // What the store shows may not be durable yet, and is gone where it never becomes so; what the catalog had
            // reached before is there for good.
            if entry.revision > reached {
                self.shown(entry.revision).await?;
                continue;
            }
            match IdempotencyRecord::open(&keyring, &mac, &entry.value) {
                Ok(receipt) => break (receipt, entry.revision),
                // Sealed anew since it was read.
                Err(_) if !Arc::ptr_eq(&keyring, &self.keyring()) => {}
                Err(error) => return Err(error.into()),
            }
        };
        if Timestamp::from_micros(receipt.at).plus(REMEMBERED) <= now() {
            return Ok(Err(Slot { mac, body, passed: Some(stored_at) }));
        }
        if !keyring.is_request_mac(&[b"body", &request.body], &receipt.body) {
            return Err(Error::RequestIdReused);
        }
        let revision = receipt.revision(stored_at);
        let outcome = receipt.outcome(namespace, revision).ok_or(Error::Integrity)?;
        Ok(Ok((outcome, revision)))
    }

    /// Has the transaction leave the receipt of its outcome.
    pub(super) fn put_idempotency_record(
        &self,
        transaction: &mut Transaction,
        slot: &Slot,
        outcome: &Outcome,
    ) -> Result<(), Error> {
        let receipt = IdempotencyRecord::new(slot.body, outcome);
        let sealed = self.keyring().seal(Purpose::IdempotencyRecord, &slot.mac, &receipt.encode_to_vec())?;
        let expect = slot.passed.map_or(Expect::Absent, Expect::At);
        transaction.require.push((Key::idempotency_record(&slot.mac), expect));
        transaction.put.push((Key::idempotency_record(&slot.mac), sealed));
        Ok(())
    }

    /// Removes the receipts whose time has passed, and says how many.
    pub async fn remove_expired_idempotency_records(&self) -> Result<usize, Error> {
        const AT_A_TIME: usize = MAX_OPERATIONS - 1;
        let keyring = self.keyring();
        let mut pages = Pages::new(&*self.store, Key::idempotency_records(), AT_A_TIME);
        let mut removed = 0;
        while let Some(found) = pages.next().await? {
            let mut transaction = Transaction::default();
            for (key, entry) in found {
                let Some(mac) = key.as_bytes().get(1..).and_then(|mac| mac.try_into().ok()) else { continue };
                let at = match IdempotencyRecord::open(&keyring, mac, &entry.value) {
                    Ok(receipt) => Timestamp::from_micros(receipt.at),
                    Err(_) => self.known_as_damaged(*mac),
                };
                if at.plus(REMEMBERED) <= now() {
                    transaction.require.push((key.clone(), Expect::At(entry.revision)));
                    transaction.delete.push(key);
                }
            }
            let passed = transaction.delete.len();
            if passed > 0 && self.commit(&keyring, transaction).await?.is_some() {
                removed += passed;
            }
        }
        Ok(removed)
    }
}

impl App {
    /// Since when a receipt is known to be damaged. It was made before that: so long as it may be asked for, it stays, and
    /// the request is not made a second time.
    fn known_as_damaged(&self, receipt: Mac) -> Timestamp {
        let mut known = self.damaged_idempotency_records.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(receipt).or_insert_with(|| {
            tracing::error!(
                "a receipt was altered: its request is refused until it need not be remembered any more"
            );
            now()
        })
    }
}

/// A receipt's record, sealed by the newest keys, as it was put there by that revision.
pub(super) fn reseal_idempotency_record(
    keyring: &Keyring,
    mac: &Mac,
    sealed: &[u8],
    stored_at: Revision,
) -> Result<Vec<u8>, crypto::Error> {
    let mut receipt = IdempotencyRecord::open(keyring, mac, sealed)?;
    receipt.put_at = Some(receipt.revision(stored_at).0);
    keyring.seal(Purpose::IdempotencyRecord, mac, &receipt.encode_to_vec())
}

impl IdempotencyRecord {
    fn new(body: Mac, outcome: &Outcome) -> Self {
        let (id, secret, deleted_at) = match outcome {
            Outcome::Secret(secret) | Outcome::Unchanged(secret) => (secret.id, encode_secret(secret), None),
            Outcome::Deleted(id, at) => (*id, Vec::new(), Some(at.as_micros())),
        };
        let unchanged_since = match outcome {
            Outcome::Unchanged(secret) => Some(secret.revision.0),
            Outcome::Secret(_) | Outcome::Deleted(..) => None,
        };
        Self {
            unchanged_since,
            put_at: None,
            body: body.to_vec(),
            at: now().as_micros(),
            secret_id: id.as_bytes().to_vec(),
            secret,
            deleted_at,
        }
    }

    pub(super) fn open(keyring: &Keyring, mac: &Mac, sealed: &[u8]) -> Result<Self, crypto::Error> {
        let clear = keyring.open_record(Purpose::IdempotencyRecord, mac, sealed)?;
        Self::decode(clear.as_slice()).map_err(|_| crypto::Error::Integrity)
    }

    /// The revision of the outcome, for a record that this revision put there.
    pub(super) fn revision(&self, stored_at: Revision) -> Revision {
        self.put_at.map(Revision).filter(|at| *at <= stored_at).unwrap_or(stored_at)
    }

    pub(super) fn outcome(&self, namespace: &Namespace, revision: Revision) -> Option<Outcome> {
        let id = SecretId::from_bytes(self.secret_id.as_slice().try_into().ok()?);
        let secret = |revision| decode_secret(namespace, id, &self.secret, revision);
        Some(match (self.deleted_at, self.unchanged_since) {
            (Some(at), _) => Outcome::Deleted(id, Timestamp::from_micros(at)),
            (None, Some(since)) => Outcome::Unchanged(secret(Revision(since))?),
            (None, None) => Outcome::Secret(secret(revision)?),
        })
    }
}
