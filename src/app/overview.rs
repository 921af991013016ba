//! What an operator should know about the secrets and API keys of a store: how many rotations are due, what expires, which keys
//! nobody uses. Only numbers: no names.
//!
//! The numbers are counted when somebody asks for them, from the secrets that have a plan. Where there are many, the count
//! takes a while, and is kept for some time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::commit::Core;
use crate::catalog::{NamespaceCatalog, PlannedBy};
use crate::domain::{Secret, Timestamp};

/// How long a rotation may be due before it is overdue.
pub const OVERDUE: Duration = Duration::from_secs(60 * 60);
/// How soon a secret that expires soon expires.
pub const EXPIRES_SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long an API key that is not used was not used.
pub const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many secrets are looked at under one lock of their namespace.
const PAGE: usize = 1000;
/// How many times as long as a count has taken it is kept.
const KEPT: u32 = 20;

/// The numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overview {
    /// Rotations that are planned or due.
    pub rotations_planned: u64,
    /// Rotations that are due.
    pub rotations_due: u64,
    /// Rotations that have been due for more than an hour.
    pub rotations_overdue: u64,
    /// Rotations whose last attempt has failed.
    pub rotations_failing: u64,
    /// Secrets that expire within 7 days.
    pub expiring_secrets: u64,
    /// API keys in force.
    pub api_keys: u64,
    /// API keys in force that nobody has used for 30 days.
    pub unused_api_keys: u64,
    /// Bindings.
    pub bindings: u64,
}

/// The numbers as they were last counted.
#[derive(Default)]
pub(super) struct LastOverview(Mutex<Option<Counted>>);

#[derive(Clone, Copy)]
struct Counted {
    overview: Overview,
    at: Instant,
    took: Duration,
}

impl LastOverview {
    /// The numbers: of now, or those of a little earlier where a count takes long.
    pub(super) async fn of(&self, core: &Arc<Core>) -> Overview {
        let mut last = self.0.lock().await;
        if let Some(counted) = last.filter(|counted| counted.at.elapsed() < counted.took * KEPT) {
            return counted.overview;
        }
        let at = Instant::now();
        let core = core.clone();
        let counted = tokio::task::spawn_blocking(move || count(&core)).await;
        // The runtime ends: nobody waits for the numbers any more.
        let Ok(overview) = counted else { return Overview::default() };
        *last = Some(Counted { overview, at: Instant::now(), took: at.elapsed() });
        overview
    }
}

fn count(core: &Core) -> Overview {
    let now = core.clock.now();
    let mut overview = Overview::default();
    for namespace in core.catalog.namespaces() {
        each_planned(&namespace, PlannedBy::Service, |secret| overview.add(secret, now));
        let retention = core.catalog.retention();
        // Those that the service has something to do about, too, were counted.
        each_planned(&namespace, PlannedBy::Workers, |secret| {
            if secret.next_due(retention).is_none() {
                overview.add(secret, now);
            }
        });
    }
    for key in core.catalog.api_keys().iter().filter(|key| key.in_force(now).is_ok()) {
        let used = core.catalog.key_last_used(key.id).map(|minute| minute.start());
        overview.api_keys += 1;
        overview.unused_api_keys += u64::from(used.unwrap_or(key.created_at).plus(UNUSED) <= now);
    }
    let bindings = core.catalog.with_policy(|policy| policy.len());
    Overview { bindings: u64::try_from(bindings).unwrap_or(u64::MAX), ..overview }
}

/// Looks at each secret of a namespace about which something is planned.
fn each_planned(namespace: &NamespaceCatalog, by: PlannedBy, mut look: impl FnMut(&Secret)) {
    let mut after = None;
    loop {
        let page = namespace.planned(by, after, PAGE);
        let Some((last, _)) = page.last() else { return };
        after = Some(*last);
        page.iter().for_each(|(_, secret)| look(secret));
    }
}

impl Overview {
    fn add(&mut self, secret: &Secret, now: Timestamp) {
        if secret.is_deleted() || secret.is_expired(now) {
            return;
        }
        self.expiring_secrets +=
            u64::from(secret.expires_at.is_some_and(|expires_at| expires_at.minus(EXPIRES_SOON) <= now));
        let Some(rotation) = &secret.rotation else { return };
        // Not when it is tried again after a failure: until then it is due all the same.
        let Some(due_at) = rotation.next_at.filter(|_| !rotation.policy.paused) else { return };
        self.rotations_planned += 1;
        self.rotations_due += u64::from(due_at <= now);
        self.rotations_overdue += u64::from(due_at.plus(OVERDUE) <= now);
        self.rotations_failing += u64::from(rotation.failure.is_some());
    }
}

#[cfg(test)]
mod tests;
