use std::sync::Arc;

use super::App;
use crate::auth::{ApiKey, Credential, KeyName};
use crate::catalog::Catalog;
use crate::crypto::{self, Keyring, MasterKey};
use crate::domain::{Namespace, Revision, now};
use crate::store::{CommitError, Expect, Key, Store, Transaction, Unavailable};

/// Why the service can not be set up over a store.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The store was made with another master key.
    #[error(
        "the master key is not the one that this store was made with, or the store's keyring was altered: nothing was \
         changed. Give the right key with --master-key-file"
    )]
    WrongMasterKey,
    /// The store holds data but not the keys to it.
    #[error(
        "the store holds data, but its keyring is gone, so nothing in it can be opened: nothing was changed. Restore the \
         data folder from a copy"
    )]
    KeyringMissing,
    /// The operating system gave no random numbers.
    #[error(transparent)]
    Crypto(crypto::Error),
    /// The store can not serve.
    #[error(transparent)]
    Store(#[from] Unavailable),
    /// The first API key could not be handed out.
    #[error("the root key could not be written: {0}")]
    RootKey(std::io::Error),
    /// Two servers set up the same store at once.
    #[error("another server is setting up this store: start again")]
    Raced,
}

impl From<crypto::Error> for SetupError {
    fn from(error: crypto::Error) -> Self {
        Self::Crypto(error)
    }
}

/// Whether the store has never been set up.
pub async fn store_is_new(store: &dyn Store) -> Result<bool, Unavailable> {
    Ok(store.durable() == Revision::default() && store.get(&Key::keyring()).await?.is_none())
}

/// The service over a store, which is set up first where it is new. The root key is handed out before the store is set
/// up with it: should that be cut short, the next start hands out another.
pub async fn open(
    store: Arc<dyn Store>,
    master: &MasterKey,
    hand_out_root_key: impl FnOnce(&Credential) -> std::io::Result<()>,
) -> Result<App, SetupError> {
    let keyring = match store.get(&Key::keyring()).await? {
        Some(entry) => Keyring::open(master, &entry.value).map_err(|_| SetupError::WrongMasterKey)?,
        // The keyring is in the very first commit.
        None if store.durable() > Revision::default() => return Err(SetupError::KeyringMissing),
        None => {
            let root = Credential::generate()?;
            hand_out_root_key(&root).map_err(SetupError::RootKey)?;
            set_up(&*store, master, &root).await?
        }
    };
    let keyring = Arc::new(keyring);
    let catalog = Catalog::load(store.clone(), keyring.clone()).await?;
    Ok(App::new(store, keyring, catalog))
}

/// Puts the keyring and the root key into the store, together.
async fn set_up(store: &dyn Store, master: &MasterKey, root: &Credential) -> Result<Keyring, SetupError> {
    let (keyring, record) = Keyring::create(master)?;
    let home = Namespace::default_namespace();
    let key = ApiKey::new(&keyring, root, KeyName::root(), home, true, now(), None);
    let mut transaction = Transaction::default();
    transaction.require.push((Key::keyring(), Expect::Absent));
    transaction.put.push((Key::keyring(), record));
    transaction.put.push((Key::api_key(&key.id.0), key.seal(&keyring)?));
    match store.commit(transaction).await {
        Ok(_) => Ok(keyring),
        Err(CommitError::Unavailable(why)) => Err(why.into()),
        Err(CommitError::Conflict(_) | CommitError::TooLarge) => Err(SetupError::Raced),
    }
}
