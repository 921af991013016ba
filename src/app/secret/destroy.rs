//! Destroy a version of a secret, and state so with a signature.

use std::sync::Arc;

use super::SecretOperations;
use super::change::ChangeRequest;
use super::generate::public_key_of;
use super::plan::SecretPlan;
use super::read::{find_version, open_version};
use super::version::{ChangedVersion, VersionChange};
use crate::app::{Error, Idempotency};
use crate::auth::{Delete, Grant};
use crate::catalog::NamespaceCatalog;
use crate::crypto::{PublicKey, Signature, data_key_digest};
use crate::domain::{
    Destruction, EventType, Namespace, Revision, Secret, SecretId, SecretName, Version, VersionState,
};
use crate::store::{Expect, Key};

/// A signed statement that a version was destroyed.
pub struct DestructionReceipt {
    /// The destruction that the statement is about.
    pub destruction: Destruction,
    /// The statement. Its bytes are signed.
    pub statement: String,
    /// The service's signature of the statement.
    pub signature: Signature,
    /// The key that verifies the signature.
    pub public_key: PublicKey,
}

/// What the store holds in the place of a version.
#[derive(Default)]
pub(super) struct StoredVersion {
    /// The revision that put it there; `None` where there is nothing.
    revision: Option<Revision>,
    /// The digest of its wrapped data key; `None` where the record is not this version's.
    data_key: Option<[u8; 32]>,
    /// The secret that it is a version of, and the public key of its value; `None` where the value is no private key that the service has
    /// generated.
    public_key: Option<(SecretId, String)>,
}

impl StoredVersion {
    /// The public key of its value, where it is a version of this secret: another replica can have put another one in its place.
    pub(super) fn public_key_of(&self, id: SecretId) -> Option<&str> {
        self.public_key.as_ref().filter(|(of, _)| *of == id).map(|(_, public_key)| public_key.as_str())
    }
}

impl SecretOperations {
    /// Removes a version's data key and value for good, and keeps its number. A destroyed version stays as it is, and has
    /// the same receipt.
    pub async fn destroy_version(
        &self,
        grant: &Grant<Delete>,
        change: &VersionChange,
        idempotency: Option<&Idempotency>,
    ) -> Result<(ChangedVersion, DestructionReceipt), Error> {
        let request = ChangeRequest::new(grant, idempotency).of_version(change.number);
        let answer = self
            .change(&request, |present| {
                let (namespace, current) = present.secret(&request, change.etag.as_deref())?;
                let version = find_version(&current, change.number)?;
                if version.state == VersionState::Destroyed {
                    return Ok(SecretPlan::unchanged(&current));
                }
                let mut plan = present.plan(namespace);
                let next = plan.successor(&current);
                let stored = &present.stored_version;
                let expect = stored.revision.map_or(Expect::Absent, Expect::At);
                plan.delete_version(current.id, version.number, expect);
                let changed = Version {
                    state: VersionState::Destroyed,
                    changed_at: Some(next.updated_at),
                    retires_at: None,
                    destroyed_key: stored.data_key.map(Box::new),
                    size: None,
                    ..version.clone()
                };
                plan.put_changed(next, changed, EventType::VersionChanged)
            })
            .await?;
        let changed = ChangedVersion::of(answer, change.number)?;
        let receipt = self.destruction_receipt(&changed)?;
        Ok((changed, receipt))
    }

    /// What is stored in the place of a secret's version; nothing where there is no such version.
    pub(super) async fn stored_version(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        number: u32,
    ) -> Result<StoredVersion, Error> {
        let find = || {
            let catalog = self.core.catalog.namespace(namespace)?;
            catalog.secret(name).map(|secret| (catalog, secret))
        };
        let Some((catalog, secret)) = find() else { return Ok(StoredVersion::default()) };
        let key = Key::version(catalog.keys().id(), secret.id, number);
        let Some(entry) = self.core.store.get(&key).await? else { return Ok(StoredVersion::default()) };
        // The keys that sealed it can be newer than those that the catalog had a moment ago.
        let visible = match self.core.wait_visible(entry.revision).await {
            Err(Error::Integrity) => false,
            visible => visible.map(|()| true)?,
        };
        let open = |(catalog, secret): (Arc<NamespaceCatalog>, Arc<Secret>)| {
            let version = secret.versions.find(number)?;
            Some((secret.id, open_version(&catalog.keys(), &secret, version, &entry.value).ok()?))
        };
        let opened = find().filter(|_| visible).and_then(open);
        let data_key = data_key_digest(&entry.value).filter(|_| opened.is_some());
        let public_key = opened.and_then(|(id, value)| Some((id, public_key_of(&value)?)));
        Ok(StoredVersion { revision: Some(entry.revision), data_key, public_key })
    }

    fn destruction_receipt(&self, changed: &ChangedVersion) -> Result<DestructionReceipt, Error> {
        let ChangedVersion { version, secret, .. } = changed;
        let destruction = Destruction {
            namespace: secret.namespace.clone(),
            name: secret.name.clone(),
            secret_id: secret.id,
            version: version.number,
            destroyed_at: version.changed_at.ok_or(Error::Integrity)?,
            data_key: version.destroyed_key.as_deref().copied(),
        };
        let statement = destruction.to_string();
        let keyring = self.core.keyring();
        let signature = keyring.sign(statement.as_bytes())?;
        Ok(DestructionReceipt { destruction, statement, signature, public_key: keyring.public_key().clone() })
    }
}
