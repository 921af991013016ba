//! Between the outcome of a change and its idempotency record.

use prost::Message;

use crate::crypto::{self, Keyring, Mac, Purpose};
use crate::domain::{Namespace, Revision, Secret, SecretId, Timestamp, now};
use crate::schema::{IdempotencyRecord, decode_secret, encode_secret};

/// The outcome of a change.
pub(in crate::app) enum Outcome {
    /// The secret as the change left it.
    Secret(Secret),
    /// The secret as it was: there was nothing to change.
    Unchanged(Secret),
    /// The secret of this id was deleted at this time.
    Deleted(SecretId, Timestamp),
}

/// An idempotency record, sealed by the newest generation of the keyring. `stored_at` is the revision that put the record
/// where it stands.
pub(in crate::app) fn reseal_idempotency_record(
    keyring: &Keyring,
    mac: &Mac,
    sealed: &[u8],
    stored_at: Revision,
) -> Result<Vec<u8>, crypto::Error> {
    let mut record = IdempotencyRecord::open(keyring, mac, sealed)?;
    record.put_at = Some(record.revision(stored_at).0);
    keyring.seal(Purpose::IdempotencyRecord, mac, &record.encode_to_vec())
}

impl IdempotencyRecord {
    /// The record of an outcome, made now. `body` is the HMAC of the request.
    pub(super) fn new(body: Mac, outcome: &Outcome) -> Self {
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

    /// The record that stands at this HMAC.
    pub(in crate::app) fn open(keyring: &Keyring, mac: &Mac, sealed: &[u8]) -> Result<Self, crypto::Error> {
        let clear = keyring.open_record(Purpose::IdempotencyRecord, mac, sealed)?;
        Self::decode(clear.as_slice()).map_err(|_| crypto::Error::Integrity)
    }

    /// The revision of the outcome. `stored_at` is the revision that put the record where it stands, which is later where the
    /// record was sealed again.
    pub(in crate::app) fn revision(&self, stored_at: Revision) -> Revision {
        self.put_at.map(Revision).filter(|at| *at <= stored_at).unwrap_or(stored_at)
    }

    /// The outcome, of this revision. `None` where the record holds none.
    pub(in crate::app) fn outcome(&self, namespace: &Namespace, revision: Revision) -> Option<Outcome> {
        let id = SecretId::from_bytes(self.secret_id.as_slice().try_into().ok()?);
        let secret = |revision| decode_secret(namespace, id, &self.secret, revision);
        Some(match (self.deleted_at, self.unchanged_since) {
            (Some(at), _) => Outcome::Deleted(id, Timestamp::from_micros(at)),
            (None, Some(since)) => Outcome::Unchanged(secret(Revision(since))?),
            (None, None) => Outcome::Secret(secret(revision)?),
        })
    }
}
