//! The scheduler: does what is due about secrets by itself.
//!
//! The catalog keeps the times at which something is due in order. The scheduler sleeps until the first of them, and is woken when a
//! change brings an earlier one. What is due is done by commits that require that the secrets are as they were
//! ([`SecretOperations::attend`](super::SecretOperations)), so that each thing is done once, also where the schedulers of several
//! replicas try at the same time, and after a crash. There is no state that a crash could lose.
//!
//! It does a bounded number of things at once. Where the store or the audit log fails, it pauses, for longer each time. A secret about
//! which nothing can be done is left alone for a while, and does not hold up the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::secret::DutyRecord;
use super::{App, Error, RequestRecord};
use crate::audit::Auditor;
use crate::domain::SecretId;
use crate::metrics::Total;

#[cfg(test)]
mod tests;

/// How many secrets are taken from the catalog at once.
const BATCH: usize = 64;
/// How many changes are committed at a time, at most: callers share the store.
const AT_ONCE: usize = 8;
/// How long is slept at once, at most: the system's clock can be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// How long a pause is after a first failure, and at most after many.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The same where nothing can be done about one secret.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// What the scheduler has done since the start of the server.
#[derive(Debug, Default)]
pub struct SchedulerMetrics {
    changes: [Total; CHANGES.len()],
    /// How often something that was due could not be done.
    pub failed: Total,
}

/// The RPCs in the audit records of what the service does by itself, without `scheduler/`.
const CHANGES: [&str; 7] = [
    "FailRotation",
    "PostponeRotation",
    "PurgeSecret",
    "RetireVersions",
    "RotateSecret",
    "TellExpiry",
    "TellRotation",
];

impl SchedulerMetrics {
    /// How many changes of each kind were made.
    pub fn changes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CHANGES.into_iter().zip(self.changes.iter().map(Total::read))
    }

    fn note(&self, rpc: &str) {
        let named = CHANGES.into_iter().zip(&self.changes).find(|(name, _)| rpc.ends_with(name));
        if let Some((_, count)) = named {
            count.add(1);
        }
    }
}

/// Does what is due.
pub struct Scheduler {
    app: Arc<App>,
    auditor: Arc<dyn Auditor>,
    /// The secrets that are left alone.
    resting: HashMap<SecretId, Rest>,
}

/// For how long a secret is left alone.
struct Rest {
    until: Instant,
    /// The length of this rest.
    pause: Duration,
}

/// The store or the audit log cannot be written now.
struct Failing;

impl Scheduler {
    /// A scheduler whose audit records the auditor writes.
    pub fn new(app: Arc<App>, auditor: Arc<dyn Auditor>) -> Self {
        Self { app, auditor, resting: HashMap::new() }
    }

    /// Does what is due whenever it is. Does not end by itself.
    pub async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.do_what_is_due().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    self.wait().await;
                }
                Err(Failing) => {
                    tracing::warn!(pause = %humantime::format_duration(pause), "what is due cannot be done; this is tried again after a pause");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Does everything that is due now.
    async fn do_what_is_due(&mut self) -> Result<(), Failing> {
        while self.do_batch().await? {}
        Ok(())
    }

    /// Does some of the things that are due now. False: nothing is.
    async fn do_batch(&mut self) -> Result<bool, Failing> {
        let core = &self.app.core;
        let now = Instant::now();
        let rests = |id| self.resting.get(&id).is_some_and(|rest| rest.until > now);
        let due = core.catalog.due_secrets(core.clock.now(), BATCH, rests);
        if due.is_empty() {
            self.resting.retain(|_, rest| rest.until > now);
            return Ok(false);
        }
        core.catalog.follows().map_err(|_| Failing)?;
        self.auditor.check().await.map_err(|_| Failing)?;
        let mut due = due.into_iter();
        let mut under_way = JoinSet::new();
        let mut failing = None;
        loop {
            while failing.is_none()
                && under_way.len() < AT_ONCE
                && let Some(next) = due.next()
            {
                let (app, auditor) = (self.app.clone(), self.auditor.clone());
                under_way.spawn(async move {
                    let done = app.secrets.attend(next.namespace.id(), next.id, auditor.names()).await;
                    if let Ok(Some(record)) = &done {
                        app.scheduled.note(record.record.rpc);
                        tell_audit(&app, &*auditor, record).await;
                    }
                    (next.id, done.map(|record| record.is_some()))
                });
            }
            match under_way.join_next().await {
                Some(Ok((id, Ok(true)))) => drop(self.resting.remove(&id)),
                Some(Ok((id, Ok(false)))) => self.rest(id, FIRST_PAUSE),
                Some(Ok((_, Err(Error::Unavailable(_) | Error::AuditUnavailable)))) => {
                    self.app.scheduled.failed.add(1);
                    failing = Some(Failing)
                }
                Some(Ok((id, Err(error)))) => {
                    self.app.scheduled.failed.add(1);
                    tracing::warn!(secret = %id, %error, "what is due about a secret cannot be done; this is tried again");
                    self.rest(id, LONGEST_REST);
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "what was due about a secret ended without a result");
                    failing = Some(Failing);
                }
                None => return failing.map_or(Ok(true), Err),
            }
        }
    }

    /// Leaves a secret alone: for twice as long as the last time, and at most so long.
    fn rest(&mut self, id: SecretId, longest: Duration) {
        let before = self.resting.get(&id).map(|rest| rest.pause * 2);
        let pause = before.unwrap_or(FIRST_PAUSE).min(longest);
        self.resting.insert(id, Rest { until: Instant::now() + pause, pause });
    }

    /// Waits until something can be due.
    async fn wait(&self) {
        let core = &self.app.core;
        core.catalog.expect_nothing_due();
        let now = Instant::now();
        let first = core.catalog.first_due(|id| self.resting.contains_key(&id));
        let until_first = first.map_or(LONGEST_SLEEP, |at| core.clock.now().until(at));
        let until_rested = self.resting.values().map(|rest| rest.until.saturating_duration_since(now)).min();
        let sleep = until_first.min(until_rested.unwrap_or(LONGEST_SLEEP)).min(LONGEST_SLEEP);
        tokio::select! {
            () = core.catalog.due_earlier(first) => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Writes the audit record of a change that was made. Where it cannot be written, its copy in the store is moved to the audit log later.
async fn tell_audit(app: &App, auditor: &dyn Auditor, record: &DutyRecord) {
    match auditor.write(&record.record).await {
        Ok(()) => app.request_recorded(record.id()),
        Err(error) => tracing::warn!(%error, "the record of what the service did by itself is written later"),
    }
}
