//! A set of secrets, sorted by name, by time of creation and by time of the last change, so that a page in any order, at
//! any place, costs about the same.

use std::cmp::Ordering;
use std::ops::Range;

use super::Page;
use super::packed::PackedSecret;
use super::ranked_set::RankedSet;
use crate::domain::{Cursor, Order, OrderBy, SecretName, Start};
use crate::parallel::by_shares;

/// How many bytes of names, descriptions and metadata a page holds at most: a gRPC client accepts 4 MiB by default.
pub(super) const PAGE_BYTES: usize = 3 << 20;

type Sorted = RankedSet<PackedSecret>;

/// The same secrets in every order.
#[derive(Default)]
pub(super) struct Orders {
    name: Sorted,
    created_at: Sorted,
    updated_at: Sorted,
}

impl Orders {
    const ALL: [OrderBy; 3] = [OrderBy::Name, OrderBy::CreatedAt, OrderBy::UpdatedAt];

    /// A set of these secrets, which can be given in any order.
    pub(super) fn of(mut secrets: Vec<PackedSecret>) -> Self {
        let mut orders = Self::default();
        for by in Self::ALL {
            secrets.sort_unstable_by(|a, b| compare(a, b, by));
            *orders.by_mut(by) = RankedSet::from_sorted(secrets.iter().cloned());
        }
        orders
    }

    /// The same for so many secrets that they are sorted on all processors.
    pub(super) fn of_many(secrets: &[PackedSecret]) -> Self {
        Self {
            name: sorted(secrets, OrderBy::Name, |secret| beginning(secret.name())),
            created_at: sorted(secrets, OrderBy::CreatedAt, |secret| (secret.created_at(), secret.id())),
            updated_at: sorted(secrets, OrderBy::UpdatedAt, |secret| (secret.updated_at(), secret.id())),
        }
    }

    /// How many secrets there are.
    pub(super) fn len(&self) -> usize {
        self.name.len()
    }

    /// A secret with this name.
    pub(super) fn find(&self, name: &[u8]) -> Option<&PackedSecret> {
        self.name.find(|secret| secret.name().cmp(name))
    }

    /// All secrets, in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PackedSecret> {
        self.name.iter()
    }

    /// All secrets in one order after the other.
    pub(super) fn in_every_order(&self) -> impl Iterator<Item = (OrderBy, &PackedSecret)> {
        Self::ALL.into_iter().flat_map(|by| self.by(by).iter().map(move |secret| (by, secret)))
    }

    /// Adds a secret at the end of an order. It is added to all orders before these are used.
    pub(super) fn push(&mut self, by: OrderBy, secret: &PackedSecret) {
        self.by_mut(by).push(secret.clone());
    }

    /// A page of the secrets whose names begin with a prefix. In an order by time the prefix must be empty. The page holds
    /// at most `limit` secrets, and fewer where their metadata is large; its `total` and `next` are right in either case.
    pub(super) fn page(&self, prefix: &str, order: Order, start: &Start, limit: usize) -> Page<PackedSecret> {
        let sorted = self.by(order.by);
        ranked_page(sorted, prefix_ranks(sorted, prefix), order, start, limit)
    }

    /// Adds a secret, in place of one that has the same id and the same place in every order.
    pub(super) fn insert(&mut self, secret: &PackedSecret) {
        for by in Self::ALL {
            self.by_mut(by).insert(secret.clone(), |member| compare(member, secret, by));
        }
    }

    /// Removes a secret, given in the state in which it was added, from the orders in which its next state, which is added then, has
    /// another place.
    pub(super) fn remove(&mut self, secret: &PackedSecret, next: Option<&PackedSecret>) {
        for by in Self::ALL {
            if !next.is_some_and(|next| compare(secret, next, by).is_eq()) {
                self.by_mut(by).remove(|member| compare(member, secret, by));
            }
        }
    }

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
}

/// Sorts secrets on all processors, by keys first that follow the order: secrets lie scattered in memory, and keys do not.
fn sorted<K: Ord + Clone + Send>(
    secrets: &[PackedSecret],
    by: OrderBy,
    key: impl Fn(&PackedSecret) -> K + Sync,
) -> Sorted {
    let order = |(a, first): &(K, PackedSecret), (b, second): &(K, PackedSecret)| {
        a.cmp(b).then_with(|| compare(first, second, by))
    };
    let shares = by_shares(secrets, |share| {
        let mut keyed: Vec<_> = share.iter().map(|secret| (key(secret), secret.clone())).collect();
        keyed.sort_unstable_by(order);
        keyed
    });
    let mut keyed: Vec<_> = shares.into_iter().flatten().collect();
    // This sort finds the shares, which are sorted, and merges them.
    keyed.sort_by(order);
    RankedSet::from_sorted(keyed.into_iter().map(|(_, secret)| secret))
}

/// The beginning of a name, as a number in the order of names.
fn beginning(name: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(name).for_each(|(to, byte)| *to = *byte);
    u128::from_be_bytes(bytes)
}

/// Compares two secrets in an order, and by id where they have the same place in it. Names need the id too: deleted secrets keep
/// theirs, and while the catalog is built from a scan, which does not show one moment, two secrets can briefly have the same.
fn compare(a: &PackedSecret, b: &PackedSecret, by: OrderBy) -> Ordering {
    let place = match by {
        OrderBy::Name => a.name().cmp(b.name()),
        OrderBy::CreatedAt => a.created_at().cmp(&b.created_at()),
        OrderBy::UpdatedAt => a.updated_at().cmp(&b.updated_at()),
    };
    place.then_with(|| a.id().cmp(&b.id()))
}

/// Compares a secret's place in an order with a cursor.
fn compare_with_cursor(secret: &PackedSecret, cursor: &Cursor, by: OrderBy) -> Ordering {
    let compare_names = |name: &SecretName| secret.name().cmp(name.as_str().as_bytes());
    match (cursor, by) {
        (Cursor::Name(name, None), _) => compare_names(name),
        (Cursor::Name(name, Some(id)), _) => compare_names(name).then_with(|| secret.id().cmp(id)),
        (Cursor::Time(at, id), OrderBy::UpdatedAt) => (secret.updated_at(), secret.id()).cmp(&(*at, *id)),
        (Cursor::Time(at, id), _) => (secret.created_at(), secret.id()).cmp(&(*at, *id)),
    }
}

/// The place of a secret in an order. Where the secret behind it has the same name, the id tells them apart.
fn cursor_of(secret: &PackedSecret, following: &PackedSecret, by: OrderBy) -> Option<Cursor> {
    Some(match by {
        OrderBy::Name => {
            let is_shared = secret.name() == following.name();
            Cursor::Name(SecretName::parse(secret.name_text()).ok()?, is_shared.then(|| secret.id()))
        }
        OrderBy::CreatedAt => Cursor::Time(secret.created_at(), secret.id()),
        OrderBy::UpdatedAt => Cursor::Time(secret.updated_at(), secret.id()),
    })
}

/// The ranks of the secrets whose names begin with a prefix, among secrets sorted by name.
fn prefix_ranks(sorted: &Sorted, prefix: &str) -> Range<usize> {
    if prefix.is_empty() {
        return 0..sorted.len();
    }
    let prefix = prefix.as_bytes();
    let from = sorted.rank(|secret| secret.name() < prefix);
    let to = sorted.rank(|secret| secret.name() < prefix || secret.name().starts_with(prefix));
    from..to
}

/// A page of the secrets with these ranks, all of which match.
fn ranked_page(
    sorted: &Sorted,
    within: Range<usize>,
    order: Order,
    start: &Start,
    limit: usize,
) -> Page<PackedSecret> {
    let total = within.len();
    let skipped = match start {
        Start::Offset(offset) => (*offset).min(total),
        Start::After(cursor) if order.descending => {
            let rank = sorted.rank(|secret| compare_with_cursor(secret, cursor, order.by).is_lt());
            within.end - rank.clamp(within.start, within.end)
        }
        Start::After(cursor) => {
            let rank = sorted.rank(|secret| compare_with_cursor(secret, cursor, order.by).is_le());
            rank.clamp(within.start, within.end) - within.start
        }
    };
    let taken = limit.min(total - skipped);
    let (items, following) = if order.descending {
        let end = within.end - skipped;
        let items = within_page_bytes(sorted.range(end - taken..end).rev());
        let rest = within.start..end - items.len();
        (items, sorted.range(rest).next_back())
    } else {
        let begin = within.start + skipped;
        let items = within_page_bytes(sorted.range(begin..begin + taken));
        let rest = begin + items.len()..within.end;
        (items, sorted.range(rest).next())
    };
    let next = items.last().zip(following).and_then(|(last, following)| cursor_of(last, following, order.by));
    Page { items, total, next }
}

/// The first of these secrets that together take at most [`PAGE_BYTES`], and at least one.
fn within_page_bytes<'a>(secrets: impl Iterator<Item = &'a PackedSecret>) -> Vec<PackedSecret> {
    let mut bytes = 0;
    let fits = |secret: &&PackedSecret| {
        let first = bytes == 0;
        bytes += secret.message_bytes();
        first || bytes <= PAGE_BYTES
    };
    secrets.take_while(fits).cloned().collect()
}
