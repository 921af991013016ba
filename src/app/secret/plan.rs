//! The transaction of one change of one secret, record by record, with the event of the change.

use std::ops::Deref;
use std::sync::Arc;

use crate::app::Error;
use crate::app::idempotency::Outcome;
use crate::catalog::NamespaceCatalog;
use crate::crypto::{Keyring, NamespaceKeys, Purpose, former_metadata, seal_event, seal_secret, value_seal};
use crate::domain::{
    EventType, Namespace, Revision, Secret, SecretEvent, SecretId, SecretName, Timestamp, Value, Version, now,
};
use crate::integrity::StoredNamespaceKeys;
use crate::store::{Expect, Key, Transaction};

/// A change of one secret: its transaction so far, and the keys that seal its records. Its end ([`put`](SecretPlan::put),
/// [`put_changed`](SecretPlan::put_changed) or [`delete`](SecretPlan::delete)) adds the one event of the change.
pub(super) struct SecretPlan<'a> {
    transaction: Transaction,
    /// Seals the event.
    keyring: &'a Keyring,
    keys: PlanKeys,
    /// The secret before the change; `None` where there was none.
    former: Option<Secret>,
}

enum PlanKeys {
    Stored(Arc<StoredNamespaceKeys>),
    New(NamespaceKeys),
}

impl Deref for PlanKeys {
    type Target = NamespaceKeys;

    fn deref(&self) -> &NamespaceKeys {
        match self {
            Self::Stored(keys) => keys,
            Self::New(keys) => keys,
        }
    }
}

impl<'a> SecretPlan<'a> {
    /// A change in a namespace. It requires that the namespace's keys stay the same until the commit.
    pub(super) fn in_namespace(keyring: &'a Keyring, namespace: &NamespaceCatalog) -> Self {
        let keys = namespace.keys();
        let mut transaction = Transaction::default();
        transaction.require.push(keys.unchanged());
        Self { transaction, keyring, keys: PlanKeys::Stored(keys), former: None }
    }

    /// A change that also creates its namespace, and requires that nobody else creates it first. `seals` is the number of
    /// seals that the store has seen.
    pub(super) fn in_new_namespace(
        keyring: &'a Keyring,
        namespace: &Namespace,
        seals: u64,
    ) -> Result<Self, Error> {
        let (keys, record) = NamespaceKeys::create(keyring, namespace, seals)?;
        let key = Key::namespace(&keyring.namespace_mac(namespace));
        let mut transaction = Transaction::default();
        transaction.require.push((key.clone(), Expect::Absent));
        transaction.put.push((key, record));
        Ok(Self { transaction, keyring, keys: PlanKeys::New(keys), former: None })
    }

    /// The plan to change nothing.
    pub(super) fn unchanged(secret: &Secret) -> (Transaction, Outcome) {
        (Transaction::default(), Outcome::Unchanged(secret.clone()))
    }

    /// The secret's next state, in which only the time is another so far. It requires that the secret stays as `current`
    /// until the commit.
    pub(super) fn successor(&mut self, current: &Secret) -> Secret {
        let key = Key::secret(self.keys.id(), current.id);
        self.transaction.require.push((key, Expect::At(current.stored_at)));
        self.former = Some(current.clone());
        Secret { updated_at: now().after(current.updated_at), ..current.clone() }
    }

    /// Takes the name for the secret, and requires that the name is free.
    pub(super) fn put_name(&mut self, name: &SecretName, id: SecretId) -> Result<(), Error> {
        let mac = self.keys.name_mac(name);
        let key = Key::name(self.keys.id(), &mac);
        self.transaction.require.push((key.clone(), Expect::Absent));
        self.transaction.put.push((key, self.keys.seal(Purpose::Name, &mac, id.as_bytes())?));
        Ok(())
    }

    /// Sets the name free.
    pub(super) fn delete_name(&mut self, name: &SecretName) {
        self.transaction.delete.push(Key::name(self.keys.id(), &self.keys.name_mac(name)));
    }

    /// Puts the value as a version of that secret and number, made at that time.
    pub(super) fn put_version(
        &mut self,
        id: SecretId,
        number: u32,
        at: Timestamp,
        value: &Value,
    ) -> Result<Version, Error> {
        let sealed = self.keys.seal_value(id.as_bytes(), number, &value.encode())?;
        let version = Version::new(number, at, value_seal(&sealed));
        self.transaction.put.push((Key::version(self.keys.id(), id, number), sealed));
        Ok(version)
    }

    /// Puts the value as the secret's next version, and removes its oldest version where there are too many now.
    pub(super) fn put_next_version(&mut self, secret: &mut Secret, value: &Value) -> Result<(), Error> {
        let next = secret.version.checked_add(1);
        secret.version = next.ok_or(Error::Internal("a secret has no version numbers left"))?;
        secret.rotated_at = Some(secret.updated_at);
        let version = self.put_version(secret.id, secret.version, secret.updated_at, value)?;
        let (versions, removed) = secret.versions.with_next(version);
        secret.versions = versions;
        if let Some(oldest) = removed {
            self.transaction.delete.push(Key::version(self.keys.id(), secret.id, oldest.number));
        }
        Ok(())
    }

    /// Removes a version's record, and requires that the place of the record is as expected.
    pub(super) fn delete_version(&mut self, id: SecretId, number: u32, expect: Expect) {
        let key = Key::version(self.keys.id(), id, number);
        self.transaction.require.push((key.clone(), expect));
        self.transaction.delete.push(key);
    }

    /// The plan that leaves the secret in this state. Its event has this type.
    pub(super) fn put(self, secret: Secret, event: EventType) -> Result<(Transaction, Outcome), Error> {
        let current = secret.version;
        self.put_all(secret, current, event)
    }

    /// The plan that leaves the secret with this version in place of the one that has the same number.
    pub(super) fn put_changed(
        self,
        secret: Secret,
        changed: Version,
        event: EventType,
    ) -> Result<(Transaction, Outcome), Error> {
        let number = changed.number;
        self.put_all(Secret { versions: secret.versions.with_changed(changed), ..secret }, number, event)
    }

    fn put_all(
        mut self,
        secret: Secret,
        number: u32,
        event: EventType,
    ) -> Result<(Transaction, Outcome), Error> {
        let key = Key::secret(self.keys.id(), secret.id);
        self.transaction.put.push((key, seal_secret(&self.keys, &secret)?));
        self.append_event(event, &secret)?;
        Ok((self.transaction, Outcome::Changed(secret, number)))
    }

    /// Appends the event of the change, which leaves the secret in this state.
    fn append_event(&mut self, kind: EventType, secret: &Secret) -> Result<(), Error> {
        let former = self.former.as_ref();
        let event = SecretEvent {
            kind,
            at: secret.updated_at,
            secret: Arc::new(secret.clone()),
            former_name: former.map(|former| &former.name).filter(|name| **name != secret.name).cloned(),
            former_metadata: former
                .map(|former| &former.metadata)
                .filter(|metadata| **metadata != secret.metadata)
                .map(former_metadata),
            // Only the commit has a revision.
            revision: Revision::default(),
        };
        self.transaction.append.push(seal_event(self.keyring, self.keys.id(), &event)?);
        Ok(())
    }

    /// The plan that deletes the secret, with its name, all its versions and its usage.
    pub(super) fn delete(mut self, current: &Secret) -> Result<(Transaction, Outcome), Error> {
        let deleted = self.successor(current);
        let deleted_at = deleted.updated_at;
        let namespace = self.keys.id();
        // Destroyed versions too: somebody may have put their records back.
        for version in current.versions.iter() {
            self.transaction.delete.push(Key::version(namespace, current.id, version.number));
        }
        self.delete_name(&current.name);
        self.transaction.delete.push(Key::secret(namespace, current.id));
        self.transaction.delete.push(Key::secret_usage(namespace, current.id));
        self.append_event(EventType::Deleted, &deleted)?;
        Ok((self.transaction, Outcome::Deleted(current.id, deleted_at)))
    }
}
