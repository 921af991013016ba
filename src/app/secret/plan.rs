//! The transaction of one change of one secret, record by record, with the event of the change.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::app::Error;
use crate::app::idempotency::Outcome;
use crate::catalog::NamespaceCatalog;
use crate::crypto::{
    Keyring, NamespaceKeys, Purpose, former_metadata, reseal_secret, seal_event, seal_secret, value_seal,
    value_size,
};
use crate::domain::{
    Deletion, EventType, MAX_VERSIONS, Namespace, NewEvent, Secret, SecretId, SecretName, Timestamp, Value,
    Version, VersionState,
};
use crate::integrity::StoredNamespaceKeys;
use crate::limits::{Amount, NamespaceQuotas, Reservation};
use crate::store::{Expect, Key, Transaction};

/// How many versions a transaction removes at most, among other records.
const REMOVED_AT_ONCE: usize = 100;

/// A change of one secret: its transaction so far, and the keys that seal its records. Its end ([`put`](SecretPlan::put),
/// [`put_changed`](SecretPlan::put_changed) or [`delete`](SecretPlan::delete)) adds the one event of the change.
pub(super) struct SecretPlan<'a> {
    transaction: Transaction,
    /// Seals the event.
    keyring: &'a Keyring,
    /// When the change is made.
    now: Timestamp,
    keys: PlanKeys,
    /// The namespace in the catalog; `None` where the change creates it.
    catalog: Option<&'a NamespaceCatalog>,
    /// The secret before the change; `None` where there was none.
    former: Option<&'a Secret>,
    /// The quotas that the change must have room in.
    quotas: NamespaceQuotas,
}

/// A change of one secret that is ready to be committed.
pub(super) struct PlannedChange {
    pub(super) transaction: Transaction,
    pub(super) outcome: Outcome,
    /// The room of the change in the quotas: to be held until the commit has ended.
    pub(super) reservation: Reservation,
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
    pub(super) fn in_namespace(
        keyring: &'a Keyring,
        namespace: &'a NamespaceCatalog,
        now: Timestamp,
    ) -> Self {
        let keys = namespace.keys();
        let mut transaction = Transaction::default();
        transaction.require.push(keys.unchanged());
        Self {
            transaction,
            keyring,
            now,
            keys: PlanKeys::Stored(keys),
            catalog: Some(namespace),
            former: None,
            quotas: namespace.quotas().clone(),
        }
    }

    /// A change that also creates its namespace, and requires that nobody else creates it first. `seals` is the number of
    /// seals that the store has seen, `quotas` are those of the namespace.
    pub(super) fn in_new_namespace(
        keyring: &'a Keyring,
        namespace: &Namespace,
        quotas: NamespaceQuotas,
        seals: u64,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let (keys, record) = NamespaceKeys::create(keyring, namespace, seals)?;
        let key = Key::namespace(&keyring.namespace_mac(namespace));
        let mut transaction = Transaction::default();
        transaction.require.push((key.clone(), Expect::Absent));
        transaction.put.push((key, record));
        let keys = PlanKeys::New(keys);
        Ok(Self { transaction, keyring, now, keys, catalog: None, former: None, quotas })
    }

    /// The plan to change nothing.
    pub(super) fn unchanged(secret: &Secret) -> PlannedChange {
        PlannedChange {
            transaction: Transaction::default(),
            outcome: Outcome::Unchanged(secret.clone()),
            reservation: Reservation::none(),
        }
    }

    /// The secret's next state, in which only the time is another so far. It requires that the secret stays as `current`
    /// until the commit.
    pub(super) fn successor(&mut self, current: &'a Secret) -> Secret {
        let unchanged = self.unchanged_successor(current);
        Secret { updated_at: self.now.after(current.updated_at), ..unchanged }
    }

    /// The same for what the service notes about a secret without a change that callers see: its time, its etag and its revision
    /// stay as they are. It is put by [`SecretPlan::put_note`].
    pub(super) fn unchanged_successor(&mut self, current: &'a Secret) -> Secret {
        let key = Key::secret(self.keys.id(), current.id);
        self.transaction.require.push((key, Expect::At(current.stored_at)));
        self.former = Some(current);
        current.clone()
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
        let size = if self.quotas.limit_bytes() { value_size(&sealed) } else { None };
        let version = Version { size, ..Version::new(number, at, value_seal(&sealed)) };
        self.transaction.put.push((Key::version(self.keys.id(), id, number), sealed));
        Ok(version)
    }

    /// Puts the value as the secret's next version and makes it the current one. The version that was current stays readable for the
    /// grace period: see [`Secret::make_current`].
    pub(super) fn put_next_version(
        &mut self,
        secret: &mut Secret,
        value: &Value,
        grace_period: Option<Duration>,
    ) -> Result<(), Error> {
        let version = self.next_version(secret, value)?;
        let number = version.number;
        secret.make_current(number, grace_period, self.now);
        self.add_version(secret, version)
    }

    /// Puts the value as the secret's next version, which is pending.
    pub(super) fn put_pending_version(&mut self, secret: &mut Secret, value: &Value) -> Result<u32, Error> {
        let version = self.next_version(secret, value)?;
        let number = version.number;
        self.add_version(secret, Version { state: VersionState::Pending, ..version })?;
        Ok(number)
    }

    fn next_version(&mut self, secret: &Secret, value: &Value) -> Result<Version, Error> {
        let number = secret.versions.next_number();
        let number = number.ok_or(Error::Internal("a secret has no version numbers left"))?;
        self.put_version(secret.id, number, secret.updated_at, value)
    }

    /// Adds a version to those of the secret, and removes old ones where there are too many now.
    fn add_version(&mut self, secret: &mut Secret, version: Version) -> Result<(), Error> {
        let next = secret.versions.with_next(version, secret.version, self.now);
        let (versions, removed) = next.ok_or_else(|| {
            Error::TooManyVersions(secret.namespace.clone(), secret.name.clone(), MAX_VERSIONS)
        })?;
        secret.versions = versions;
        let record = |number| Key::version(self.keys.id(), secret.id, number);
        self.transaction.delete.extend(removed.into_iter().map(record));
        Ok(())
    }

    /// Removes a version's record, and requires that the place of the record is as expected.
    pub(super) fn delete_version(&mut self, id: SecretId, number: u32, expect: Expect) {
        let key = Key::version(self.keys.id(), id, number);
        self.transaction.require.push((key.clone(), expect));
        self.transaction.delete.push(key);
    }

    /// The plan that leaves the secret in this state. Its event has this type. Fails with [`Error::QuotaReached`] where the secret takes
    /// more than before, and a quota has no room for that.
    pub(super) fn put(self, secret: Secret, event: EventType) -> Result<PlannedChange, Error> {
        let current = secret.version;
        self.put_all(secret, current, event)
    }

    /// The same, where the change made this version, which is not the current one.
    pub(super) fn put_with_version(
        self,
        secret: Secret,
        number: u32,
        event: EventType,
    ) -> Result<PlannedChange, Error> {
        self.put_all(secret, number, event)
    }

    /// The plan that leaves the secret with this version in place of the one that has the same number.
    pub(super) fn put_changed(
        self,
        secret: Secret,
        changed: Version,
        event: EventType,
    ) -> Result<PlannedChange, Error> {
        let number = changed.number;
        self.put_all(Secret { versions: secret.versions.with_changed(changed), ..secret }, number, event)
    }

    fn put_all(mut self, secret: Secret, number: u32, event: EventType) -> Result<PlannedChange, Error> {
        let before = self.former.map(Amount::of).unwrap_or_default();
        let reservation = self.quotas.reserve(secret.id, before, Amount::of(&secret))?;
        let key = Key::secret(self.keys.id(), secret.id);
        let record = seal_secret(&self.keys, &secret)?;
        if let Some(catalog) = self.catalog {
            catalog.hand_over(&record, &secret);
        }
        self.transaction.put.push((key, record));
        self.append_event(event, &secret)?;
        let outcome = Outcome::Changed(secret, number);
        Ok(PlannedChange { transaction: self.transaction, outcome, reservation })
    }

    /// The plan that leaves the secret with what the service has noted about it.
    pub(super) fn put_note(
        mut self,
        secret: &Secret,
        event: Option<EventType>,
    ) -> Result<Transaction, Error> {
        let key = Key::secret(self.keys.id(), secret.id);
        self.transaction.put.push((key, reseal_secret(&self.keys, secret)?));
        if let Some(event) = event {
            self.append_event(event, secret)?;
        }
        Ok(self.transaction)
    }

    /// The same for a request, whose outcome is the secret as it is then.
    pub(super) fn put_noted(self, secret: Secret, event: Option<EventType>) -> Result<PlannedChange, Error> {
        let transaction = self.put_note(&secret, event)?;
        let current = secret.version;
        let outcome = Outcome::Changed(secret, current);
        Ok(PlannedChange { transaction, outcome, reservation: Reservation::none() })
    }

    /// Appends the event of the change, which leaves the secret in this state.
    fn append_event(&mut self, kind: EventType, secret: &Secret) -> Result<(), Error> {
        let event = NewEvent {
            kind,
            at: self.now.max(secret.updated_at),
            secret,
            former_name: self.former.map(|former| &former.name).filter(|name| **name != secret.name),
            former_metadata: self
                .former
                .map(|former| &former.metadata)
                .filter(|metadata| **metadata != secret.metadata)
                .map(former_metadata),
        };
        self.transaction.append.push(seal_event(self.keyring, self.keys.id(), &event)?);
        Ok(())
    }

    /// The plan that deletes the secret and sets its name free. Its records stay until it is purged, unless that is at once.
    pub(super) fn delete(mut self, current: &'a Secret, retention: Duration) -> Result<PlannedChange, Error> {
        let mut deleted = self.successor(current);
        let deleted_at = deleted.updated_at;
        let deletion = Deletion { deleted_at, purge_at: deleted_at.plus(retention) };
        deleted.deletion = Some(deletion);
        let outcome = Outcome::Deleted(current.id, deletion);
        // A deletion takes no more room than the secret did.
        let planned = |transaction| PlannedChange { transaction, outcome, reservation: Reservation::none() };
        if retention.is_zero() && current.versions.iter().len() <= REMOVED_AT_ONCE {
            self.remove_all(current);
            self.append_event(EventType::Deleted, &deleted)?;
            return Ok(planned(self.transaction));
        }
        self.delete_name(&current.name);
        let key = Key::secret(self.keys.id(), current.id);
        self.transaction.put.push((key, seal_secret(&self.keys, &deleted)?));
        self.append_event(EventType::Deleted, &deleted)?;
        Ok(planned(self.transaction))
    }

    /// The plan that brings a deleted secret back under this name.
    pub(super) fn undelete(mut self, current: &'a Secret, name: &SecretName) -> Result<PlannedChange, Error> {
        let mut next = self.successor(current);
        self.put_name(name, next.id)?;
        next.deletion = None;
        next.name = name.clone();
        // One that has expired meanwhile counts as expired from now on, so that there is time to give it another expiry.
        next.expires_at = next.expires_at.map(|at| at.max(self.now));
        self.put(next, EventType::Undeleted)
    }

    /// The plan that removes a secret for good, or its next step where it has more records than one transaction removes. `removed` is
    /// how many of its versions are removed already. The second part of the result is how many are after this step; `None` where
    /// nothing is left.
    pub(super) fn purge(
        mut self,
        current: &'a Secret,
        removed: usize,
    ) -> Result<(Transaction, Option<usize>), Error> {
        let namespace = self.keys.id();
        let purged = self.unchanged_successor(current);
        if current.versions.iter().len().saturating_sub(removed) <= REMOVED_AT_ONCE {
            self.remove_all(current);
            self.append_event(EventType::Purged, &purged)?;
            return Ok((self.transaction, None));
        }
        if current.is_deleted() {
            let versions = current.versions.iter().skip(removed).take(REMOVED_AT_ONCE);
            self.transaction
                .delete
                .extend(versions.map(|version| Key::version(namespace, current.id, version.number)));
            return Ok((self.transaction, Some(removed + REMOVED_AT_ONCE)));
        }
        // From here on it cannot come back: an expired secret could be given a later expiry.
        let deletion = Some(Deletion { deleted_at: self.now, purge_at: self.now });
        self.delete_name(&current.name);
        Ok((self.put_note(&Secret { deletion, ..purged }, None)?, Some(0)))
    }

    /// Removes the records of a secret: its own, its name, its versions but for those that are removed already, and its usage.
    fn remove_all(&mut self, current: &Secret) {
        let namespace = self.keys.id();
        // Destroyed versions too: somebody may have put their records back.
        let newest = current.versions.iter().rev().take(REMOVED_AT_ONCE);
        self.transaction
            .delete
            .extend(newest.map(|version| Key::version(namespace, current.id, version.number)));
        // The name of a deleted secret is free, and may be that of another one.
        if !current.is_deleted() {
            self.delete_name(&current.name);
        }
        self.transaction.delete.push(Key::secret(namespace, current.id));
        self.transaction.delete.push(Key::secret_usage(namespace, current.id));
    }
}
