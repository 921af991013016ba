//! Between the outcome of a change and its idempotency record.

use prost::Message;

use crate::auth::{ApiKeyId, Binding, BindingId, PrincipalName};
use crate::crypto::{self, Keyring, Mac, Purpose};
use crate::domain::{Deletion, Namespace, Revision, Secret, SecretId, Timestamp, now};
use crate::schema::{ChangedSecretRecord, IdempotencyRecord, decode_secret};

/// The outcome of a change.
pub(in crate::app) enum Outcome {
    /// The secret as the change left it, and the number of the version that the change made or changed; where it did neither, of
    /// the current one. The outcome of a repeated request has the secret's description and metadata as they are now, and of its
    /// versions only this one.
    Changed(Secret, u32),
    /// The secret as it was: there was nothing to change.
    Unchanged(Secret),
    /// The secret of this id was deleted, and is removed for good at the second of the two times.
    Deleted(SecretId, Deletion),
    /// This binding was created.
    Bound(Binding),
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
    /// The record of an outcome, made now. `body` is the HMAC of the request. `None` where nothing was changed: then a repeat is
    /// carried out like a first request.
    pub(super) fn new(body: Mac, principal: &PrincipalName, outcome: &Outcome) -> Option<Self> {
        let (mut binding_id, mut binding) = (Vec::new(), None);
        let (id, changed, deletion) = match outcome {
            Outcome::Unchanged(_) => return None,
            Outcome::Bound(bound) => {
                (binding_id, binding) = (bound.id.0.to_vec(), Some(bound.record()));
                (None, None, None)
            }
            Outcome::Changed(secret, number) => {
                (Some(secret.id), Some(ChangedSecretRecord::new(secret, *number)), None)
            }
            Outcome::Deleted(id, deletion) => (Some(*id), None, Some(deletion)),
        };
        let (key, name) = match principal {
            PrincipalName::ApiKey(id) => (id.0.to_vec(), String::new()),
            PrincipalName::Certificate(_) | PrincipalName::Token(_) | PrincipalName::Group(_) => {
                (Vec::new(), principal.to_string())
            }
        };
        Some(Self {
            body: body.to_vec(),
            at: now().as_micros(),
            secret_id: id.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
            deleted_at: deletion.map(|deletion| deletion.deleted_at.as_micros()),
            purge_at: deletion.map(|deletion| deletion.purge_at.as_micros()),
            changed,
            principal: key,
            principal_name: name,
            binding_id,
            binding,
            ..Self::default()
        })
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

    /// The id of the secret. `None` where the record has none.
    pub(super) fn secret_id(&self) -> Option<SecretId> {
        Some(SecretId::from_bytes(self.secret_id.as_slice().try_into().ok()?))
    }

    /// The binding that the request created. `None` where the record is of another request.
    pub(super) fn created_binding(&self, revision: Revision) -> Option<Binding> {
        let id = BindingId(self.binding_id.as_slice().try_into().ok()?);
        Binding::of_record(id, self.binding.as_ref()?, revision)
    }

    /// Whether the outcome has parts of the secret as it is now.
    pub(super) fn needs_present_secret(&self) -> bool {
        self.changed.is_some()
    }

    /// The principal whose request it is of. `None` in the record of an earlier release.
    pub(super) fn principal(&self) -> Option<PrincipalName> {
        match self.principal.as_slice().try_into() {
            Ok(key) => Some(PrincipalName::ApiKey(ApiKeyId(key))),
            Err(_) => PrincipalName::parse(&self.principal_name).ok(),
        }
    }

    /// The outcome, of this revision. `present` is the secret as it is now; `None` where it is not there any more. `None` where
    /// the record holds no outcome.
    pub(in crate::app) fn outcome(
        &self,
        namespace: &Namespace,
        revision: Revision,
        present: Option<&Secret>,
    ) -> Option<Outcome> {
        let id = self.secret_id()?;
        if let Some(at) = self.deleted_at {
            // An earlier release removed the secret at once.
            let purge_at = Timestamp::from_micros(self.purge_at.unwrap_or(at));
            return Some(Outcome::Deleted(id, Deletion { deleted_at: Timestamp::from_micros(at), purge_at }));
        }
        if let Some(changed) = &self.changed {
            let secret = changed.secret(namespace, id, revision, present)?;
            let number = secret.versions.iter().next()?.number;
            return Some(Outcome::Changed(secret, number));
        }
        let secret = |revision| decode_secret(namespace, id, &self.secret, revision);
        Some(match self.unchanged_since {
            Some(since) => Outcome::Unchanged(secret(Revision(since))?),
            None => {
                let secret = secret(revision)?;
                let number = secret.version;
                Outcome::Changed(secret, number)
            }
        })
    }
}
