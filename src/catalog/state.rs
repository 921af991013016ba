use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};

use super::index::Index;
use super::locks::{read, write};
use super::namespace::NamespaceCatalog;
use crate::auth::{ApiKey, ApiKeyId};
use crate::crypto::open_secret;
use crate::crypto::{Mac, Purpose};
use crate::domain::{Namespace, Revision, SecretId};
use crate::integrity::StoreDigest;
use crate::integrity::{StoredKeyring, StoredNamespaceKeys};
use crate::schema::{Kind, NamespaceId};
use crate::store::{Change, Key};

/// Everything that the catalog knows, as of one revision after another.
pub(super) struct State {
    keyring: RwLock<Arc<StoredKeyring>>,
    digest: RwLock<StoreDigest>,
    namespaces: RwLock<Namespaces>,
    api_keys: RwLock<ApiKeys>,
    /// Receipts that somebody else altered.
    altered_receipts: RwLock<HashSet<Mac>>,
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

/// What a change did to the secrets of one namespace.
#[derive(Default)]
struct Secrets<'a> {
    put: Vec<(SecretId, &'a [u8])>,
    delete: Vec<SecretId>,
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
    pub(super) fn new(keyring: Arc<StoredKeyring>, digest: StoreDigest) -> Self {
        Self {
            keyring: RwLock::new(keyring),
            digest: RwLock::new(digest),
            namespaces: RwLock::default(),
            api_keys: RwLock::default(),
            altered_receipts: RwLock::default(),
        }
    }

    pub(super) fn keyring(&self) -> Arc<StoredKeyring> {
        read(&self.keyring).clone()
    }

    pub(super) fn set_keyring(&self, keyring: Arc<StoredKeyring>) {
        *write(&self.keyring) = keyring;
    }

    pub(super) fn digest(&self) -> StoreDigest {
        *read(&self.digest)
    }

    pub(super) fn set_digest(&self, digest: StoreDigest) {
        *write(&self.digest) = digest;
    }

    pub(super) fn namespace(&self, namespace: &Namespace) -> Option<Arc<NamespaceCatalog>> {
        read(&self.namespaces).by_name.get(namespace).cloned()
    }

    pub(super) fn namespaces(&self) -> Vec<Arc<NamespaceCatalog>> {
        read(&self.namespaces).by_id.values().cloned().collect()
    }

    pub(super) fn is_damaged(&self, namespace: &Namespace) -> bool {
        read(&self.namespaces).damaged.contains(&self.keyring().namespace_mac(namespace))
    }

    pub(super) fn is_idempotency_record_altered(&self, receipt: &Mac) -> bool {
        read(&self.altered_receipts).contains(receipt)
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
            damaged: namespaces.by_name.values().map(|there| there.damaged()).sum::<usize>()
                + namespaces.damaged.len()
                + namespaces.orphaned.len()
                + read(&self.api_keys).damaged.len()
                + read(&self.altered_receipts).len(),
        }
    }

    /// How many records there are in the store, but for receipts. Looks at each secret.
    pub(super) fn records(&self) -> usize {
        let namespaces = read(&self.namespaces);
        let of_secrets: usize = namespaces.by_name.values().map(|there| read(&there.index).records()).sum();
        2 + namespaces.by_name.len() + read(&self.api_keys).by_id.len() + of_secrets
    }

    /// Takes in what one commit did, or several that were made together. What it did to the secrets of a namespace is seen as a
    /// whole, or not at all.
    pub(super) fn apply(&self, change: &Change) {
        let mut secrets: HashMap<NamespaceId, Secrets<'_>> = HashMap::new();
        for (key, value) in &change.put {
            match key.kind() {
                Kind::Secret(namespace, id) => secrets.entry(namespace).or_default().put.push((id, value)),
                other => self.put_other(&other, value, change.revision),
            }
        }
        for key in &change.delete {
            match key.kind() {
                Kind::Secret(namespace, id) => secrets.entry(namespace).or_default().delete.push(id),
                other => self.delete_other(&other),
            }
        }
        // Behind the namespaces, whose keys open them.
        for (namespace, secrets) in secrets {
            self.change_secrets(namespace, &secrets, change.revision);
        }
    }

    /// Takes in a stored record. One that can not be opened is remembered as damaged, and the rest is served.
    pub(super) fn put(&self, key: &Key, value: &[u8], revision: Revision) {
        match key.kind() {
            Kind::Secret(namespace, id) => {
                let secrets = Secrets { put: vec![(id, value)], delete: Vec::new() };
                self.change_secrets(namespace, &secrets, revision);
            }
            other => self.put_other(&other, value, revision),
        }
    }

    /// The same, of all but a secret.
    fn put_other(&self, kind: &Kind, value: &[u8], revision: Revision) {
        match kind {
            Kind::Namespace(mac) => self.put_namespace(mac, value, revision),
            Kind::ApiKey(id) => self.put_api_key(ApiKeyId(*id), value, revision),
            Kind::Name(namespace, mac) => self.put_name(*namespace, *mac, value),
            // The keyring and the digest come before the rest; what is left is read when it is needed.
            Kind::Keyring
            | Kind::Digest
            | Kind::Secret(..)
            | Kind::Version(..)
            | Kind::IdempotencyRecord(_)
            | Kind::Other => {}
        }
    }

    fn put_namespace(&self, mac: &Mac, value: &[u8], revision: Revision) {
        let mut namespaces = write(&self.namespaces);
        match StoredNamespaceKeys::open(&self.keyring(), mac, value, revision) {
            Ok(keys) => {
                namespaces.damaged.remove(mac);
                match namespaces.by_id.get(&keys.id()) {
                    // A namespace never changes but for the generations of its keys.
                    Some(there) if there.keys().revision() < revision => there.set_keys(keys),
                    Some(_) => {}
                    None => {
                        let (id, name) = (keys.id(), keys.namespace().clone());
                        let there = Arc::new(NamespaceCatalog::new(keys));
                        namespaces.by_id.insert(id, there.clone());
                        namespaces.by_name.insert(name, there);
                    }
                }
            }
            Err(error) => {
                tracing::error!(cause = %error, "a namespace's record can not be opened: its secrets are not served");
                namespaces.damaged.insert(*mac);
            }
        }
    }

    fn change_secrets(&self, namespace: NamespaceId, secrets: &Secrets<'_>, revision: Revision) {
        let there = read(&self.namespaces).by_id.get(&namespace).cloned();
        let Some(there) = there else {
            for (id, _) in &secrets.put {
                tracing::error!(secret = %id, "a secret's record belongs to no namespace that can be opened");
                write(&self.namespaces).orphaned.insert(*id);
            }
            return;
        };
        let keys = there.keys();
        // Away from the lock.
        let open = |(id, value): &(SecretId, &[u8])| {
            let opened = open_secret(&keys, *id, value, revision);
            if let Err(error) = &opened {
                tracing::error!(secret = %id, cause = %error, "a secret's record can not be opened: it is not served");
            }
            (*id, opened)
        };
        let opened: Vec<_> = secrets.put.iter().map(open).collect();
        let mut adopted = Vec::new();
        {
            let mut index = write(&there.index);
            for (id, opened) in opened {
                match opened {
                    Ok(secret) => {
                        index.put(secret);
                        adopted.push(id);
                    }
                    Err(_) => index.put_damaged(id),
                }
            }
            secrets.delete.iter().for_each(|id| index.delete(*id, revision));
        }
        adopted.retain(|id| read(&self.namespaces).orphaned.contains(id));
        for id in adopted {
            write(&self.namespaces).orphaned.remove(&id);
        }
    }

    /// The name of a secret stands in its own record too: this one is only looked at.
    fn put_name(&self, namespace: NamespaceId, mac: Mac, value: &[u8]) {
        let Some(there) = read(&self.namespaces).by_id.get(&namespace).cloned() else { return };
        let opened = there.keys().open_record(Purpose::Name, &mac, value);
        if let Err(error) = &opened {
            tracing::error!(cause = %error, "a name's record can not be opened: its secret is not served");
        }
        there.set_name_altered(mac, opened.is_err());
    }

    fn put_api_key(&self, id: ApiKeyId, value: &[u8], revision: Revision) {
        let mut api_keys = write(&self.api_keys);
        match ApiKey::open(&self.keyring(), id, value, revision) {
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

    /// Lets go of a record, of all but a secret.
    fn delete_other(&self, kind: &Kind) {
        match kind {
            Kind::ApiKey(id) => {
                write(&self.api_keys).by_id.remove(&ApiKeyId(*id));
            }
            // Namespaces stay once they are there.
            Kind::Namespace(_)
            | Kind::Keyring
            | Kind::Digest
            | Kind::Secret(..)
            | Kind::Name(..)
            | Kind::Version(..)
            | Kind::IdempotencyRecord(_)
            | Kind::Other => {}
        }
    }

    /// Takes in what somebody else did to the store, who could not carry the digest on: none of it is served, and none of
    /// what it replaced.
    pub(super) fn distrust(&self, change: &Change) {
        tracing::error!(
            revision = change.revision.0,
            records = change.put.len() + change.delete.len(),
            "the store was changed by something that is not this service: the records concerned are not served"
        );
        for key in change.put.iter().map(|(key, _)| key).chain(&change.delete) {
            match key.kind() {
                Kind::Namespace(mac) => write(&self.namespaces).distrust(mac, key),
                Kind::Secret(namespace, id) => match read(&self.namespaces).by_id.get(&namespace) {
                    Some(there) => write(&there.index).put_damaged(id),
                    None => tracing::error!(secret = %id, "it belongs to no namespace that can be opened"),
                },
                Kind::Name(namespace, mac) => {
                    if let Some(there) = read(&self.namespaces).by_id.get(&namespace) {
                        there.set_name_altered(mac, true);
                    }
                }
                Kind::ApiKey(id) => {
                    let mut api_keys = write(&self.api_keys);
                    api_keys.by_id.remove(&ApiKeyId(id));
                    api_keys.damaged.insert(ApiKeyId(id));
                }
                Kind::IdempotencyRecord(mac) => drop(write(&self.altered_receipts).insert(mac)),
                // The keyring and the digest stay what they are here, and every commit requires them to be that in the store.
                // A version that is not what its secret says is noticed when it is read.
                Kind::Keyring | Kind::Digest | Kind::Version(..) | Kind::Other => {}
            }
        }
    }
}

impl Namespaces {
    /// Serves no secret of a namespace any more.
    fn distrust(&mut self, mac: Mac, place: &Key) {
        self.damaged.insert(mac);
        self.by_name.retain(|_, there| there.keys().place() != place);
        self.by_id.retain(|_, there| there.keys().place() != place);
    }
}
