use std::collections::HashSet;
use std::sync::{Arc, RwLock};

use super::index::{Index, Page};
use super::locks::{read, write};
use crate::crypto::Mac;
use crate::domain::{Filter, Order, Revision, Secret, SecretId, SecretName, Start};
use crate::integrity::StoredNamespaceKeys;

/// A namespace: its keys, and its secrets without their values.
pub struct NamespaceCatalog {
    keys: RwLock<Arc<StoredNamespaceKeys>>,
    pub(super) index: RwLock<Index>,
    /// The names whose records can not be opened, or were altered by somebody else, by their HMACs.
    altered_names: RwLock<HashSet<Mac>>,
}

impl NamespaceCatalog {
    pub(super) fn new(keys: Arc<StoredNamespaceKeys>) -> Self {
        Self { keys: RwLock::new(keys), index: RwLock::default(), altered_names: RwLock::default() }
    }

    /// The namespace's keys. What is planned with them is to be committed with them.
    pub fn keys(&self) -> Arc<StoredNamespaceKeys> {
        read(&self.keys).clone()
    }

    pub(super) fn set_keys(&self, keys: Arc<StoredNamespaceKeys>) {
        *write(&self.keys) = keys;
    }

    /// Whether somebody else altered the record of a name, which is that of a secret or was.
    pub fn is_name_altered(&self, name: &SecretName) -> bool {
        let altered = read(&self.altered_names);
        !altered.is_empty() && altered.contains(&self.keys().name_mac(name))
    }

    /// Whether somebody else altered the record at the HMAC of a name.
    pub fn is_altered(&self, name: &Mac) -> bool {
        read(&self.altered_names).contains(name)
    }

    pub(super) fn set_name_altered(&self, name: Mac, altered: bool) {
        let mut names = write(&self.altered_names);
        if altered {
            names.insert(name);
        } else {
            names.remove(&name);
        }
    }

    /// How many of its records can not be relied on.
    pub(super) fn damaged(&self) -> usize {
        read(&self.index).damaged() + read(&self.altered_names).len()
    }

    /// The secret of this name.
    pub fn secret(&self, name: &SecretName) -> Option<Arc<Secret>> {
        read(&self.index).find(name).cloned()
    }

    /// The secret of this id.
    pub fn secret_of(&self, id: SecretId) -> Option<Arc<Secret>> {
        read(&self.index).get(id).cloned()
    }

    /// How many records its secrets have in the store.
    pub fn records(&self) -> usize {
        read(&self.index).records()
    }

    /// The secrets of these names, all of one moment, and the revision of that moment; `None` for each that there is not.
    /// `reached` is a revision that the catalog had reached before.
    pub fn secrets(&self, names: &[SecretName], reached: Revision) -> (Vec<Option<Arc<Secret>>>, Revision) {
        let index = read(&self.index);
        (names.iter().map(|name| index.find(name).cloned()).collect(), index.as_of().max(reached))
    }

    /// How many of its secrets could not be opened.
    pub fn damaged_secrets(&self) -> usize {
        read(&self.index).damaged()
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
