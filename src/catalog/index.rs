use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::orders::Orders;
use super::standing::{Kept, Standing};
use crate::domain::{
    Cursor, Filter, Metadata, Order, OrderBy, Revision, Secret, SecretId, SecretName, Start,
};

/// The secrets of one namespace, found by name, id and metadata, and in every order that a list can have.
#[derive(Default)]
pub(super) struct Index {
    all: Orders,
    by_id: HashMap<SecretId, Arc<Secret>>,
    /// For each key and value of metadata, the secrets that have it.
    by_pair: HashMap<Box<str>, HashMap<Box<str>, Orders>>,
    /// The secrets that match filters which no one pair answers, for as long as they are asked for.
    kept: Kept,
    /// The latest changes, for searches that began before them.
    journal: VecDeque<Changed>,
    /// How many changes there have been.
    changes: u64,
    /// The revision of the last change.
    as_of: Revision,
    /// Secrets that are in the store but could not be opened.
    damaged: HashSet<SecretId>,
}

/// What a change did to the index.
enum Changed {
    Put(Arc<Secret>),
    Removed(Arc<Secret>),
}

/// How many changes a search may miss and still be made good.
const JOURNAL: usize = 4096;

/// A page of secrets.
#[derive(Debug, Default)]
pub struct Page {
    /// The secrets.
    pub items: Vec<Arc<Secret>>,
    /// How many match the filter in all.
    pub total: usize,
    /// Where the next page begins; `None` where this is the last.
    pub next: Option<Cursor>,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many records its secrets have in the store: themselves, their names, their versions.
    pub(super) fn records(&self) -> usize {
        self.by_id.values().map(|secret| 2 + secret.stored_versions().count()).sum()
    }

    pub(super) fn damaged(&self) -> usize {
        self.damaged.len()
    }

    pub(super) fn is_damaged(&self, id: SecretId) -> bool {
        self.damaged.contains(&id)
    }

    pub(super) fn get(&self, id: SecretId) -> Option<&Arc<Secret>> {
        self.by_id.get(&id)
    }

    pub(super) fn find(&self, name: &SecretName) -> Option<&Arc<Secret>> {
        self.all.find(name)
    }

    /// Takes in a secret, in place of an older state of it; an older state than the present one changes nothing.
    pub(super) fn put(&mut self, secret: Secret) {
        if self.by_id.get(&secret.id).is_some_and(|there| there.stored_at >= secret.stored_at) {
            return;
        }
        self.remove(secret.id);
        let secret = Arc::new(secret);
        self.as_of = self.as_of.max(secret.stored_at);
        self.all.insert(&secret);
        self.kept.insert(&secret);
        self.note(Changed::Put(secret.clone()));
        for (key, value) in secret.metadata.iter() {
            self.by_pair.entry(key.into()).or_default().entry(value.into()).or_default().insert(&secret);
        }
        self.by_id.insert(secret.id, secret);
    }

    pub(super) fn put_damaged(&mut self, id: SecretId) {
        self.remove(id);
        self.damaged.insert(id);
    }

    /// The state that it shows, as far as this namespace goes: nothing has changed from then until the next change.
    pub(super) fn as_of(&self) -> Revision {
        self.as_of
    }

    /// Lets go of a secret that a commit of that revision removed.
    pub(super) fn delete(&mut self, id: SecretId, revision: Revision) {
        self.as_of = self.as_of.max(revision);
        self.remove(id);
    }

    fn remove(&mut self, id: SecretId) {
        self.damaged.remove(&id);
        let Some(secret) = self.by_id.remove(&id) else { return };
        self.all.remove(&secret);
        self.kept.remove(&secret);
        self.note(Changed::Removed(secret.clone()));
        for (key, value) in secret.metadata.iter() {
            let Some(values) = self.by_pair.get_mut(key) else { continue };
            if let Some(having) = values.get_mut(value) {
                having.remove(&secret);
                if having.len() == 0 {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.by_pair.remove(key);
            }
        }
    }

    /// A page of the secrets that match, at a cost that does not depend on how many there are; or what is needed to find
    /// them, where the filter has several pairs, or a prefix in an order by time, and has not been asked for of late.
    pub(super) fn page(
        &self,
        filter: &Filter,
        order: Order,
        start: &Start,
        limit: usize,
    ) -> Result<Page, Search> {
        let Some(rarest) = self.rarest(&filter.metadata) else { return Ok(Page::default()) };
        // In the order of names a prefix is a range; in another it is a filter like any other.
        let (range, prefix) = match order.by {
            OrderBy::Name => (&*filter.prefix, ""),
            OrderBy::CreatedAt | OrderBy::UpdatedAt => ("", &*filter.prefix),
        };
        if filter.metadata.iter().count() <= 1 && prefix.is_empty() {
            return Ok(rarest.page(range, order, start, limit));
        }
        let standing = Standing { prefix: prefix.into(), metadata: filter.metadata.clone() };
        match self.kept.get(&standing) {
            Some(found) => Ok(found.page(range, order, start, limit)),
            None => Err(Search {
                standing,
                candidates: rarest.iter().cloned().collect(),
                changes: self.changes,
                range: range.into(),
            }),
        }
    }

    /// Keeps what a search found, once it has been made good for what changed since it began; or not, where that is too
    /// much.
    pub(super) fn keep(&mut self, found: Found) {
        let Found { standing, mut orders, changes, .. } = found;
        let missed = usize::try_from(self.changes - changes).unwrap_or(usize::MAX);
        let Some(seen) = self.journal.len().checked_sub(missed) else { return };
        for changed in self.journal.iter().skip(seen) {
            match changed {
                Changed::Put(secret) if standing.matches(secret) => orders.insert(secret),
                Changed::Removed(secret) if standing.matches(secret) => orders.remove(secret),
                Changed::Put(_) | Changed::Removed(_) => {}
            }
        }
        // Together they take no more than a few times what all secrets take.
        self.kept.keep(standing, orders, 4 * self.all.len());
    }

    fn note(&mut self, changed: Changed) {
        self.changes += 1;
        self.journal.push_back(changed);
        if self.journal.len() > JOURNAL {
            self.journal.pop_front();
        }
    }

    /// The secrets that have the rarest of these pairs, all where there is none; `None` where a pair has no secrets.
    fn rarest(&self, pairs: &Metadata) -> Option<&Orders> {
        let mut rarest = &self.all;
        for (key, value) in pairs.iter() {
            let having = self.by_pair.get(key)?.get(value)?;
            if having.len() <= rarest.len() {
                rarest = having;
            }
        }
        Some(rarest)
    }
}

/// What is to be looked through for a filter, away from the index's lock.
pub(super) struct Search {
    standing: Standing,
    candidates: Vec<Arc<Secret>>,
    changes: u64,
    range: Box<str>,
}

/// What a search found, as of the moment at which it began.
pub(super) struct Found {
    standing: Standing,
    orders: Orders,
    changes: u64,
    range: Box<str>,
}

impl Search {
    /// Looks through the candidates.
    pub(super) fn run(self) -> Found {
        let Self { standing, mut candidates, changes, range } = self;
        candidates.retain(|secret| standing.matches(secret));
        Found { standing, orders: Orders::of(candidates), changes, range }
    }
}

impl Found {
    /// A page of it.
    pub(super) fn page(&self, order: Order, start: &Start, limit: usize) -> Page {
        self.orders.page(&self.range, order, start, limit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Description, Namespace, Revision, Timestamp, Version, Versions};

    fn secret(id: u8, name: &str, pairs: &[(&str, &str)], at: (i64, i64), revision: u64) -> Secret {
        let mut bytes = [0; 16];
        bytes[15] = id;
        Secret {
            namespace: Namespace::default_namespace(),
            name: SecretName::parse(name).unwrap(),
            id: SecretId::from_bytes(bytes),
            description: Description::default(),
            metadata: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            version: 1,
            versions: Versions::first(Version::new(1, Timestamp::from_micros(at.0), None)),
            created_at: Timestamp::from_micros(at.0),
            updated_at: Timestamp::from_micros(at.1),
            rotated_at: None,
            revision: Revision(revision),
            stored_at: Revision(revision),
        }
    }

    prop_compose! {
        /// A secret of few names, times and pairs, so that they meet; its name ends with its id, so that none is taken
        /// twice at once.
        fn any_secret()(id in 0u8..40, first in "[abA_]{1,2}", env in 0..3, tier in 0..2, at in (0i64..5, 0i64..5)) -> Secret {
            let (env, tier) = (format!("e{env}"), format!("t{tier}"));
            secret(id, &format!("{first}{id}"), &[("env", &env), ("tier", &tier)], at, 0)
        }
    }

    fn page(index: &mut Index, filter: &Filter, order: Order, start: &Start, limit: usize) -> Page {
        index.page(filter, order, start, limit).unwrap_or_else(|search| {
            let found = search.run();
            let page = found.page(order, start, limit);
            index.keep(found);
            page
        })
    }

    /// What a page must hold, by looking at every secret.
    fn model(secrets: &[Secret], filter: &Filter, order: Order) -> Vec<SecretId> {
        let mut found: Vec<&Secret> = secrets
            .iter()
            .filter(|s| s.name.as_str().starts_with(&*filter.prefix))
            .filter(|s| filter.metadata.iter().all(|(key, value)| s.metadata.has(key, value)))
            .collect();
        found.sort_by(|a, b| match order.by {
            OrderBy::Name => a.name.cmp(&b.name),
            OrderBy::CreatedAt => (a.created_at, a.id).cmp(&(b.created_at, b.id)),
            OrderBy::UpdatedAt => (a.updated_at, a.id).cmp(&(b.updated_at, b.id)),
        });
        if order.descending {
            found.reverse();
        }
        found.into_iter().map(|secret| secret.id).collect()
    }

    proptest! {
        #[test]
        fn pages_are_those_of_a_look_at_every_secret(
            steps in proptest::collection::vec((any_secret(), any::<bool>()), 0..200),
            prefix in "[abA_]{0,2}",
            pairs in 0usize..3,
            by in prop_oneof![Just(OrderBy::Name), Just(OrderBy::CreatedAt), Just(OrderBy::UpdatedAt)],
            descending in any::<bool>(),
            limit in 1usize..7,
        ) {
            let wanted = [("env".to_owned(), "e1".to_owned()), ("tier".to_owned(), "t1".to_owned())];
            let metadata = wanted.into_iter().take(pairs).collect();
            let filter = Filter { namespace: Namespace::default_namespace(), prefix: prefix.into(), metadata };
            let order = Order { by, descending };
            let (mut index, mut secrets) = (Index::default(), Vec::<Secret>::new());
            let asked = steps.len() / 2;
            for (revision, (mut secret, keep)) in steps.into_iter().enumerate() {
                if revision == asked {
                    page(&mut index, &filter, order, &Start::Offset(0), limit); // kept current from here on
                }
                secrets.retain(|there| there.id != secret.id);
                if keep {
                    secret.revision = Revision(revision as u64 + 1);
                    secret.stored_at = secret.revision;
                    index.put(secret.clone());
                    secrets.push(secret);
                } else {
                    index.remove(secret.id);
                }
            }
            let expected = model(&secrets, &filter, order);

            // By offset, and by cursor: the same secrets, in the same order.
            let mut start = Start::Offset(0);
            let mut walked = Vec::new();
            loop {
                let found = page(&mut index, &filter, order, &start, limit);
                let at_offset = page(&mut index, &filter, order, &Start::Offset(walked.len()), limit);
                prop_assert_eq!(&found.items, &at_offset.items);
                prop_assert_eq!((found.total, at_offset.total), (expected.len(), expected.len()));
                walked.extend(found.items.iter().map(|secret| secret.id));
                match found.next {
                    Some(next) => start = Start::After(next),
                    None => break,
                }
            }
            prop_assert_eq!(walked, expected);
            let beyond = page(&mut index, &filter, order, &Start::Offset(usize::MAX), limit);
            prop_assert!(beyond.items.is_empty());
        }
    }

    #[test]
    fn a_page_ends_before_it_is_too_large_for_a_client() {
        let mut index = Index::default();
        let long = "v".repeat(512);
        let keys: Vec<_> = (0..64).map(|n| format!("{n:0128}")).collect();
        let pairs: Vec<_> = keys.iter().map(|key| (key.as_str(), long.as_str())).collect();
        for id in 0..100 {
            index.put(secret(id, &format!("n{id:03}"), &pairs, (1, 1), 1));
        }
        let (prefix, metadata) = ("".into(), Metadata::default());
        let filter = Filter { namespace: Namespace::default_namespace(), prefix, metadata };
        for descending in [false, true] {
            let order = Order { by: OrderBy::Name, descending };
            let first = page(&mut index, &filter, order, &Start::Offset(0), 1000);
            assert!((50..80).contains(&first.items.len()), "{}", first.items.len());
            let rest = page(&mut index, &filter, order, &Start::After(first.next.unwrap()), 1000);
            assert_eq!((first.items.len() + rest.items.len(), first.total, rest.next), (100, 100, None));
        }
    }

    #[test]
    fn filters_asked_for_longest_ago_are_let_go() {
        let mut index = Index::default();
        for id in 0..100 {
            let tier = format!("t{id}");
            index.put(secret(id, &format!("n{id}"), &[("env", "e"), ("tier", &tier)], (1, 1), 1));
        }
        let order = Order { by: OrderBy::Name, descending: false };
        for id in 0..100 {
            let pairs = [("env".to_owned(), "e".to_owned()), ("tier".to_owned(), format!("t{id}"))];
            let (prefix, metadata) = ("".into(), pairs.into_iter().collect());
            let filter = Filter { namespace: Namespace::default_namespace(), prefix, metadata };
            assert!(index.page(&filter, order, &Start::Offset(0), 10).is_err());
            assert_eq!(page(&mut index, &filter, order, &Start::Offset(0), 10).total, 1);
            assert!(index.page(&filter, order, &Start::Offset(0), 10).is_ok());
        }
    }

    #[test]
    fn a_search_is_made_good_for_what_changed_meanwhile() {
        let mut index = Index::default();
        let both = [("env", "e"), ("tier", "t")];
        for id in 0..100 {
            index.put(secret(id, &format!("n{id:03}"), &both, (1, 1), 1));
        }
        let pairs = both.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let (prefix, metadata) = ("".into(), pairs.into_iter().collect());
        let filter = Filter { namespace: Namespace::default_namespace(), prefix, metadata };
        let order = Order { by: OrderBy::Name, descending: false };
        let search = index.page(&filter, order, &Start::Offset(0), 1000).err().unwrap();
        index.put(secret(100, "new", &both, (1, 1), 2));
        index.put(secret(0, "renamed", &both, (1, 2), 3));
        index.put(secret(1, "n001", &[("env", "e")], (1, 2), 4));
        index.delete(secret(2, "n002", &both, (1, 1), 1).id, Revision(5));
        index.keep(search.run());
        let page = index.page(&filter, order, &Start::Offset(0), 1000).ok().unwrap();
        assert_eq!((page.total, index.as_of()), (99, Revision(5)));
        let names: Vec<_> = page.items.iter().map(|secret| secret.name.as_str()).collect();
        assert!(names.is_sorted() && names.contains(&"new") && names.contains(&"renamed"));
        for gone in ["n000", "n001", "n002"] {
            assert!(!names.contains(&gone), "{gone}");
        }
    }

    #[test]
    fn an_older_state_changes_nothing_and_an_emptied_index_keeps_nothing() {
        let mut index = Index::default();
        index.put(secret(1, "new", &[("k", "v")], (1, 2), 5));
        index.put(secret(1, "old", &[("k", "w")], (1, 1), 4));
        assert!(index.find(&SecretName::parse("new").unwrap()).is_some());
        assert!(index.find(&SecretName::parse("old").unwrap()).is_none());
        index.remove(secret(1, "new", &[], (0, 0), 0).id);
        assert!(index.by_pair.is_empty());
        assert_eq!((index.len(), index.all.len()), (0, 0));
    }

    #[test]
    fn a_name_can_pass_from_one_secret_to_another_in_either_order() {
        let name = SecretName::parse("n").unwrap();
        let (first, second) = (secret(1, "n", &[], (1, 1), 1), secret(2, "n", &[], (2, 2), 3));
        for both in [[first.clone(), second.clone()], [second.clone(), first.clone()]] {
            let mut index = Index::default();
            both.into_iter().for_each(|secret| index.put(secret));
            index.remove(first.id);
            assert_eq!(index.find(&name).map(|found| found.id), Some(second.id));
        }
    }
}
