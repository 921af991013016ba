//! Applies stored roles, bindings and the access epoch to the catalog's policy.
//!
//! The effect of one commit on the policy is seen as a whole or not at all, so that who sees the epoch of a commit sees its bindings
//! too. A record that does not open is marked as damaged and left out.

use super::locks::write;
use super::state::{Access, State};
use crate::auth::{AccessEpoch, Binding, BindingId, Role};
use crate::crypto::{Error, Keyring, Mac};
use crate::domain::Revision;
use crate::schema::Kind;
use crate::store::Key;

/// What a change does to the policy.
#[derive(Default)]
pub(super) struct AccessChanges<'a> {
    put: Vec<(Kind, &'a Key, &'a [u8], Revision)>,
    delete: Vec<(Kind, &'a Key)>,
}

impl<'a> AccessChanges<'a> {
    /// Puts a role, a binding or the epoch.
    pub(super) fn put(&mut self, kind: Kind, key: &'a Key, value: &'a [u8], revision: Revision) {
        self.put.push((kind, key, value, revision));
    }

    /// Removes one of them.
    pub(super) fn delete(&mut self, kind: Kind, key: &'a Key) {
        self.delete.push((kind, key));
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
            .map(|(kind, key, value, revision)| (kind, key, open(&keyring, kind, value, revision)))
            .collect();
        let mut access = write(&self.access);
        for (kind, key, opened) in opened {
            access.put(&keyring, kind, key, opened);
        }
        for (kind, key) in changes.delete {
            access.damaged.remove(key);
            access.delete(&keyring, kind);
        }
    }

    /// Marks a role, a binding or the epoch as damaged, since something other than this service changed it.
    pub(super) fn distrust_access(&self, kind: Kind, key: &Key) {
        let keyring = self.keyring();
        let mut access = write(&self.access);
        access.distrust(&keyring, kind);
        access.damaged.insert(key.clone());
    }
}

impl Access {
    fn put(&mut self, keyring: &Keyring, kind: Kind, key: &Key, opened: Result<Opened, Error>) {
        match opened {
            Ok(Opened::Role(role)) => self.policy.put_role(role),
            Ok(Opened::Binding(binding)) => self.policy.put_binding(binding),
            Ok(Opened::Epoch(epoch)) => self.policy.set_epoch(Some(epoch)),
            Err(error) => {
                tracing::error!(cause = %error, "a record of access cannot be opened: it gives nobody a right");
                self.distrust(keyring, kind);
                self.damaged.insert(key.clone());
                return;
            }
        }
        self.damaged.remove(key);
    }

    fn delete(&mut self, keyring: &Keyring, kind: Kind) {
        match kind {
            Kind::Role(mac) => self.remove_role(keyring, &mac),
            Kind::Binding(id) => self.policy.remove_binding(BindingId(id)),
            Kind::AccessEpoch => self.policy.set_epoch(None),
            Kind::Keyring
            | Kind::ApiKey(_)
            | Kind::Namespace(_)
            | Kind::Secret(..)
            | Kind::Name(..)
            | Kind::Version(..)
            | Kind::IdempotencyRecord(_)
            | Kind::AuditRecord(..)
            | Kind::AuditAnchor(_)
            | Kind::SecretUsage(..)
            | Kind::KeyUsage(_)
            | Kind::Digest
            | Kind::Other => {}
        }
    }

    fn distrust(&mut self, keyring: &Keyring, kind: Kind) {
        match kind {
            Kind::Binding(id) => self.policy.distrust_binding(BindingId(id)),
            Kind::Role(mac) => self.remove_role(keyring, &mac),
            Kind::AccessEpoch => self.policy.distrust_epoch(),
            Kind::Keyring
            | Kind::ApiKey(_)
            | Kind::Namespace(_)
            | Kind::Secret(..)
            | Kind::Name(..)
            | Kind::Version(..)
            | Kind::IdempotencyRecord(_)
            | Kind::AuditRecord(..)
            | Kind::AuditAnchor(_)
            | Kind::SecretUsage(..)
            | Kind::KeyUsage(_)
            | Kind::Digest
            | Kind::Other => {}
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

fn open(keyring: &Keyring, kind: Kind, value: &[u8], revision: Revision) -> Result<Opened, Error> {
    match kind {
        Kind::Role(mac) => Role::open(keyring, &mac, value, revision).map(Opened::Role),
        Kind::Binding(id) => Binding::open(keyring, BindingId(id), value, revision).map(Opened::Binding),
        Kind::AccessEpoch => AccessEpoch::open(keyring, value, revision).map(Opened::Epoch),
        Kind::Keyring
        | Kind::ApiKey(_)
        | Kind::Namespace(_)
        | Kind::Secret(..)
        | Kind::Name(..)
        | Kind::Version(..)
        | Kind::IdempotencyRecord(_)
        | Kind::AuditRecord(..)
        | Kind::AuditAnchor(_)
        | Kind::SecretUsage(..)
        | Kind::KeyUsage(_)
        | Kind::Digest
        | Kind::Other => Err(Error::Integrity),
    }
}
