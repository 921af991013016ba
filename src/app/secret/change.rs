//! The way of every change of a secret: one at a time for each secret, once for each request id, and planned again where
//! another writer was faster.

use std::sync::Arc;

use super::SecretOperations;
use super::destroy::StoredVersion;
use super::generate::has_public_key;
use super::plan::{PlannedChange, SecretPlan};
use crate::app::authority::Authority;
use crate::app::commit::REQUEST_ATTEMPTS;
use crate::app::idempotency::{Earlier, KnownRequest, Outcome};
use crate::app::{Error, Idempotency, IdempotencyRecords};
use crate::auth::{Grant, Granted, NamespaceGrant, Principal, RightType};
use crate::catalog::NamespaceCatalog;
use crate::domain::{Namespace, Revision, Secret, SecretName, Timestamp, Value};
use crate::integrity::StoredKeyring;

/// A secret that was created or changed.
pub struct ChangedSecret {
    /// The secret as the change left it. Where an earlier request with the same id made the change, the description and the
    /// metadata are those that the secret has now, and of the versions only one is here.
    pub secret: Secret,
    /// The number of the version that the change made; where it made none, of the current one.
    pub version: u32,
    /// The store's revision of the change; where there was nothing to change, one at which the secret was so.
    pub revision: Revision,
    /// The value, where the server generated it and the caller wants to see it.
    pub generated: Option<Value>,
}

/// A request to change one secret.
#[derive(Clone)]
pub(super) struct ChangeRequest<'a> {
    /// What the caller was granted for it.
    granted: Vec<Granted>,
    pub(super) principal: &'a Principal,
    pub(super) namespace: &'a Namespace,
    pub(super) name: &'a SecretName,
    /// The name that the secret gets, where it gets another one.
    new_name: Option<&'a SecretName>,
    idempotency: Option<&'a Idempotency>,
    /// The version of which the plan has to know the stored record.
    version: Option<KnownVersion>,
}

/// A version of which a plan has to know the stored record.
#[derive(Clone, Copy)]
enum KnownVersion {
    Number(u32),
    /// The current one, where the metadata has a public key, which may be that of its value.
    CurrentOfPublicKey,
}

impl<'a> ChangeRequest<'a> {
    /// A request on one of the secrets that this grant is on.
    pub(super) fn of_namespace<R: RightType>(grant: &'a NamespaceGrant<R>, name: &'a SecretName) -> Self {
        Self {
            granted: vec![grant.granted()],
            principal: grant.principal(),
            namespace: grant.namespace(),
            name,
            new_name: None,
            idempotency: None,
            version: None,
        }
    }

    /// A request that this grant permits.
    pub(super) fn new<R: RightType>(grant: &'a Grant<R>, idempotency: Option<&'a Idempotency>) -> Self {
        Self {
            granted: vec![grant.granted()],
            principal: grant.principal(),
            namespace: grant.namespace(),
            name: grant.name(),
            new_name: None,
            idempotency,
            version: None,
        }
    }

    /// The same, of the secret with another name.
    pub(super) fn on(self, name: &'a SecretName) -> Self {
        Self { name, ..self }
    }

    /// The same, for a change that gives the secret another name.
    pub(super) fn renaming_to(self, new_name: Option<&'a SecretName>) -> Self {
        Self { new_name, ..self }
    }

    /// The same, for a change that needs this grant too.
    pub(super) fn and<R: RightType>(mut self, grant: Option<&Grant<R>>) -> Self {
        self.granted.extend(grant.map(Grant::granted));
        self
    }

    /// The same, for a plan that has to know the stored record of a version.
    pub(super) fn of_version(self, number: u32) -> Self {
        Self { version: Some(KnownVersion::Number(number)), ..self }
    }

    /// The same, for a plan that has to know the stored record of the current version, where the metadata has a public key.
    pub(super) fn of_public_key(self) -> Self {
        Self { version: Some(KnownVersion::CurrentOfPublicKey), ..self }
    }
}

/// The state that a change of a secret is planned from.
pub(super) struct Present {
    pub(super) keyring: Arc<StoredKeyring>,
    /// The secret's namespace; `None` where nothing was ever put there.
    pub(super) namespace: Option<Arc<NamespaceCatalog>>,
    /// The stored record of the request's version, where it has one.
    pub(super) stored_version: StoredVersion,
    /// The present time.
    pub(super) now: Timestamp,
}

impl Present {
    /// A plan to change a secret of the namespace.
    pub(super) fn plan<'a>(&'a self, namespace: &'a NamespaceCatalog) -> SecretPlan<'a> {
        SecretPlan::in_namespace(&self.keyring, namespace, self.now)
    }

    /// The secret that the request names, and its namespace. Fails where it has another etag than the given one.
    pub(super) fn secret(
        &self,
        request: &ChangeRequest<'_>,
        etag: Option<&str>,
    ) -> Result<(&NamespaceCatalog, Arc<Secret>), Error> {
        let ChangeRequest { namespace, name, .. } = *request;
        let missing = || Error::SecretNotFound(namespace.clone(), name.clone());
        let catalog = self.namespace.as_deref().ok_or_else(missing)?;
        let secret = catalog.secret(name).ok_or_else(missing)?;
        if etag.is_some_and(|etag| etag != secret.etag()) {
            return Err(Error::EtagMismatch);
        }
        Ok((catalog, secret))
    }
}

/// The outcome of a request to change a secret.
pub(super) struct ChangeAnswer {
    outcome: Outcome,
    pub(super) revision: Revision,
    /// Whether an earlier request with the same id was carried out, and this one was not.
    repeated: bool,
}

impl ChangeAnswer {
    /// The secret as the change left it. Fails where the outcome is a deletion: then the record is of another request.
    pub(super) fn into_secret(self) -> Result<Secret, Error> {
        match self.outcome {
            Outcome::Changed(secret, _) => {
                Ok(Secret { revision: self.revision, stored_at: self.revision, ..secret })
            }
            Outcome::Unchanged(secret) => Ok(secret),
            Outcome::Deleted(..) | Outcome::Bound(_) => Err(Error::Integrity),
        }
    }

    /// The secret as the change left it, with the value that was generated for this request. A repeated request has
    /// generated a value that is stored nowhere, so it is not returned.
    pub(super) fn into_changed(self, generated: Option<Value>) -> Result<ChangedSecret, Error> {
        let generated = generated.filter(|_| !self.repeated);
        let made = match &self.outcome {
            Outcome::Changed(_, number) => Some(*number),
            Outcome::Unchanged(_) | Outcome::Deleted(..) | Outcome::Bound(_) => None,
        };
        let revision = self.revision;
        let secret = self.into_secret()?;
        Ok(ChangedSecret { version: made.unwrap_or(secret.version), secret, revision, generated })
    }

    /// The secret after a change that kept its revision.
    pub(super) fn into_noted(self) -> Result<Secret, Error> {
        match self.outcome {
            Outcome::Changed(secret, _) => Ok(Secret { stored_at: self.revision, ..secret }),
            Outcome::Unchanged(_) | Outcome::Deleted(..) | Outcome::Bound(_) => Err(Error::Integrity),
        }
    }

    /// The outcome and its revision.
    pub(super) fn into_outcome(self) -> (Outcome, Revision) {
        (self.outcome, self.revision)
    }
}

impl SecretOperations {
    /// Makes one change of one secret. `plan` gives the transaction and its outcome for the present state, and is asked again
    /// where that state has changed before the commit. With a request id, the change is made once, by whichever replica.
    pub(super) async fn change(
        &self,
        request: &ChangeRequest<'_>,
        plan: impl Fn(&Present) -> Result<PlannedChange, Error>,
    ) -> Result<ChangeAnswer, Error> {
        let changed = self.attempt_change(request, plan).await;
        let changed_nothing = |answer: &ChangeAnswer| matches!(answer.outcome, Outcome::Unchanged(_));
        IdempotencyRecords::or_earlier(changed, changed_nothing, async || {
            Ok(self.find_earlier(request).await?.answer())
        })
        .await
    }

    /// The answer to the same request before.
    async fn find_earlier(&self, request: &ChangeRequest<'_>) -> Result<Earlier<ChangeAnswer>, Error> {
        let Some(idempotency) = request.idempotency else { return Ok(Earlier::New(None)) };
        let known = self.idempotency.find(request.principal, request.namespace, idempotency);
        Ok(match known.await? {
            KnownRequest::Answered(outcome, revision) => {
                Earlier::Answered(ChangeAnswer { outcome, revision, repeated: true })
            }
            KnownRequest::New(pending) => Earlier::New(Some(pending)),
        })
    }

    /// The current version, where the metadata has a public key that may be the one of its value.
    fn version_with_public_key(&self, namespace: &Namespace, name: &SecretName) -> Option<u32> {
        let secret = self.core.catalog.namespace(namespace)?.secret(name)?;
        has_public_key(&secret.metadata).then_some(secret.version)
    }

    async fn attempt_change(
        &self,
        request: &ChangeRequest<'_>,
        plan: impl Fn(&Present) -> Result<PlannedChange, Error>,
    ) -> Result<ChangeAnswer, Error> {
        let ChangeRequest { ref granted, principal, namespace, name, new_name, version, .. } = *request;
        let _lock = self.locks.lock(principal, namespace, name).await;
        for name in [Some(name), new_name].into_iter().flatten() {
            self.reader.refuse_damaged(namespace, name).await?;
        }
        let mut attempts = self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(principal, granted));
        // To look for the record of the request costs a round trip to etcd, and nearly every request is new. So there the first
        // attempt does without: if the request is not new, its commit is refused.
        let mut looks = !self.core.freshness.can_be_behind();
        loop {
            let attempt = attempts.next()?;
            let pending = match request.idempotency {
                Some(new) if !looks => Some(self.idempotency.expect_new(principal, new)?),
                _ => match self.find_earlier(request).await? {
                    Earlier::Answered(answer) => return Ok(answer),
                    Earlier::New(pending) => pending,
                },
            };
            // In each attempt: another writer can have made another version the current one.
            let number = match version {
                Some(KnownVersion::Number(number)) => Some(number),
                Some(KnownVersion::CurrentOfPublicKey) => self.version_with_public_key(namespace, name),
                None => None,
            };
            let stored_version = match number {
                Some(number) => self.stored_version(namespace, name, number).await?,
                None => StoredVersion::default(),
            };
            let catalog = self.core.catalog.namespace(namespace);
            self.core.refuse_spent(attempt.keyring.since())?;
            if let Some(catalog) = &catalog {
                self.core.refuse_spent(catalog.keys().since())?;
            }
            let now = self.core.clock.now();
            let present =
                Present { keyring: attempt.keyring.clone(), namespace: catalog, stored_version, now };
            // The reservation ends with this attempt: then the catalog shows the change, or it was not made.
            let PlannedChange { mut transaction, outcome, reservation: _reservation } = plan(&present)?;
            if let Outcome::Unchanged(secret) = &outcome {
                let revision = attempt.planned_at.max(secret.revision);
                return Ok(ChangeAnswer { outcome, revision, repeated: false });
            }
            if let Some(pending) = &pending {
                pending.put(&mut transaction, &attempt.keyring, &outcome)?;
            }
            let committed = match attempt.commit(transaction).await {
                Err(Error::Integrity) if pending.is_some() && !looks => None, // the record can be the reason
                committed => committed?,
            };
            if let Some(revision) = committed {
                if pending.is_some() {
                    self.idempotency.count(principal);
                }
                return Ok(ChangeAnswer { outcome, revision, repeated: false });
            }
            looks = true;
        }
    }
}
