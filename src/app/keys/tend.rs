//! What the service does about its keys without being asked: it ends a rekey that was cut short, and replaces a key that has
//! sealed enough.

use std::sync::PoisonError;

use super::{RekeyProgress, RekeyScope, Rekeying};
use crate::app::Error;
use crate::integrity::StoredNamespaceKeys;

impl Rekeying {
    /// Ends each rekey that was cut short, and replaces each key that has sealed enough. Does nothing while another rekey
    /// runs in this process.
    pub async fn tend(&self) -> Result<(), Error> {
        let unheard = |_: RekeyProgress| {};
        // The lock is taken only for a rekey, and not to look whether there is one to do: a person who asks for a rekey at
        // that moment would be refused.
        if self.keyring_needs_rekey()? {
            let Ok(_running) = self.running.try_lock() else { return Ok(()) };
            if self.keyring_needs_rekey()? {
                let rekeyed = self.rekey_keyring(&unheard).await?;
                self.note(RekeyScope::Keyring, &rekeyed);
                self.note_adopted()?;
            }
        }
        for namespace in self.core.catalog.namespaces() {
            if !self.namespace_needs_rekey(&namespace.keys()) {
                continue;
            }
            let Ok(_running) = self.running.try_lock() else { return Ok(()) };
            let keys = namespace.keys();
            if self.namespace_needs_rekey(&keys) {
                let rekeyed = self.rekey_namespace(keys.namespace(), &unheard).await?;
                self.note(RekeyScope::Namespace(keys.namespace().clone()), &rekeyed);
            }
        }
        Ok(())
    }

    /// Waits until a restore has replaced the store: then many keys may need a rekey at once.
    pub async fn wait_for_restore(&self) {
        self.restored.notified().await;
    }

    /// Whether the service is to replace the keyring's key without being asked.
    fn keyring_needs_rekey(&self) -> Result<bool, Error> {
        if self.is_stuck(&RekeyScope::Keyring) {
            return Ok(false);
        }
        let keyring = self.core.keyring();
        if keyring.generations().len() > 1 || self.core.is_due_for_rekey(keyring.since()) {
            return Ok(true);
        }
        // A new master key in the source is put into use too, but each only once: two replicas whose sources have the same
        // keys in another order would otherwise replace each other's for ever.
        let current = self.core.master_key.keys().current_id()?;
        let adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keyring.masters() != [current] && !adopted.contains(&current))
    }

    /// Whether the service is to replace a namespace's key without being asked.
    fn namespace_needs_rekey(&self, keys: &StoredNamespaceKeys) -> bool {
        let due = keys.generations().len() > 1 || self.core.is_due_for_rekey(keys.since());
        due && !self.is_stuck(&RekeyScope::Namespace(keys.namespace().clone()))
    }

    /// Whether the last rekey of a key met damaged records. It is tried again when somebody asks for it, or after the next
    /// start.
    fn is_stuck(&self, scope: &RekeyScope) -> bool {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).contains(scope)
    }

    /// Notes that the present master key was put into use without being asked.
    fn note_adopted(&self) -> Result<(), Error> {
        let current = self.core.master_key.keys().current_id()?;
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner).insert(current);
        Ok(())
    }
}
