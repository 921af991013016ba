//! Rotate a secret.

use super::change::ChangeRequest;
use super::plan::SecretPlan;
use super::{ChangedSecret, SecretOperations, ValueSource};
use crate::app::{Error, Idempotency};
use crate::auth::{Grant, Rotate};
use crate::domain::EventType;

/// A new value for a secret.
pub struct SecretRotation {
    /// Where the value comes from.
    pub source: ValueSource,
    /// The etag that the secret must still have.
    pub etag: Option<Box<str>>,
}

impl SecretOperations {
    /// Gives a secret a new value, as its next version.
    pub async fn rotate(
        &self,
        grant: &Grant<Rotate>,
        rotation: SecretRotation,
        idempotency: Option<&Idempotency>,
    ) -> Result<ChangedSecret, Error> {
        let new = rotation.source.value()?;
        let request = ChangeRequest::new(grant, idempotency);
        let answer = self
            .change(&request, |present| {
                let (namespace, current) = present.secret(&request, rotation.etag.as_deref())?;
                let mut plan = SecretPlan::in_namespace(&present.keyring, namespace);
                let mut next = plan.successor(&current);
                next.metadata = new.metadata(&current.metadata)?;
                plan.put_next_version(&mut next, &new.value)?;
                plan.put(next, EventType::Rotated)
            })
            .await?;
        answer.into_changed(new.revealed())
    }
}
