//! Rekey of the master key and of the keyring.
//!
//! Several replicas can do this at once, and a person can change the source of the master key at any time. So a replica that
//! has an older master key leaves the rekey to the others. Before the older master key is removed, the source is read again: it
//! must still have the key that alone opens the keyring from then on.

use std::sync::Arc;

use super::rewrap::{Rewrap, RewrapOutcome};
use super::{Listener, Rekeyed, Rekeying};
use crate::app::Error;
use crate::app::authority::Authority;
use crate::app::commit::REKEY_ATTEMPTS;
use crate::app::idempotency::reseal_idempotency_record;
use crate::auth::{ApiKeyId, BindingId, Role};
use crate::crypto::{
    KeyId, Keyring, MasterKeyError, NamespaceKeys, Purpose, open_binding_usage, open_event,
    open_history_start, open_key_usage, open_secret_usage, reseal_event, seal_binding_usage,
    seal_history_start, seal_key_usage, seal_secret_usage,
};
use crate::integrity::StoredKeyring;
use crate::schema::Kind;
use crate::store::{Entry, Key, Transaction};

const UNREADABLE: Error = Error::Internal("the master key could not be read");

impl Rekeying {
    /// Puts a new master key into use, and replaces the keyring's key.
    pub(super) async fn rekey_master_key(&self, progress: Listener<'_>) -> Result<Rekeyed, Error> {
        // A rekey that was begun, here or by a person who has put a new key into the source, is only ended.
        if self.is_settled()? {
            self.take_new_master_key().await?;
        }
        self.rekey_keyring(progress).await
    }

    /// Replaces the keyring's key, and wraps the keyring for the present master key alone.
    pub(super) async fn rekey_keyring(&self, progress: Listener<'_>) -> Result<Rekeyed, Error> {
        let mut attempts = self.core.attempts(REKEY_ATTEMPTS, Authority::Service);
        loop {
            attempts.next()?;
            self.refuse_older_master_key().await?;
            let begun = self.begin_keyring_rekey().await?;
            let of_access = self.core.catalog.with_policy(|policy| policy.len() + policy.roles().count() + 1);
            let records =
                self.core.catalog.namespaces().len() + self.core.catalog.api_keys().len() + of_access;
            let mut rewrap = Rewrap::new(&self.core, progress, records as u64);
            let prefixes = [
                Key::namespaces(),
                Key::api_keys(),
                Key::roles(),
                Key::bindings(),
                Key::access_epoch(),
                Key::idempotency_records(),
                Key::secret_usages(),
                Key::key_usages(),
                Key::binding_usages(),
                Key::history_start(),
                Key::appended(),
            ];
            for prefix in prefixes {
                rewrap.all(prefix, || None, |keyring, key, entry| self.reseal(keyring, key, entry)).await?;
            }
            let rekeyed = rewrap.finish(&begun.generations());
            if rekeyed.damaged > 0 {
                return Ok(rekeyed);
            }
            self.confirm_master_key(&begun).await?;
            let mut end = Transaction::default();
            end.put.push((Key::keyring(), begun.end_rotation(&self.core.master_key.keys())?));
            // Only if the keyring is still the one that was begun. Another rekey, or a restore, may have made its newest
            // generation an earlier one.
            let ended = self.core.commit(&begun, end).await?.is_some();
            // Another replica may have ended it.
            if ended || self.is_settled()? {
                return Ok(rekeyed);
            }
        }
    }

    /// The keyring with one generation more than the one that sealed so far, and a wrap for the present master key.
    pub(super) async fn begin_keyring_rekey(&self) -> Result<Arc<StoredKeyring>, Error> {
        let mut attempts = self.core.attempts(REKEY_ATTEMPTS, Authority::Service);
        loop {
            let attempt = attempts.next()?;
            let (keyring, masters) = (&attempt.keyring, self.core.master_key.keys());
            // It can be begun already, by another replica perhaps: for the present master key, or only for an older one.
            if keyring.generations().len() > 1 && keyring.masters().first() == Some(&masters.current_id()?) {
                return Ok(keyring.clone());
            }
            let mut begin = Transaction::default();
            let record = keyring.begin_rotation(&masters, self.core.catalog.digest().seals)?;
            begin.put.push((Key::keyring(), record));
            // The next attempt finds it begun.
            attempt.commit(begin).await?;
        }
    }

    /// Whether the present master key alone opens the keyring, and the keyring has one generation.
    fn is_settled(&self) -> Result<bool, Error> {
        let (keyring, current) = (self.core.keyring(), self.core.master_key.keys().current_id()?);
        Ok(keyring.generations().len() == 1 && keyring.masters() == [current])
    }

    /// Fails where another replica has put a master key into use that does not stand first in the source of this replica.
    /// This replica could wrap the keyring only for an older master key, which would put that one into use again.
    async fn refuse_older_master_key(&self) -> Result<(), Error> {
        let (provider, keyring) = (self.core.master_key.clone(), self.core.keyring());
        let is_newest = |current: KeyId| {
            // The master key in use stands first. One that the keyring does not know is newer still.
            keyring.masters().first() == Some(&current) || !keyring.masters().contains(&current)
        };
        if is_newest(provider.keys().current_id()?) {
            return Ok(());
        }
        let record = self.core.store.get(&Key::keyring()).await?.ok_or(Error::Integrity)?;
        let reader = provider.clone();
        let read = tokio::task::spawn_blocking(move || {
            reader.read_again()?;
            let _ = reader.keys().open_keyring(&record.value); // gives a passphrase the salt that it had
            reader.keys().current_id().map_err(MasterKeyError::from)
        });
        let current = read.await.map_err(|_| UNREADABLE)??;
        if is_newest(current) {
            return Ok(());
        }
        Err(Error::MasterKeyNotRenewed(format!(
            "another replica has put a new master key into use, which {} does not have on its first line",
            provider.source()
        )))
    }

    /// Makes the source give another key than the one in use: the one that stands there by now, or a new one.
    async fn take_new_master_key(&self) -> Result<(), Error> {
        let record = self.core.store.get(&Key::keyring()).await?.ok_or(Error::Integrity)?;
        let (provider, keyring) = (self.core.master_key.clone(), self.core.keyring());
        let taken = tokio::task::spawn_blocking(move || {
            let before = provider.keys();
            provider.read_again()?;
            // This gives a passphrase the salt that it had. With another salt, the same passphrase would look like a new key.
            let opened = provider.keys().open_keyring(&record.value);
            if opened.is_ok() {
                if keyring.masters() == [provider.keys().current_id()?] {
                    provider.renew()?;
                }
                return Ok(());
            }
            // If the process ended before the rekey does, nobody would have a key to the store.
            provider.restore(before);
            Err(Error::MasterKeyNotRenewed(format!(
                "{} does not hold the master key that is in use any more: put it on the line behind the new one",
                provider.source()
            )))
        });
        taken.await.map_err(|_| UNREADABLE)?
    }

    /// Fails unless the source, as it is now, gives the master key that alone is to open the keyring. A person, or another
    /// replica with the same file, may have changed it: then nobody would have a key to the store.
    async fn confirm_master_key(&self, begun: &StoredKeyring) -> Result<(), Error> {
        let provider = self.core.master_key.clone();
        let record = self.core.store.get(&Key::keyring()).await?.ok_or(Error::Integrity)?;
        let read = tokio::task::spawn_blocking(move || {
            let before = provider.keys();
            provider.read_again()?;
            let opened = provider.keys().open_keyring(&record.value); // gives a passphrase the salt that it had
            let same = opened.is_ok() && provider.keys().current_id()? == before.current_id()?;
            if opened.is_err() {
                provider.restore(before); // these at least open the keyring
            }
            Ok::<_, MasterKeyError>(same)
        });
        let same = read.await.map_err(|_| UNREADABLE)??;
        if same && begun.masters().first() == Some(&self.core.master_key.keys().current_id()?) {
            return Ok(());
        }
        let source = self.core.master_key.source();
        Err(Error::MasterKeyNotRenewed(format!(
            "{source} was changed while its key was put into use: ask again"
        )))
    }

    /// What becomes of a record that the keyring seals. Only a record that the catalog serves is sealed again: an older record
    /// that somebody has put back opens too, and sealing it again would make it pass for a record of this service.
    fn reseal(&self, keyring: &Keyring, key: &Key, entry: &Entry) -> RewrapOutcome {
        let (catalog, record) = (&self.core.catalog, entry.value.as_slice());
        let is_newest = |purpose| keyring.is_newest(purpose, record);
        match key.kind() {
            Kind::Namespace(mac) => {
                // The first bytes of the record say which generation sealed it, and can be altered too: it must also open.
                let Ok(keys) = NamespaceKeys::open(keyring, &mac, record) else {
                    return RewrapOutcome::Damaged;
                };
                let served = catalog.namespace(keys.namespace()).map(|namespace| namespace.keys());
                match served {
                    Some(served) if served.place() != key || served.revision() != entry.revision => {
                        RewrapOutcome::Damaged
                    }
                    Some(_) if is_newest(Purpose::Namespace) => RewrapOutcome::Stays,
                    Some(_) => keys.reseal(keyring).into(),
                    None => RewrapOutcome::Damaged,
                }
            }
            Kind::ApiKey(id) => match catalog.api_key(ApiKeyId(id)) {
                Some(key) if key.revision != entry.revision => RewrapOutcome::Damaged,
                Some(_) if is_newest(Purpose::ApiKey) => RewrapOutcome::Stays,
                Some(key) => key.seal(keyring).into(),
                None => RewrapOutcome::Damaged,
            },
            Kind::Role(mac) => {
                let at = |role: &&Arc<Role>| keyring.role_mac(role.name.as_str()) == mac;
                let served = catalog.with_policy(|policy| policy.roles().find(at).cloned());
                match served {
                    Some(role) if role.revision != entry.revision => RewrapOutcome::Damaged,
                    Some(_) if is_newest(Purpose::Role) => RewrapOutcome::Stays,
                    Some(role) => role.seal(keyring).into(),
                    None => RewrapOutcome::Damaged,
                }
            }
            Kind::Binding(id) => {
                let served = catalog.with_policy(|policy| policy.binding(BindingId(id)).cloned());
                match served {
                    Some(binding) if binding.revision != entry.revision => RewrapOutcome::Damaged,
                    Some(_) if is_newest(Purpose::Binding) => RewrapOutcome::Stays,
                    Some(binding) => binding.seal(keyring).into(),
                    None => RewrapOutcome::Damaged,
                }
            }
            Kind::AccessEpoch => match catalog.with_policy(|policy| policy.epoch()) {
                Some(epoch) if epoch.revision != entry.revision => RewrapOutcome::Damaged,
                Some(_) if is_newest(Purpose::AccessEpoch) => RewrapOutcome::Stays,
                Some(epoch) => epoch.seal(keyring).into(),
                None => RewrapOutcome::Damaged,
            },
            Kind::IdempotencyRecord(mac) if catalog.is_idempotency_record_altered(&mac) => {
                RewrapOutcome::Damaged
            }
            Kind::IdempotencyRecord(mac) => {
                match reseal_idempotency_record(keyring, &mac, record, entry.revision) {
                    Ok(_) if is_newest(Purpose::IdempotencyRecord) => RewrapOutcome::Stays,
                    resealed => resealed.into(),
                }
            }
            // The digest does not cover usage: whichever record opens is as good as another.
            Kind::SecretUsage(namespace, id) => match open_secret_usage(keyring, (namespace, id), record) {
                Ok(_) if is_newest(Purpose::SecretUsage) => RewrapOutcome::Stays,
                Ok(usage) => seal_secret_usage(keyring, (namespace, id), &usage).into(),
                Err(_) => RewrapOutcome::Damaged,
            },
            Kind::KeyUsage(id) => match open_key_usage(keyring, &id, record) {
                Ok(_) if is_newest(Purpose::KeyUsage) => RewrapOutcome::Stays,
                Ok(last_used) => seal_key_usage(keyring, &id, last_used).into(),
                Err(_) => RewrapOutcome::Damaged,
            },
            Kind::BindingUsage(id) => match open_binding_usage(keyring, &id, record) {
                Ok(_) if is_newest(Purpose::BindingUsage) => RewrapOutcome::Stays,
                Ok(last_used) => seal_binding_usage(keyring, &id, last_used).into(),
                Err(_) => RewrapOutcome::Damaged,
            },
            // Nor does it cover the history.
            Kind::Event(_) => match open_event(keyring, record) {
                Ok(_) if is_newest(Purpose::Event) => RewrapOutcome::Stays,
                Ok(_) => reseal_event(keyring, record, entry.revision).into(),
                Err(_) => RewrapOutcome::Damaged,
            },
            Kind::HistoryStart => match open_history_start(keyring, record, entry.revision) {
                Ok(_) if is_newest(Purpose::HistoryStart) => RewrapOutcome::Stays,
                Ok(start) => seal_history_start(keyring, Some(start)).into(),
                Err(_) => RewrapOutcome::Damaged,
            },
            Kind::Keyring
            | Kind::Digest
            | Kind::Name(..)
            | Kind::Secret(..)
            | Kind::Version(..)
            | Kind::AuditRecord(..)
            | Kind::AuditAnchor(_)
            | Kind::Other => RewrapOutcome::Stays,
        }
    }
}
