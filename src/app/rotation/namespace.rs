use std::sync::Arc;

use super::pass::{Also, Pass, RewrapOutcome};
use super::{Progress, Rotated};
use crate::app::{App, Error};
use crate::catalog::NamespaceCatalog;
use crate::crypto::reseal_secret;
use crate::crypto::{Purpose, value_seal};
use crate::domain::{Namespace, Secret, SecretId, Version};
use crate::integrity::{StoredKeyring, StoredNamespaceKeys};
use crate::schema::Kind;
use crate::store::{Entry, Key, Transaction};

/// How often a commit of the keys is tried again because another one was faster.
const ATTEMPTS: usize = 100;

impl App {
    pub(super) async fn rotate_namespace_key(
        &self,
        namespace: &Namespace,
        progress: &dyn Progress,
    ) -> Result<Rotated, Error> {
        for _ in 0..ATTEMPTS {
            let (there, begun) = self.begin_namespace_rotation(namespace).await?;
            let id = begun.id();
            let mut pass = Pass::new(self, progress, there.records() as u64);
            let keys = || (self.keyring(), Some(there.keys().unchanged()));
            // Versions first: those of format 1 are sealed anew together with their secrets.
            for prefix in [Key::versions_of(id), Key::secrets_of(id), Key::names_of(id)] {
                pass.over(prefix, keys, |key, entry| reseal(&there, key, entry)).await?;
            }
            let Pass { seen, damaged, .. } = pass;
            let generation = begun.generations().last().copied().unwrap_or_default();
            if damaged > 0 || self.end_namespace_rotation(&there, &begun).await? {
                return Ok(Rotated { generation, seen, damaged });
            }
        }
        Err(Error::Contended)
    }

    /// The namespace, and its keys with one generation more than the one that sealed so far.
    pub(super) async fn begin_namespace_rotation(
        &self,
        namespace: &Namespace,
    ) -> Result<(Arc<NamespaceCatalog>, Arc<StoredNamespaceKeys>), Error> {
        for _ in 0..ATTEMPTS {
            let (keyring, there) = (self.keyring(), self.namespace_catalog(namespace)?);
            let keys = there.keys();
            if keys.generations().len() > 1 {
                return Ok((there, keys));
            }
            let record = keys.begin_rotation(&keyring, self.catalog.digest().seals)?;
            self.put_namespace_keys(&keyring, &keys, record).await?;
        }
        Err(Error::Contended)
    }

    /// Lets go of the generations before the newest, and says whether that was done. Only if they are still those of the
    /// beginning: what was passed would else be sealed by a generation that another rotation, or a restore, has made an earlier
    /// one.
    pub(super) async fn end_namespace_rotation(
        &self,
        there: &Arc<NamespaceCatalog>,
        begun: &StoredNamespaceKeys,
    ) -> Result<bool, Error> {
        for _ in 0..ATTEMPTS {
            let (keyring, keys) = (self.keyring(), there.keys());
            let now = self.catalog.namespace(begun.namespace());
            if !now.is_some_and(|now| Arc::ptr_eq(&now, there)) {
                return Ok(false);
            }
            if keys.generations() != begun.generations() {
                // Ended by another replica, perhaps.
                let (now, then) = (keys.generations(), begun.generations());
                return Ok(now.len() == 1 && now.last() == then.last());
            }
            let record = keys.end_rotation(&keyring)?;
            if self.put_namespace_keys(&keyring, &keys, record).await? {
                return Ok(true);
            }
        }
        Err(Error::Contended)
    }

    fn namespace_catalog(&self, namespace: &Namespace) -> Result<Arc<NamespaceCatalog>, Error> {
        self.catalog.namespace(namespace).ok_or_else(|| {
            if self.catalog.is_damaged(namespace) {
                Error::Integrity
            } else {
                Error::NamespaceNotFound(namespace.clone())
            }
        })
    }

    /// Puts another record of a namespace's keys in place of the present one, and says whether that was still present.
    async fn put_namespace_keys(
        &self,
        keyring: &Arc<StoredKeyring>,
        keys: &StoredNamespaceKeys,
        record: Vec<u8>,
    ) -> Result<bool, Error> {
        let mut transaction = Transaction::default();
        transaction.require.push(keys.unchanged());
        transaction.put.push((keys.place().clone(), record));
        Ok(self.commit(keyring, transaction).await?.is_some())
    }
}

fn reseal(there: &NamespaceCatalog, key: &Key, entry: &Entry) -> RewrapOutcome {
    let (keys, record) = (there.keys(), entry.value.as_slice());
    let newest = keys.is_newest(record);
    match key.kind() {
        // Only what the catalog serves is carried on: what somebody put back opens as well.
        Kind::Secret(_, id) => match there.secret_of(id) {
            Some(secret) if secret.stored_at == entry.revision && newest => RewrapOutcome::Stays,
            Some(secret) if secret.stored_at == entry.revision => reseal_secret(&keys, &secret).into(),
            Some(_) | None => RewrapOutcome::Damaged,
        },
        Kind::Name(_, mac) if there.is_altered(&mac) => RewrapOutcome::Damaged,
        Kind::Name(_, mac) => {
            let opened = keys.open_record(Purpose::Name, &mac, record);
            if newest && opened.is_ok() {
                return RewrapOutcome::Stays;
            }
            opened.and_then(|id| keys.seal(Purpose::Name, &mac, &id)).into()
        }
        Kind::Version(_, id, number) => rewrap(there, &keys, id, number, record),
        Kind::Keyring
        | Kind::Digest
        | Kind::ApiKey(_)
        | Kind::Namespace(_)
        | Kind::IdempotencyRecord(_)
        | Kind::Other => RewrapOutcome::Stays,
    }
}

/// A version with its data key wrapped anew. One that no secret has, or has no more, opens nowhere, and stays what it is.
fn rewrap(
    there: &NamespaceCatalog,
    keys: &StoredNamespaceKeys,
    id: SecretId,
    number: u32,
    record: &[u8],
) -> RewrapOutcome {
    let Some(secret) = there.secret_of(id) else {
        // Its secret's record can not be opened, and may be put back.
        return if there.is_damaged(id) { RewrapOutcome::Damaged } else { RewrapOutcome::Stays };
    };
    let Some(version) = secret.versions.find(number).filter(|version| version.is_stored()) else {
        return RewrapOutcome::Stays;
    };
    if version.seal.is_some() && value_seal(record) != version.seal {
        return RewrapOutcome::Damaged; // of another version that once stood here
    }
    if keys.is_newest(record) && version.seal.is_some() {
        // Its first bytes are what says so, and are altered as easily as others.
        let wrapped = keys.wraps_value(id.as_bytes(), number, record);
        return if wrapped { RewrapOutcome::Stays } else { RewrapOutcome::Damaged };
    }
    let Ok(rewrapped) = keys.rewrap_value(id.as_bytes(), number, record) else {
        return RewrapOutcome::Damaged;
    };
    let seal = value_seal(&rewrapped);
    if seal == version.seal {
        return RewrapOutcome::Becomes(rewrapped, None);
    }
    // Its value was sealed anew, or by a release that did not note the seal: the secret has to say it.
    let versions = secret.versions.with_changed(Version { seal, ..version.clone() });
    let changed = Secret { versions, ..Secret::clone(&secret) };
    match reseal_secret(keys, &changed) {
        Ok(record) => {
            let key = Key::secret(keys.id(), id);
            RewrapOutcome::Becomes(rewrapped, Some(Also { key, expect: secret.stored_at, record }))
        }
        Err(_) => RewrapOutcome::Damaged,
    }
}
