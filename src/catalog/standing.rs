use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::orders::Orders;
use crate::domain::{Metadata, Secret};

/// A filter that no single index answers: several pairs of metadata, or a prefix beside an order by time.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Standing {
    pub(super) prefix: Box<str>,
    pub(super) metadata: Metadata,
}

impl Standing {
    /// Whether a secret matches.
    pub(super) fn matches(&self, secret: &Secret) -> bool {
        secret.name.as_str().starts_with(&*self.prefix)
            && self.metadata.iter().all(|(key, value)| secret.metadata.has(key, value))
    }
}

/// The secrets that match the filters asked for of late, kept current with every change. So a filter is looked for once,
/// and from then on each of its pages costs the same, however many secrets there are.
#[derive(Default)]
pub(super) struct Kept {
    found: HashMap<Standing, Matching>,
    clock: AtomicU64,
}

struct Matching {
    orders: Orders,
    used: AtomicU64,
}

/// How many filters are kept at most: each costs a look at every change.
const MOST: usize = 32;

impl Kept {
    /// What matches a filter, where it is kept.
    pub(super) fn get(&self, standing: &Standing) -> Option<&Orders> {
        let matching = self.found.get(standing)?;
        matching.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(&matching.orders)
    }

    /// Keeps what matches a filter, in place of those asked for longest ago where that is too much.
    pub(super) fn keep(&mut self, standing: Standing, orders: Orders, most_secrets: usize) {
        let used = AtomicU64::new(self.clock.fetch_add(1, Ordering::Relaxed));
        self.found.insert(standing, Matching { orders, used });
        while self.found.len() > MOST || self.secrets() > most_secrets {
            let used = |matching: &Matching| matching.used.load(Ordering::Relaxed);
            let Some(oldest) = self.found.values().map(used).min() else { return };
            self.found.retain(|_, matching| used(matching) != oldest);
        }
    }

    pub(super) fn insert(&mut self, secret: &Arc<Secret>) {
        for (standing, matching) in &mut self.found {
            if standing.matches(secret) {
                matching.orders.insert(secret);
            }
        }
    }

    pub(super) fn remove(&mut self, secret: &Secret) {
        for (standing, matching) in &mut self.found {
            if standing.matches(secret) {
                matching.orders.remove(secret);
            }
        }
    }

    fn secrets(&self) -> usize {
        self.found.values().map(|matching| matching.orders.len()).sum()
    }
}
