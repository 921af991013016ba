//! The secrets of one namespace in memory, found by name, by id and by metadata, and in every order that a list can have.
//!
//! A deleted secret is found by its id only, and in lists that ask for deleted secrets. The index also has the times at which the
//! service has something to do about a secret by itself, in order.
//!
//! An index holds secrets without their values. It always holds the newest state of a secret that it was given: an older
//! state that arrives later changes nothing. All its parts ([`Orders`], [`PairOrders`], the [`FilterCache`]) hold the
//! same secrets after every call, except between [`Index::sort_later`] and [`Index::sort`]. [`NamespaceCatalog`](super::NamespaceCatalog) keeps it behind a lock: readers ask for
//! secrets and pages, and the catalog's state puts and deletes what the store's changes say.

mod due;
mod filter_cache;
mod orders;
mod packed;
mod packed_rest;
mod page;
mod pairs;
mod places;
mod ranked_set;
mod search;

#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use self::due::DueTimes;
use self::filter_cache::{FilterCache, FilterQuery};
use self::orders::Orders;
pub(super) use self::packed::PackedSecret;
pub use self::page::Page;
use self::pairs::PairOrders;
use self::places::{ById, ByName};
use self::search::{IndexChange, Search, SearchChanges, SearchResult};
use super::due::PlannedBy;
use crate::auth::NameFilter;
use crate::domain::{
    Filter, Metadata, Minute, Namespace, Order, OrderBy, Revision, Secret, SecretId, SecretName, Start,
    Timestamp,
};
use crate::limits::Amount;

/// The index of one namespace.
pub(super) struct Index {
    namespace: Namespace,
    /// The secrets that are not deleted. So are those of `by_name` and `by_pair`.
    all: Orders,
    by_name: HashSet<ByName>,
    /// All secrets.
    by_id: HashSet<ById>,
    /// The secrets that are deleted.
    deleted: HashMap<SecretId, PackedSecret>,
    /// For each pair of metadata, the secrets that have it.
    by_pair: PairOrders,
    /// Whether `all`, `by_name` and `by_pair` are empty until the secrets are sorted: to sort many at once costs a part of what it costs to give each its
    /// place.
    is_unsorted: bool,
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
    /// When the service has something to do about a secret.
    due: DueTimes,
    /// What the secrets take, deleted ones too.
    taken: Amount,
    /// Whether the bytes of values count, so that their sizes have to be known.
    counts_bytes: bool,
}

impl Index {
    /// The empty index of a namespace, whose expired secrets are kept for so long. `counts_bytes`: the sizes of values are to be known.
    pub(super) fn new(namespace: Namespace, retention: Duration, counts_bytes: bool) -> Self {
        Self {
            namespace,
            all: Orders::default(),
            by_name: HashSet::default(),
            by_id: HashSet::default(),
            deleted: HashMap::default(),
            by_pair: PairOrders::default(),
            is_unsorted: false,
            filters: FilterCache::default(),
            changes: SearchChanges::default(),
            claimable: BTreeSet::default(),
            as_of: Revision::default(),
            damaged: HashSet::default(),
            due: DueTimes::new(retention),
            taken: Amount::default(),
            counts_bytes,
        }
    }

    /// How many secrets the index holds, without deleted and damaged ones.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// What the secrets take of a quota, deleted ones too.
    pub(super) fn taken(&self) -> Amount {
        self.taken
    }

    /// How many deleted secrets the index holds.
    pub(super) fn deleted(&self) -> usize {
        self.deleted.len()
    }

    /// How many deleted secrets have names that pass. Looks at every deleted secret.
    pub(super) fn deleted_of(&self, names: &NameFilter) -> usize {
        self.deleted.values().filter(|secret| names.passes_text(secret.name_text())).count()
    }

    /// How many records these secrets have in the store: each has its own, one for its name unless it is deleted, one for each
    /// stored version, and one for its usage. Looks at every secret.
    pub(super) fn records(&self) -> usize {
        let name = |secret: &PackedSecret| usize::from(!secret.is_deleted());
        let usage = |secret: &PackedSecret| usize::from(secret.last_read().is_some());
        let records = |ById(secret): &ById| 1 + name(secret) + secret.stored_versions() + usage(secret);
        self.by_id.iter().map(records).sum()
    }

    /// The first time at which the service has something to do about a secret.
    pub(super) fn first_due(&self) -> Option<Timestamp> {
        self.due.first()
    }

    /// The secrets about which the service has something to do, and when: those that are due first before the others.
    pub(super) fn due(&self) -> impl Iterator<Item = (Timestamp, SecretId)> {
        self.due.iter()
    }

    /// How many secrets are damaged.
    pub(super) fn damaged(&self) -> usize {
        self.damaged.len()
    }

    /// Whether this secret is damaged.
    pub(super) fn is_damaged(&self, id: SecretId) -> bool {
        self.damaged.contains(&id)
    }

    /// The secret with this id, deleted or not.
    pub(super) fn get(&self, id: SecretId) -> Option<&PackedSecret> {
        Some(&self.by_id.get(&id)?.0)
    }

    fn unpacked(&self, id: SecretId) -> Option<Arc<Secret>> {
        self.get(id)?.unpack(&self.namespace)
    }

    /// The secret with this name, which is not deleted.
    pub(super) fn find(&self, name: &SecretName) -> Option<&PackedSecret> {
        Some(&self.by_name.get(name.as_str().as_bytes())?.0)
    }

    /// The revision of the last change to this namespace: every state of the store from then until the next change shows
    /// the same secrets here.
    pub(super) fn as_of(&self) -> Revision {
        self.as_of
    }

    /// Some of the secrets about which something is planned, in the order of time, behind a place in that order.
    pub(super) fn planned(
        &self,
        by: PlannedBy,
        after: Option<(Timestamp, SecretId)>,
        limit: usize,
    ) -> Vec<((Timestamp, SecretId), Arc<Secret>)> {
        let find = |place: (Timestamp, SecretId)| Some((place, self.unpacked(place.1)?));
        match by {
            PlannedBy::Service => self.due.after(after).take(limit).filter_map(find).collect(),
            PlannedBy::Workers => {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                let places = self.claimable.range((from, Bound::Unbounded));
                places.copied().take(limit).filter_map(find).collect()
            }
        }
    }

    /// The secrets whose rotations workers can claim now, and which pass: those that could be claimed for longest first, at most as many as
    /// the limit. Looks only at secrets whose rotations are due.
    pub(super) fn claimable(
        &self,
        now: Timestamp,
        limit: usize,
        passes: impl Fn(&PackedSecret) -> bool,
    ) -> Vec<Arc<Secret>> {
        let due = self.claimable.iter().take_while(|(at, _)| *at <= now);
        let passing = due.filter_map(|(_, id)| self.get(*id)).filter(|secret| passes(secret));
        let secrets = passing.filter_map(|secret| secret.unpack(&self.namespace));
        secrets.filter(|secret| secret.is_claimable(now)).take(limit).collect()
    }

    /// Puts a secret in place of its older state. A state that is not newer than the present one changes nothing.
    pub(super) fn put(&mut self, mut secret: Secret) {
        if let Some(present) = self.get(secret.id) {
            if present.stored_at() >= secret.stored_at {
                self.learn_sizes(&secret);
                return;
            }
            // The record of a secret does not say when it was read, nor how large its values are.
            secret.last_read = present.last_read().max(secret.last_read);
            if self.counts_bytes
                && let Some(present) = present.unpack(&self.namespace)
            {
                secret.versions.learn_sizes(|number| present.versions.find(number)?.size);
            }
        }
        self.as_of = self.as_of.max(secret.stored_at);
        self.replace(&secret);
    }

    /// Takes over the sizes of values from another state of a secret. Of what a scan and the watch bring, each can lack some.
    fn learn_sizes(&mut self, other: &Secret) {
        if !self.counts_bytes {
            return;
        }
        let Some(mut secret) = self.unpacked(other.id).map(Arc::unwrap_or_clone) else { return };
        if secret.versions.learn_sizes(|number| other.versions.find(number)?.size) {
            self.replace(&secret);
        }
    }

    /// Notes that a value of a secret was read, as the commit with this revision says.
    pub(super) fn set_last_read(&mut self, id: SecretId, at: Minute, revision: Revision) {
        if self.get(id).is_none_or(|present| present.last_read() >= Some(at)) {
            return;
        }
        let Some(present) = self.unpacked(id) else { return };
        let secret = Secret { last_read: Some(at), ..Arc::unwrap_or_clone(present) };
        self.as_of = self.as_of.max(revision);
        self.replace(&secret);
    }

    /// Puts a secret in place of the present state.
    fn replace(&mut self, secret: &Secret) {
        let Some(packed) = PackedSecret::of(secret) else { return self.put_damaged(secret.id) };
        let next = (!packed.is_deleted()).then_some(&packed);
        let former = self.take(secret.id, next);
        if !self.is_unsorted {
            self.arrange(&packed);
        }
        if packed.is_deleted() {
            self.deleted.insert(secret.id, packed.clone());
        }
        self.due.insert(secret);
        self.claimable.extend(secret.claimable_at().map(|at| (at, secret.id)));
        self.taken.add(Amount::of(secret));
        if let Some(former) = former.filter(|former| former.name() != packed.name() || packed.is_deleted()) {
            self.forget_name(&former);
        }
        self.by_id.insert(ById(packed));
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
        if let Some(former) = self.take(id, None) {
            self.forget_name(&former);
        }
    }

    /// Takes a secret from all its places, but from that by its name, and from those in orders that its next state has too: that one
    /// is put there then. `next` is `None` where it is in no order.
    fn take(&mut self, id: SecretId, next: Option<&PackedSecret>) -> Option<PackedSecret> {
        self.damaged.remove(&id);
        let ById(packed) = self.by_id.take(&id)?;
        self.deleted.remove(&id);
        if !self.is_unsorted {
            self.take_out(&packed, next);
        }
        if let Some(secret) = packed.unpack(&self.namespace) {
            self.taken.subtract(Amount::of(&secret));
            if let Some(at) = secret.claimable_at() {
                self.claimable.remove(&(at, secret.id));
            }
            self.due.remove(&secret);
        }
        Some(packed)
    }

    /// Lets the name of a secret that was taken out lead to it no longer. Of the changes of one group, the one that gives the name to
    /// another secret may have come before.
    fn forget_name(&mut self, former: &PackedSecret) {
        if self.by_name.get(former.name()).is_none_or(|ByName(named)| named.id() != former.id()) {
            return;
        }
        match self.all.find(former.name()).cloned() {
            Some(other) => drop(self.by_name.replace(ByName(other))),
            None => drop(self.by_name.remove(former.name())),
        }
    }

    /// Gives a secret its place where pages and searches find it.
    fn arrange(&mut self, secret: &PackedSecret) {
        self.filters.insert(secret);
        self.changes.record(IndexChange::Put(secret.clone()));
        if !secret.is_deleted() {
            self.all.insert(secret);
            self.by_name.replace(ByName(secret.clone()));
            self.by_pair.insert(secret);
        }
    }

    /// Takes a secret from its place, given in the state in which it was arranged, unless its next state has the same place.
    fn take_out(&mut self, secret: &PackedSecret, next: Option<&PackedSecret>) {
        self.filters.remove(secret);
        self.changes.record(IndexChange::Removed(secret.clone()));
        if !secret.is_deleted() {
            self.all.remove(secret, next);
            self.by_pair.remove(secret, next);
        }
    }

    /// Lets the secrets be without order until [`Index::sort`]. Until then, nobody may ask for a secret by its name, for a page or for a count.
    pub(super) fn sort_later(&mut self) {
        if !self.is_unsorted {
            (self.all, self.by_name, self.by_pair) = Default::default();
            self.is_unsorted = true;
        }
    }

    /// Puts the secrets in order, if they are not.
    pub(super) fn sort(&mut self) {
        if self.is_unsorted {
            let secrets = self.by_id.iter().map(|ById(secret)| secret).filter(|secret| !secret.is_deleted());
            let secrets: Vec<_> = secrets.cloned().collect();
            self.all = Orders::of_many(&secrets);
            self.by_name = secrets.into_iter().map(ByName).collect();
            self.by_pair = PairOrders::of(&self.all);
            self.is_unsorted = false;
        }
    }

    /// A page of the secrets that match and whose names pass, at a cost that does not depend on how many secrets there are.
    ///
    /// `Err` is the search that has to run first: the filter has several pairs, a prefix in an order by time, or a time since
    /// which no value was read, or asks for deleted secrets, or not all names pass, and the cache does not hold it. The caller runs
    /// the search without the index's lock, and gives the result to [`Index::keep`].
    pub(super) fn page(
        &self,
        names: &NameFilter,
        filter: &Filter,
        order: Order,
        start: &Start,
        limit: usize,
    ) -> Result<Page<PackedSecret>, Box<Search>> {
        // Without deleted secrets, the cheapest answer is the one that the index has already.
        let include_deleted = filter.include_deleted && !self.deleted.is_empty();
        let rarest = match self.rarest(&filter.metadata) {
            None if !include_deleted => return Ok(Page::default()),
            rarest => rarest,
        };
        // In the order of names a prefix is a range. In an order by time it is a filter like any other.
        let (range, prefix) = match order.by {
            OrderBy::Name => (&*filter.prefix, ""),
            OrderBy::CreatedAt | OrderBy::UpdatedAt => ("", &*filter.prefix),
        };
        let one_pair = filter.metadata.iter().count() <= 1;
        let one_set = one_pair && prefix.is_empty() && names.is_every() && filter.unused_since.is_none();
        if let Some(rarest) = rarest
            && one_set
            && !include_deleted
        {
            return Ok(rarest.page(range, order, start, limit));
        }
        let query = FilterQuery {
            prefix: prefix.into(),
            metadata: filter.metadata.clone(),
            unused_since: filter.unused_since,
            include_deleted,
            names: names.clone(),
        };
        match self.filters.get(&query) {
            Some(matches) => Ok(matches.page(range, order, start, limit)),
            None => Err(Box::new(Search {
                query,
                candidates: rarest
                    .into_iter()
                    .flat_map(Orders::iter)
                    .chain(self.deleted.values().filter(|_| include_deleted))
                    .cloned()
                    .collect(),
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
            self.filters.put(result.query, result.matches, 4 * self.by_id.len());
        }
    }

    /// Of the sets of secrets that have one of these pairs, the smallest; all secrets where there are no pairs. `None`
    /// where no secret has one of the pairs.
    fn rarest(&self, pairs: &Metadata) -> Option<&Orders> {
        let mut rarest = &self.all;
        for (key, value) in pairs.iter() {
            let secrets = self.by_pair.get(key, value)?;
            if secrets.len() <= rarest.len() {
                rarest = secrets;
            }
        }
        Some(rarest)
    }
}
