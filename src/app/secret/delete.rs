//! Delete a secret. It can be brought back until it is removed for good.

use super::SecretOperations;
use super::change::ChangeRequest;
use crate::app::idempotency::Outcome;
use crate::app::{Error, Idempotency};
use crate::auth::{Delete, Grant};
use crate::domain::{Deletion, Revision, SecretId};

/// A secret that was deleted.
pub struct DeletedSecret {
    /// Its id.
    pub id: SecretId,
    /// When it was deleted, and when it is removed for good.
    pub deletion: Deletion,
    /// The store's revision of the deletion.
    pub revision: Revision,
}

impl SecretOperations {
    /// Deletes a secret with all its versions, and sets its name free. Without a time for which deleted secrets are kept, it is
    /// removed for good at once.
    pub async fn delete(
        &self,
        grant: &Grant<Delete>,
        etag: Option<&str>,
        idempotency: Option<&Idempotency>,
    ) -> Result<DeletedSecret, Error> {
        let request = ChangeRequest::new(grant, idempotency);
        let retention = self.core.catalog.retention();
        let answer = self
            .change(&request, |present| {
                let (namespace, current) = present.secret(&request, etag)?;
                present.plan(namespace).delete(&current, retention)
            })
            .await?;
        match answer.into_outcome() {
            (Outcome::Deleted(id, deletion), revision) => Ok(DeletedSecret { id, deletion, revision }),
            // The record is of another request.
            (Outcome::Changed(..) | Outcome::Unchanged(_) | Outcome::Bound(_), _) => Err(Error::Integrity),
        }
    }
}
