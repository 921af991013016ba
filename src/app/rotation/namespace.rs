use std::sync::Arc;

use super::pass::{Also, Fate, Pass};
use super::{Progress, Rotated};
use crate::app::{App, Error};
use crate::catalog::{NamespaceCatalog, StoredNamespaceKeys, reseal_secret};
use crate::crypto::{Keyring, Purpose, value_seal};
use crate::domain::{Namespace, Secret, SecretId, Version};
use crate::store::key::Kind;
use crate::store::{Entry, Key, Transaction};

/// How often a commit of the keys is tried again because another one was faster.
const ATTEMPTS: usize = 100;

impl App {
    pub(super) async fn rotate_namespace_key(
        &self,
        namespace: &Namespace,
        progress: &dyn Progress,
    ) -> Result<Rotated, Error> {
        let there = self.namespace_catalog(namespace)?;
        let id = there.keys().id();
        if there.keys().generations().len() == 1 {
            let since = self.catalog.digest().seals;
            self.put_namespace_keys(namespace, |keys, keyring| {
                let begins = keys.generations().len() == 1;
                begins.then(|| keys.begin_rotation(keyring, since))
            })
            .await?;
        }
        let total = there.records() as u64;
        let mut pass = Pass { app: self, progress, total, seen: 0, damaged: 0 };
        let keys = || (self.keyring(), Some(there.keys().still()));
        // Versions first: those of format 1 are sealed anew together with their secrets.
        for prefix in [Key::versions_of(id), Key::secrets_of(id), Key::names_of(id)] {
            pass.over(&prefix, keys, |key, entry| reseal(&there, key, entry)).await?;
        }
        let Pass { seen, damaged, .. } = pass;
        if damaged == 0 {
            self.put_namespace_keys(namespace, |keys, keyring| {
                let ends = keys.generations().len() > 1;
                ends.then(|| keys.end_rotation(keyring))
            })
            .await?;
        }
        let generation = there.keys().generations().last().copied().unwrap_or_default();
        Ok(Rotated { generation, seen, damaged })
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

    /// Puts another record of a namespace's keys in place of the one that there is, unless `record` says that there is no
    /// need.
    async fn put_namespace_keys(
        &self,
        namespace: &Namespace,
        record: impl Fn(&StoredNamespaceKeys, &Keyring) -> Option<Result<Vec<u8>, crate::crypto::Error>>,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let (keyring, keys) = (self.keyring(), self.namespace_catalog(namespace)?.keys());
            let Some(record) = record(&keys, &keyring) else { return Ok(()) };
            let mut transaction = Transaction::default();
            transaction.require.push(keys.still());
            transaction.put.push((keys.place().clone(), record?));
            if self.commit(&keyring, transaction).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::Contended)
    }
}

fn reseal(there: &NamespaceCatalog, key: &Key, entry: &Entry) -> Fate {
    let (keys, record) = (there.keys(), entry.value.as_slice());
    if keys.is_newest(record) {
        return Fate::Stays;
    }
    match key.kind() {
        // Only what the catalog serves is carried on: what somebody put back opens as well.
        Kind::Secret(_, id) => match there.secret_of(id) {
            Some(secret) if secret.stored_at == entry.revision => reseal_secret(&keys, &secret).into(),
            Some(_) | None => Fate::Damaged,
        },
        Kind::Name(_, mac) if there.is_altered(&mac) => Fate::Damaged,
        Kind::Name(_, mac) => {
            let opened = keys.open_record(Purpose::Name, &mac, record);
            opened.and_then(|id| keys.seal(Purpose::Name, &mac, &id)).into()
        }
        Kind::Version(_, id, number) => rewrap(there, &keys, id, number, record),
        Kind::Keyring
        | Kind::Digest
        | Kind::ApiKey(_)
        | Kind::Namespace(_)
        | Kind::Receipt(_)
        | Kind::Other => Fate::Stays,
    }
}

/// A version with its data key wrapped anew. One that no secret has, or has no more, opens nowhere, and stays what it is.
fn rewrap(
    there: &NamespaceCatalog,
    keys: &StoredNamespaceKeys,
    id: SecretId,
    number: u32,
    record: &[u8],
) -> Fate {
    let Some(secret) = there.secret_of(id) else {
        // Its secret's record can not be opened, and may be put back.
        return if there.is_damaged(id) { Fate::Damaged } else { Fate::Stays };
    };
    let Some(version) = secret.versions.find(number).filter(|version| version.is_stored()) else {
        return Fate::Stays;
    };
    if version.seal.is_some() && value_seal(record) != version.seal {
        return Fate::Damaged; // of another version that once stood here
    }
    let Ok(rewrapped) = keys.rewrap_value(id.as_bytes(), number, record) else { return Fate::Damaged };
    let seal = value_seal(&rewrapped);
    if seal == version.seal {
        return Fate::Becomes(rewrapped, None);
    }
    // Its value was sealed anew, or by a release that did not note the seal: the secret has to say it.
    let versions = secret.versions.with_changed(Version { seal, ..version.clone() });
    let changed = Secret { versions, ..Secret::clone(&secret) };
    match reseal_secret(keys, &changed) {
        Ok(record) => {
            let key = Key::secret(keys.id(), id);
            Fate::Becomes(rewrapped, Some(Also { key, expect: secret.stored_at, record }))
        }
        Err(_) => Fate::Damaged,
    }
}
