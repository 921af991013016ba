//! Create a secret.

use super::change::ChangeRequest;
use super::plan::SecretPlan;
use super::{ChangedSecret, SecretOperations, ValueSource};
use crate::app::{Error, Idempotency};
use crate::auth::{Grant, Write};
use crate::domain::{
    Description, EventType, ExpiryTold, Metadata, Revision, Secret, SecretId, Versions, now,
};

/// A secret to create. Its grant has the name.
pub struct NewSecret {
    /// Where its value comes from.
    pub source: ValueSource,
    /// What it is for.
    pub description: Description,
    /// Its metadata.
    pub metadata: Metadata,
}

impl SecretOperations {
    /// Creates a secret with its version 1.
    pub async fn create(
        &self,
        grant: &Grant<Write>,
        new: NewSecret,
        idempotency: Option<&Idempotency>,
    ) -> Result<ChangedSecret, Error> {
        let NewSecret { source, description, metadata } = new;
        let name = grant.name();
        let new = source.value()?;
        let metadata = new.metadata(&metadata)?;
        let request = ChangeRequest::new(grant, idempotency);
        let answer = self
            .change(&request, |present| {
                let mut plan = match &present.namespace {
                    Some(namespace) if namespace.secret(name).is_some() => {
                        return Err(Error::SecretAlreadyExists(grant.namespace().clone(), name.clone()));
                    }
                    Some(namespace) => SecretPlan::in_namespace(&present.keyring, namespace),
                    None => {
                        let seals = self.core.catalog.digest().seals;
                        SecretPlan::in_new_namespace(&present.keyring, grant.namespace(), seals)?
                    }
                };
                let (at, id) = (now(), SecretId::generate());
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
                    expires_at: None,
                    expiry_told: ExpiryTold::Nothing,
                    rotation: None,
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
