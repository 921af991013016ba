//! A sorted set that knows the rank of its items, so that a page at any offset costs the same.
//!
//! The items are in chunks. To find an item is a binary search, its rank is a sum over the chunks before it, and an
//! insertion moves at most one chunk. [`Orders`](super::orders::Orders) keeps its secrets in such sets.
//!
//! No crate is used for this: the best maintained one allocates a full chunk for every set, which is too much for the many
//! small sets of the metadata index.

use std::cmp::Ordering;
use std::ops::Range;

/// A sorted set. The order is the caller's: each call gives a comparison of an item with the one looked for. All calls on
/// one set must use the same order.
pub(super) struct RankedSet<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

/// How many items a chunk holds at most.
const CHUNK: usize = 512;

impl<T> Default for RankedSet<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T> RankedSet<T> {
    /// A set of these items, which must be sorted and different from each other.
    pub(super) fn from_sorted(items: impl IntoIterator<Item = T>) -> Self {
        let mut set = Self::default();
        items.into_iter().for_each(|item| set.push(item));
        set
    }

    /// Adds an item that comes after all others.
    pub(super) fn push(&mut self, item: T) {
        match self.chunks.last_mut() {
            // Chunks begin half full, so that there is room for insertions.
            Some(last) if last.len() < CHUNK / 2 => last.push(item),
            _ => self.chunks.push(vec![item]),
        }
        self.len += 1;
    }

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All items, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// The item that compares equal.
    pub(super) fn find(&self, order: impl Fn(&T) -> Ordering) -> Option<&T> {
        let (chunk, at) = self.position(&order).ok()?;
        self.chunks.get(chunk)?.get(at)
    }

    /// Inserts an item, in place of one that compares equal.
    pub(super) fn insert(&mut self, item: T, order: impl Fn(&T) -> Ordering) {
        let (chunk, at, is_present) = match self.position(&order) {
            Ok((chunk, at)) => (chunk, at, true),
            Err((chunk, at)) => (chunk, at, false),
        };
        let Some(items) = self.chunks.get_mut(chunk) else {
            self.chunks.push(vec![item]);
            self.len += 1;
            return;
        };
        if is_present {
            if let Some(old) = items.get_mut(at) {
                *old = item;
            }
            return;
        }
        items.insert(at, item);
        self.len += 1;
        if items.len() > CHUNK {
            let upper = items.split_off(CHUNK / 2);
            self.chunks.insert(chunk + 1, upper);
        }
    }

    /// Removes the item that compares equal.
    pub(super) fn remove(&mut self, order: impl Fn(&T) -> Ordering) {
        let Ok((chunk, at)) = self.position(&order) else { return };
        let Some(items) = self.chunks.get_mut(chunk) else { return };
        items.remove(at);
        self.len -= 1;
        if items.is_empty() {
            self.chunks.remove(chunk);
        }
    }

    /// How many items there are before the first one for which `before` is false. `before` must be true for all items up to
    /// there and false for all items from there on.
    pub(super) fn rank(&self, before: impl Fn(&T) -> bool) -> usize {
        let chunk = self.chunks.partition_point(|items| items.last().is_some_and(&before));
        let passed: usize = self.chunks.iter().take(chunk).map(Vec::len).sum();
        passed + self.chunks.get(chunk).map_or(0, |items| items.partition_point(before))
    }

    /// The items with these ranks, in order. Ranks beyond the end have no items.
    pub(super) fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = &T> {
        let mut before = 0;
        // The lengths alone tell which chunks overlap the ranks.
        let overlapping = self.chunks.iter().filter_map(move |items| {
            let start = before;
            before += items.len();
            let from = ranks.start.max(start);
            let to = ranks.end.min(before);
            (from < to).then(|| items.get(from - start..to - start)).flatten()
        });
        overlapping.collect::<Vec<_>>().into_iter().flatten()
    }

    /// The chunk, and the position in it, where the item is (`Ok`) or would be inserted (`Err`).
    fn position(&self, order: &impl Fn(&T) -> Ordering) -> Result<(usize, usize), (usize, usize)> {
        // What is new comes last in the orders by time. To look at one item costs less than a search, whose items lie scattered in memory.
        if let Some(items) = self.chunks.last()
            && items.last().is_some_and(|last| order(last).is_lt())
        {
            return Err((self.chunks.len() - 1, items.len()));
        }
        // The first chunk whose last item is not before the one looked for; the last chunk where there is none.
        let chunk = self.chunks.partition_point(|items| items.last().is_some_and(|last| order(last).is_lt()));
        let chunk = chunk.min(self.chunks.len().saturating_sub(1));
        match self.chunks.get(chunk) {
            Some(items) => items.binary_search_by(order).map(|at| (chunk, at)).map_err(|at| (chunk, at)),
            None => Err((chunk, 0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_sorted_set(steps in proptest::collection::vec((any::<bool>(), 0u16..2000), 0..3000)) {
            let mut set = RankedSet::default();
            let mut model = BTreeSet::new();
            for (insert, item) in steps {
                if insert {
                    set.insert(item, |member: &u16| member.cmp(&item));
                    model.insert(item);
                } else {
                    set.remove(|member: &u16| member.cmp(&item));
                    model.remove(&item);
                }
            }
            prop_assert_eq!(set.len(), model.len());
            prop_assert!(set.range(0..usize::MAX).eq(model.iter()));
            for probe in [0u16, 1, 777, 1999] {
                prop_assert_eq!(set.find(|member| member.cmp(&probe)), model.get(&probe));
                let rank = set.rank(|member| *member < probe);
                prop_assert_eq!(rank, model.range(..probe).count());
                let page: Vec<_> = set.range(rank..rank + 10).collect();
                prop_assert_eq!(&page, &model.range(probe..).take(10).collect::<Vec<_>>());
                let back: Vec<_> = set.range(rank..rank + 10).rev().collect();
                prop_assert_eq!(back, page.into_iter().rev().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn keeps_its_order_over_many_chunks() {
        let mut set = RankedSet::from_sorted((0..5_000u32).map(|item| item * 2));
        for item in (0..10_000).filter(|item| item % 2 == 1) {
            set.insert(item, |member| member.cmp(&item));
        }
        assert_eq!(set.len(), 10_000);
        assert_eq!(set.rank(|member| *member < 7_123), 7_123);
        assert!(set.range(5_000..5_100).copied().eq(5_000..5_100));
        for item in (0..10_000).filter(|item| item % 3 != 0) {
            set.remove(|member| member.cmp(&item));
        }
        assert!(set.range(0..10_000).copied().eq((0..10_000).step_by(3)));
    }
}
