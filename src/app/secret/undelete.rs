//! Bring a deleted secret back.
//!
//! The request names the secret by its id, and the right is one on names. So the caller needs the right on some secrets of the
//! namespace first, and learns of a secret only where it has the right on the name that the secret had.

use std::sync::Arc;

use super::SecretOperations;
use super::change::ChangeRequest;
use crate::app::idempotency::{KnownRequest, Outcome};
use crate::app::{Error, Idempotency};
use crate::auth::{Authorization, Delete, Denied, Grant, NamespaceGrant, Write};
use crate::domain::{Namespace, Secret, SecretId, now};

impl SecretOperations {
    /// Brings a deleted secret of the namespace back, under the name of `new_name` or the one that it had. The authorization notes
    /// what the caller is granted for that.
    pub async fn undelete(
        &self,
        authorization: &Authorization,
        grant: &NamespaceGrant<Delete>,
        id: SecretId,
        new_name: Option<&Grant<Delete>>,
        idempotency: Option<&Idempotency>,
    ) -> Result<Secret, Error> {
        let namespace = grant.namespace();
        let missing = || Error::DeletedSecretNotFound(namespace.clone(), id);
        if new_name.is_some_and(|new_name| new_name.namespace() != namespace) {
            return Err(Error::Internal("a secret cannot leave its namespace"));
        }
        let may_know = |secret: &Secret| grant.names().passes(&secret.name);
        let Some(secret) = self.deleted_secret(namespace, id)?.filter(|secret| may_know(secret)) else {
            // It may be back because of this very request.
            let repeated = self.repeated_undelete(grant, idempotency).await?;
            return repeated.filter(|secret| secret.id == id && may_know(secret)).ok_or_else(missing);
        };
        let former: Grant<Delete> = self
            .core
            .catalog
            .with_policy(|policy| policy.grant(grant.principal(), namespace, &secret.name, now()))?;
        authorization.note(former.granted());
        let name = new_name.unwrap_or(&former).name();
        // Another name brings what the secret holds to where other callers read it, and back: so it needs what a rename needs.
        let renamed = (*name != secret.name).then(|| {
            self.core.catalog.with_policy(|policy| -> Result<[Grant<Write>; 2], Denied> {
                let write = |name| policy.grant(grant.principal(), namespace, name, now());
                Ok([write(&secret.name)?, write(name)?])
            })
        });
        let renamed = renamed.transpose()?;
        let [from, to] = match &renamed {
            Some([from, to]) => [Some(from), Some(to)],
            None => [None, None],
        };
        renamed.iter().flatten().for_each(|write| authorization.note(write.granted()));
        let request = ChangeRequest::new(&former, idempotency).and(new_name).and(from).and(to).on(name);
        let answer = self
            .change(&request, |present| {
                let catalog = present.namespace.as_deref().ok_or_else(missing)?;
                let current = catalog.secret_of(id).ok_or_else(missing)?;
                let kept = current.deletion.is_some_and(|deletion| deletion.purge_at > present.now);
                if !kept || current.name != secret.name {
                    return Err(missing());
                }
                if catalog.secret(name).is_some() {
                    return Err(Error::SecretAlreadyExists(namespace.clone(), name.clone()));
                }
                present.plan(catalog).undelete(&current, name)
            })
            .await?;
        answer.into_secret()
    }

    /// The deleted secret with this id, which can be brought back.
    fn deleted_secret(&self, namespace: &Namespace, id: SecretId) -> Result<Option<Arc<Secret>>, Error> {
        let Some(catalog) = self.core.catalog.namespace(namespace) else {
            return if self.core.catalog.is_damaged(namespace) { Err(Error::Integrity) } else { Ok(None) };
        };
        let now = self.core.clock.now();
        let kept = |secret: &Arc<Secret>| secret.deletion.is_some_and(|deletion| deletion.purge_at > now);
        Ok(catalog.secret_of(id).filter(kept))
    }

    /// The secret that an earlier request with the same id brought back.
    async fn repeated_undelete(
        &self,
        grant: &NamespaceGrant<Delete>,
        idempotency: Option<&Idempotency>,
    ) -> Result<Option<Secret>, Error> {
        let Some(idempotency) = idempotency else { return Ok(None) };
        self.core.confirm(grant.principal(), &[grant.granted()])?;
        match self.idempotency.find(grant.principal(), grant.namespace(), idempotency).await? {
            KnownRequest::Answered(Outcome::Changed(secret, _), revision) => {
                Ok(Some(Secret { revision, stored_at: revision, ..secret }))
            }
            KnownRequest::Answered(..) | KnownRequest::New(_) => Ok(None),
        }
    }
}
