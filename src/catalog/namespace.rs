//! One namespace of the catalog: its keys, and its secrets without their values.
//!
//! Every read takes a lock for a moment, and sees the whole of a commit or nothing of it. The app asks it for secrets and
//! pages; the catalog's state feeds it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::due::PlannedBy;
use super::index::{Index, PackedSecret, Page};
use super::locks::{read, write};
use super::sealed::SealedSecrets;
use crate::auth::NameFilter;
use crate::crypto::Mac;
use crate::domain::{
    Filter, Metadata, Namespace, Order, OrderBy, Revision, RotationFilter, Secret, SecretId, SecretName,
    Start, Timestamp,
};
use crate::integrity::StoredNamespaceKeys;
use crate::limits::NamespaceQuotas;
use crate::schema::NamespaceId;

/// A namespace and its secrets.
pub struct NamespaceCatalog {
    id: NamespaceId,
    namespace: Namespace,
    keys: RwLock<Arc<StoredNamespaceKeys>>,
    pub(super) index: RwLock<Index>,
    /// The HMACs of the names whose records could not be opened or were altered.
    altered_names: RwLock<HashSet<Mac>>,
    sealed: Arc<SealedSecrets>,
    quotas: NamespaceQuotas,
}

/// Whether the process ends.
static PROCESS_ENDS: AtomicBool = AtomicBool::new(false);

/// Leaves the names and metadata of secrets in memory to the system, from now on: to free a million of them one by one takes a
/// second, and the process ends. Keys are wiped nevertheless.
pub fn process_ends() {
    PROCESS_ENDS.store(true, Ordering::Relaxed);
}

impl Drop for NamespaceCatalog {
    fn drop(&mut self) {
        if PROCESS_ENDS.load(Ordering::Relaxed) {
            let index = self.index.get_mut().unwrap_or_else(PoisonError::into_inner);
            let empty = Index::new(Namespace::default_namespace(), Duration::ZERO, false);
            std::mem::forget(std::mem::replace(index, empty));
        }
    }
}

impl NamespaceCatalog {
    /// A namespace without secrets. Expired ones will be kept for as long as `retention` says.
    pub(super) fn new(
        keys: Arc<StoredNamespaceKeys>,
        retention: Duration,
        sealed: Arc<SealedSecrets>,
        quotas: NamespaceQuotas,
    ) -> Self {
        Self {
            id: keys.id(),
            namespace: keys.namespace().clone(),
            index: RwLock::new(Index::new(keys.namespace().clone(), retention, quotas.limit_bytes())),
            keys: RwLock::new(keys),
            altered_names: RwLock::default(),
            sealed,
            quotas,
        }
    }

    /// The namespace's id.
    pub fn id(&self) -> NamespaceId {
        self.id
    }

    /// The namespace's keys. A change that is sealed with them must require, when it commits, that they are unchanged.
    pub fn keys(&self) -> Arc<StoredNamespaceKeys> {
        read(&self.keys).clone()
    }

    pub(super) fn set_keys(&self, keys: Arc<StoredNamespaceKeys>) {
        *write(&self.keys) = keys;
    }

    /// The quotas that its secrets concern.
    pub fn quotas(&self) -> &NamespaceQuotas {
        &self.quotas
    }

    /// Changes the index, and tells the quotas what its secrets take then. Readers see both or none. `secrets` are those concerned.
    pub(super) fn change_index(
        &self,
        secrets: impl IntoIterator<Item = SecretId>,
        change: impl FnOnce(&mut Index),
    ) {
        let mut index = write(&self.index);
        let before = index.taken();
        change(&mut index);
        self.quotas.changed(before, index.taken(), secrets);
    }

    /// Hands over a secret that was sealed to this record, which a commit is about to put, so that it does not have to be opened when
    /// it arrives. The commit is the secret's last change: the record holds no revision.
    pub fn hand_over(&self, record: &[u8], secret: &Secret) {
        self.sealed.hand_over(record, secret.clone());
    }

    /// Whether the record of this name could not be opened or was altered. The name may be that of a secret or a former one.
    pub fn is_name_altered(&self, name: &SecretName) -> bool {
        let altered = read(&self.altered_names);
        !altered.is_empty() && altered.contains(&self.keys().name_mac(name))
    }

    /// The same as [`NamespaceCatalog::is_name_altered`], for the HMAC of a name.
    pub fn is_altered(&self, name: &Mac) -> bool {
        read(&self.altered_names).contains(name)
    }

    pub(super) fn set_name_altered(&self, name: Mac, altered: bool) {
        if altered {
            write(&self.altered_names).insert(name);
        } else if !read(&self.altered_names).is_empty() {
            write(&self.altered_names).remove(&name);
        }
    }

    /// How many of its records could not be opened or were altered.
    pub(super) fn damaged(&self) -> usize {
        read(&self.index).damaged() + read(&self.altered_names).len()
    }

    /// The secret with this name, which is not deleted.
    pub fn secret(&self, name: &SecretName) -> Option<Arc<Secret>> {
        let found = read(&self.index).find(name).cloned();
        found?.unpack(&self.namespace)
    }

    /// The same with few of its versions: the current one, the pending one, and the one of that number. A secret can have hundreds of
    /// others.
    pub fn secret_with(&self, name: &SecretName, number: Option<u32>) -> Option<Arc<Secret>> {
        let found = read(&self.index).find(name).cloned();
        found?.unpack_briefly(&self.namespace, number)
    }

    /// The secret with this id, deleted or not.
    pub fn secret_of(&self, id: SecretId) -> Option<Arc<Secret>> {
        let found = read(&self.index).get(id).cloned();
        found?.unpack(&self.namespace)
    }

    /// How many records its secrets have in the store. Looks at every secret.
    pub fn records(&self) -> usize {
        read(&self.index).records()
    }

    /// The secrets with these names, with the current and the pending one of their versions, in the same order, with `None` for each name that no secret has; and the revision at
    /// which all of this was so. `reached` is a revision that the catalog had reached before the call.
    pub fn secrets(&self, names: &[SecretName], reached: Revision) -> (Vec<Option<Arc<Secret>>>, Revision) {
        let (found, revision): (Vec<_>, _) = {
            let index = read(&self.index);
            (names.iter().map(|name| index.find(name).cloned()).collect(), index.as_of().max(reached))
        };
        let unpack = |secret: Option<PackedSecret>| secret?.unpack_briefly(&self.namespace, None);
        (found.into_iter().map(unpack).collect(), revision)
    }

    /// How many of its secrets have records that could not be opened or were altered.
    pub fn damaged_secrets(&self) -> usize {
        read(&self.index).damaged()
    }

    /// Whether the record of this secret could not be opened or was altered.
    pub fn is_damaged(&self, id: SecretId) -> bool {
        read(&self.index).is_damaged(id)
    }

    /// The secrets whose rotations a worker can claim now, among those that match and whose names pass: those that could be claimed for
    /// longest first, at most as many as the limit.
    pub fn claimable(
        &self,
        names: &NameFilter,
        filter: &RotationFilter,
        now: Timestamp,
        limit: usize,
    ) -> Vec<Arc<Secret>> {
        let passes = |secret: &PackedSecret| {
            names.passes_text(secret.name_text()) && secret.matches(&filter.prefix, &filter.metadata)
        };
        read(&self.index).claimable(now, limit, passes)
    }

    /// Some of its secrets about which something is planned, with their places in the order of time: those behind a place.
    pub fn planned(
        &self,
        by: PlannedBy,
        after: Option<(Timestamp, SecretId)>,
        limit: usize,
    ) -> Vec<((Timestamp, SecretId), Arc<Secret>)> {
        read(&self.index).planned(by, after, limit)
    }

    /// How many of its secrets have names that pass, and how many of its deleted ones. The first time, it looks at every secret unless
    /// all names pass.
    pub fn count(&self, names: &NameFilter, namespace: &Namespace) -> (usize, usize) {
        let deleted = {
            let index = read(&self.index);
            if names.is_every() {
                return (index.len(), index.deleted());
            }
            index.deleted_of(names)
        };
        let every = Filter {
            namespace: namespace.clone(),
            prefix: "".into(),
            metadata: Metadata::default(),
            unused_since: None,
            include_deleted: false,
        };
        let order = Order { by: OrderBy::Name, descending: false };
        let (page, ..) = self.page(names, &every, order, &Start::Offset(0), 1, Revision::default());
        (page.total, deleted)
    }

    /// A page of those of its secrets whose names pass, the revision at which these were the secrets of the page, and how many
    /// secrets were damaged at that revision. The names of damaged secrets are not known, so none counts unless all names pass. `reached` is a revision that the catalog had reached before the call. `limit` is at least 1.
    pub fn page(
        &self,
        names: &NameFilter,
        filter: &Filter,
        order: Order,
        start: &Start,
        limit: usize,
        reached: Revision,
    ) -> (Page, Revision, usize) {
        let (page, revision, damaged) = {
            let index = read(&self.index);
            let damaged = if names.is_every() { index.damaged() } else { 0 };
            (index.page(names, filter, order, start, limit), index.as_of().max(reached), damaged)
        };
        let page = page.unwrap_or_else(|search| {
            // Without the lock, which every change needs.
            let result = search.run();
            let page = result.page(order, start, limit);
            write(&self.index).keep(result);
            page
        });
        (page.unpack(&self.namespace), revision, damaged)
    }
}
