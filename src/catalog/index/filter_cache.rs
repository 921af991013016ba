//! The results of recently used filters, kept current with every change to the index.
//!
//! A filter is searched for once. From then on each of its pages costs the same, however many secrets there are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::orders::Orders;
use super::packed::PackedSecret;
use crate::auth::NameFilter;
use crate::domain::{Metadata, Timestamp};

/// A filter that no single part of the index answers: several pairs of metadata, a prefix in an order by time, a time since
/// which no value was read, deleted secrets, or names.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct FilterQuery {
    /// What the name must begin with; may be empty.
    pub(super) prefix: Box<str>,
    /// Pairs that the metadata must all have.
    pub(super) metadata: Metadata,
    /// The time since which no value was read; `None` for all secrets.
    pub(super) unused_since: Option<Timestamp>,
    /// Whether deleted secrets match too.
    pub(super) include_deleted: bool,
    /// Which names pass.
    pub(super) names: NameFilter,
}

impl FilterQuery {
    /// Whether a secret matches.
    pub(super) fn matches(&self, secret: &PackedSecret) -> bool {
        (self.include_deleted || !secret.is_deleted())
            && secret.matches(&self.prefix, &self.metadata)
            && self.unused_since.is_none_or(|since| secret.is_unused_since(since))
            && (self.names.is_every() || self.names.passes_text(secret.name_text()))
    }
}

/// For each cached filter, the secrets that match it now.
#[derive(Default)]
pub(super) struct FilterCache {
    entries: HashMap<FilterQuery, CachedFilter>,
    /// Counts the uses, so that they can be ordered.
    uses: AtomicU64,
}

struct CachedFilter {
    matches: Orders,
    /// The number of the last use. Atomic, since readers share the cache.
    last_use: AtomicU64,
}

/// How many filters the cache holds: every change to the index is compared with each of them.
const MAX_FILTERS: usize = 32;

impl FilterCache {
    /// The secrets that match a filter; `None` where the cache does not hold the filter.
    pub(super) fn get(&self, query: &FilterQuery) -> Option<&Orders> {
        let entry = self.entries.get(query)?;
        entry.last_use.store(self.next_use(), Ordering::Relaxed);
        Some(&entry.matches)
    }

    /// Adds a filter and its matches. Then drops the least recently used filters until there are at most 32 of them, with
    /// at most `max_matches` matches in all.
    pub(super) fn put(&mut self, query: FilterQuery, matches: Orders, max_matches: usize) {
        let last_use = AtomicU64::new(self.next_use());
        self.entries.insert(query, CachedFilter { matches, last_use });
        while self.entries.len() > MAX_FILTERS || self.matches() > max_matches {
            let last_use = |entry: &CachedFilter| entry.last_use.load(Ordering::Relaxed);
            let Some(oldest) = self.entries.values().map(last_use).min() else { return };
            self.entries.retain(|_, entry| last_use(entry) != oldest);
        }
    }

    /// Adds a secret to every filter that it matches.
    pub(super) fn insert(&mut self, secret: &PackedSecret) {
        for (query, entry) in &mut self.entries {
            if query.matches(secret) {
                entry.matches.insert(secret);
            }
        }
    }

    /// Removes a secret, given in the state in which it was added, from every filter that it matches.
    pub(super) fn remove(&mut self, secret: &PackedSecret) {
        for (query, entry) in &mut self.entries {
            if query.matches(secret) {
                entry.matches.remove(secret, None);
            }
        }
    }

    fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    fn matches(&self) -> usize {
        self.entries.values().map(|entry| entry.matches.len()).sum()
    }
}
