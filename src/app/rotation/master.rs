use std::sync::Arc;

use super::pass::{Fate, Pass};
use super::{Progress, Rotated};
use crate::app::receipt::reseal_receipt;
use crate::app::{App, Error};
use crate::auth::{ApiKey, ApiKeyId};
use crate::catalog::StoredKeyring;
use crate::crypto::{Keyring, MasterKeys, NamespaceKeys, Purpose};
use crate::store::key::Kind;
use crate::store::{Entry, Key, Transaction};

/// How often a commit of the keyring is tried again because another one was faster.
const ATTEMPTS: usize = 100;

impl App {
    pub(super) async fn rotate_master_key(&self, progress: &dyn Progress) -> Result<Rotated, Error> {
        // One that was begun, here or by whoever put a new key into the source, is ended first, and is all that was asked for.
        if !self.master_key_is_new()? && self.keyring().generations().len() == 1 {
            self.take_new_master_key().await?;
        }
        self.rotate_keyring(progress).await
    }

    /// Whether the keyring's key is to be rotated: that was begun, or the master key is a new one, or it has sealed enough.
    pub(super) fn master_key_is_due(&self) -> Result<bool, Error> {
        let keyring = self.keyring();
        let begun = keyring.generations().len() > 1;
        Ok(begun || self.master_key_is_new()? || self.is_due(keyring.since()))
    }

    /// Whether the source's key is not the one that the keyring is sealed with.
    fn master_key_is_new(&self) -> Result<bool, Error> {
        let current = self.custody.keys().current_id()?;
        Ok(!self.keyring().masters().contains(&current))
    }

    /// Has the source give another key than the one in use: the one that stands there by now, or else a new one.
    async fn take_new_master_key(&self) -> Result<(), Error> {
        let record = self.store.get(&Key::keyring()).await?.ok_or(Error::Integrity)?;
        let (custody, keyring) = (self.custody.clone(), self.keyring());
        let taken = tokio::task::spawn_blocking(move || {
            let before = custody.keys();
            custody.read_again()?;
            let keeps_the_old = |keys: &MasterKeys| keys.open_keyring(&record.value).is_ok();
            if keyring.masters().contains(&custody.keys().current_id()?) {
                custody.renew()?;
            }
            if keeps_the_old(&custody.keys()) {
                return Ok(());
            }
            // A crash before the end would leave nobody with a key to the store.
            custody.restore(before);
            Err(Error::MasterKeyNotRenewed(format!(
                "{} does not hold the master key that is in use any more: put it on the line behind the new one",
                custody.source()
            )))
        });
        taken.await.map_err(|_| Error::Internal("the master key could not be read"))?
    }

    pub(super) async fn rotate_keyring(&self, progress: &dyn Progress) -> Result<Rotated, Error> {
        if self.keyring().generations().len() == 1 {
            let since = self.catalog.digest().seals;
            self.put_keyring(|keyring, masters| {
                // Another replica may have begun meanwhile.
                let begins = keyring.generations().len() == 1;
                begins.then(|| keyring.begin_rotation(masters, since))
            })
            .await?;
        }
        let mut pass = Pass {
            app: self,
            progress,
            total: (self.catalog.namespaces().len() + self.catalog.api_keys().len()) as u64,
            seen: 0,
            damaged: 0,
        };
        for prefix in [Key::namespaces(), Key::api_keys(), Key::receipts()] {
            pass.over(&prefix, || (self.keyring(), None), |key, entry| reseal(&self.keyring(), key, entry))
                .await?;
        }
        let damaged = pass.damaged;
        if damaged == 0 {
            self.put_keyring(|keyring, masters| {
                let ends = keyring.generations().len() > 1;
                ends.then(|| keyring.end_rotation(masters))
            })
            .await?;
        }
        let generation = self.keyring().generations().last().copied().unwrap_or_default();
        Ok(Rotated { generation, damaged })
    }

    /// Puts another record of the keyring in place of the one that there is, unless `record` says that there is no need.
    async fn put_keyring(
        &self,
        record: impl Fn(&Keyring, &MasterKeys) -> Option<Result<Vec<u8>, crate::crypto::Error>>,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let keyring = self.keyring();
            let Some(record) = record(&keyring, &self.custody.keys()) else { return Ok(()) };
            let mut transaction = Transaction::default();
            transaction.put.push((Key::keyring(), record?));
            if self.commit(&keyring, transaction).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::Contended)
    }
}

fn reseal(keyring: &Arc<StoredKeyring>, key: &Key, entry: &Entry) -> Fate {
    let (keyring, record) = (&***keyring, entry.value.as_slice());
    let purpose = match key.kind() {
        Kind::Namespace(_) => Purpose::Namespace,
        Kind::ApiKey(_) => Purpose::ApiKey,
        Kind::Receipt(_) => Purpose::Receipt,
        Kind::Keyring
        | Kind::Digest
        | Kind::Name(..)
        | Kind::Secret(..)
        | Kind::Version(..)
        | Kind::Other => return Fate::Stays,
    };
    if keyring.is_newest(purpose, record) {
        return Fate::Stays;
    }
    match key.kind() {
        Kind::Namespace(mac) => {
            NamespaceKeys::open(keyring, &mac, record).and_then(|keys| keys.reseal(keyring)).into()
        }
        Kind::ApiKey(id) => {
            let opened = ApiKey::open(keyring, ApiKeyId(id), record, entry.revision);
            opened.and_then(|key| key.seal(keyring)).into()
        }
        Kind::Receipt(mac) => reseal_receipt(keyring, &mac, record, entry.revision).into(),
        Kind::Keyring
        | Kind::Digest
        | Kind::Name(..)
        | Kind::Secret(..)
        | Kind::Version(..)
        | Kind::Other => Fate::Stays,
    }
}
