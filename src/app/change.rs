use std::sync::Arc;

use super::generate::generate;
use super::idempotency::Outcome;
use super::{App, Error, Idempotency};
use crate::auth::{Grant, Rotate, Write};
use crate::catalog::NamespaceCatalog;
use crate::crypto::seal_secret;
use crate::crypto::{NamespaceKeys, Purpose, value_seal};
use crate::domain::{
    Description, Generator, Metadata, Namespace, Revision, Secret, SecretId, SecretName, Timestamp, Value,
    Version, Versions, now,
};
use crate::integrity::StoredNamespaceKeys;
use crate::store::{Expect, Key, Transaction};

/// A secret to be made.
pub struct NewSecret {
    /// Its name.
    pub name: SecretName,
    /// Its value.
    pub source: Source,
    /// What it is for.
    pub description: Description,
    /// Pairs to attach.
    pub metadata: Metadata,
}

/// Where a value comes from.
pub enum Source {
    /// From the caller.
    Value(Value),
    /// From the server, which returns it where `reveal` says so.
    Generate {
        /// How it is made.
        generator: Generator,
        /// Whether the caller wants to see it.
        reveal: bool,
    },
}

/// A change of a secret: `None` keeps what is there.
#[derive(Default)]
pub struct Update {
    /// Another name.
    pub new_name: Option<SecretName>,
    /// A new value.
    pub value: Option<Value>,
    /// Another description.
    pub description: Option<Description>,
    /// Other metadata, in place of all that is there.
    pub metadata: Option<Metadata>,
    /// The etag that the secret must still have.
    pub etag: Option<Box<str>>,
}

/// A new value for a secret.
pub struct Rotation {
    /// The value.
    pub source: Source,
    /// The etag that the secret must still have.
    pub etag: Option<Box<str>>,
}

/// A secret that was made or changed.
pub struct Changed {
    /// The secret as it then was.
    pub secret: Secret,
    /// The value, where the server made it and the caller wants to see it.
    pub generated: Option<Value>,
}

/// A secret that was deleted.
pub struct Deleted {
    /// Which secret it was.
    pub id: SecretId,
    /// When.
    pub deleted_at: Timestamp,
    /// The store's revision of the deletion.
    pub revision: Revision,
}

impl App {
    /// Makes a secret with its version 1.
    pub async fn create(
        &self,
        grant: &Grant<Write>,
        new: NewSecret,
        request: Option<&Idempotency>,
    ) -> Result<Changed, Error> {
        let NewSecret { name, source, description, metadata } = new;
        let (value, reveal) = source.value()?;
        let place = (grant.namespace(), &name);
        let (outcome, first) = self
            .change(grant.principal(), place, request, |there| {
                if there.is_some_and(|there| there.secret(&name).is_some()) {
                    return Err(Error::SecretAlreadyExists(grant.namespace().clone(), name.clone()));
                }
                let mut transaction = Transaction::default();
                let (stored, made);
                let keys = match there {
                    Some(there) => {
                        stored = planned_with(there, &mut transaction);
                        &**stored
                    }
                    None => {
                        made = self.make_namespace(grant.namespace(), &mut transaction)?;
                        &made
                    }
                };
                let (at, id) = (now(), SecretId::generate());
                let version = put_version(&mut transaction, keys, (id, 1, at), &value)?;
                let secret = Secret {
                    namespace: grant.namespace().clone(),
                    name: name.clone(),
                    id,
                    description: description.clone(),
                    metadata: metadata.clone(),
                    version: 1,
                    versions: Versions::first(version),
                    created_at: at,
                    updated_at: at,
                    rotated_at: None,
                    revision: Revision::default(),
                    stored_at: Revision::default(),
                };
                put_name(&mut transaction, keys, &secret)?;
                put_secret(&mut transaction, keys, &secret)?;
                Ok((transaction, Outcome::Secret(secret)))
            })
            .await?;
        changed(outcome, (first && reveal).then_some(value))
    }

    /// Changes what the update names, in one step.
    pub async fn update(
        &self,
        grant: &Grant<Write>,
        name: &SecretName,
        update: Update,
        request: Option<&Idempotency>,
    ) -> Result<Changed, Error> {
        let new_name = update.new_name.as_ref().filter(|new_name| *new_name != name);
        if let Some(new_name) = new_name {
            self.refuse_damage(grant.namespace(), new_name).await?;
        }
        let (outcome, _) = self
            .change(grant.principal(), (grant.namespace(), name), request, |there| {
                let (there, current) = current(there, grant.namespace(), name, update.etag.as_deref())?;
                let mut transaction = Transaction::default();
                let keys = &*planned_with(there, &mut transaction);
                let mut next = successor(&current, keys, &mut transaction);
                if let Some(new_name) = new_name {
                    if there.secret(new_name).is_some() {
                        return Err(Error::SecretAlreadyExists(grant.namespace().clone(), new_name.clone()));
                    }
                    transaction.delete.push(Key::name(keys.id(), &keys.name_mac(name)));
                    next.name = new_name.clone();
                    put_name(&mut transaction, keys, &next)?;
                }
                if let Some(description) = &update.description {
                    next.description = description.clone();
                }
                if let Some(metadata) = &update.metadata {
                    next.metadata = metadata.clone();
                }
                if let Some(value) = &update.value {
                    put_next_version(&mut transaction, keys, &mut next, value)?;
                }
                put_secret(&mut transaction, keys, &next)?;
                Ok((transaction, Outcome::Secret(next)))
            })
            .await?;
        changed(outcome, None)
    }

    /// Gives a secret a new value as its next version.
    pub async fn rotate(
        &self,
        grant: &Grant<Rotate>,
        name: &SecretName,
        rotation: Rotation,
        request: Option<&Idempotency>,
    ) -> Result<Changed, Error> {
        let (value, reveal) = rotation.source.value()?;
        let (outcome, first) = self
            .change(grant.principal(), (grant.namespace(), name), request, |there| {
                let (there, current) = current(there, grant.namespace(), name, rotation.etag.as_deref())?;
                let mut transaction = Transaction::default();
                let keys = &*planned_with(there, &mut transaction);
                let mut next = successor(&current, keys, &mut transaction);
                put_next_version(&mut transaction, keys, &mut next, &value)?;
                put_secret(&mut transaction, keys, &next)?;
                Ok((transaction, Outcome::Secret(next)))
            })
            .await?;
        changed(outcome, (first && reveal).then_some(value))
    }

    /// Deletes a secret and all its versions, for good.
    pub async fn delete(
        &self,
        grant: &Grant<Write>,
        name: &SecretName,
        etag: Option<&str>,
        request: Option<&Idempotency>,
    ) -> Result<Deleted, Error> {
        let (outcome, _) = self
            .change(grant.principal(), (grant.namespace(), name), request, |there| {
                let (there, current) = current(there, grant.namespace(), name, etag)?;
                let mut transaction = Transaction::default();
                let keys = &*planned_with(there, &mut transaction);
                let at = successor(&current, keys, &mut transaction).updated_at;
                // Those too that are not to be there: someone may have put them back.
                let versions = current.versions.iter();
                transaction
                    .delete
                    .extend(versions.map(|version| Key::version(keys.id(), current.id, version.number)));
                transaction.delete.push(Key::name(keys.id(), &keys.name_mac(name)));
                transaction.delete.push(Key::secret(keys.id(), current.id));
                Ok((transaction, Outcome::Deleted(current.id, at)))
            })
            .await?;
        match outcome {
            (Outcome::Deleted(id, deleted_at), revision) => Ok(Deleted { id, deleted_at, revision }),
            (Outcome::Secret(_) | Outcome::Unchanged(_), _) => Err(Error::Integrity),
        }
    }

    /// Keys for a namespace that is not there yet. The transaction makes it, unless another one does so first.
    fn make_namespace(
        &self,
        namespace: &Namespace,
        transaction: &mut Transaction,
    ) -> Result<NamespaceKeys, Error> {
        let keyring = self.keyring();
        let seals = self.catalog.digest().seals;
        let (keys, record) = NamespaceKeys::create(&keyring, namespace, seals)?;
        let key = Key::namespace(&keyring.namespace_mac(namespace));
        transaction.require.push((key.clone(), Expect::Absent));
        transaction.put.push((key, record));
        Ok(keys)
    }
}

impl Source {
    /// The value, made now where the server makes it, and whether the caller wants to see it.
    fn value(self) -> Result<(Value, bool), Error> {
        match self {
            Self::Value(value) => Ok((value, false)),
            Self::Generate { generator, reveal } => Ok((generate(&generator)?, reveal)),
        }
    }
}

/// The secret as it is, when it has the etag asked for.
pub(super) fn current<'a>(
    there: Option<&'a Arc<NamespaceCatalog>>,
    namespace: &Namespace,
    name: &SecretName,
    etag: Option<&str>,
) -> Result<(&'a NamespaceCatalog, Arc<Secret>), Error> {
    let found = there.and_then(|there| there.secret(name).map(|secret| (&**there, secret)));
    let (there, secret) = found.ok_or_else(|| Error::SecretNotFound(namespace.clone(), name.clone()))?;
    if etag.is_some_and(|etag| etag != secret.etag()) {
        return Err(Error::EtagMismatch);
    }
    Ok((there, secret))
}

/// The secret's next state, so far the same but for its time, which a commit makes only if the present state holds.
pub(super) fn successor(current: &Secret, keys: &NamespaceKeys, transaction: &mut Transaction) -> Secret {
    let key = Key::secret(keys.id(), current.id);
    transaction.require.push((key, Expect::At(current.stored_at)));
    Secret { updated_at: now().after(current.updated_at), ..current.clone() }
}

/// The namespace's keys, which the transaction then requires to be still in force.
pub(super) fn planned_with(
    there: &NamespaceCatalog,
    transaction: &mut Transaction,
) -> Arc<StoredNamespaceKeys> {
    let keys = there.keys();
    transaction.require.push(keys.unchanged());
    keys
}

fn put_name(transaction: &mut Transaction, keys: &NamespaceKeys, secret: &Secret) -> Result<(), Error> {
    let mac = keys.name_mac(&secret.name);
    let key = Key::name(keys.id(), &mac);
    transaction.require.push((key.clone(), Expect::Absent));
    transaction.put.push((key, keys.seal(Purpose::Name, &mac, secret.id.as_bytes())?));
    Ok(())
}

pub(super) fn put_secret(
    transaction: &mut Transaction,
    keys: &NamespaceKeys,
    secret: &Secret,
) -> Result<(), Error> {
    transaction.put.push((Key::secret(keys.id(), secret.id), seal_secret(keys, secret)?));
    Ok(())
}

/// Puts the value as the secret's next version, and removes the oldest where there are now too many.
fn put_next_version(
    transaction: &mut Transaction,
    keys: &NamespaceKeys,
    secret: &mut Secret,
    value: &Value,
) -> Result<(), Error> {
    let next = secret.version.checked_add(1);
    secret.version = next.ok_or(Error::Internal("a secret has no version numbers left"))?;
    secret.rotated_at = Some(secret.updated_at);
    let place = (secret.id, secret.version, secret.updated_at);
    let version = put_version(transaction, keys, place, value)?;
    let (versions, removed) = secret.versions.with_next(version);
    secret.versions = versions;
    transaction.delete.extend(removed.map(|oldest| Key::version(keys.id(), secret.id, oldest.number)));
    Ok(())
}

/// Puts the value as a version of that secret and number, made at that time.
fn put_version(
    transaction: &mut Transaction,
    keys: &NamespaceKeys,
    (id, number, at): (SecretId, u32, Timestamp),
    value: &Value,
) -> Result<Version, Error> {
    let sealed = keys.seal_value(id.as_bytes(), number, &value.encode())?;
    let version = Version::new(number, at, value_seal(&sealed));
    transaction.put.push((Key::version(keys.id(), id, number), sealed));
    Ok(version)
}

fn changed((outcome, revision): (Outcome, Revision), generated: Option<Value>) -> Result<Changed, Error> {
    match outcome {
        Outcome::Secret(secret) => {
            Ok(Changed { secret: Secret { revision, stored_at: revision, ..secret }, generated })
        }
        Outcome::Unchanged(secret) => Ok(Changed { secret, generated }),
        Outcome::Deleted(..) => Err(Error::Integrity),
    }
}
