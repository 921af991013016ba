//! Applies stored roles, bindings and the access epoch to the catalog's policy.
//!
//! The effect of one commit on the policy is seen as a whole or not at all, so that a reader that sees the epoch of a commit sees its
//! bindings too. A record that does not open is marked as damaged and left out.

use super::locks::write;
use super::state::{Access, State};
use crate::auth::{AccessEpoch, Binding, BindingId, Role};
use crate::crypto::{Error, Keyring, Mac};
use crate::domain::Revision;
use crate::store::Key;

/// A record of the policy.
#[derive(Clone, Copy)]
pub(super) enum AccessRecord {
    /// A role, by the HMAC of its name.
    Role(Mac),
    Binding(BindingId),
    Epoch,
}

/// What a change does to the policy.
#[derive(Default)]
pub(super) struct AccessChanges<'a> {
    put: Vec<(AccessRecord, &'a Key, &'a [u8], Revision)>,
    delete: Vec<(AccessRecord, &'a Key)>,
}

impl<'a> AccessChanges<'a> {
    /// Puts a role, a binding or the epoch.
    pub(super) fn put(&mut self, record: AccessRecord, key: &'a Key, value: &'a [u8], revision: Revision) {
        self.put.push((record, key, value, revision));
    }

    /// Removes one of them.
    pub(super) fn delete(&mut self, record: AccessRecord, key: &'a Key) {
        self.delete.push((record, key));
    }
}

/// A record that was opened.
enum Opened {
    Role(Role),
    Binding(Binding),
    Epoch(AccessEpoch),
}

impl State {
    /// Applies the changes of one commit.
    pub(super) fn change_access(&self, changes: AccessChanges<'_>) {
        if changes.put.is_empty() && changes.delete.is_empty() {
            return;
        }
        let keyring = self.keyring();
        // The records are opened before the lock is taken.
        let opened: Vec<_> = changes
            .put
            .into_iter()
            .map(|(record, key, value, revision)| (record, key, open(&keyring, record, value, revision)))
            .collect();
        let mut access = write(&self.access);
        for (record, key, opened) in opened {
            access.put(&keyring, record, key, opened);
        }
        for (record, key) in changes.delete {
            access.damaged.remove(key);
            access.delete(&keyring, record);
        }
    }

    /// Applies a record that a scan read.
    pub(super) fn put_access(&self, record: AccessRecord, key: &Key, value: &[u8], revision: Revision) {
        let mut changes = AccessChanges::default();
        changes.put(record, key, value, revision);
        self.change_access(changes);
    }

    /// Marks a role, a binding or the epoch as damaged, since something other than this service changed it.
    pub(super) fn distrust_access(&self, record: AccessRecord, key: &Key) {
        let keyring = self.keyring();
        let mut access = write(&self.access);
        access.distrust(&keyring, record);
        access.damaged.insert(key.clone());
    }
}

impl Access {
    fn put(&mut self, keyring: &Keyring, record: AccessRecord, key: &Key, opened: Result<Opened, Error>) {
        match opened {
            Ok(Opened::Role(role)) => self.policy.put_role(role),
            Ok(Opened::Binding(binding)) => self.policy.put_binding(binding),
            Ok(Opened::Epoch(epoch)) => self.policy.set_epoch(Some(epoch)),
            Err(error) => {
                tracing::error!(cause = %error, "a record of access cannot be opened: it gives nobody a right");
                self.distrust(keyring, record);
                self.damaged.insert(key.clone());
                return;
            }
        }
        self.damaged.remove(key);
    }

    fn delete(&mut self, keyring: &Keyring, record: AccessRecord) {
        match record {
            AccessRecord::Role(mac) => self.remove_role(keyring, &mac),
            AccessRecord::Binding(id) => self.policy.remove_binding(id),
            AccessRecord::Epoch => self.policy.set_epoch(None),
        }
    }

    fn distrust(&mut self, keyring: &Keyring, record: AccessRecord) {
        match record {
            AccessRecord::Role(mac) => self.remove_role(keyring, &mac),
            AccessRecord::Binding(id) => self.policy.distrust_binding(id),
            AccessRecord::Epoch => self.policy.distrust_epoch(),
        }
    }

    fn remove_role(&mut self, keyring: &Keyring, mac: &Mac) {
        let at = |role: &&std::sync::Arc<Role>| keyring.role_mac(role.name.as_str()) == *mac;
        let name = self.policy.roles().find(at).map(|role| role.name.clone());
        if let Some(name) = name {
            self.policy.remove_role(&name);
        }
    }
}

fn open(keyring: &Keyring, record: AccessRecord, value: &[u8], revision: Revision) -> Result<Opened, Error> {
    match record {
        AccessRecord::Role(mac) => Role::open(keyring, &mac, value, revision).map(Opened::Role),
        AccessRecord::Binding(id) => Binding::open(keyring, id, value, revision).map(Opened::Binding),
        AccessRecord::Epoch => AccessEpoch::open(keyring, value, revision).map(Opened::Epoch),
    }
}
