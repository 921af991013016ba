//! What is in the store, decrypted and in memory, without any value: names, metadata, current versions, API keys.
//!
//! It is built from a scan and kept current by the store's watch, so it only ever shows what is durable. Reads find
//! their secret here, lists are answered from here, and a writer waits until its change has arrived here, so that
//! whoever is told of a change can also see it.

mod index;
mod orders;
mod ranked;
mod record;
mod standing;
mod state;

use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::watch;

pub use self::index::Page;
pub use self::record::{decode_secret, encode_secret, seal_secret};
use self::state::State;
pub use self::state::{Counts, NamespaceCatalog, StoredKeyring};
use crate::auth::{ApiKey, ApiKeyId};
use crate::crypto::MasterKeys;
use crate::domain::{Namespace, Revision};
use crate::store::key::Kind;
use crate::store::{Change, Key, Store, Unavailable, Watch, WatchEnd};

/// The catalog of a store.
pub struct Catalog {
    store: Arc<dyn Store>,
    master: Arc<MasterKeys>,
    state: RwLock<Arc<State>>,
    /// The newest revision that every read sees. A read can see the change after it, a moment before this says so.
    reached: watch::Sender<Revision>,
}

/// How long a caller waits for the catalog to reach a revision, at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many records are read from the store at a time while loading.
const SCAN: usize = 1000;
/// How long to wait after the store could not be read anew.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// Why a store can not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It has no keyring.
    #[error("the store has no keyring")]
    KeyringMissing,
    /// The master key does not open its keyring.
    #[error("the master key does not open the store's keyring")]
    WrongMasterKey,
    /// It can not serve.
    #[error(transparent)]
    Store(#[from] Unavailable),
}

impl Catalog {
    /// Reads the whole store, and follows it from then on until this catalog is dropped.
    pub async fn load(store: Arc<dyn Store>, master: Arc<MasterKeys>) -> Result<Arc<Self>, LoadError> {
        let (state, reached, watch) = scan(&*store, &master).await?;
        let catalog = Arc::new(Self {
            store,
            master,
            state: RwLock::new(Arc::new(state)),
            reached: watch::Sender::new(reached),
        });
        tokio::spawn(follow(Arc::downgrade(&catalog), watch));
        Ok(catalog)
    }

    /// The revision that it shows.
    pub fn revision(&self) -> Revision {
        *self.reached.borrow()
    }

    /// Waits until it shows that revision or a later one, within a bound.
    pub async fn at_least(&self, revision: Revision) -> Result<(), Unavailable> {
        let mut reached = self.reached.subscribe();
        let waited = tokio::time::timeout(PATIENCE, reached.wait_for(|reached| *reached >= revision)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Unavailable(format!("it has not reached revision {revision}").into())),
        }
    }

    /// The store's keyring.
    pub fn keyring(&self) -> Arc<StoredKeyring> {
        self.state().keyring().clone()
    }

    /// A namespace; `None` where nothing was ever put there.
    pub fn namespace(&self, namespace: &Namespace) -> Option<Arc<NamespaceCatalog>> {
        self.state().namespace(namespace)
    }

    /// Whether the namespace is in the store but could not be opened.
    pub fn is_damaged(&self, namespace: &Namespace) -> bool {
        self.state().is_damaged(namespace)
    }

    /// The API key of this id, in force or not, and the keyring that it was opened with.
    pub fn credential(&self, id: ApiKeyId) -> Option<(Arc<ApiKey>, Arc<StoredKeyring>)> {
        let state = self.state();
        Some((state.api_key(id)?, state.keyring().clone()))
    }

    /// The API key of this id, in force or not.
    pub fn api_key(&self, id: ApiKeyId) -> Option<Arc<ApiKey>> {
        self.state().api_key(id)
    }

    /// All API keys, oldest first.
    pub fn api_keys(&self) -> Vec<Arc<ApiKey>> {
        self.state().api_keys()
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        self.state().counts()
    }

    /// How many records there are in the store, but for receipts. Looks at each secret.
    pub fn records(&self) -> usize {
        self.state().records()
    }

    fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes in every change, in order, until the catalog is dropped or its store is closed.
async fn follow(catalog: Weak<Catalog>, mut watch: Watch) {
    loop {
        match watch.next().await {
            Ok(change) if !changes_keyring(&change) => {
                let Some(catalog) = catalog.upgrade() else { return };
                catalog.state().apply(&change);
                catalog.reached.send_replace(change.revision);
            }
            Err(WatchEnd::Closed) => return,
            // Too far behind, or the store was replaced, or has another keyring.
            Ok(_) | Err(WatchEnd::Compacted) => match begin_anew(&catalog).await {
                Some(from_there) => watch = from_there,
                None => return,
            },
        }
    }
}

/// Reads the whole store anew, until that succeeds or the catalog is dropped; the old state is served until the new one is
/// whole.
async fn begin_anew(catalog: &Weak<Catalog>) -> Option<Watch> {
    loop {
        {
            let catalog = catalog.upgrade()?;
            match scan(&*catalog.store, &catalog.master).await {
                Ok((state, reached, watch)) => {
                    *catalog.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
                    catalog.reached.send_replace(reached);
                    return Some(watch);
                }
                Err(error) => {
                    tracing::error!(cause = %error, "the catalog can not be read anew; trying again");
                }
            }
        }
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
    }
}

fn changes_keyring(change: &Change) -> bool {
    change.put.iter().map(|(key, _)| key).chain(&change.delete).any(|key| key.kind() == Kind::Keyring)
}

/// Reads the whole store. A scan is not of one moment, and can show what is not durable yet; so the changes made
/// meanwhile are taken in on top, up to the newest that the scan can have shown, and only then is the state served.
async fn scan(store: &dyn Store, master: &MasterKeys) -> Result<(State, Revision, Watch), LoadError> {
    loop {
        if let Some(scanned) = scan_once(store, master).await? {
            return Ok(scanned);
        }
        tracing::info!(
            "the store was replaced, or changed faster than it was read: it is read from its beginning"
        );
    }
}

/// The same, or `None` where it has to begin anew.
async fn scan_once(
    store: &dyn Store,
    master: &MasterKeys,
) -> Result<Option<(State, Revision, Watch)>, LoadError> {
    let mut reached = store.durable();
    let mut watch = store.watch(reached);
    let record = store.get(&Key::keyring()).await?.ok_or(LoadError::KeyringMissing)?;
    let keyring = StoredKeyring::open(master, &record).map_err(|_| LoadError::WrongMasterKey)?;
    let state = State::new(keyring);
    for prefix in [Key::namespaces(), Key::api_keys(), Key::secrets()] {
        let mut after = None;
        loop {
            let found = store.scan(&prefix, after.as_ref(), SCAN).await?;
            for (key, entry) in &found {
                state.put(key, &entry.value, entry.revision);
            }
            // Taken in as they come, so that they do not leave the store's bounded log before.
            if !take_in(&state, &mut watch, &mut reached, store.durable()).await? {
                return Ok(None);
            }
            let Some((last, _)) = found.last() else { break };
            after = Some(last.clone());
            tokio::task::yield_now().await;
        }
    }
    let newest = store.revision().await?;
    let whole = take_in(&state, &mut watch, &mut reached, newest).await?;
    Ok(whole.then_some((state, reached, watch)))
}

/// Takes in the changes up to a revision, and says whether all of them could be.
async fn take_in(
    state: &State,
    watch: &mut Watch,
    reached: &mut Revision,
    newest: Revision,
) -> Result<bool, LoadError> {
    while *reached < newest {
        match watch.next().await {
            Ok(change) if !changes_keyring(&change) => {
                state.apply(&change);
                *reached = change.revision;
            }
            Ok(_) | Err(WatchEnd::Compacted) => return Ok(false),
            Err(WatchEnd::Closed) => return Err(Unavailable("it is closed".into()).into()),
        }
    }
    Ok(true)
}
