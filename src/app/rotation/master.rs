use std::sync::{Arc, PoisonError};

use super::pass::{Pass, RewrapOutcome};
use super::{Progress, Rotated};
use crate::app::idempotency::reseal_idempotency_record;
use crate::app::{App, Error};
use crate::auth::ApiKeyId;
use crate::crypto::{KeyId, MasterKeyError, NamespaceKeys, Purpose};
use crate::integrity::StoredKeyring;
use crate::schema::Kind;
use crate::store::{Entry, Key, Transaction};

/// How often a commit of the keyring is tried again because another one was faster.
const ATTEMPTS: usize = 100;

impl App {
    pub(super) async fn rotate_master_key(&self, progress: &dyn Progress) -> Result<Rotated, Error> {
        // One that was begun, here or by whoever put a new key into the source, is ended first, and is all that was asked for.
        if self.is_settled()? {
            self.take_new_master_key().await?;
        }
        self.rotate_keyring(progress).await
    }

    /// Whether the keyring's key is to be rotated: that was begun, or the master key is a new one, or it has sealed enough.
    pub(super) fn master_key_is_due(&self) -> Result<bool, Error> {
        let keyring = self.keyring();
        if keyring.generations().len() > 1 || self.is_due(keyring.since()) {
            return Ok(true);
        }
        // A new one is put into use once by itself: two replicas whose sources have the same keys in another order would else
        // go on for ever.
        let current = self.provider.keys().current_id()?;
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keyring.masters() != [current] && !taken.contains(&current))
    }

    /// Notes that the master key in use was put into use by itself.
    pub(super) fn note_taken(&self) -> Result<(), Error> {
        let current = self.provider.keys().current_id()?;
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(current);
        Ok(())
    }

    /// Whether the master key in use alone opens the keyring, and the keyring has one generation.
    fn is_settled(&self) -> Result<bool, Error> {
        let (keyring, current) = (self.keyring(), self.provider.keys().current_id()?);
        Ok(keyring.generations().len() == 1 && keyring.masters() == [current])
    }

    /// Fails where another replica has put a master key into use which this one's source does not have first: only who has
    /// it can seal a keyring for it, and what is sealed for an older one would bring that back.
    async fn refuse_older_master_key(&self) -> Result<(), Error> {
        let (provider, keyring) = (self.provider.clone(), self.keyring());
        let is_newest = |current: KeyId| {
            // The key in use stands first; one that is not there at all is newer still.
            keyring.masters().first() == Some(&current) || !keyring.masters().contains(&current)
        };
        if is_newest(provider.keys().current_id()?) {
            return Ok(());
        }
        let record = self.store.get(&Key::keyring()).await?.ok_or(Error::Integrity)?;
        let again = provider.clone();
        let read = tokio::task::spawn_blocking(move || {
            again.read_again()?;
            let _ = again.keys().open_keyring(&record.value); // so that a passphrase has the salt that it had
            again.keys().current_id().map_err(MasterKeyError::from)
        });
        let current = read.await.map_err(|_| Error::Internal("the master key could not be read"))??;
        if is_newest(current) {
            return Ok(());
        }
        Err(Error::MasterKeyNotRenewed(format!(
            "another replica has put a new master key into use, which {} does not have on its first line",
            provider.source()
        )))
    }

    /// Has the source give another key than the one in use: the one that stands there by now, or else a new one.
    async fn take_new_master_key(&self) -> Result<(), Error> {
        let record = self.store.get(&Key::keyring()).await?.ok_or(Error::Integrity)?;
        let (provider, keyring) = (self.provider.clone(), self.keyring());
        let taken = tokio::task::spawn_blocking(move || {
            let before = provider.keys();
            provider.read_again()?;
            // Before anything is asked of a passphrase, so that it has the salt that it had: with another one it would pass for
            // a new one.
            let opened = provider.keys().open_keyring(&record.value);
            if opened.is_ok() {
                if keyring.masters() == [provider.keys().current_id()?] {
                    provider.renew()?;
                }
                return Ok(());
            }
            // A crash before the end would leave nobody with a key to the store.
            provider.restore(before);
            Err(Error::MasterKeyNotRenewed(format!(
                "{} does not hold the master key that is in use any more: put it on the line behind the new one",
                provider.source()
            )))
        });
        taken.await.map_err(|_| Error::Internal("the master key could not be read"))?
    }

    pub(super) async fn rotate_keyring(&self, progress: &dyn Progress) -> Result<Rotated, Error> {
        for _ in 0..ATTEMPTS {
            self.refuse_older_master_key().await?;
            let begun = self.begin_keyring_rotation().await?;
            let (namespaces, api_keys) = (self.catalog.namespaces().len(), self.catalog.api_keys().len());
            let mut pass = Pass::new(self, progress, (namespaces + api_keys) as u64);
            for prefix in [Key::namespaces(), Key::api_keys(), Key::idempotency_records()] {
                pass.over(prefix, || (self.keyring(), None), |key, entry| self.reseal(key, entry)).await?;
            }
            let Pass { seen, damaged, .. } = pass;
            let generation = begun.generations().last().copied().unwrap_or_default();
            if damaged > 0 {
                return Ok(Rotated { generation, seen, damaged });
            }
            self.confirm_master_key(&begun).await?;
            let mut end = Transaction::default();
            end.put.push((Key::keyring(), begun.end_rotation(&self.provider.keys())?));
            // Only if the keyring is still that of the beginning: what was passed would else be sealed by a generation that
            // another rotation, or a restore, has made an earlier one.
            if self.commit(&begun, end).await?.is_some() {
                return Ok(Rotated { generation, seen, damaged });
            }
            if self.is_settled()? {
                return Ok(Rotated { generation, seen, damaged }); // another replica has ended it
            }
        }
        Err(Error::Contended)
    }

    /// The keyring with one generation more than the one that sealed so far, and a wrap for the master key in use.
    pub(super) async fn begin_keyring_rotation(&self) -> Result<Arc<StoredKeyring>, Error> {
        for _ in 0..ATTEMPTS {
            let (keyring, masters) = (self.keyring(), self.provider.keys());
            // Begun already, by another replica perhaps; but not for a master key that was put into use since.
            if keyring.generations().len() > 1 && keyring.masters().first() == Some(&masters.current_id()?) {
                return Ok(keyring);
            }
            let mut begin = Transaction::default();
            let record = keyring.begin_rotation(&masters, self.catalog.digest().seals)?;
            begin.put.push((Key::keyring(), record));
            self.commit(&keyring, begin).await?;
        }
        Err(Error::Contended)
    }

    /// Fails unless the source, as it is now, gives the key that alone is going to open the keyring: what a person, or another
    /// replica with the same file, has made of it meanwhile would else be a store without a key.
    async fn confirm_master_key(&self, begun: &StoredKeyring) -> Result<(), Error> {
        let provider = self.provider.clone();
        let record = self.store.get(&Key::keyring()).await?.ok_or(Error::Integrity)?;
        let read = tokio::task::spawn_blocking(move || {
            let before = provider.keys();
            provider.read_again()?;
            let opened = provider.keys().open_keyring(&record.value); // with the salt that a passphrase had
            let same = opened.is_ok() && provider.keys().current_id()? == before.current_id()?;
            if opened.is_err() {
                provider.restore(before); // those at least open the keyring
            }
            Ok::<_, MasterKeyError>(same)
        });
        let same = read.await.map_err(|_| Error::Internal("the master key could not be read"))??;
        if same && begun.masters().first() == Some(&self.provider.keys().current_id()?) {
            return Ok(());
        }
        let source = self.provider.source();
        Err(Error::MasterKeyNotRenewed(format!(
            "{source} was changed while its key was put into use: ask again"
        )))
    }

    /// What becomes of a record that the keyring seals. Only what the catalog serves is carried on: what somebody put back opens
    /// as well, and would be this service's own once it is sealed anew.
    fn reseal(&self, key: &Key, entry: &Entry) -> RewrapOutcome {
        let keyring = self.keyring();
        let record = entry.value.as_slice();
        let stays = |purpose| keyring.is_newest(purpose, record);
        match key.kind() {
            Kind::Namespace(mac) => {
                // Its first bytes say whether it is newest, and are altered as easily as others: it has to open all the same.
                let Ok(keys) = NamespaceKeys::open(&keyring, &mac, record) else {
                    return RewrapOutcome::Damaged;
                };
                let there = self.catalog.namespace(keys.namespace()).map(|there| there.keys());
                match there {
                    Some(there) if there.place() != key || there.revision() != entry.revision => {
                        RewrapOutcome::Damaged
                    }
                    Some(_) if stays(Purpose::Namespace) => RewrapOutcome::Stays,
                    Some(_) => keys.reseal(&keyring).into(),
                    None => RewrapOutcome::Damaged,
                }
            }
            Kind::ApiKey(id) => match self.catalog.api_key(ApiKeyId(id)) {
                Some(key) if key.revision != entry.revision => RewrapOutcome::Damaged,
                Some(_) if stays(Purpose::ApiKey) => RewrapOutcome::Stays,
                Some(key) => key.seal(&keyring).into(),
                None => RewrapOutcome::Damaged,
            },
            Kind::IdempotencyRecord(mac) if self.catalog.is_idempotency_record_altered(&mac) => {
                RewrapOutcome::Damaged
            }
            Kind::IdempotencyRecord(mac) => {
                match reseal_idempotency_record(&keyring, &mac, record, entry.revision) {
                    Ok(_) if stays(Purpose::IdempotencyRecord) => RewrapOutcome::Stays,
                    resealed => resealed.into(),
                }
            }
            Kind::Keyring
            | Kind::Digest
            | Kind::Name(..)
            | Kind::Secret(..)
            | Kind::Version(..)
            | Kind::Other => RewrapOutcome::Stays,
        }
    }
}
