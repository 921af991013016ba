//! Keys together with the place and revision of their records in the store.

use std::ops::Deref;
use std::sync::Arc;

use super::{DigestCarrier, ServerIdentity, StoreDigest};
use crate::crypto::{Error, Keyring, Mac, MasterKeys, NamespaceKeys};
use crate::domain::Revision;
use crate::store::{Digester, Expect, Key};

/// The keyring, with the revision of its record.
pub struct StoredKeyring {
    keyring: Arc<Keyring>,
    revision: Revision,
}

impl StoredKeyring {
    /// Opens the keyring's record, away from the threads that answer requests: the key may come from a passphrase
    /// by a slow function.
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

    /// The precondition of a transaction whose records this keyring sealed: a later keyring may not open them.
    pub fn unchanged(&self) -> (Key, Expect) {
        (Key::keyring(), Expect::At(self.revision))
    }

    /// The digester of this server for a store whose digest was last seen as this.
    pub fn digester(&self, seen: StoreDigest, server: Arc<ServerIdentity>) -> Arc<dyn Digester> {
        Arc::new(DigestCarrier::from(self.keyring.clone(), seen, server))
    }
}

impl Deref for StoredKeyring {
    type Target = Keyring;

    fn deref(&self) -> &Keyring {
        &self.keyring
    }
}

/// The keys of a namespace, with the key and revision of their record.
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

    /// The precondition of a transaction whose records these keys sealed: later keys may not open them.
    pub fn unchanged(&self) -> (Key, Expect) {
        (self.place.clone(), Expect::At(self.revision))
    }

    /// The key of their record.
    pub fn place(&self) -> &Key {
        &self.place
    }

    /// The revision that put their record there.
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
