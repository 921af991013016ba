use std::path::Path;
use std::sync::Arc;

use super::App;
use crate::auth::{ApiKey, Credential, KeyName};
use crate::catalog::{Catalog, LoadError};
use crate::crypto::{self, Keyring, MasterKeys};
use crate::domain::{Namespace, now};
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

impl From<LoadError> for SetupError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::KeyringMissing => Self::KeyringMissing,
            LoadError::WrongMasterKey => Self::WrongMasterKey,
            LoadError::Store(why) => Self::Store(why),
        }
    }
}

impl From<crypto::Error> for SetupError {
    fn from(error: crypto::Error) -> Self {
        Self::Crypto(error)
    }
}

/// The service over a store, which is set up first where it is new. The root key is handed out before the store is set
/// up with it: should that be cut short, the next start hands out another.
pub async fn open(
    store: Arc<dyn Store>,
    master: Arc<MasterKeys>,
    data_dir: &Path,
    hand_out_root_key: impl FnOnce(&Credential) -> std::io::Result<()>,
) -> Result<App, SetupError> {
    // The keyring is in the very first commit.
    if store.is_new().await? {
        let root = Credential::generate()?;
        hand_out_root_key(&root).map_err(SetupError::RootKey)?;
        set_up(&*store, &master, &root).await?;
    }
    let catalog = Catalog::load(store.clone(), master.clone()).await?;
    Ok(App::new(store, master, catalog, data_dir.to_owned()))
}

/// Puts the keyring and the root key into the store, together.
async fn set_up(store: &dyn Store, master: &MasterKeys, root: &Credential) -> Result<(), SetupError> {
    let (keyring, record) = Keyring::create(master)?;
    let home = Namespace::default_namespace();
    let key = ApiKey::new(&keyring, root, KeyName::root(), home, true, now(), None);
    let mut transaction = Transaction::default();
    transaction.require.push((Key::keyring(), Expect::Absent));
    transaction.put.push((Key::keyring(), record));
    transaction.put.push((Key::api_key(&key.id.0), key.seal(&keyring)?));
    match store.commit(transaction).await {
        Ok(_) => Ok(()),
        Err(CommitError::Unavailable(why)) => Err(why.into()),
        Err(CommitError::Conflict(_) | CommitError::TooLarge | CommitError::TooLate) => {
            Err(SetupError::Raced)
        }
    }
}
