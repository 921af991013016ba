//! What the service does, apart from how it is asked on the wire.
//!
//! [`App`] is made of parts, one for each concern. All parts share the store, the catalog and the master key, and commit
//! changes in one way (`commit.rs`). Every operation that needs a right takes a grant as an argument, which only `auth` can
//! make.

mod access;
#[cfg(test)]
mod anchor_tests;
mod audit;
mod authority;
#[cfg(test)]
mod authority_tests;
mod backup;
mod clock_agreement;
#[cfg(all(test, feature = "etcd"))]
mod clock_tests;
mod commit;
#[cfg(test)]
mod commit_tests;
mod deadline;
mod error;
mod error_text;
#[cfg(test)]
mod fixture;
mod freshness;
#[cfg(test)]
mod freshness_tests;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod history;
#[cfg(test)]
mod history_tests;
mod idempotency;
mod keys;
mod outbox;
mod overview;
#[cfg(test)]
mod quota_tests;
mod readiness;
mod recover;
mod reference;
#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod rotation_tests;
mod scheduler;
mod seal_limits;
mod secret;
mod setup;
#[cfg(test)]
mod setup_tests;
#[cfg(test)]
pub(crate) mod shared_store;
#[cfg(test)]
mod staleness_tests;
mod status;
#[cfg(test)]
mod store_failure_tests;
#[cfg(test)]
mod tamper_tests;
mod usage;
#[cfg(test)]
mod usage_tests;
#[cfg(test)]
mod vector_tests;
mod watch;
#[cfg(test)]
mod watch_tests;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

pub use self::access::{
    AccessControl, AccessPage, BindingQuery, CredentialSources, Expiry, Explanation, Fetch, IssuerKeys,
    NewApiKey, NewBinding, NoPrincipal, Presented, Question, Rotation, Unauthenticated,
};
pub use self::audit::{AuditRecords, Checkpoint, InclusionProof, NamesOfFingerprint};
pub use self::backup::{BackupChunk, Backups, IncomingBackup, RestoreOptions, RestoreProgress, Restored};
pub use self::clock_agreement::ClockSkew;
use self::commit::Core;
pub use self::deadline::until;
pub use self::error::{CredentialProblem, Error};
pub use self::history::History;
pub use self::idempotency::{Idempotency, IdempotencyRecords};
pub use self::keys::{KeyStatus, RekeyPermit, RekeyProgress, Rekeyed, Rekeying};
pub use self::outbox::{RequestRecord, recorded};
use self::overview::LastOverview;
pub use self::overview::{EXPIRES_SOON, OVERDUE, Overview, UNUSED};
pub use self::readiness::{Readiness, ReadyState, Unready, UnreadyCause};
pub use self::recover::Recovery;
pub use self::reference::{NamedSecret, ReferenceResolver, Resolution};
pub use self::scheduler::{Scheduler, SchedulerMetrics};
pub use self::seal_limits::SealLimits;
pub use self::secret::{
    AcknowledgedVersion, Acknowledgement, Batch, ChangedSecret, ChangedVersion, ClaimQuery, ClaimRelease,
    ClaimToken, ClaimedRotation, DeletedSecret, DestructionReceipt, ListQuery, ListedNamespace,
    ListedVersions, NamespacePage, NamespaceQuery, NewSecret, Promotion, RevealedSecret, SecretExpiry,
    SecretOperations, SecretPage, SecretRotation, SecretUpdate, ValueSource, VersionChange,
};
pub use self::setup::{Options, SetupError, open};
pub use self::status::{ServiceMetrics, ServiceStatus};
pub use self::watch::{SecretWatches, Step, StepEvent, StepType, Watch, WatchFrom, WatchQuery};
use crate::auth::PrincipalName;
use crate::config::{HistorySettings, Limits};
use crate::domain::{Timestamp, now};
use crate::integrity::AnchorFile;
use crate::integrity::audit_log::AuditLog;
use crate::limits::{Admission, LimitUse};
pub use crate::store::{Unavailable, UnavailableCause};

/// Tells how much of the limits on connections is used.
type ConnectionUse = Box<dyn Fn() -> Vec<LimitUse> + Send + Sync>;

/// The service over one store.
pub struct App {
    /// Secrets, their values and their versions.
    pub secrets: SecretOperations,
    /// API keys, and who calls.
    pub access: AccessControl,
    /// The master key, and the keys of the keyring and of namespaces.
    pub keys: Arc<Rekeying>,
    /// The stored outcomes of requests with a request id.
    pub idempotency: Arc<IdempotencyRecords>,
    /// Backup and restore.
    pub backup: Backups,
    /// The audit log of this server.
    pub audit: AuditRecords,
    /// Documents with references to secrets.
    pub references: ReferenceResolver,
    /// The history of changes.
    pub history: History,
    /// Watches of changes.
    pub watches: SecretWatches,
    /// What the callers have under way, within the limits.
    pub admission: Admission<PrincipalName>,
    /// What the scheduler has done.
    pub scheduled: SchedulerMetrics,
    /// Whether this server serves.
    pub readiness: Readiness,
    overview: LastOverview,
    core: Arc<Core>,
    /// How much of the limits on connections is used.
    connections: OnceLock<ConnectionUse>,
    anchor: Option<Arc<AnchorFile>>,
    started_at: Timestamp,
}

impl App {
    fn new(
        core: Core,
        limits: &Limits,
        history: HistorySettings,
        data_dir: PathBuf,
        anchor: Option<Arc<AnchorFile>>,
        audit_log: Option<Arc<AuditLog>>,
        readiness: Readiness,
    ) -> Self {
        let core = Arc::new(core);
        let told = readiness.clone();
        core.catalog.tell_when_stale(move |why| {
            let other = why.filter(|why| why.cause() == UnavailableCause::OtherHistory);
            told.note_and_log(UnreadyCause::OtherHistory, other.map(|why| why.0.to_string()));
        });
        let idempotency =
            Arc::new(IdempotencyRecords::new(core.clone(), limits.idempotency_records_per_principal));
        let restored = Arc::new(Notify::new());
        Self {
            secrets: SecretOperations::new(core.clone(), idempotency.clone()),
            access: AccessControl::new(core.clone(), idempotency.clone()),
            keys: Arc::new(Rekeying::new(core.clone(), restored.clone())),
            idempotency,
            audit: AuditRecords::new(core.clone(), audit_log),
            backup: Backups::new(core.clone(), data_dir, restored),
            references: ReferenceResolver::new(core.clone(), limits.documents_per_principal),
            history: History::new(core.clone(), history),
            watches: SecretWatches::new(core.clone()),
            admission: Admission::new(limits),
            scheduled: SchedulerMetrics::default(),
            readiness,
            overview: LastOverview::default(),
            core,
            connections: OnceLock::new(),
            anchor,
            started_at: now(),
        }
    }
}
