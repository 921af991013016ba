//! Delete a secret.

use super::SecretOperations;
use super::change::ChangeRequest;
use super::plan::SecretPlan;
use crate::app::idempotency::Outcome;
use crate::app::{Error, Idempotency};
use crate::auth::{Delete, Grant};
use crate::domain::{Revision, SecretId, Timestamp};

/// A secret that was deleted.
pub struct DeletedSecret {
    /// The id that it had.
    pub id: SecretId,
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// The store's revision of the deletion.
    pub revision: Revision,
}

impl SecretOperations {
    /// Deletes a secret and all its versions, for good.
    pub async fn delete(
        &self,
        grant: &Grant<Delete>,
        etag: Option<&str>,
        idempotency: Option<&Idempotency>,
    ) -> Result<DeletedSecret, Error> {
        let request = ChangeRequest::new(grant, idempotency);
        let answer = self
            .change(&request, |present| {
                let (namespace, current) = present.secret(&request, etag)?;
                SecretPlan::in_namespace(&present.keyring, namespace).delete(&current)
            })
            .await?;
        match answer.into_outcome() {
            (Outcome::Deleted(id, deleted_at), revision) => Ok(DeletedSecret { id, deleted_at, revision }),
            // The record is of another request.
            (Outcome::Changed(..) | Outcome::Unchanged(_) | Outcome::Bound(_), _) => Err(Error::Integrity),
        }
    }
}
