//! What is in the store, decrypted and in memory, without any value: names, metadata, current versions, API keys.
//!
//! It is built from a scan and kept current by the store's watch, so it only ever shows what is durable. Reads find
//! their secret here, lists are answered from here, and a writer waits until its change has arrived here, so that
//! whoever is told of a change can also see it.

mod anew;
mod index;
mod load;
mod locks;
mod namespace;
mod orders;
mod ranked;
mod standing;
mod state;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use self::anew::Frozen;
pub use self::index::Page;
use self::load::{follow, scan};
use self::locks::{read, write};
pub use self::namespace::NamespaceCatalog;
pub use self::state::Counts;
use self::state::State;
use crate::auth::{ApiKey, ApiKeyId};
use crate::crypto::{Mac, MasterKeyProvider};
use crate::domain::{Namespace, Revision};
pub use crate::integrity::LoadError;
use crate::integrity::{StoreDigest, StoredKeyring};
use crate::store::{Store, Unavailable};

/// The catalog of a store.
pub struct Catalog {
    store: Arc<dyn Store>,
    provider: Arc<MasterKeyProvider>,
    state: RwLock<Arc<State>>,
    /// The newest revision that every read sees. A read can see the change after it, a moment before this says so.
    reached: watch::Sender<Revision>,
    frozen: Frozen,
}

/// How long a caller waits for the catalog to reach a revision, at most.
const PATIENCE: Duration = Duration::from_secs(10);

impl Catalog {
    /// Reads the whole store, and follows it from then on until this catalog is dropped.
    pub async fn load(
        store: Arc<dyn Store>,
        provider: Arc<MasterKeyProvider>,
    ) -> Result<Arc<Self>, LoadError> {
        let (state, reached, watch) = scan(&*store, provider.keys()).await?;
        let catalog = Arc::new(Self {
            store,
            provider,
            state: RwLock::new(Arc::new(state)),
            reached: watch::Sender::new(reached),
            frozen: Frozen::default(),
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

    /// Fails where it can not follow its store any more, and what it shows may not be so any more: a key that it has may have
    /// been revoked. A store that can not serve at the moment is no such case.
    pub fn follows(&self) -> Result<(), Unavailable> {
        self.frozen.check()
    }

    /// The store's keyring.
    pub fn keyring(&self) -> Arc<StoredKeyring> {
        self.state().keyring()
    }

    /// A namespace; `None` where nothing was ever put there.
    pub fn namespace(&self, namespace: &Namespace) -> Option<Arc<NamespaceCatalog>> {
        self.state().namespace(namespace)
    }

    /// Whether the namespace is in the store but could not be opened.
    pub fn is_damaged(&self, namespace: &Namespace) -> bool {
        self.state().is_damaged(namespace)
    }

    /// All namespaces.
    pub fn namespaces(&self) -> Vec<Arc<NamespaceCatalog>> {
        self.state().namespaces()
    }

    /// Whether the receipt at this HMAC was altered by somebody else.
    pub fn is_idempotency_record_altered(&self, receipt: &Mac) -> bool {
        self.state().is_idempotency_record_altered(receipt)
    }

    /// The store's digest, as of the newest revision that was taken in.
    pub fn digest(&self) -> StoreDigest {
        self.state().digest()
    }

    /// The API key of this id, in force or not, and the keyring that it was opened with.
    pub fn credential(&self, id: ApiKeyId) -> Option<(Arc<ApiKey>, Arc<StoredKeyring>)> {
        let state = self.state();
        Some((state.api_key(id)?, state.keyring()))
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
        read(&self.state).clone()
    }

    fn set_state(&self, state: State) {
        *write(&self.state) = Arc::new(state);
    }
}
