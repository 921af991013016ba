use std::sync::Arc;

use super::change::{current, planned_with, put_secret, successor};
use super::idempotency::Outcome;
use super::{App, Error, Idempotency};
use crate::auth::{Grant, List, Write};
use crate::crypto::{NamespaceKeys, PublicKey, Signature, data_key_digest, value_seal};
use crate::domain::{Destruction, Namespace, Revision, Secret, SecretName, Value, Version, VersionState};
use crate::store::{Expect, Key, Transaction};

/// Which version of a secret is to be changed.
pub struct VersionChange {
    /// The secret's name.
    pub name: SecretName,
    /// The number of the version.
    pub number: u32,
    /// The etag that the secret must still have.
    pub etag: Option<Box<str>>,
}

/// A version that was changed, or that already was as asked for.
pub struct ChangedVersion {
    /// The version as it then was.
    pub version: Version,
    /// The secret as it then was.
    pub secret: Secret,
    /// The store's revision of the change, or at which there was nothing to change.
    pub revision: Revision,
}

/// A signed statement that a version was destroyed.
pub struct DestructionReceipt {
    /// What is stated.
    pub destruction: Destruction,
    /// The statement, which is what was signed.
    pub statement: String,
    /// The service's signature of it.
    pub signature: Signature,
    /// The key that verifies the signature.
    pub public_key: PublicKey,
}

/// What the store holds in the place of a version.
#[derive(Default)]
pub(super) struct StoredVersion {
    /// The revision that put it there; `None` where there is nothing.
    revision: Option<Revision>,
    /// The digest of its wrapped data key; `None` where it is not that version's.
    data_key: Option<[u8; 32]>,
}

impl App {
    /// A secret, with the versions of it that are kept.
    pub async fn versions(
        &self,
        grant: &Grant<List>,
        name: &SecretName,
        at_least: Revision,
    ) -> Result<(Arc<Secret>, Revision), Error> {
        self.describe(grant, name, None, at_least).await
    }

    /// Has a version's value not be read until it is enabled again. One that is disabled stays so.
    pub async fn disable_version(
        &self,
        grant: &Grant<Write>,
        change: &VersionChange,
        request: Option<&Idempotency>,
    ) -> Result<ChangedVersion, Error> {
        self.switch_version(grant, change, VersionState::Disabled, request).await
    }

    /// Has a disabled version's value be read again. One that is enabled stays so.
    pub async fn enable_version(
        &self,
        grant: &Grant<Write>,
        change: &VersionChange,
        request: Option<&Idempotency>,
    ) -> Result<ChangedVersion, Error> {
        self.switch_version(grant, change, VersionState::Enabled, request).await
    }

    /// Removes a version's data key and value for good, and keeps that there was one. A version that was destroyed stays
    /// so, and has the same receipt.
    pub async fn destroy_version(
        &self,
        grant: &Grant<Write>,
        change: &VersionChange,
        request: Option<&Idempotency>,
    ) -> Result<(ChangedVersion, DestructionReceipt), Error> {
        let place = (grant.namespace(), &change.name);
        let outcome = self
            .change_stored(grant.principal(), place, Some(change.number), request, |there, stored| {
                let (there, secret) =
                    current(there, grant.namespace(), &change.name, change.etag.as_deref())?;
                let version = kept(&secret, change.number)?;
                if version.state == VersionState::Destroyed {
                    return Ok(unchanged(&secret, &there.keys()));
                }
                let mut transaction = Transaction::default();
                let keys = &*planned_with(there, &mut transaction);
                let next = successor(&secret, keys, &mut transaction);
                let key = Key::version(keys.id(), secret.id, version.number);
                let expect = stored.revision.map_or(Expect::Absent, Expect::At);
                transaction.require.push((key.clone(), expect));
                transaction.delete.push(key);
                let changed = Version {
                    state: VersionState::Destroyed,
                    changed_at: Some(next.updated_at),
                    destroyed_key: stored.data_key.map(Box::new),
                    ..version.clone()
                };
                let next = Secret { versions: next.versions.with_changed(changed), ..next };
                put_secret(&mut transaction, keys, &next)?;
                Ok((transaction, Outcome::Secret(next)))
            })
            .await?;
        let changed = changed_version(outcome.0, change.number)?;
        let receipt = self.destruction_receipt(&changed)?;
        Ok((changed, receipt))
    }

    async fn switch_version(
        &self,
        grant: &Grant<Write>,
        change: &VersionChange,
        state: VersionState,
        request: Option<&Idempotency>,
    ) -> Result<ChangedVersion, Error> {
        let place = (grant.namespace(), &change.name);
        let outcome = self
            .change(grant.principal(), place, request, |there| {
                let (there, secret) =
                    current(there, grant.namespace(), &change.name, change.etag.as_deref())?;
                let version = kept(&secret, change.number)?;
                if version.state == VersionState::Destroyed {
                    return Err(destroyed(&secret, version.number));
                }
                if version.state == state {
                    return Ok(unchanged(&secret, &there.keys()));
                }
                let mut transaction = Transaction::default();
                let keys = &*planned_with(there, &mut transaction);
                let next = successor(&secret, keys, &mut transaction);
                let changed = Version { state, changed_at: Some(next.updated_at), ..version.clone() };
                let next = Secret { versions: next.versions.with_changed(changed), ..next };
                put_secret(&mut transaction, keys, &next)?;
                Ok((transaction, Outcome::Secret(next)))
            })
            .await?;
        changed_version(outcome.0, change.number)
    }

    /// What is stored of a secret's version; nothing where there is no such version.
    pub(super) async fn stored_version(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        number: u32,
    ) -> Result<StoredVersion, Error> {
        let find = || {
            let there = self.catalog.namespace(namespace)?;
            there.secret(name).map(|secret| (there, secret))
        };
        let Some((there, secret)) = find() else { return Ok(StoredVersion::default()) };
        let Some(entry) = self.store.get(&Key::version(there.keys().id(), secret.id, number)).await? else {
            return Ok(StoredVersion::default());
        };
        // What it was sealed with may be newer than the keys that the catalog had a moment ago.
        let shown = match self.shown(entry.revision).await {
            Err(Error::Integrity) => false,
            shown => shown.map(|()| true)?,
        };
        let is_it = shown
            && find().is_some_and(|(there, secret)| {
                let version = secret.versions.find(number);
                version.is_some_and(|version| {
                    open_version(&there.keys(), &secret, version, &entry.value).is_ok()
                })
            });
        let data_key = data_key_digest(&entry.value).filter(|_| is_it);
        Ok(StoredVersion { revision: Some(entry.revision), data_key })
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
        let keyring = self.keyring();
        let signature = keyring.sign(statement.as_bytes())?;
        Ok(DestructionReceipt { destruction, statement, signature, public_key: keyring.public_key().clone() })
    }
}

/// The version of that number, in whatever state.
pub(super) fn kept(secret: &Secret, number: u32) -> Result<&Version, Error> {
    let missing = || Error::VersionNotFound(secret.namespace.clone(), secret.name.clone(), number);
    secret.versions.find(number).ok_or_else(missing)
}

/// The version of that number, when its value may be read.
pub(super) fn readable(secret: &Secret, number: u32) -> Result<&Version, Error> {
    let version = kept(secret, number)?;
    match version.state {
        VersionState::Enabled => Ok(version),
        VersionState::Disabled => {
            Err(Error::VersionDisabled(secret.namespace.clone(), secret.name.clone(), number))
        }
        VersionState::Destroyed => Err(destroyed(secret, number)),
    }
}

/// The value in a version's record. A record that is not that of this version, but of another one that once stood in the
/// same place, does not open.
pub(super) fn open_version(
    keys: &NamespaceKeys,
    secret: &Secret,
    version: &Version,
    sealed: &[u8],
) -> Result<Value, Error> {
    if version.seal.is_some() && value_seal(sealed) != version.seal {
        return Err(Error::Integrity);
    }
    let opened = keys.open_value(secret.id.as_bytes(), version.number, sealed)?;
    Value::decode(&opened).ok_or(Error::Integrity)
}

fn destroyed(secret: &Secret, number: u32) -> Error {
    Error::VersionDestroyed(secret.namespace.clone(), secret.name.clone(), number)
}

/// That a secret already is as asked for, which is true only while its present state holds.
fn unchanged(secret: &Secret, keys: &NamespaceKeys) -> (Transaction, Outcome) {
    let mut transaction = Transaction::default();
    transaction.require.push((Key::secret(keys.id(), secret.id), Expect::At(secret.stored_at)));
    (transaction, Outcome::Unchanged(secret.clone()))
}

fn changed_version((outcome, revision): (Outcome, Revision), number: u32) -> Result<ChangedVersion, Error> {
    let secret = match outcome {
        Outcome::Secret(secret) => Secret { revision, stored_at: revision, ..secret },
        Outcome::Unchanged(secret) => secret,
        Outcome::Deleted(..) => return Err(Error::Integrity),
    };
    let version = kept(&secret, number)?.clone();
    Ok(ChangedVersion { version, secret, revision })
}
