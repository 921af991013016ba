use super::pass::{Fate, Pass};
use super::{Progress, Rotated};
use crate::app::receipt::reseal_receipt;
use crate::app::{App, Error};
use crate::auth::ApiKeyId;
use crate::crypto::{Custody, KeyId, Keyring, MasterKeyError, MasterKeys, NamespaceKeys, Purpose};
use crate::store::key::Kind;
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
        Ok(!self.is_settled()? || self.is_due(self.keyring().since()))
    }

    /// Whether the master key in use alone opens the keyring, and the keyring has one generation.
    fn is_settled(&self) -> Result<bool, Error> {
        let (keyring, current) = (self.keyring(), self.custody.keys().current_id()?);
        Ok(keyring.generations().len() == 1 && keyring.masters() == [current])
    }

    /// Fails where another replica has put a master key into use which this one's source does not have first: only who has
    /// it can seal a keyring for it, and what is sealed for an older one would bring that back.
    async fn refuse_older_master_key(&self) -> Result<(), Error> {
        let (custody, keyring) = (self.custody.clone(), self.keyring());
        let is_newest = |current: KeyId| {
            // The key in use stands first; one that is not there at all is newer still.
            keyring.masters().first() == Some(&current) || !keyring.masters().contains(&current)
        };
        if is_newest(custody.keys().current_id()?) {
            return Ok(());
        }
        self.read_source_again(|_, _| Ok(())).await?;
        if is_newest(custody.keys().current_id()?) {
            return Ok(());
        }
        Err(Error::MasterKeyNotRenewed(format!(
            "another replica has put a new master key into use, which {} does not have on its first line",
            custody.source()
        )))
    }

    /// Has the source give another key than the one in use: the one that stands there by now, or else a new one.
    async fn take_new_master_key(&self) -> Result<(), Error> {
        self.read_source_again(|custody, keyring| {
            let is_in_use = keyring.masters() == [custody.keys().current_id()?];
            if is_in_use { custody.renew() } else { Ok(()) }
        })
        .await
    }

    /// Takes what the source gives now, and has `then` look at it. Fails, and keeps the keys that there were, unless one of those
    /// that there are then opens the keyring: a crash would leave nobody with a key to the store.
    async fn read_source_again(
        &self,
        then: impl FnOnce(&Custody, &Keyring) -> Result<(), MasterKeyError> + Send + 'static,
    ) -> Result<(), Error> {
        let record = self.store.get(&Key::keyring()).await?.ok_or(Error::Integrity)?;
        let (custody, keyring) = (self.custody.clone(), self.keyring());
        let read = tokio::task::spawn_blocking(move || {
            let before = custody.keys();
            custody.read_again()?;
            // A passphrase that has opened something goes on with that salt, and so has the id that it had.
            let opens = |custody: &Custody| custody.keys().open_keyring(&record.value).is_ok();
            if opens(&custody) {
                then(&custody, &keyring)?;
                if opens(&custody) {
                    return Ok(());
                }
            }
            custody.restore(before);
            Err(Error::MasterKeyNotRenewed(format!(
                "{} does not hold the master key that is in use any more: put it on the line behind the new one",
                custody.source()
            )))
        });
        read.await.map_err(|_| Error::Internal("the master key could not be read"))?
    }

    pub(super) async fn rotate_keyring(&self, progress: &dyn Progress) -> Result<Rotated, Error> {
        self.refuse_older_master_key().await?;
        let (since, newest) = (self.catalog.digest().seals, self.custody.keys().current_id()?);
        self.put_keyring(|keyring, masters| {
            // Begun already, by another replica perhaps; but for a master key that was put into use since.
            let begun = keyring.generations().len() > 1 && keyring.masters().first() == Some(&newest);
            (!begun).then(|| keyring.begin_rotation(masters, since))
        })
        .await?;
        let mut pass = Pass {
            app: self,
            progress,
            total: (self.catalog.namespaces().len() + self.catalog.api_keys().len()) as u64,
            seen: 0,
            damaged: 0,
        };
        for prefix in [Key::namespaces(), Key::api_keys(), Key::receipts()] {
            pass.over(&prefix, || (self.keyring(), None), |key, entry| self.reseal(key, entry)).await?;
        }
        let Pass { seen, damaged, .. } = pass;
        if damaged == 0 {
            self.confirm_master_key().await?;
            self.put_keyring(|keyring, masters| {
                let ends = keyring.generations().len() > 1;
                ends.then(|| keyring.end_rotation(masters))
            })
            .await?;
        }
        let generation = self.keyring().generations().last().copied().unwrap_or_default();
        Ok(Rotated { generation, seen, damaged })
    }

    /// Fails unless the source, as it is now, gives the key that alone is going to open the keyring: what a person, or another
    /// replica with the same file, has made of it meanwhile would else be a store without a key.
    async fn confirm_master_key(&self) -> Result<(), Error> {
        let before = self.custody.keys().current_id()?;
        self.read_source_again(|_, _| Ok(())).await?;
        let same = self.custody.keys().current_id()? == before;
        self.refuse_older_master_key().await?;
        if same && self.keyring().masters().first() == Some(&self.custody.keys().current_id()?) {
            return Ok(());
        }
        let source = self.custody.source();
        Err(Error::MasterKeyNotRenewed(format!(
            "{source} was changed while its key was put into use: ask again"
        )))
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

    /// What becomes of a record that the keyring seals. Only what the catalog serves is carried on: what somebody put back opens
    /// as well, and would be this service's own once it is sealed anew.
    fn reseal(&self, key: &Key, entry: &Entry) -> Fate {
        let keyring = self.keyring();
        let record = entry.value.as_slice();
        match key.kind() {
            Kind::Namespace(mac) if !keyring.is_newest(Purpose::Namespace, record) => {
                let opened = NamespaceKeys::open(&keyring, &mac, record);
                let known = |keys: &NamespaceKeys| {
                    let there = self.catalog.namespace(keys.namespace()).map(|there| there.keys());
                    there.is_some_and(|there| there.place() == key && there.revision() == entry.revision)
                };
                match opened {
                    Ok(keys) if known(&keys) => keys.reseal(&keyring).into(),
                    Ok(_) | Err(_) => Fate::Damaged,
                }
            }
            Kind::ApiKey(id) if !keyring.is_newest(Purpose::ApiKey, record) => {
                match self.catalog.api_key(ApiKeyId(id)) {
                    Some(key) if key.revision == entry.revision => key.seal(&keyring).into(),
                    Some(_) | None => Fate::Damaged,
                }
            }
            Kind::Receipt(mac) if !keyring.is_newest(Purpose::Receipt, record) => {
                if self.catalog.is_receipt_altered(&mac) {
                    return Fate::Damaged;
                }
                reseal_receipt(&keyring, &mac, record, entry.revision).into()
            }
            Kind::Namespace(_) | Kind::ApiKey(_) | Kind::Receipt(_) => Fate::Stays,
            Kind::Keyring
            | Kind::Digest
            | Kind::Name(..)
            | Kind::Secret(..)
            | Kind::Version(..)
            | Kind::Other => Fate::Stays,
        }
    }
}
