//! The secrets of one namespace in memory, found by name, by id and by metadata, and in every order that a list can have.
//!
//! An index holds secrets without their values. It always holds the newest state of a secret that it was given: an older
//! state that arrives later changes nothing. All its parts ([`Orders`], the metadata index, the [`FilterCache`]) hold the
//! same secrets after every call. [`NamespaceCatalog`](super::NamespaceCatalog) keeps it behind a lock: readers ask for
//! secrets and pages, and the catalog's state puts and deletes what the store's changes say.

mod filter_cache;
mod orders;
mod ranked_set;
mod search;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use self::filter_cache::{FilterCache, FilterQuery};
use self::orders::{Orders, PAGE_BYTES};
use self::search::{IndexChange, Search, SearchChanges, SearchResult};
use crate::auth::NameFilter;
use crate::domain::{
    Cursor, Filter, Metadata, Minute, Order, OrderBy, Revision, Secret, SecretId, SecretName, Start, Timestamp,
};

/// More bytes than the name, the description and the metadata of a secret have.
const MAX_SECRET_BYTES: usize = 64 << 10;

/// The index of one namespace.
#[derive(Default)]
pub(super) struct Index {
    all: Orders,
    by_id: HashMap<SecretId, Arc<Secret>>,
    /// For each key and value of metadata, the secrets that have this pair.
    by_pair: HashMap<Box<str>, HashMap<Box<str>, Orders>>,
    /// The secrets that match recently used filters which no single pair answers.
    filters: FilterCache,
    /// The latest changes, for searches that began before them.
    changes: SearchChanges,
    /// The secrets whose rotations workers can claim, by the time from which they can.
    claimable: BTreeSet<(Timestamp, SecretId)>,
    /// The revision of the last change.
    as_of: Revision,
    /// Secrets whose records could not be opened or were altered. None of them is in the other fields.
    damaged: HashSet<SecretId>,
}

/// A page of secrets.
#[derive(Debug, Default)]
pub struct Page {
    /// The secrets, in the order that was asked for.
    pub items: Vec<Arc<Secret>>,
    /// How many secrets match the filter, on all pages together.
    pub total: usize,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Cursor>,
}

impl Page {
    /// About how many bytes a page of so many secrets has at most.
    pub fn max_bytes(limit: usize) -> usize {
        limit.saturating_mul(MAX_SECRET_BYTES).min(PAGE_BYTES)
    }
}

impl Index {
    /// How many secrets the index holds, without damaged ones.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many records these secrets have in the store: each has its own, one for its name, one for each stored
    /// version, and one for its usage. Looks at every secret.
    pub(super) fn records(&self) -> usize {
        let usage = |secret: &Secret| usize::from(secret.last_read.is_some());
        self.by_id.values().map(|secret| 2 + secret.stored_versions().count() + usage(secret)).sum()
    }

    /// How many secrets are damaged.
    pub(super) fn damaged(&self) -> usize {
        self.damaged.len()
    }

    /// Whether this secret is damaged.
    pub(super) fn is_damaged(&self, id: SecretId) -> bool {
        self.damaged.contains(&id)
    }

    /// The secret with this id.
    pub(super) fn get(&self, id: SecretId) -> Option<&Arc<Secret>> {
        self.by_id.get(&id)
    }

    /// The secret with this name.
    pub(super) fn find(&self, name: &SecretName) -> Option<&Arc<Secret>> {
        self.all.find(name)
    }

    /// The revision of the last change to this namespace: every state of the store from then until the next change shows
    /// the same secrets here.
    pub(super) fn as_of(&self) -> Revision {
        self.as_of
    }

    /// The secrets whose rotations workers can claim now, and which pass: those that could be claimed for longest first, at most as many as
    /// the limit. Looks only at secrets whose rotations are due.
    pub(super) fn claimable(
        &self,
        now: Timestamp,
        limit: usize,
        passes: impl Fn(&Secret) -> bool,
    ) -> Vec<Arc<Secret>> {
        let due = self.claimable.iter().take_while(|(at, _)| *at <= now);
        let secrets = due.filter_map(|(_, id)| self.by_id.get(id));
        secrets.filter(|secret| secret.is_claimable(now) && passes(secret)).take(limit).cloned().collect()
    }

    /// Puts a secret in place of its older state. A state that is not newer than the present one changes nothing.
    pub(super) fn put(&mut self, mut secret: Secret) {
        if self.by_id.get(&secret.id).is_some_and(|present| present.stored_at >= secret.stored_at) {
            return;
        }
        // The record of a secret does not say when it was read.
        secret.last_read =
            self.by_id.get(&secret.id).and_then(|present| present.last_read).max(secret.last_read);
        self.as_of = self.as_of.max(secret.stored_at);
        self.replace(secret);
    }

    /// Notes that a value of a secret was read, as the commit with this revision says.
    pub(super) fn set_last_read(&mut self, id: SecretId, at: Minute, revision: Revision) {
        let Some(present) = self.by_id.get(&id).filter(|present| present.last_read < Some(at)) else {
            return;
        };
        let secret = Secret { last_read: Some(at), ..Secret::clone(present) };
        self.as_of = self.as_of.max(revision);
        self.replace(secret);
    }

    /// Puts a secret in place of the present state.
    fn replace(&mut self, secret: Secret) {
        self.remove(secret.id);
        let secret = Arc::new(secret);
        self.all.insert(&secret);
        self.filters.insert(&secret);
        self.changes.record(IndexChange::Put(secret.clone()));
        for (key, value) in secret.metadata.iter() {
            self.by_pair.entry(key.into()).or_default().entry(value.into()).or_default().insert(&secret);
        }
        self.claimable.extend(secret.claimable_at().map(|at| (at, secret.id)));
        self.by_id.insert(secret.id, secret);
    }

    /// Marks a secret as damaged: from now on it is neither found nor listed.
    pub(super) fn put_damaged(&mut self, id: SecretId) {
        self.remove(id);
        self.damaged.insert(id);
    }

    /// Removes a secret, as the commit with this revision did.
    pub(super) fn delete(&mut self, id: SecretId, revision: Revision) {
        self.as_of = self.as_of.max(revision);
        self.remove(id);
    }

    fn remove(&mut self, id: SecretId) {
        self.damaged.remove(&id);
        let Some(secret) = self.by_id.remove(&id) else { return };
        self.all.remove(&secret);
        if let Some(at) = secret.claimable_at() {
            self.claimable.remove(&(at, secret.id));
        }
        self.filters.remove(&secret);
        self.changes.record(IndexChange::Removed(secret.clone()));
        for (key, value) in secret.metadata.iter() {
            let Some(values) = self.by_pair.get_mut(key) else { continue };
            if let Some(secrets) = values.get_mut(value) {
                secrets.remove(&secret);
                if secrets.len() == 0 {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.by_pair.remove(key);
            }
        }
    }

    /// A page of the secrets that match and whose names pass, at a cost that does not depend on how many secrets there are.
    ///
    /// `Err` is the search that has to run first: the filter has several pairs, a prefix in an order by time, or a time since
    /// which no value was read, or not all names pass, and the cache does not hold it. The caller runs the search without the index's lock, and gives the result to
    /// [`Index::keep`].
    pub(super) fn page(
        &self,
        names: &NameFilter,
        filter: &Filter,
        order: Order,
        start: &Start,
        limit: usize,
    ) -> Result<Page, Box<Search>> {
        let Some(rarest) = self.rarest(&filter.metadata) else { return Ok(Page::default()) };
        // In the order of names a prefix is a range. In an order by time it is a filter like any other.
        let (range, prefix) = match order.by {
            OrderBy::Name => (&*filter.prefix, ""),
            OrderBy::CreatedAt | OrderBy::UpdatedAt => ("", &*filter.prefix),
        };
        let one_pair = filter.metadata.iter().count() <= 1;
        if one_pair && prefix.is_empty() && names.is_every() && filter.unused_since.is_none() {
            return Ok(rarest.page(range, order, start, limit));
        }
        let query = FilterQuery {
            prefix: prefix.into(),
            metadata: filter.metadata.clone(),
            unused_since: filter.unused_since,
            names: names.clone(),
        };
        match self.filters.get(&query) {
            Some(matches) => Ok(matches.page(range, order, start, limit)),
            None => Err(Box::new(Search {
                query,
                candidates: rarest.iter().cloned().collect(),
                began_at: self.changes.position(),
                range: range.into(),
            })),
        }
    }

    /// Puts the result of a search into the cache, after the changes made since the search began are applied to it. Does
    /// nothing where there were more changes than the log holds.
    pub(super) fn keep(&mut self, mut result: SearchResult) {
        if result.catch_up(&self.changes) {
            // All cached filters together hold at most four times as many entries as there are secrets.
            self.filters.put(result.query, result.matches, 4 * self.all.len());
        }
    }

    /// Of the sets of secrets that have one of these pairs, the smallest; all secrets where there are no pairs. `None`
    /// where no secret has one of the pairs.
    fn rarest(&self, pairs: &Metadata) -> Option<&Orders> {
        let mut rarest = &self.all;
        for (key, value) in pairs.iter() {
            let secrets = self.by_pair.get(key)?.get(value)?;
            if secrets.len() <= rarest.len() {
                rarest = secrets;
            }
        }
        Some(rarest)
    }
}
