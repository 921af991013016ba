use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::ranked::RankedSet;
use crate::domain::{Cursor, Filter, Metadata, Order, OrderBy, Secret, SecretId, SecretName, Start};

/// The secrets of one namespace, found by name, id and metadata, and in every order that a list can have.
#[derive(Default)]
pub(super) struct Index {
    all: Orders,
    by_id: HashMap<SecretId, Arc<Secret>>,
    /// For each key and value of metadata, the secrets that have it.
    by_pair: HashMap<Box<str>, HashMap<Box<str>, Orders>>,
    /// Secrets that are in the store but could not be opened.
    damaged: HashSet<SecretId>,
}

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

    pub(super) fn damaged(&self) -> usize {
        self.damaged.len()
    }

    pub(super) fn is_damaged(&self, id: SecretId) -> bool {
        self.damaged.contains(&id)
    }

    pub(super) fn find(&self, name: &SecretName) -> Option<&Arc<Secret>> {
        self.all.name.find(|there| there.name.cmp(name))
    }

    /// Takes in a secret, in place of an older state of it; an older state than the present one changes nothing.
    pub(super) fn put(&mut self, secret: Secret) {
        if self.by_id.get(&secret.id).is_some_and(|there| there.revision >= secret.revision) {
            return;
        }
        self.remove(secret.id);
        let secret = Arc::new(secret);
        self.all.insert(&secret);
        for (key, value) in secret.metadata.iter() {
            self.by_pair.entry(key.into()).or_default().entry(value.into()).or_default().insert(&secret);
        }
        self.by_id.insert(secret.id, secret);
    }

    pub(super) fn put_damaged(&mut self, id: SecretId) {
        self.remove(id);
        self.damaged.insert(id);
    }

    pub(super) fn remove(&mut self, id: SecretId) {
        self.damaged.remove(&id);
        let Some(secret) = self.by_id.remove(&id) else { return };
        self.all.remove(&secret);
        for (key, value) in secret.metadata.iter() {
            let Some(values) = self.by_pair.get_mut(key) else { continue };
            if let Some(having) = values.get_mut(value) {
                having.remove(&secret);
                if having.name.len() == 0 {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.by_pair.remove(key);
            }
        }
    }

    /// A page of the secrets that match.
    ///
    /// With at most one pair of metadata it costs what the page holds, however many secrets there are; with more pairs,
    /// or with a prefix in an order by time, it costs what the rarest pair, or else the namespace, holds.
    pub(super) fn page(&self, filter: &Filter, order: Order, start: &Start, limit: usize) -> Page {
        let Some(candidates) = self.rarest(&filter.metadata) else { return Page::default() };
        let sorted = candidates.by(order.by);
        let by_name = order.by == OrderBy::Name;
        let within = if by_name { prefix_ranks(sorted, &filter.prefix) } else { 0..sorted.len() };
        let pairs = filter.metadata.iter().count();
        if pairs <= 1 && (by_name || filter.prefix.is_empty()) {
            return ranked_page(sorted, within, order, start, limit);
        }
        let matches = |secret: &Secret| {
            secret.name.as_str().starts_with(&*filter.prefix)
                && (pairs <= 1 || filter.metadata.iter().all(|(key, value)| secret.metadata.has(key, value)))
        };
        let found = sorted.range(within).filter(|secret| matches(secret));
        if order.descending {
            filtered_page(found.rev(), order, start, limit)
        } else {
            filtered_page(found, order, start, limit)
        }
    }

    /// The secrets that have the rarest of these pairs, all where there is none; `None` where a pair has no secrets.
    fn rarest(&self, pairs: &Metadata) -> Option<&Orders> {
        let mut rarest = &self.all;
        for (key, value) in pairs.iter() {
            let having = self.by_pair.get(key)?.get(value)?;
            if having.name.len() <= rarest.name.len() {
                rarest = having;
            }
        }
        Some(rarest)
    }
}

type Sorted = RankedSet<Arc<Secret>>;

/// The same secrets in every order.
#[derive(Default)]
struct Orders {
    name: Sorted,
    created_at: Sorted,
    updated_at: Sorted,
}

impl Orders {
    const ALL: [OrderBy; 3] = [OrderBy::Name, OrderBy::CreatedAt, OrderBy::UpdatedAt];

    fn by(&self, by: OrderBy) -> &Sorted {
        match by {
            OrderBy::Name => &self.name,
            OrderBy::CreatedAt => &self.created_at,
            OrderBy::UpdatedAt => &self.updated_at,
        }
    }

    fn by_mut(&mut self, by: OrderBy) -> &mut Sorted {
        match by {
            OrderBy::Name => &mut self.name,
            OrderBy::CreatedAt => &mut self.created_at,
            OrderBy::UpdatedAt => &mut self.updated_at,
        }
    }

    fn insert(&mut self, secret: &Arc<Secret>) {
        for by in Self::ALL {
            self.by_mut(by).insert(secret.clone(), |there| stands(there, secret, by));
        }
    }

    fn remove(&mut self, secret: &Secret) {
        for by in Self::ALL {
            self.by_mut(by).remove(|there| stands(there, secret, by));
        }
    }
}

/// How one secret stands to another in an order. Ends with the id: while the catalog is read from a scan that is not of
/// one moment, a name can briefly stand for two secrets.
fn stands(there: &Secret, secret: &Secret, by: OrderBy) -> Ordering {
    compare(there, &Cursor::of(secret, by), by).then_with(|| there.id.cmp(&secret.id))
}

/// How a secret stands to a place in an order.
fn compare(secret: &Secret, cursor: &Cursor, by: OrderBy) -> Ordering {
    match (cursor, by) {
        (Cursor::Name(name), _) => secret.name.cmp(name),
        (Cursor::Time(at, id), OrderBy::UpdatedAt) => (secret.updated_at, secret.id).cmp(&(*at, *id)),
        (Cursor::Time(at, id), _) => (secret.created_at, secret.id).cmp(&(*at, *id)),
    }
}

/// The ranks of the secrets whose names begin with a prefix, among secrets sorted by name.
fn prefix_ranks(sorted: &Sorted, prefix: &str) -> Range<usize> {
    if prefix.is_empty() {
        return 0..sorted.len();
    }
    let from = sorted.rank(|secret| secret.name.as_str() < prefix);
    let to = sorted.rank(|secret| secret.name.as_str() < prefix || secret.name.as_str().starts_with(prefix));
    from..to
}

/// A page of the secrets of these ranks, all of which match.
fn ranked_page(sorted: &Sorted, within: Range<usize>, order: Order, start: &Start, limit: usize) -> Page {
    let total = within.len();
    let skipped = match start {
        Start::Offset(offset) => (*offset).min(total),
        Start::After(cursor) if order.descending => {
            let rank = sorted.rank(|secret| compare(secret, cursor, order.by).is_lt());
            within.end - rank.clamp(within.start, within.end)
        }
        Start::After(cursor) => {
            let rank = sorted.rank(|secret| compare(secret, cursor, order.by).is_le());
            rank.clamp(within.start, within.end) - within.start
        }
    };
    let taken = limit.min(total - skipped);
    let items: Vec<_> = if order.descending {
        let end = within.end - skipped;
        sorted.range(end - taken..end).rev().cloned().collect()
    } else {
        let begin = within.start + skipped;
        sorted.range(begin..begin + taken).cloned().collect()
    };
    let more = skipped + taken < total;
    let next = items.last().filter(|_| more).map(|last| Cursor::of(last, order.by));
    Page { items, total, next }
}

/// A page of the secrets that an iterator gives, all of which match and stand in the order.
fn filtered_page<'a>(
    found: impl Iterator<Item = &'a Arc<Secret>>,
    order: Order,
    start: &Start,
    limit: usize,
) -> Page {
    let (mut items, mut total, mut more) = (Vec::new(), 0, false);
    for secret in found {
        let begun = match start {
            Start::Offset(offset) => total >= *offset,
            Start::After(cursor) if order.descending => compare(secret, cursor, order.by).is_lt(),
            Start::After(cursor) => compare(secret, cursor, order.by).is_gt(),
        };
        total += 1;
        if begun && items.len() < limit {
            items.push(secret.clone());
        } else if begun {
            more = true;
        }
    }
    let next = items.last().filter(|_| more).map(|last| Cursor::of(last, order.by));
    Page { items, total, next }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Description, Namespace, Revision, Timestamp};

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
            created_at: Timestamp::from_micros(at.0),
            updated_at: Timestamp::from_micros(at.1),
            rotated_at: None,
            revision: Revision(revision),
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
            let (mut index, mut secrets) = (Index::default(), Vec::<Secret>::new());
            for (revision, (mut secret, keep)) in steps.into_iter().enumerate() {
                secrets.retain(|there| there.id != secret.id);
                if keep {
                    secret.revision = Revision(revision as u64 + 1);
                    index.put(secret.clone());
                    secrets.push(secret);
                } else {
                    index.remove(secret.id);
                }
            }
            let wanted = [("env".to_owned(), "e1".to_owned()), ("tier".to_owned(), "t1".to_owned())];
            let metadata = wanted.into_iter().take(pairs).collect();
            let filter = Filter { namespace: Namespace::default_namespace(), prefix: prefix.into(), metadata };
            let order = Order { by, descending };
            let expected = model(&secrets, &filter, order);

            // By offset, and by cursor: the same secrets, in the same order.
            let mut start = Start::Offset(0);
            let mut walked = Vec::new();
            loop {
                let page = index.page(&filter, order, &start, limit);
                let at_offset = index.page(&filter, order, &Start::Offset(walked.len()), limit);
                prop_assert_eq!(&page.items, &at_offset.items);
                prop_assert_eq!((page.total, at_offset.total), (expected.len(), expected.len()));
                walked.extend(page.items.iter().map(|secret| secret.id));
                match page.next {
                    Some(next) => start = Start::After(next),
                    None => break,
                }
            }
            prop_assert_eq!(walked, expected);
            prop_assert!(index.page(&filter, order, &Start::Offset(usize::MAX), limit).items.is_empty());
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
        assert_eq!((index.len(), index.all.name.len()), (0, 0));
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
