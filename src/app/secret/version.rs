//! The versions of a secret: list them, disable one, enable one.

use std::sync::Arc;

use super::SecretOperations;
use super::change::{ChangeAnswer, ChangeRequest};
use super::plan::SecretPlan;
use super::read::{destroyed, find_version};
use crate::app::{Error, Idempotency};
use crate::auth::{Grant, List, Write};
use crate::domain::{EventType, Revision, Secret, SecretUsage, Version, VersionState};

/// A secret, with the versions of it that are kept.
pub struct ListedVersions {
    /// The secret.
    pub secret: Arc<Secret>,
    /// How the values of its versions were used.
    pub usage: SecretUsage,
    /// The store's revision that the secret was read at.
    pub revision: Revision,
}

/// The version of a secret that a request changes. Its grant has the name of the secret.
pub struct VersionChange {
    /// The number of the version.
    pub number: u32,
    /// The etag that the secret must still have.
    pub etag: Option<Box<str>>,
}

/// A version that was changed, or that already was as the request asked for.
pub struct ChangedVersion {
    /// The version as the change left it.
    pub version: Version,
    /// The secret as the change left it: see [`ChangedSecret`](super::ChangedSecret).
    pub secret: Secret,
    /// The store's revision of the change, or the one at which there was nothing to change.
    pub revision: Revision,
}

impl ChangedVersion {
    /// The version of this number in the outcome of a request.
    pub(super) fn of(answer: ChangeAnswer, number: u32) -> Result<Self, Error> {
        let revision = answer.revision;
        let secret = answer.into_secret()?;
        let version = find_version(&secret, number)?.clone();
        Ok(Self { version, secret, revision })
    }
}

impl SecretOperations {
    /// A secret, with the versions of it that are kept, and how they were used.
    pub async fn versions(&self, grant: &Grant<List>, at_least: Revision) -> Result<ListedVersions, Error> {
        let (secret, revision) = self.describe(grant, None, at_least).await?;
        let usage = match self.core.catalog.namespace(grant.namespace()) {
            Some(namespace) => self.core.usage_of(&namespace, &secret).await?,
            None => SecretUsage::default(),
        };
        Ok(ListedVersions { secret, usage, revision })
    }

    /// Disables a version, so that its value cannot be read. A disabled version stays as it is.
    pub async fn disable_version(
        &self,
        grant: &Grant<Write>,
        change: &VersionChange,
        idempotency: Option<&Idempotency>,
    ) -> Result<ChangedVersion, Error> {
        self.set_version_state(grant, change, VersionState::Disabled, idempotency).await
    }

    /// Enables a version, so that its value can be read again. An enabled version stays as it is.
    pub async fn enable_version(
        &self,
        grant: &Grant<Write>,
        change: &VersionChange,
        idempotency: Option<&Idempotency>,
    ) -> Result<ChangedVersion, Error> {
        self.set_version_state(grant, change, VersionState::Enabled, idempotency).await
    }

    async fn set_version_state(
        &self,
        grant: &Grant<Write>,
        change: &VersionChange,
        state: VersionState,
        idempotency: Option<&Idempotency>,
    ) -> Result<ChangedVersion, Error> {
        let request = ChangeRequest::new(grant, idempotency);
        let answer = self
            .change(&request, |present| {
                let (namespace, current) = present.secret(&request, change.etag.as_deref())?;
                let version = find_version(&current, change.number)?;
                match version.state_at(present.now) {
                    same if same == state => return Ok(SecretPlan::unchanged(&current)),
                    VersionState::Enabled | VersionState::Disabled => {}
                    VersionState::Pending => {
                        let (namespace, name) = (current.namespace.clone(), current.name.clone());
                        return Err(Error::VersionPending(namespace, name, version.number));
                    }
                    VersionState::Destroyed => return Err(destroyed(&current, version.number)),
                }
                let mut plan = present.plan(namespace);
                let next = plan.successor(&current);
                let changed = if state == VersionState::Enabled {
                    version.enabled(next.updated_at)
                } else {
                    version.disabled(next.updated_at)
                };
                plan.put_changed(next, changed, EventType::VersionChanged)
            })
            .await?;
        ChangedVersion::of(answer, change.number)
    }
}
