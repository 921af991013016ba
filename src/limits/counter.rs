//! Counts what there is of one thing, up to a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::LimitUse;

/// A count with a limit.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    limit: usize,
    used: AtomicUsize,
    refused: AtomicU64,
}

impl Counter {
    /// A count from 0 to `limit`. `name` is the limit's name in the configuration.
    pub fn new(name: &'static str, limit: usize) -> Arc<Self> {
        Arc::new(Self { name, limit, used: AtomicUsize::new(0), refused: AtomicU64::new(0) })
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Counts one more until the guard is dropped. `None`: the limit is reached, and the refusal is counted.
    pub fn enter(self: &Arc<Self>) -> Option<Counted> {
        let counted = self.try_add(1).then(|| Counted { counter: self.clone(), amount: 1 });
        if counted.is_none() {
            self.refuse();
        }
        counted
    }

    /// A guard of nothing, which can grow.
    pub fn nothing(self: &Arc<Self>) -> Counted {
        Counted { counter: self.clone(), amount: 0 }
    }

    /// Counts a refusal at this limit.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How much is counted.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether so much more is within the limit.
    pub fn has_room(&self, more: usize) -> bool {
        self.used().checked_add(more).is_some_and(|total| total <= self.limit)
    }

    /// How much of the limit is used.
    pub fn usage(&self) -> LimitUse {
        LimitUse {
            name: self.name,
            limit: u64::try_from(self.limit).unwrap_or(u64::MAX),
            used: u64::try_from(self.used.load(Ordering::Relaxed)).unwrap_or(u64::MAX),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn try_add(&self, amount: usize) -> bool {
        let added = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(amount).filter(|total| *total <= self.limit)
        });
        added.is_ok()
    }
}

/// What is counted until this is dropped.
#[derive(Debug)]
pub struct Counted {
    counter: Arc<Counter>,
    amount: usize,
}

impl Counted {
    /// Counts more. False: the limit would be exceeded, and nothing was added.
    pub fn grow(&mut self, more: usize) -> bool {
        let grown = self.counter.try_add(more);
        if grown {
            self.amount += more;
        } else {
            self.counter.refuse();
        }
        grown
    }

    /// Counts less.
    pub fn shrink(&mut self, less: usize) {
        let less = less.min(self.amount);
        self.amount -= less;
        self.counter.used.fetch_sub(less, Ordering::Relaxed);
    }

    /// Counts more, though the limit may be exceeded. For what cannot be refused any more.
    pub fn charge(&mut self, more: usize) {
        self.counter.used.fetch_add(more, Ordering::Relaxed);
        self.amount += more;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counter.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_ends_at_its_limit_and_goes_down_with_its_guards() {
        let counter = Counter::new("requests", 2);
        let (first, second) = (counter.enter().unwrap(), counter.enter().unwrap());
        assert!(!counter.has_room(1) && counter.enter().is_none());
        drop(first);
        assert!(counter.enter().is_some());
        drop(second);
        assert_eq!(counter.usage(), LimitUse { name: "requests", limit: 2, used: 0, refused: 1 });
    }

    #[test]
    fn a_guard_grows_within_the_limit_and_is_charged_beyond_it() {
        let counter = Counter::new("memory", 10);
        let mut counted = counter.nothing();
        assert!(counted.grow(10) && !counted.grow(1));
        counted.charge(5);
        assert_eq!(counter.usage().used, 15);
        counted.shrink(5);
        assert_eq!(counter.usage().used, 10);
        assert!(!counted.grow(usize::MAX));
        drop(counted);
        assert_eq!(counter.usage().used, 0);
    }
}
