//! What is in the store, decrypted and in memory, without any value: names, metadata, current versions, API keys.
//!
//! The catalog is built from a scan of the store and kept current by the store's watch, so that it shows only durable
//! changes. The app finds secrets and answers lists here. After a commit the app waits until the change has arrived here,
//! so that a caller whose change was confirmed can also see it.

mod access;
mod apply;
mod due;
mod hub;
mod index;
mod load;
mod locks;
mod namespace;
mod reload;
mod sealed;
mod sizes;
mod state;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use self::due::DueAlarm;
pub use self::due::{DueSecret, PlannedBy};
use self::hub::EventHub;
pub use self::hub::{
    ChangeEvents, Delivery, EventDamaged, EventsMissed, HistoryChanges, Subscription, Watched,
};
pub use self::index::Page;
use self::load::{follow, scan};
use self::locks::{read, write};
pub use self::namespace::{NamespaceCatalog, process_ends};
use self::reload::Staleness;
pub use self::state::Counts;
use self::state::State;
use crate::auth::{ApiKey, ApiKeyId, Policy};
use crate::crypto::{Mac, MasterKeyProvider};
use crate::domain::{Minute, Namespace, Revision, Timestamp};
pub use crate::integrity::LoadError;
use crate::integrity::{Heartbeat, ServerIdentity, StoreDigest, StoredKeyring};
use crate::limits::{NamespaceQuotas, Quota, QuotaUse};
use crate::schema::NamespaceId;
use crate::store::{Digester, Store, Unavailable, UnavailableCause};

/// The catalog of a store. Shared by all requests; a background task keeps it current until it is dropped.
pub struct Catalog {
    store: Arc<dyn Store>,
    provider: Arc<MasterKeyProvider>,
    /// Replaced as a whole when the store is loaded again.
    state: RwLock<Arc<State>>,
    /// Knows the newest revision that every read sees, and tells watchers of the events up to it. A read can see the next change
    /// a moment before.
    hub: Arc<EventHub>,
    /// Told of every change that touches an API key, a role or a binding.
    access_changes: watch::Sender<()>,
    staleness: Staleness,
    due: Arc<DueAlarm>,
    /// How much the secrets of namespaces may take.
    quotas: Arc<[Quota]>,
    /// Who makes the commits of this server.
    server: Arc<ServerIdentity>,
}

/// How long a caller waits until the catalog reaches a revision.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);

impl Catalog {
    /// Loads the whole store, checks it against its digest, and follows its changes from then on. Expired secrets are kept for as
    /// long as `retention` says. What secrets take of the quotas is counted from the beginning.
    ///
    /// Fails where the store cannot serve, the master key does not open the keyring, or the digest does not match the
    /// records. A single record that does not open is marked as damaged, and the rest is served.
    pub async fn load(
        store: Arc<dyn Store>,
        provider: Arc<MasterKeyProvider>,
        retention: Duration,
        quotas: Arc<[Quota]>,
    ) -> Result<Arc<Self>, LoadError> {
        let due = DueAlarm::new(retention);
        let (state, reached, watch) = scan(&*store, provider.keys(), &due, &quotas).await?;
        let server = ServerIdentity::new(store.interruptions());
        let catalog = Arc::new(Self {
            store,
            provider,
            state: RwLock::new(Arc::new(state)),
            hub: EventHub::new(reached),
            access_changes: watch::Sender::new(()),
            staleness: Staleness::default(),
            due,
            quotas,
            server,
        });
        tokio::spawn(follow(Arc::downgrade(&catalog), watch));
        Ok(catalog)
    }

    /// The newest revision that every read sees.
    pub fn revision(&self) -> Revision {
        self.hub.reached()
    }

    /// Waits until the catalog shows this revision or a later one, for at most 10 seconds.
    pub async fn at_least(&self, revision: Revision) -> Result<(), Unavailable> {
        if self.hub.reached() >= revision {
            return Ok(());
        }
        let mut reached = self.hub.reaches();
        let waited =
            tokio::time::timeout(REACH_TIMEOUT, reached.wait_for(|reached| *reached >= revision)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                let text = format!("the catalog has not reached revision {revision}");
                Err(Unavailable::because(UnavailableCause::Behind, text))
            }
        }
    }

    /// Fails where the catalog cannot follow its store any more, so that its state may be out of date: an API key that it
    /// shows may have been revoked. A store that only cannot serve at the moment does not make it fail.
    pub fn follows(&self) -> Result<(), Unavailable> {
        self.staleness.check()
    }

    /// Has `told` called just before the catalog stops to follow its store, with the reason, and when it follows it again. It must
    /// not call the catalog.
    pub fn tell_when_stale(&self, told: impl Fn(Option<&Unavailable>) + Send + Sync + 'static) {
        self.staleness.tell_to(Box::new(told));
    }

    /// The store's keyring.
    pub fn keyring(&self) -> Arc<StoredKeyring> {
        self.state().keyring()
    }

    /// The store's digest, as of the last change that was applied.
    pub fn digest(&self) -> StoreDigest {
        self.state().digest()
    }

    /// Carries the store's digest on from its last state here, for commits that were planned with this keyring.
    pub fn digester(&self, keyring: &StoredKeyring) -> Arc<dyn Digester> {
        keyring.digester(self.digest(), self.server.clone())
    }

    /// What this server tells the others over its store, with the time by its clock.
    pub fn heartbeat(&self, clock: Timestamp) -> Heartbeat {
        Heartbeat::new(&self.server, clock, &self.digest())
    }

    /// A namespace; `None` where it never had a secret.
    pub fn namespace(&self, namespace: &Namespace) -> Option<Arc<NamespaceCatalog>> {
        self.state().namespace(namespace)
    }

    /// All namespaces, in no order.
    pub fn namespaces(&self) -> Vec<Arc<NamespaceCatalog>> {
        self.state().namespaces()
    }

    /// Some namespaces in the order of their names: those behind this one, and only one and those below it, or all.
    pub fn namespaces_after(
        &self,
        after: Option<&Namespace>,
        below: Option<&Namespace>,
        limit: usize,
    ) -> Vec<(Namespace, Arc<NamespaceCatalog>)> {
        self.state().namespaces_after(after, below, limit)
    }

    /// How many namespaces have records that could not be opened or were altered.
    pub fn damaged_namespaces(&self) -> usize {
        self.state().damaged_namespaces()
    }

    /// The namespace with this id.
    pub fn namespace_of(&self, id: NamespaceId) -> Option<Arc<NamespaceCatalog>> {
        self.state().namespace_of(id)
    }

    /// Whether the store has a record of this namespace that could not be opened or was altered.
    pub fn is_damaged(&self, namespace: &Namespace) -> bool {
        self.state().is_damaged(namespace)
    }

    /// Whether something other than this service altered the idempotency record at this HMAC.
    pub fn is_idempotency_record_altered(&self, record: &Mac) -> bool {
        self.state().is_idempotency_record_altered(record)
    }

    /// The API key with this id, in force or not, and the keyring that opened it.
    pub fn credential(&self, id: ApiKeyId) -> Option<(Arc<ApiKey>, Arc<StoredKeyring>)> {
        let state = self.state();
        Some((state.api_key(id)?, state.keyring()))
    }

    /// The API key with this id, in force or not.
    pub fn api_key(&self, id: ApiKeyId) -> Option<Arc<ApiKey>> {
        self.state().api_key(id)
    }

    /// When the API key with this id was last used, as far as the store knows.
    pub fn key_last_used(&self, id: ApiKeyId) -> Option<Minute> {
        self.state().key_last_used(id)
    }

    /// All API keys, oldest first.
    pub fn api_keys(&self) -> Vec<Arc<ApiKey>> {
        self.state().api_keys()
    }

    /// Asks the policy: who may do what. No other part of the catalog may be asked meanwhile.
    pub fn with_policy<T>(&self, ask: impl FnOnce(&Policy) -> T) -> T {
        let state = self.state();
        let access = read(&state.access);
        ask(&access.policy)
    }

    /// Tells when an API key, a role or a binding changes: after the catalog shows the change.
    pub fn access_changes(&self) -> watch::Receiver<()> {
        self.access_changes.subscribe()
    }

    /// The events of a namespace, or of a tree of namespaces, from now on.
    pub fn watch_events(&self, watched: Watched) -> Subscription {
        self.hub.subscribe(watched)
    }

    /// How many events the history of the store has got and lost since the catalog was loaded.
    pub fn history_changes(&self) -> HistoryChanges {
        self.hub.history_changes()
    }

    /// How many namespaces, secrets and damaged records the catalog has.
    pub fn counts(&self) -> Counts {
        self.state().counts()
    }

    /// The quotas that the secrets of a namespace concern, which need not be there yet.
    pub fn quotas_of(&self, namespace: &Namespace) -> NamespaceQuotas {
        self.state().quotas.of(namespace)
    }

    /// How much of each quota is used, in the order of the configuration.
    pub fn quota_usage(&self) -> Vec<QuotaUse> {
        self.state().quotas.usage()
    }

    /// The largest part of a quota's limit that is used: of secrets, and of bytes. `None` where no quota has such a limit.
    pub fn largest_quota_use(&self) -> [Option<f64>; 2] {
        self.state().quotas.largest_use()
    }

    /// How many records the store has, without idempotency records. Looks at every secret.
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
