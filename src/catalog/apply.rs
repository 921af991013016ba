//! Applies stored records and changes to the catalog's state.
//!
//! A record that does not open is marked as damaged, logged, and left out; the rest is served. The effect of one commit on
//! the secrets of a namespace is seen as a whole or not at all. The scan and the watch (`load.rs`) call this.

use std::collections::HashMap;
use std::sync::Arc;

use super::access::{AccessChanges, AccessRecord};
use super::locks::{read, write};
use super::namespace::NamespaceCatalog;
use super::sizes::{ValueSizes, sizes_in};
use super::state::{Namespaces, State};
use crate::auth::{ApiKey, ApiKeyId, BindingId};
use crate::crypto::{Mac, Purpose, open_binding_usage, open_key_usage, open_secret, open_secret_usage};
use crate::domain::{Revision, SecretId};
use crate::integrity::StoredNamespaceKeys;
use crate::limits::Amount;
use crate::parallel::by_shares;
use crate::schema::{Kind, NamespaceId};
use crate::store::{Change, Entry, Key};

/// What a change does to the secrets of one namespace.
#[derive(Default)]
struct SecretChanges<'a> {
    put: Vec<(SecretId, &'a [u8], Revision)>,
    delete: Vec<(SecretId, Revision)>,
}

/// When the secrets get their places in the orders of the index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sorting {
    /// With the change.
    AtOnce,
    /// At the end of the scan that reads them.
    Later,
}

impl State {
    /// Applies a commit of this service, or several that were made together.
    pub(super) fn apply(&self, change: &Change) {
        let mut secrets: HashMap<NamespaceId, SecretChanges<'_>> = HashMap::new();
        let mut access = AccessChanges::default();
        let mut usage = Vec::new();
        for (key, value) in &change.put {
            match key.kind() {
                kind @ (Kind::SecretUsage(..) | Kind::KeyUsage(_) | Kind::BindingUsage(_)) => {
                    usage.push((kind, value))
                }
                Kind::Role(mac) => access.put(AccessRecord::Role(mac), key, value, change.revision),
                Kind::Binding(id) => {
                    access.put(AccessRecord::Binding(BindingId(id)), key, value, change.revision);
                }
                Kind::AccessEpoch => access.put(AccessRecord::Epoch, key, value, change.revision),
                Kind::Secret(namespace, id) => {
                    secrets.entry(namespace).or_default().put.push((id, value, change.revision));
                }
                other => self.put_other(&other, value, change.revision),
            }
        }
        for key in &change.delete {
            match key.kind() {
                Kind::Role(mac) => access.delete(AccessRecord::Role(mac), key),
                Kind::Binding(id) => access.delete(AccessRecord::Binding(BindingId(id)), key),
                Kind::AccessEpoch => access.delete(AccessRecord::Epoch, key),
                Kind::Secret(namespace, id) => {
                    secrets.entry(namespace).or_default().delete.push((id, change.revision));
                }
                other => self.delete_other(&other),
            }
        }
        self.change_access(access);
        // After the namespaces, whose keys open the secrets.
        let sizes = if self.quotas.limit_bytes() { sizes_in(change) } else { ValueSizes::default() };
        for (namespace, changes) in secrets {
            self.change_secrets(namespace, &changes, &sizes, Sorting::AtOnce);
        }
        // After the secrets that were used.
        for (kind, value) in usage {
            self.put_usage(&kind, value, change.revision);
        }
    }

    /// Applies records that a scan read, of one kind. `sizes` has those of the values of the secrets among them as far as they count.
    /// Secrets are not in order until [`State::sort`].
    pub(super) fn put(&self, records: &[(Key, Entry)], sizes: &ValueSizes) {
        let mut secrets: HashMap<NamespaceId, SecretChanges<'_>> = HashMap::new();
        let mut names = Vec::new();
        for (key, Entry { value, revision }) in records {
            match key.kind() {
                Kind::Secret(namespace, id) => {
                    secrets.entry(namespace).or_default().put.push((id, value, *revision));
                }
                Kind::Name(namespace, mac) => names.push((namespace, mac, value)),
                Kind::Role(mac) => self.put_access(AccessRecord::Role(mac), key, value, *revision),
                Kind::Binding(id) => {
                    self.put_access(AccessRecord::Binding(BindingId(id)), key, value, *revision);
                }
                Kind::AccessEpoch => self.put_access(AccessRecord::Epoch, key, value, *revision),
                kind @ (Kind::SecretUsage(..) | Kind::KeyUsage(_) | Kind::BindingUsage(_)) => {
                    self.put_usage(&kind, value, *revision)
                }
                other => self.put_other(&other, value, *revision),
            }
        }
        for (namespace, changes) in secrets {
            self.change_secrets(namespace, &changes, sizes, Sorting::Later);
        }
        by_shares(&names, |share| {
            share.iter().for_each(|(namespace, mac, value)| self.put_name(*namespace, *mac, value));
        });
    }

    /// Puts the secrets that a scan has read in order.
    pub(super) fn sort(&self) {
        for catalog in self.namespaces() {
            write(&catalog.index).sort();
        }
    }

    /// Marks every record that a change touches as damaged, and serves neither the new record nor the one it replaced. For
    /// a change that something other than this service made: it could not carry the digest forward.
    pub(super) fn mark_damaged(&self, change: &Change) {
        tracing::error!(
            revision = change.revision.0,
            records = change.put.len() + change.delete.len(),
            "something other than this service changed the store: the records concerned are not served"
        );
        for key in change.put.iter().map(|(key, _)| key).chain(&change.delete) {
            match key.kind() {
                Kind::Namespace(mac) => write(&self.namespaces).mark_damaged(mac, key),
                Kind::Secret(namespace, id) => match read(&self.namespaces).by_id.get(&namespace) {
                    Some(catalog) => catalog.change_index([id], |index| index.put_damaged(id)),
                    None => {
                        tracing::error!(secret = %id, "the changed secret belongs to no namespace that can be opened");
                    }
                },
                Kind::Name(namespace, mac) => {
                    if let Some(catalog) = read(&self.namespaces).by_id.get(&namespace) {
                        catalog.set_name_altered(mac, true);
                    }
                }
                Kind::ApiKey(id) => {
                    let mut api_keys = write(&self.api_keys);
                    api_keys.by_id.remove(&ApiKeyId(id));
                    api_keys.damaged.insert(ApiKeyId(id));
                }
                Kind::Role(mac) => self.distrust_access(AccessRecord::Role(mac), key),
                Kind::Binding(id) => self.distrust_access(AccessRecord::Binding(BindingId(id)), key),
                Kind::AccessEpoch => self.distrust_access(AccessRecord::Epoch, key),
                Kind::IdempotencyRecord(mac) => drop(write(&self.altered_idempotency_records).insert(mac)),
                // The catalog's keyring and digest stay as they are, and every commit requires them unchanged in the store.
                // A version that does not match its secret is noticed when it is read. The usage that the catalog knows stays.
                Kind::Keyring
                | Kind::Digest
                | Kind::Version(..)
                | Kind::AuditRecord(..)
                | Kind::AuditAnchor(_)
                | Kind::SecretUsage(..)
                | Kind::KeyUsage(_)
                | Kind::BindingUsage(_)
                | Kind::Event(_)
                | Kind::HistoryStart
                | Kind::Other => {}
            }
        }
    }

    /// Applies a record of any kind but a secret.
    fn put_other(&self, kind: &Kind, value: &[u8], revision: Revision) {
        match kind {
            Kind::Namespace(mac) => self.put_namespace(mac, value, revision),
            Kind::ApiKey(id) => self.put_api_key(ApiKeyId(*id), value, revision),
            Kind::Name(namespace, mac) => self.put_name(*namespace, *mac, value),
            // The caller has applied the keyring and the digest already, and applies roles, bindings, the epoch and usage.
            // Versions and idempotency records are read from the store when they are needed.
            Kind::Keyring
            | Kind::Digest
            | Kind::Role(_)
            | Kind::Binding(_)
            | Kind::AccessEpoch
            | Kind::Secret(..)
            | Kind::Version(..)
            | Kind::IdempotencyRecord(_)
            | Kind::AuditRecord(..)
            | Kind::AuditAnchor(_)
            | Kind::SecretUsage(..)
            | Kind::KeyUsage(_)
            | Kind::BindingUsage(_)
            | Kind::Event(_)
            | Kind::HistoryStart
            | Kind::Other => {}
        }
    }

    fn put_namespace(&self, mac: &Mac, value: &[u8], revision: Revision) {
        let mut namespaces = write(&self.namespaces);
        match StoredNamespaceKeys::open(&self.keyring(), mac, value, revision) {
            Ok(keys) => {
                namespaces.damaged.remove(mac);
                match namespaces.by_id.get(&keys.id()) {
                    // Only the generations of a namespace's keys ever change.
                    Some(catalog) if catalog.keys().revision() < revision => catalog.set_keys(keys),
                    Some(_) => {}
                    None => {
                        let (id, name) = (keys.id(), keys.namespace().clone());
                        let (retention, sealed) = (self.due.retention, self.sealed.clone());
                        let quotas = self.quotas.of(&name);
                        let catalog = Arc::new(NamespaceCatalog::new(keys, retention, sealed, quotas));
                        namespaces.by_id.insert(id, catalog.clone());
                        namespaces.by_name.insert(name, catalog);
                    }
                }
            }
            Err(error) => {
                tracing::error!(cause = %error, "a namespace's record cannot be opened: its secrets are not served");
                namespaces.damaged.insert(*mac);
            }
        }
    }

    fn change_secrets(
        &self,
        namespace: NamespaceId,
        changes: &SecretChanges<'_>,
        sizes: &ValueSizes,
        sorting: Sorting,
    ) {
        let catalog = read(&self.namespaces).by_id.get(&namespace).cloned();
        let Some(catalog) = catalog else {
            for (id, ..) in &changes.put {
                tracing::error!(secret = %id, "a secret's record belongs to no namespace that can be opened");
                write(&self.namespaces).orphaned.insert(*id);
            }
            return;
        };
        let keys = catalog.keys();
        // The records are opened before the lock is taken.
        let open = |(id, value, revision): &(SecretId, &[u8], Revision)| {
            if let Some(secret) = self.sealed.take(*id, value, *revision) {
                debug_assert!(open_secret(&keys, *id, value, *revision).is_ok_and(|mut opened| {
                    opened.versions.learn_sizes(|number| secret.versions.find(number)?.size);
                    opened == secret
                }));
                return (*id, Ok(secret));
            }
            let mut opened = open_secret(&keys, *id, value, *revision);
            if let Ok(secret) = &mut opened
                && catalog.quotas().limit_bytes()
            {
                secret.versions.learn_sizes(|number| sizes.get(&(*id, number)).copied());
            }
            if let Err(error) = &opened {
                tracing::error!(secret = %id, cause = %error, "a secret's record cannot be opened: it is not served");
            }
            (*id, opened)
        };
        let opened = by_shares(&changes.put, |share| share.iter().map(open).collect::<Vec<_>>());
        let mut no_longer_orphaned = Vec::new();
        let deleted = changes.delete.iter().map(|(id, _)| *id);
        let concerned = changes.put.iter().map(|(id, ..)| *id).chain(deleted);
        catalog.change_index(concerned, |index| {
            if sorting == Sorting::Later {
                index.sort_later();
            }
            for (id, opened) in opened.into_iter().flatten() {
                match opened {
                    Ok(secret) => {
                        index.put(secret);
                        no_longer_orphaned.push(id);
                    }
                    Err(_) => index.put_damaged(id),
                }
            }
            changes.delete.iter().for_each(|(id, revision)| index.delete(*id, *revision));
            self.due.note(index.first_due());
        });
        no_longer_orphaned.retain(|id| read(&self.namespaces).orphaned.contains(id));
        for id in no_longer_orphaned {
            write(&self.namespaces).orphaned.remove(&id);
        }
    }

    /// Checks the record of a secret's name. The catalog takes the name itself from the secret's own record.
    fn put_name(&self, namespace: NamespaceId, mac: Mac, value: &[u8]) {
        let Some(catalog) = read(&self.namespaces).by_id.get(&namespace).cloned() else { return };
        let opened = catalog.keys().open_record(Purpose::Name, &mac, value);
        if let Err(error) = &opened {
            tracing::error!(cause = %error, "a name's record cannot be opened: its secret is not served");
        }
        catalog.set_name_altered(mac, opened.is_err());
    }

    fn put_api_key(&self, id: ApiKeyId, value: &[u8], revision: Revision) {
        let mut api_keys = write(&self.api_keys);
        match ApiKey::open(&self.keyring(), id, value, revision) {
            Ok(key) => {
                api_keys.damaged.remove(&id);
                api_keys.by_id.insert(id, Arc::new(key));
            }
            Err(error) => {
                tracing::error!(api_key = %id, cause = %error, "an API key's record cannot be opened: the key is refused");
                api_keys.by_id.remove(&id);
                api_keys.damaged.insert(id);
            }
        }
    }

    /// Notes when a secret, an API key or a binding was last used. A record that does not open is as good as none.
    fn put_usage(&self, kind: &Kind, value: &[u8], revision: Revision) {
        let keyring = self.keyring();
        let noted = match kind {
            Kind::SecretUsage(namespace, id) => {
                open_secret_usage(&keyring, (*namespace, *id), value).map(|usage| {
                    if let Some(at) = usage.last_read
                        && let Some(catalog) = read(&self.namespaces).by_id.get(namespace)
                    {
                        write(&catalog.index).set_last_read(*id, at, revision);
                    }
                })
            }
            Kind::KeyUsage(id) => open_key_usage(&keyring, id, value).map(|at| {
                write(&self.api_keys).last_used.insert(ApiKeyId(*id), at);
            }),
            Kind::BindingUsage(id) => open_binding_usage(&keyring, id, value).map(|at| {
                write(&self.access).policy.set_last_used(BindingId(*id), at);
            }),
            Kind::Keyring
            | Kind::Digest
            | Kind::ApiKey(_)
            | Kind::Role(_)
            | Kind::Binding(_)
            | Kind::AccessEpoch
            | Kind::Namespace(_)
            | Kind::Secret(..)
            | Kind::Name(..)
            | Kind::Version(..)
            | Kind::IdempotencyRecord(_)
            | Kind::AuditRecord(..)
            | Kind::AuditAnchor(_)
            | Kind::Event(_)
            | Kind::HistoryStart
            | Kind::Other => Ok(()),
        };
        if let Err(error) = noted {
            tracing::warn!(cause = %error, "a record of usage cannot be opened, and is not shown");
        }
    }

    /// Removes a record of any kind but a secret.
    fn delete_other(&self, kind: &Kind) {
        match kind {
            Kind::ApiKey(id) => {
                write(&self.api_keys).by_id.remove(&ApiKeyId(*id));
            }
            Kind::KeyUsage(id) => {
                write(&self.api_keys).last_used.remove(&ApiKeyId(*id));
            }
            Kind::BindingUsage(id) => write(&self.access).policy.forget_last_used(BindingId(*id)),
            // Namespaces are never deleted, the usage of a secret goes with the secret, and the other kinds are not in the catalog.
            Kind::Namespace(_)
            | Kind::Keyring
            | Kind::Digest
            | Kind::Role(_)
            | Kind::Binding(_)
            | Kind::AccessEpoch
            | Kind::Secret(..)
            | Kind::Name(..)
            | Kind::Version(..)
            | Kind::IdempotencyRecord(_)
            | Kind::AuditRecord(..)
            | Kind::AuditAnchor(_)
            | Kind::SecretUsage(..)
            | Kind::Event(_)
            | Kind::HistoryStart
            | Kind::Other => {}
        }
    }
}

impl Namespaces {
    /// Marks a namespace as damaged, and stops serving its secrets. `mac` is the HMAC of its name, `key` that of its record.
    fn mark_damaged(&mut self, mac: Mac, key: &Key) {
        self.damaged.insert(mac);
        for catalog in self.by_id.values().filter(|catalog| catalog.keys().place() == key) {
            catalog.quotas().changed(read(&catalog.index).taken(), Amount::default(), []);
        }
        self.by_name.retain(|_, catalog| catalog.keys().place() != key);
        self.by_id.retain(|_, catalog| catalog.keys().place() != key);
    }
}
