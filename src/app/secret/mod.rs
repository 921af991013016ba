//! Secrets: what is done with them, one file for each operation.
//!
//! A change goes through [`SecretOperations::change`] (`change.rs`), which plans it with a [`SecretPlan`](plan::SecretPlan)
//! and commits it together with its idempotency record. A read goes through [`SecretReader`] (`read.rs`), which finds the
//! secret in the catalog and its value in the store.

mod acknowledge;
mod batch;
mod change;
mod claim;
mod create;
#[cfg(test)]
mod damage_tests;
mod delete;
mod destroy;
mod duty;
mod generate;
mod list;
mod locks;
mod namespaces;
mod page_token;
mod plan;
mod promote;
mod read;
mod retire;
mod rotate;
mod undelete;
mod update;
mod version;
#[cfg(test)]
mod version_tests;

use std::sync::Arc;

pub use self::acknowledge::{AcknowledgedVersion, Acknowledgement};
pub use self::batch::Batch;
pub use self::change::ChangedSecret;
pub use self::claim::{ClaimQuery, ClaimRelease, ClaimToken, ClaimedRotation};
pub use self::create::{NewSecret, SecretExpiry};
pub use self::delete::DeletedSecret;
pub use self::destroy::DestructionReceipt;
pub(super) use self::duty::DutyRecord;
pub use self::generate::ValueSource;
pub use self::list::{ListQuery, SecretPage};
use self::locks::SecretLocks;
pub use self::namespaces::{ListedNamespace, NamespacePage, NamespaceQuery};
#[cfg(any(test, fuzzing))]
pub(super) use self::page_token::PageToken;
pub use self::promote::Promotion;
pub use self::read::RevealedSecret;
pub(super) use self::read::{CurrentValue, SecretReader};
pub(super) use self::retire::awaits_consumers;
pub use self::rotate::SecretRotation;
pub use self::update::SecretUpdate;
pub use self::version::{ChangedVersion, ListedVersions, VersionChange};
use super::commit::Core;
use super::idempotency::IdempotencyRecords;
use crate::domain::{Secret, Timestamp};

/// What the service does with secrets.
pub struct SecretOperations {
    core: Arc<Core>,
    reader: SecretReader,
    idempotency: Arc<IdempotencyRecords>,
    locks: SecretLocks,
}

impl SecretOperations {
    pub(super) fn new(core: Arc<Core>, idempotency: Arc<IdempotencyRecords>) -> Self {
        let reader = SecretReader::new(core.clone());
        Self { core, reader, idempotency, locks: SecretLocks::default() }
    }

    /// The present time by the clock by which secrets expire.
    pub fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// When a secret that is deleted or has expired is removed for good; `None` where it is neither.
    pub fn purge_at(&self, secret: &Secret) -> Option<Timestamp> {
        secret.purge_at(self.now(), self.core.catalog.retention())
    }
}
