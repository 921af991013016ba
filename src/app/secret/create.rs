//! Create a secret.

use std::time::Duration;

use super::change::ChangeRequest;
use super::plan::SecretPlan;
use super::{ChangedSecret, SecretOperations, ValueSource};
use crate::app::{Error, Idempotency};
use crate::auth::{Grant, Write};
use crate::domain::{
    Description, EventType, ExpiryTold, Metadata, Revision, Rotation, RotationPolicy, Secret, SecretId,
    Timestamp, Versions,
};

/// A secret to create. Its grant has the name.
pub struct NewSecret {
    /// Where its value comes from.
    pub source: ValueSource,
    /// What it is for.
    pub description: Description,
    /// Its metadata.
    pub metadata: Metadata,
    /// When and how it is rotated; `None`: only on request.
    pub rotation_policy: Option<RotationPolicy>,
    /// When it expires; `None`: never.
    pub expiry: Option<SecretExpiry>,
}

/// When a secret expires.
#[derive(Debug, Clone, Copy)]
pub enum SecretExpiry {
    /// At a time, which must be in the future.
    At(Timestamp),
    /// After a time from now on.
    After(Duration),
}

impl SecretExpiry {
    /// Why a time that has passed is refused.
    pub const PAST: &str = "must be in the future";

    /// When that is, for a change that is made at a time.
    pub(super) fn from(self, now: Timestamp) -> Result<Timestamp, Error> {
        match self {
            Self::At(at) if at <= now => Err(Error::invalid("expires_at", Self::PAST)),
            Self::At(at) => Ok(at),
            Self::After(time) => Ok(now.plus(time)),
        }
    }
}

impl SecretOperations {
    /// Creates a secret with its version 1.
    pub async fn create(
        &self,
        grant: &Grant<Write>,
        new: NewSecret,
        idempotency: Option<&Idempotency>,
    ) -> Result<ChangedSecret, Error> {
        let NewSecret { source, description, metadata, expiry, rotation_policy } = new;
        let name = grant.name();
        let new = source.value()?;
        let metadata = new.metadata(&metadata, None)?;
        let request = ChangeRequest::new(grant, idempotency);
        let answer = self
            .change(&request, |present| {
                let mut plan = match &present.namespace {
                    Some(namespace) if namespace.secret(name).is_some() => {
                        return Err(Error::SecretAlreadyExists(grant.namespace().clone(), name.clone()));
                    }
                    Some(namespace) => present.plan(namespace),
                    None => {
                        let (namespace, catalog) = (grant.namespace(), &self.core.catalog);
                        let (quotas, seals) = (catalog.quotas_of(namespace), catalog.digest().seals);
                        SecretPlan::in_new_namespace(&present.keyring, namespace, quotas, seals, present.now)?
                    }
                };
                let (at, id) = (present.now, SecretId::generate());
                let version = plan.put_version(id, 1, at, &new.value)?;
                plan.put_name(name, id)?;
                let secret = Secret {
                    namespace: grant.namespace().clone(),
                    name: name.clone(),
                    id,
                    description: description.clone(),
                    metadata: metadata.clone(),
                    version: 1,
                    versions: Versions::first(version),
                    created_at: at,
                    updated_at: at,
                    rotated_at: None,
                    expires_at: expiry.map(|expiry| expiry.from(at)).transpose()?,
                    expiry_told: ExpiryTold::Nothing,
                    rotation: rotation_policy.clone().map(|policy| Box::new(Rotation::new(policy, at))),
                    deletion: None,
                    // Only the commit has a revision.
                    revision: Revision::default(),
                    stored_at: Revision::default(),
                    last_read: None,
                };
                plan.put(secret, EventType::Created)
            })
            .await?;
        answer.into_changed(new.revealed())
    }
}
