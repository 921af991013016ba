//! Keys together with where and since when the store holds them.

use std::ops::Deref;
use std::sync::Arc;

use super::{DigestCarrier, StoreDigest};
use crate::crypto::{Error, Keyring, Mac, MasterKeys, NamespaceKeys};
use crate::domain::Revision;
use crate::store::{Digester, Expect, Key};

/// The keyring that the store holds.
pub struct StoredKeyring {
    keyring: Arc<Keyring>,
    revision: Revision,
}

impl StoredKeyring {
    /// Away from the threads that answer requests: a passphrase may have to be stretched.
    pub async fn open(
        master: Arc<MasterKeys>,
        record: &[u8],
        revision: Revision,
    ) -> Result<Arc<Self>, Error> {
        let record = record.to_vec();
        let opened = tokio::task::spawn_blocking(move || Keyring::open(&master, &record));
        let keyring = Arc::new(opened.await.map_err(|_| Error::Failed)??);
        Ok(Arc::new(Self { keyring, revision }))
    }

    /// What a transaction has to require that stores what was sealed with it: a later keyring may not open that.
    pub fn unchanged(&self) -> (Key, Expect) {
        (Key::keyring(), Expect::At(self.revision))
    }

    /// The digester of the store, whose digest was seen to be this.
    pub fn digester(&self, seen: StoreDigest) -> Arc<dyn Digester> {
        Arc::new(DigestCarrier::from(self.keyring.clone(), seen))
    }
}

impl Deref for StoredKeyring {
    type Target = Keyring;

    fn deref(&self) -> &Keyring {
        &self.keyring
    }
}

/// The keys of a namespace that the store holds.
pub struct StoredNamespaceKeys {
    keys: NamespaceKeys,
    place: Key,
    revision: Revision,
}

impl StoredNamespaceKeys {
    /// Opens the record of a namespace, which a commit of that revision put there.
    pub fn open(keyring: &Keyring, mac: &Mac, record: &[u8], revision: Revision) -> Result<Arc<Self>, Error> {
        let keys = NamespaceKeys::open(keyring, mac, record)?;
        Ok(Arc::new(Self { keys, place: Key::namespace(mac), revision }))
    }

    /// What a transaction has to require that stores what was sealed with them: later keys may not open that.
    pub fn unchanged(&self) -> (Key, Expect) {
        (self.place.clone(), Expect::At(self.revision))
    }

    /// Where they stand in the store.
    pub fn place(&self) -> &Key {
        &self.place
    }

    /// The revision that put them there.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

impl Deref for StoredNamespaceKeys {
    type Target = NamespaceKeys;

    fn deref(&self) -> &NamespaceKeys {
        &self.keys
    }
}
