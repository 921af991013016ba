//! The secrets about which the service has something to do by itself, and the alarm that wakes the scheduler before it expects so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::Catalog;
use super::locks::read;
use super::namespace::NamespaceCatalog;
use crate::domain::{SecretId, Timestamp};

/// Wakes the scheduler when something is due earlier than it expects.
pub(super) struct DueAlarm {
    /// How long deleted and expired secrets are kept.
    pub(super) retention: Duration,
    /// When the scheduler wakes by itself, in microseconds since 1970.
    wakes_at: AtomicI64,
    earlier: Notify,
}

impl DueAlarm {
    pub(super) fn new(retention: Duration) -> Arc<Self> {
        Arc::new(Self { retention, wakes_at: AtomicI64::new(i64::MAX), earlier: Notify::new() })
    }

    /// Notes the first time at which something is due in a namespace, after a change there.
    pub(super) fn note(&self, first: Option<Timestamp>) {
        if first.is_some_and(|at| at.as_micros() < self.wakes_at.load(Ordering::Acquire)) {
            self.earlier.notify_one();
        }
    }

    /// Wakes the scheduler.
    pub(super) fn ring(&self) {
        self.earlier.notify_one();
    }
}

/// Who does what is planned about a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedBy {
    /// The service by itself: it tells of an expiry, retires versions, rotates, removes.
    Service,
    /// A worker, who claims the rotation.
    Workers,
}

/// A secret that is due.
pub struct DueSecret {
    /// Since when.
    pub since: Timestamp,
    /// Its namespace.
    pub namespace: Arc<NamespaceCatalog>,
    /// Its id.
    pub id: SecretId,
}

impl Catalog {
    /// How long deleted and expired secrets are kept.
    pub fn retention(&self) -> Duration {
        self.due.retention
    }

    /// The first time at which the service has something to do about a secret, without those that are to be left out.
    pub fn first_due(&self, left_out: impl Fn(SecretId) -> bool) -> Option<Timestamp> {
        let first_of = |namespace: &Arc<NamespaceCatalog>| {
            let index = read(&namespace.index);
            index.due().find(|(_, id)| !left_out(*id)).map(|(at, _)| at)
        };
        self.namespaces().iter().filter_map(first_of).min()
    }

    /// From now on, the scheduler is woken by everything that becomes due at some time, until [`Catalog::due_earlier`] says when it
    /// wakes by itself. To be called before [`Catalog::first_due`], so that no change is missed between the two.
    pub fn expect_nothing_due(&self) {
        self.due.wakes_at.store(i64::MAX, Ordering::Release);
    }

    /// Waits until something is due earlier than at that time, at which the scheduler wakes by itself.
    pub async fn due_earlier(&self, wakes_at: Option<Timestamp>) {
        self.due.wakes_at.store(wakes_at.map_or(i64::MAX, Timestamp::as_micros), Ordering::Release);
        self.due.earlier.notified().await;
    }

    /// The secrets that are due at a time, without those that are to be left out. The namespaces take turns: the secret that is due for
    /// longest in each of them comes before the second of any. So a namespace where very much is due holds up another one for one of its
    /// secrets only.
    pub fn due_secrets(
        &self,
        now: Timestamp,
        limit: usize,
        left_out: impl Fn(SecretId) -> bool,
    ) -> Vec<DueSecret> {
        let mut found = Vec::new();
        for namespace in self.namespaces() {
            let index = read(&namespace.index);
            let due = index.due().take_while(|(at, _)| *at <= now).filter(|(_, id)| !left_out(*id));
            let due = due.take(limit).enumerate();
            found.extend(
                due.map(|(turn, (since, id))| (turn, DueSecret { since, namespace: namespace.clone(), id })),
            );
        }
        found.sort_unstable_by_key(|(turn, due)| (*turn, due.since, due.id));
        found.truncate(limit);
        found.into_iter().map(|(_, due)| due).collect()
    }
}
