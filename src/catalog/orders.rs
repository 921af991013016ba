use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::index::Page;
use super::ranked::RankedSet;
use crate::domain::{Cursor, Order, OrderBy, Secret, SecretName, Start};

/// How much of names, descriptions and metadata a page holds at most, in bytes: clients take 4 MiB unless told otherwise.
const PAGE_BYTES: usize = 3 << 20;

pub(super) type Sorted = RankedSet<Arc<Secret>>;

/// The same secrets in every order.
#[derive(Default)]
pub(super) struct Orders {
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

    /// The same secrets, which are given in any order, in every order.
    pub(super) fn of(mut secrets: Vec<Arc<Secret>>) -> Self {
        let mut orders = Self::default();
        for by in Self::ALL {
            secrets.sort_unstable_by(|a, b| stands(a, b, by));
            *orders.by_mut(by) = RankedSet::from_sorted(secrets.iter().cloned());
        }
        orders
    }

    /// How many secrets there are.
    pub(super) fn len(&self) -> usize {
        self.name.len()
    }

    /// A page of those whose names begin with a prefix, in the order of names; in an order by time the prefix must be
    /// empty.
    pub(super) fn page(&self, prefix: &str, order: Order, start: &Start, limit: usize) -> Page {
        let sorted = self.by(order.by);
        ranked_page(sorted, prefix_ranks(sorted, prefix), order, start, limit)
    }

    /// The secret of a name.
    pub(super) fn find(&self, name: &SecretName) -> Option<&Arc<Secret>> {
        self.name.find(|there| there.name.cmp(name))
    }

    /// All secrets, in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Secret>> {
        self.name.range(0..self.name.len())
    }

    fn by_mut(&mut self, by: OrderBy) -> &mut Sorted {
        match by {
            OrderBy::Name => &mut self.name,
            OrderBy::CreatedAt => &mut self.created_at,
            OrderBy::UpdatedAt => &mut self.updated_at,
        }
    }

    pub(super) fn insert(&mut self, secret: &Arc<Secret>) {
        for by in Self::ALL {
            self.by_mut(by).insert(secret.clone(), |there| stands(there, secret, by));
        }
    }

    pub(super) fn remove(&mut self, secret: &Secret) {
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
    let items = if order.descending {
        let end = within.end - skipped;
        within_size(sorted.range(end - taken..end).rev())
    } else {
        let begin = within.start + skipped;
        within_size(sorted.range(begin..begin + taken))
    };
    let more = skipped + items.len() < total;
    let next = items.last().filter(|_| more).map(|last| Cursor::of(last, order.by));
    Page { items, total, next }
}

/// The first of these secrets whose sizes are within that of a page together; one at least.
fn within_size<'a>(secrets: impl Iterator<Item = &'a Arc<Secret>>) -> Vec<Arc<Secret>> {
    let mut bytes = 0;
    let fits = |secret: &&Arc<Secret>| {
        let pairs: usize = secret.metadata.iter().map(|(key, value)| key.len() + value.len() + 8).sum();
        let first = bytes == 0;
        bytes += 256 + secret.name.as_str().len() + secret.description.as_str().len() + pairs;
        first || bytes <= PAGE_BYTES
    };
    secrets.take_while(fits).cloned().collect()
}
