//! Everything that the catalog knows, as of one revision after another.
//!
//! A state is filled by a scan or by changes (`apply.rs`), and read by [`Catalog`](super::Catalog). Its parts have locks of
//! their own, held for a moment each. Where a call takes two of them, it takes `namespaces` before an index.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, RwLock};

use super::due::DueAlarm;
use super::locks::{read, write};
use super::namespace::NamespaceCatalog;
use super::sealed::SealedSecrets;
use crate::auth::{ApiKey, ApiKeyId, Policy};
use crate::crypto::Mac;
use crate::domain::{Minute, Namespace, SecretId};
use crate::integrity::{StoreDigest, StoredKeyring};
use crate::limits::Quotas;
use crate::schema::NamespaceId;
use crate::store::Key;

/// The catalog's state.
pub(super) struct State {
    keyring: RwLock<Arc<StoredKeyring>>,
    digest: RwLock<StoreDigest>,
    pub(super) namespaces: RwLock<Namespaces>,
    pub(super) api_keys: RwLock<ApiKeys>,
    pub(super) access: RwLock<Access>,
    /// The HMACs of idempotency records that something other than this service changed.
    pub(super) altered_idempotency_records: RwLock<HashSet<Mac>>,
    /// Told when something is due.
    pub(super) due: Arc<DueAlarm>,
    /// What this process has sealed a moment ago.
    pub(super) sealed: Arc<SealedSecrets>,
    /// How much the secrets of namespaces may take, and how much they take.
    pub(super) quotas: Arc<Quotas>,
}

/// All namespaces.
#[derive(Default)]
pub(super) struct Namespaces {
    pub(super) by_name: BTreeMap<Namespace, Arc<NamespaceCatalog>>,
    pub(super) by_id: HashMap<NamespaceId, Arc<NamespaceCatalog>>,
    /// The HMACs of the names of namespaces whose records could not be opened or were altered.
    pub(super) damaged: HashSet<Mac>,
    /// Secrets that belong to no namespace that could be opened.
    pub(super) orphaned: HashSet<SecretId>,
}

/// All API keys.
#[derive(Default)]
pub(super) struct ApiKeys {
    pub(super) by_id: HashMap<ApiKeyId, Arc<ApiKey>>,
    /// API keys whose records could not be opened or were altered.
    pub(super) damaged: HashSet<ApiKeyId>,
    /// When keys were last used, as far as the store knows.
    pub(super) last_used: HashMap<ApiKeyId, Minute>,
}

/// Who may do what.
#[derive(Default)]
pub(super) struct Access {
    pub(super) policy: Policy,
    /// The places of roles and bindings, and of the access epoch, whose records could not be opened or were altered.
    pub(super) damaged: HashSet<Key>,
}

/// How many things the catalog has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Namespaces.
    pub namespaces: usize,
    /// Secrets, in all namespaces, that are not deleted.
    pub secrets: usize,
    /// Deleted secrets that are not removed yet.
    pub deleted_secrets: usize,
    /// Records that could not be opened or were altered.
    pub damaged: usize,
}

impl State {
    /// A state without any namespace or API key.
    pub(super) fn new(
        keyring: Arc<StoredKeyring>,
        digest: StoreDigest,
        due: Arc<DueAlarm>,
        quotas: Arc<Quotas>,
    ) -> Self {
        Self {
            keyring: RwLock::new(keyring),
            digest: RwLock::new(digest),
            namespaces: RwLock::default(),
            api_keys: RwLock::default(),
            access: RwLock::default(),
            altered_idempotency_records: RwLock::default(),
            due,
            sealed: Arc::default(),
            quotas,
        }
    }

    pub(super) fn keyring(&self) -> Arc<StoredKeyring> {
        read(&self.keyring).clone()
    }

    pub(super) fn set_keyring(&self, keyring: Arc<StoredKeyring>) {
        *write(&self.keyring) = keyring;
    }

    pub(super) fn digest(&self) -> StoreDigest {
        read(&self.digest).clone()
    }

    pub(super) fn set_digest(&self, digest: StoreDigest) {
        *write(&self.digest) = digest;
    }

    pub(super) fn namespace(&self, namespace: &Namespace) -> Option<Arc<NamespaceCatalog>> {
        read(&self.namespaces).by_name.get(namespace).cloned()
    }

    pub(super) fn namespace_of(&self, id: NamespaceId) -> Option<Arc<NamespaceCatalog>> {
        read(&self.namespaces).by_id.get(&id).cloned()
    }

    /// Whether a quota limits the bytes of the values of this namespace.
    pub(super) fn counts_bytes(&self, id: NamespaceId) -> bool {
        read(&self.namespaces).by_id.get(&id).is_some_and(|catalog| catalog.quotas().limit_bytes())
    }

    pub(super) fn namespaces(&self) -> Vec<Arc<NamespaceCatalog>> {
        read(&self.namespaces).by_id.values().cloned().collect()
    }

    /// The namespaces behind a place in the order of names: all, or one and those below it. At most as many as the limit.
    pub(super) fn namespaces_after(
        &self,
        after: Option<&Namespace>,
        below: Option<&Namespace>,
        limit: usize,
    ) -> Vec<(Namespace, Arc<NamespaceCatalog>)> {
        let from = match (after, below) {
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(top)) => Bound::Included(top),
            (None, None) => Bound::Unbounded,
        };
        let namespaces = read(&self.namespaces);
        let behind = namespaces.by_name.range::<Namespace, _>((from, Bound::Unbounded));
        // Everything that begins with the name stands together; of this, `team-b` is not below `team`.
        let begins = |namespace: &Namespace, top: &Namespace| namespace.as_str().starts_with(top.as_str());
        let within = behind.take_while(|(namespace, _)| below.is_none_or(|top| begins(namespace, top)));
        let below = within.filter(|(namespace, _)| below.is_none_or(|top| namespace.is_within(top)));
        below.take(limit).map(|(namespace, catalog)| (namespace.clone(), catalog.clone())).collect()
    }

    pub(super) fn damaged_namespaces(&self) -> usize {
        read(&self.namespaces).damaged.len()
    }

    pub(super) fn is_damaged(&self, namespace: &Namespace) -> bool {
        read(&self.namespaces).damaged.contains(&self.keyring().namespace_mac(namespace))
    }

    pub(super) fn is_idempotency_record_altered(&self, record: &Mac) -> bool {
        read(&self.altered_idempotency_records).contains(record)
    }

    pub(super) fn api_key(&self, id: ApiKeyId) -> Option<Arc<ApiKey>> {
        read(&self.api_keys).by_id.get(&id).cloned()
    }

    pub(super) fn key_last_used(&self, id: ApiKeyId) -> Option<Minute> {
        read(&self.api_keys).last_used.get(&id).copied()
    }

    pub(super) fn api_keys(&self) -> Vec<Arc<ApiKey>> {
        let mut keys: Vec<_> = read(&self.api_keys).by_id.values().cloned().collect();
        keys.sort_unstable_by_key(|key| (key.created_at, key.id));
        keys
    }

    pub(super) fn counts(&self) -> Counts {
        let namespaces = read(&self.namespaces);
        let catalogs = || namespaces.by_name.values();
        Counts {
            namespaces: namespaces.by_name.len(),
            secrets: catalogs().map(|catalog| read(&catalog.index).len()).sum(),
            deleted_secrets: catalogs().map(|catalog| read(&catalog.index).deleted()).sum(),
            damaged: catalogs().map(|catalog| catalog.damaged()).sum::<usize>()
                + namespaces.damaged.len()
                + namespaces.orphaned.len()
                + read(&self.api_keys).damaged.len()
                + read(&self.access).damaged.len()
                + read(&self.altered_idempotency_records).len(),
        }
    }

    /// How many records the store has, without idempotency records. Looks at every secret.
    pub(super) fn records(&self) -> usize {
        let keyring_and_digest = 2;
        let namespaces = read(&self.namespaces);
        let records = |catalog: &Arc<NamespaceCatalog>| read(&catalog.index).records();
        let of_secrets: usize = namespaces.by_name.values().map(records).sum();
        let of_access = {
            let access = read(&self.access);
            access.policy.len()
                + access.policy.used()
                + access.policy.roles().count()
                + usize::from(access.policy.epoch().is_some())
        };
        keyring_and_digest
            + namespaces.by_name.len()
            + {
                let api_keys = read(&self.api_keys);
                api_keys.by_id.len() + api_keys.last_used.len()
            }
            + of_access
            + of_secrets
    }
}
