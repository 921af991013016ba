//! The state of the service as a whole: its status and health, its anchor, and its end.

use std::sync::Arc;
use std::time::Duration;

use super::{App, ClockSkew, Error, Overview};
use crate::auth::{Operate, ServiceGrant};
use crate::catalog::Counts;
use crate::crypto::PublicKey;
use crate::domain::{Revision, Timestamp};
use crate::limits::{LimitUse, QuotaUse};
use crate::metrics::CommitMetrics;
use crate::store::Unavailable;

/// How long the store has to answer a health check.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// How long the last uses may take to be stored when the service ends.
const USAGE_TIME: Duration = Duration::from_secs(5);

/// The state of the service.
pub struct ServiceStatus {
    /// What is measured of it.
    pub metrics: ServiceMetrics,
    /// When the service started.
    pub started_at: Timestamp,
    /// The time of its clock.
    pub time: Timestamp,
    /// When the service next does something by itself about a secret; `None`: nothing is planned.
    pub next_due: Option<Timestamp>,
    /// The key that verifies the signatures of the service.
    pub public_key: PublicKey,
    /// How much of each quota is used.
    pub quotas: Vec<QuotaUse>,
}

/// What is measured of the service. Only numbers, and no names: everybody who sees metrics may see it.
pub struct ServiceMetrics {
    /// The store's engine.
    pub engine: &'static str,
    /// The revision that the service shows.
    pub revision: Revision,
    /// How many revisions the service is behind its store; `None`: the store does not answer.
    pub behind: Option<u64>,
    /// The other servers over the store, and their clocks; `None`: the store belongs to this server alone.
    pub skew: Option<ClockSkew>,
    /// How many things the store has.
    pub counts: Counts,
    /// What an operator should know about them.
    pub overview: Overview,
    /// How much of each limit is used.
    pub limits: Vec<LimitUse>,
    /// The largest part of a quota's limit that is used: of secrets, and of bytes. `None` where no quota has such a limit.
    pub largest_quota_use: [Option<f64>; 2],
    /// How many watches of changes there are.
    pub watches: usize,
    /// The commits of the store.
    pub commits: Arc<CommitMetrics>,
}

/// How long the store has to tell its revision to a measurement.
const MEASURE_TIME: Duration = Duration::from_secs(1);

impl App {
    /// What is measured of the service.
    pub async fn metrics(&self) -> ServiceMetrics {
        let store = &self.core.store;
        let newest = tokio::time::timeout(MEASURE_TIME, store.revision()).await;
        let revision = self.core.catalog.revision();
        ServiceMetrics {
            engine: store.engine(),
            revision,
            behind: newest.ok().and_then(Result::ok).map(|newest| newest.0.saturating_sub(revision.0)),
            skew: self.clock_skew(),
            counts: self.core.catalog.counts(),
            overview: self.overview.of(&self.core).await,
            limits: self.limits(),
            largest_quota_use: self.core.catalog.largest_quota_use(),
            watches: self.watches.open(),
            commits: store.metrics(),
        }
    }

    /// The state of the service.
    pub async fn status(&self, _grant: &ServiceGrant<Operate>) -> ServiceStatus {
        ServiceStatus {
            metrics: self.metrics().await,
            started_at: self.started_at,
            time: self.core.clock.now(),
            next_due: self.core.catalog.first_due(|_| false),
            public_key: self.core.keyring().public_key().clone(),
            quotas: self.core.catalog.quota_usage(),
        }
    }

    /// Lets the status tell how much of the limits on connections is used, which the server knows.
    pub fn count_connections(&self, usage: impl Fn() -> Vec<LimitUse> + Send + Sync + 'static) {
        let _ = self.connections.set(Box::new(usage)); // only the first server of an app counts
    }

    fn limits(&self) -> Vec<LimitUse> {
        let connections = self.connections.get().map(|usage| usage()).unwrap_or_default();
        let requests = self.admission.usage();
        let others = [self.references.usage(), self.idempotency.usage()];
        connections.into_iter().chain(requests).chain(others).collect()
    }

    /// The store's revision that the service shows.
    pub fn revision(&self) -> Revision {
        self.core.catalog.revision()
    }

    /// Fails where the catalog can be too old to answer any request, even the question who calls.
    pub fn serves(&self) -> Result<(), Error> {
        Ok(self.core.catalog.follows()?)
    }

    /// Fails unless the store answers in time and the catalog follows it.
    pub async fn check(&self) -> Result<(), Error> {
        let answers = async {
            self.core.store.ping().await?;
            self.core.catalog.follows()?;
            self.core.catalog.at_least(self.core.store.durable()).await
        };
        let silent = |_| Unavailable("it does not answer".into());
        Ok(tokio::time::timeout(ANSWER_TIME, answers).await.map_err(silent)??)
    }

    /// Writes the store's latest state into the anchor file, where there is one. A failure is logged.
    pub async fn write_anchor(&self) {
        let Some(anchor) = self.anchor.clone() else { return };
        let (keyring, digest) = (self.core.keyring(), self.core.catalog.digest());
        let written = tokio::task::spawn_blocking(move || anchor.write(&keyring, &digest)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "the anchor could not be written");
        }
    }

    /// Removes the copies of audit records that are in the audit log, and keeps the anchor of the log close behind it. A failure is
    /// logged, and this is tried again.
    pub async fn tend_outbox(&self) {
        let Some(outbox) = &self.core.outbox else { return };
        if let Err(error) = outbox.tend(&self.core).await {
            tracing::debug!(%error, "the outbox of the audit log cannot be tended; this is tried again");
        }
    }

    /// Notes that the record of a request that succeeded is in the audit log.
    pub fn request_recorded(&self, id: [u8; 16]) {
        if let Some(outbox) = &self.core.outbox {
            outbox.written(id);
        }
    }

    /// Stores when secrets and API keys were last used, and ends the grace periods of versions that nobody uses any more. A failure is
    /// logged, and tried again with the next call.
    pub async fn store_usage(&self) {
        if let Err(error) = self.core.store_usage().await {
            tracing::warn!(%error, "uses of secrets and API keys could not be stored; this is tried again");
            return;
        }
        if let Err(error) = self.core.retire_unread().await {
            tracing::warn!(
                %error,
                "versions that nobody uses any more were not retired; this is tried again"
            );
        }
    }

    /// Waits until so many uses were noted that they should be stored.
    pub async fn much_used(&self) {
        self.core.usage.full().await;
    }

    /// Ends the service: changes that were accepted become durable, later ones are refused.
    pub async fn close(&self) {
        if tokio::time::timeout(USAGE_TIME, self.store_usage()).await.is_err() {
            tracing::warn!("the last uses of secrets and API keys could not be stored in time");
        }
        if let Some(outbox) = &self.core.outbox
            && let Err(error) = outbox.close(&self.core).await
        {
            tracing::warn!(%error, "the anchor of the audit log could not be written");
        }
        self.core.store.close().await;
        self.write_anchor().await;
    }
}
