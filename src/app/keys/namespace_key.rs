//! Rekey of one namespace.

use std::sync::Arc;

use super::rewrap::{PairedRecord, Rewrap, RewrapOutcome};
use super::{Listener, Rekeyed, Rekeying};
use crate::app::Error;
use crate::app::authority::Authority;
use crate::app::commit::REKEY_ATTEMPTS;
use crate::catalog::NamespaceCatalog;
use crate::crypto::{Purpose, reseal_secret, value_seal};
use crate::domain::{Namespace, Secret, SecretId, Version};
use crate::integrity::StoredNamespaceKeys;
use crate::schema::Kind;
use crate::store::{Entry, Key, Transaction};

impl Rekeying {
    /// Replaces a namespace's key.
    pub(super) async fn rekey_namespace(
        &self,
        namespace: &Namespace,
        progress: Listener<'_>,
    ) -> Result<Rekeyed, Error> {
        let mut attempts = self.core.attempts(REKEY_ATTEMPTS, Authority::Service);
        loop {
            attempts.next()?;
            let (catalog, begun) = self.begin_namespace_rekey(namespace).await?;
            let id = begun.id();
            let mut rewrap = Rewrap::new(&self.core, progress, catalog.records() as u64);
            // Versions first: a version of format 1 is sealed again together with its secret.
            for prefix in [Key::versions_of(id), Key::secrets_of(id), Key::names_of(id)] {
                let unchanged = || Some(catalog.keys().unchanged());
                rewrap.all(prefix, unchanged, |_, key, entry| reseal(&catalog, key, entry)).await?;
            }
            let rekeyed = rewrap.finish(&begun.generations());
            if rekeyed.damaged > 0 || self.end_namespace_rekey(&catalog, &begun).await? {
                return Ok(rekeyed);
            }
        }
    }

    /// The namespace, and its keys with one generation more than the one that sealed so far.
    pub(super) async fn begin_namespace_rekey(
        &self,
        namespace: &Namespace,
    ) -> Result<(Arc<NamespaceCatalog>, Arc<StoredNamespaceKeys>), Error> {
        let mut attempts = self.core.attempts(REKEY_ATTEMPTS, Authority::Service);
        loop {
            let attempt = attempts.next()?;
            let catalog = self.find_namespace(namespace)?;
            let keys = catalog.keys();
            if keys.generations().len() > 1 {
                return Ok((catalog, keys));
            }
            let record = keys.begin_rotation(&attempt.keyring, self.core.catalog.digest().seals)?;
            // The next attempt finds it begun.
            attempt.commit(replace_keys(&keys, record)).await?;
        }
    }

    /// Removes all generations but the newest, and returns whether that was done. It is done only if the generations are
    /// still those that were begun: another rekey, or a restore, may have made the newest one an earlier one, which still
    /// seals records.
    pub(super) async fn end_namespace_rekey(
        &self,
        namespace: &Arc<NamespaceCatalog>,
        begun: &StoredNamespaceKeys,
    ) -> Result<bool, Error> {
        let mut attempts = self.core.attempts(REKEY_ATTEMPTS, Authority::Service);
        loop {
            let attempt = attempts.next()?;
            let keys = namespace.keys();
            let latest = self.core.catalog.namespace(begun.namespace());
            if !latest.is_some_and(|latest| Arc::ptr_eq(&latest, namespace)) {
                return Ok(false);
            }
            let (now, then) = (keys.generations(), begun.generations());
            if now != then {
                // Another replica may have ended it.
                return Ok(now.len() == 1 && now.last() == then.last());
            }
            let record = keys.end_rotation(&attempt.keyring)?;
            if attempt.commit(replace_keys(&keys, record)).await?.is_some() {
                return Ok(true);
            }
        }
    }

    fn find_namespace(&self, namespace: &Namespace) -> Result<Arc<NamespaceCatalog>, Error> {
        self.core.catalog.namespace(namespace).ok_or_else(|| {
            if self.core.catalog.is_damaged(namespace) {
                Error::Integrity
            } else {
                Error::NamespaceNotFound(namespace.clone())
            }
        })
    }
}

/// Puts another record of a namespace's keys in place of the present one.
fn replace_keys(keys: &StoredNamespaceKeys, record: Vec<u8>) -> Transaction {
    let mut transaction = Transaction::default();
    transaction.require.push(keys.unchanged());
    transaction.put.push((keys.place().clone(), record));
    transaction
}

/// What becomes of a record that a namespace's keys seal. Only a record that the catalog serves is sealed again: an older
/// record that somebody has put back opens too.
fn reseal(namespace: &NamespaceCatalog, key: &Key, entry: &Entry) -> RewrapOutcome {
    let (keys, record) = (namespace.keys(), entry.value.as_slice());
    let newest = keys.is_newest(record);
    match key.kind() {
        Kind::Secret(_, id) => match namespace.secret_of(id) {
            Some(secret) if secret.stored_at == entry.revision && newest => RewrapOutcome::Stays,
            Some(secret) if secret.stored_at == entry.revision => reseal_secret(&keys, &secret).into(),
            Some(_) | None => RewrapOutcome::Damaged,
        },
        Kind::Name(_, mac) if namespace.is_altered(&mac) => RewrapOutcome::Damaged,
        Kind::Name(_, mac) => {
            let opened = keys.open_record(Purpose::Name, &mac, record);
            if newest && opened.is_ok() {
                return RewrapOutcome::Stays;
            }
            opened.and_then(|id| keys.seal(Purpose::Name, &mac, &id)).into()
        }
        Kind::Version(_, id, number) => rewrap_version(namespace, &keys, id, number, record),
        Kind::Keyring
        | Kind::Digest
        | Kind::ApiKey(_)
        | Kind::Role(_)
        | Kind::Binding(_)
        | Kind::AccessEpoch
        | Kind::Namespace(_)
        | Kind::IdempotencyRecord(_)
        | Kind::AuditRecord(..)
        | Kind::AuditAnchor(_)
        | Kind::SecretUsage(..)
        | Kind::KeyUsage(_)
        | Kind::BindingUsage(_)
        | Kind::Event(_)
        | Kind::HistoryStart
        | Kind::Other => RewrapOutcome::Stays,
    }
}

/// A version with its data key wrapped again. The record of a version that no secret has opens nowhere, and stays as it is.
fn rewrap_version(
    namespace: &NamespaceCatalog,
    keys: &StoredNamespaceKeys,
    id: SecretId,
    number: u32,
    record: &[u8],
) -> RewrapOutcome {
    let Some(secret) = namespace.secret_of(id) else {
        // The record of its secret cannot be opened, but may be repaired.
        return if namespace.is_damaged(id) { RewrapOutcome::Damaged } else { RewrapOutcome::Stays };
    };
    let Some(version) = secret.versions.find(number).filter(|version| version.is_stored()) else {
        return RewrapOutcome::Stays;
    };
    if version.seal.is_some() && value_seal(record) != version.seal {
        return RewrapOutcome::Damaged; // it is of another version that once stood here
    }
    if keys.is_newest(record) && version.seal.is_some() {
        // The first bytes of the record say that it is newest, and can be altered too: its data key must also unwrap.
        let unwraps = keys.wraps_value(id.as_bytes(), number, record);
        return if unwraps { RewrapOutcome::Stays } else { RewrapOutcome::Damaged };
    }
    let Ok(rewrapped) = keys.rewrap_value(id.as_bytes(), number, record) else {
        return RewrapOutcome::Damaged;
    };
    let seal = value_seal(&rewrapped);
    if seal == version.seal {
        return RewrapOutcome::Becomes(rewrapped, None);
    }
    // The value itself was sealed again, or an earlier release did not note the seal: the secret has to say the new one.
    let versions = secret.versions.with_changed(Version { seal, ..version.clone() });
    let changed = Secret { versions, ..Secret::clone(&secret) };
    match reseal_secret(keys, &changed) {
        Ok(record) => {
            let key = Key::secret(keys.id(), id);
            RewrapOutcome::Becomes(rewrapped, Some(PairedRecord { key, expect: secret.stored_at, record }))
        }
        Err(_) => RewrapOutcome::Damaged,
    }
}
