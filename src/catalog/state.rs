use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::index::{Index, Page};
use super::record::open_secret;
use crate::auth::{ApiKey, ApiKeyId};
use crate::crypto::{self, Keyring, Mac, MasterKeys, NamespaceKeys};
use crate::domain::{Filter, Namespace, Order, Revision, Secret, SecretId, SecretName, Start};
use crate::store::key::{Kind, NamespaceId};
use crate::store::{Change, Entry, Key};

/// Everything that the catalog knows, as of one revision after another.
pub(super) struct State {
    keyring: Arc<StoredKeyring>,
    namespaces: RwLock<Namespaces>,
    api_keys: RwLock<ApiKeys>,
}

/// The keyring that the store holds.
pub struct StoredKeyring {
    keyring: Keyring,
    revision: Revision,
}

impl StoredKeyring {
    pub(super) fn open(master: &MasterKeys, record: &Entry) -> Result<Arc<Self>, crypto::Error> {
        let keyring = Keyring::open(master, &record.value)?;
        Ok(Arc::new(Self { keyring, revision: record.revision }))
    }

    /// The revision that put it there. What was sealed with it may be stored only while it is the store's keyring.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

impl Deref for StoredKeyring {
    type Target = Keyring;

    fn deref(&self) -> &Keyring {
        &self.keyring
    }
}

#[derive(Default)]
struct Namespaces {
    by_name: HashMap<Namespace, Arc<NamespaceCatalog>>,
    by_id: HashMap<NamespaceId, Arc<NamespaceCatalog>>,
    /// Records that could not be opened, by the HMAC of the namespace's name.
    damaged: HashSet<Mac>,
    /// Secrets whose namespace could not be opened.
    orphaned: HashSet<SecretId>,
}

#[derive(Default)]
struct ApiKeys {
    by_id: HashMap<ApiKeyId, Arc<ApiKey>>,
    damaged: HashSet<ApiKeyId>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Namespaces.
    pub namespaces: usize,
    /// Secrets, in all namespaces.
    pub secrets: usize,
    /// Records that could not be opened.
    pub damaged: usize,
}

impl State {
    pub(super) fn new(keyring: Arc<StoredKeyring>) -> Self {
        Self { keyring, namespaces: RwLock::default(), api_keys: RwLock::default() }
    }

    pub(super) fn keyring(&self) -> &Arc<StoredKeyring> {
        &self.keyring
    }

    pub(super) fn namespace(&self, namespace: &Namespace) -> Option<Arc<NamespaceCatalog>> {
        read(&self.namespaces).by_name.get(namespace).cloned()
    }

    pub(super) fn is_damaged(&self, namespace: &Namespace) -> bool {
        read(&self.namespaces).damaged.contains(&self.keyring.namespace_mac(namespace))
    }

    pub(super) fn api_key(&self, id: ApiKeyId) -> Option<Arc<ApiKey>> {
        read(&self.api_keys).by_id.get(&id).cloned()
    }

    pub(super) fn api_keys(&self) -> Vec<Arc<ApiKey>> {
        let mut keys: Vec<_> = read(&self.api_keys).by_id.values().cloned().collect();
        keys.sort_unstable_by_key(|key| (key.created_at, key.id));
        keys
    }

    pub(super) fn counts(&self) -> Counts {
        let namespaces = read(&self.namespaces);
        let of = |count: fn(&Index) -> usize| -> usize {
            namespaces.by_name.values().map(|there| count(&read(&there.index))).sum()
        };
        Counts {
            namespaces: namespaces.by_name.len(),
            secrets: of(Index::len),
            damaged: of(Index::damaged)
                + namespaces.damaged.len()
                + namespaces.orphaned.len()
                + read(&self.api_keys).damaged.len(),
        }
    }

    /// How many records there are in the store, but for receipts. Looks at each secret.
    pub(super) fn records(&self) -> usize {
        let namespaces = read(&self.namespaces);
        let of_secrets: usize = namespaces.by_name.values().map(|there| read(&there.index).records()).sum();
        1 + namespaces.by_name.len() + read(&self.api_keys).by_id.len() + of_secrets
    }

    /// Takes in what one commit did.
    pub(super) fn apply(&self, change: &Change) {
        for (key, value) in &change.put {
            self.put(key, value, change.revision);
        }
        for key in &change.delete {
            self.delete(key, change.revision);
        }
    }

    /// Takes in a stored record. One that can not be opened is remembered as damaged, and the rest is served.
    pub(super) fn put(&self, key: &Key, value: &[u8], revision: Revision) {
        match key.kind() {
            Kind::Namespace(mac) => self.put_namespace(&mac, value),
            Kind::Secret(namespace, id) => self.put_secret(namespace, id, value, revision),
            Kind::ApiKey(id) => self.put_api_key(ApiKeyId(id), value, revision),
            // Another keyring means another state; the rest is read when it is needed.
            Kind::Keyring | Kind::Name(..) | Kind::Version(..) | Kind::Receipt(_) | Kind::Other => {}
        }
    }

    fn put_namespace(&self, mac: &Mac, value: &[u8]) {
        let mut namespaces = write(&self.namespaces);
        match NamespaceKeys::open(&self.keyring, mac, value) {
            Ok((namespace, keys)) => {
                namespaces.damaged.remove(mac);
                // A namespace never changes: seen again, it keeps the secrets that it has.
                if !namespaces.by_id.contains_key(&keys.id()) {
                    let id = keys.id();
                    let index = RwLock::default();
                    let there = Arc::new(NamespaceCatalog { namespace: namespace.clone(), keys, index });
                    namespaces.by_id.insert(id, there.clone());
                    namespaces.by_name.insert(namespace, there);
                }
            }
            Err(error) => {
                tracing::error!(cause = %error, "a namespace's record can not be opened: its secrets are not served");
                namespaces.damaged.insert(*mac);
            }
        }
    }

    fn put_secret(&self, namespace: NamespaceId, id: SecretId, value: &[u8], revision: Revision) {
        let (there, orphaned) = {
            let namespaces = read(&self.namespaces);
            (namespaces.by_id.get(&namespace).cloned(), namespaces.orphaned.contains(&id))
        };
        let Some(there) = there else {
            tracing::error!(secret = %id, "a secret's record belongs to no namespace that can be opened");
            write(&self.namespaces).orphaned.insert(id);
            return;
        };
        match open_secret(&there.keys, &there.namespace, id, value, revision) {
            Ok(secret) => {
                write(&there.index).put(secret);
                if orphaned {
                    write(&self.namespaces).orphaned.remove(&id);
                }
            }
            Err(error) => {
                tracing::error!(secret = %id, cause = %error, "a secret's record can not be opened: it is not served");
                write(&there.index).put_damaged(id);
            }
        }
    }

    fn put_api_key(&self, id: ApiKeyId, value: &[u8], revision: Revision) {
        let mut api_keys = write(&self.api_keys);
        match ApiKey::open(&self.keyring, id, value, revision) {
            Ok(key) => {
                api_keys.damaged.remove(&id);
                api_keys.by_id.insert(id, Arc::new(key));
            }
            Err(error) => {
                tracing::error!(api_key = %id, cause = %error, "an API key's record can not be opened: the key is refused");
                api_keys.by_id.remove(&id);
                api_keys.damaged.insert(id);
            }
        }
    }

    fn delete(&self, key: &Key, revision: Revision) {
        match key.kind() {
            Kind::Secret(namespace, id) => {
                if let Some(there) = read(&self.namespaces).by_id.get(&namespace) {
                    write(&there.index).delete(id, revision);
                }
            }
            Kind::ApiKey(id) => {
                write(&self.api_keys).by_id.remove(&ApiKeyId(id));
            }
            // Namespaces stay once they are there.
            Kind::Namespace(_)
            | Kind::Keyring
            | Kind::Name(..)
            | Kind::Version(..)
            | Kind::Receipt(_)
            | Kind::Other => {}
        }
    }
}

/// A namespace: its keys, and its secrets without their values.
pub struct NamespaceCatalog {
    namespace: Namespace,
    keys: NamespaceKeys,
    index: RwLock<Index>,
}

impl NamespaceCatalog {
    /// The namespace's keys.
    pub fn keys(&self) -> &NamespaceKeys {
        &self.keys
    }

    /// The secret of this name.
    pub fn secret(&self, name: &SecretName) -> Option<Arc<Secret>> {
        read(&self.index).find(name).cloned()
    }

    /// The secrets of these names, all of one moment, and the revision of that moment; `None` for each that there is not.
    /// `reached` is a revision that the catalog had reached before.
    pub fn secrets(&self, names: &[SecretName], reached: Revision) -> (Vec<Option<Arc<Secret>>>, Revision) {
        let index = read(&self.index);
        (names.iter().map(|name| index.find(name).cloned()).collect(), index.as_of().max(reached))
    }

    /// Whether any of its secrets could not be opened.
    pub fn has_damage(&self) -> bool {
        read(&self.index).damaged() > 0
    }

    /// Whether the secret of this id could not be opened.
    pub fn is_damaged(&self, id: SecretId) -> bool {
        read(&self.index).is_damaged(id)
    }

    /// A page of its secrets, all of one moment, and the revision of that moment. `reached` is a revision that the
    /// catalog had reached before.
    pub fn page(
        &self,
        filter: &Filter,
        order: Order,
        start: &Start,
        limit: usize,
        reached: Revision,
    ) -> (Page, Revision) {
        let (needed, revision) = {
            let index = read(&self.index);
            (index.page(filter, order, start, limit), index.as_of().max(reached))
        };
        let page = needed.unwrap_or_else(|search| {
            // Away from the lock, which every change needs.
            let found = search.run();
            let page = found.page(order, start, limit);
            write(&self.index).keep(found);
            page
        });
        (page, revision)
    }
}

// A panic while a lock was held can not have left these structures half-changed in a way that matters more than
// serving on: the catalog is a copy, and the store stays the truth.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
