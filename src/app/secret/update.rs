//! Change a secret.

use super::change::ChangeRequest;
use super::plan::SecretPlan;
use super::read::refuse_expired;
use super::{ChangedSecret, SecretExpiry, SecretOperations};
use crate::app::{Error, Idempotency};
use crate::auth::{Grant, Write};
use crate::domain::{
    Description, EventType, ExpiryTold, Metadata, Rotation, RotationPolicy, Secret, Timestamp, Value,
};

/// A change of a secret. Each field that is `None` stays as it is.
#[derive(Default)]
pub struct SecretUpdate {
    /// Another name, which the caller may write too.
    pub new_name: Option<Grant<Write>>,
    /// A new value.
    pub value: Option<Value>,
    /// Another description.
    pub description: Option<Description>,
    /// Other metadata, which replaces all of the present metadata.
    pub metadata: Option<Metadata>,
    /// Another rotation policy; `Some(None)`: none any more.
    pub rotation_policy: Option<Option<RotationPolicy>>,
    /// Another time at which it expires, or `Some(None)`: never.
    pub expires_at: Option<Option<Timestamp>>,
    /// The etag that the secret must still have.
    pub etag: Option<Box<str>>,
}

impl SecretOperations {
    /// Changes the fields that the update names, in one step.
    pub async fn update(
        &self,
        grant: &Grant<Write>,
        update: SecretUpdate,
        idempotency: Option<&Idempotency>,
    ) -> Result<ChangedSecret, Error> {
        let renamed = update.new_name.as_ref();
        if renamed.is_some_and(|renamed| renamed.namespace() != grant.namespace()) {
            return Err(Error::Internal("a secret cannot leave its namespace"));
        }
        let name = grant.name();
        let new_name = renamed.map(Grant::name).filter(|new_name| *new_name != name);
        let request = ChangeRequest::new(grant, idempotency).and(renamed).renaming_to(new_name);
        let answer = self
            .change(&request, |present| {
                let expires_at = match update.expires_at {
                    Some(Some(at)) => Some(Some(SecretExpiry::At(at).from(present.now)?)),
                    other => other,
                };
                let (namespace, current) = present.secret(&request, update.etag.as_deref())?;
                if update.value.is_some() && expires_at.is_none() {
                    refuse_expired(&current, present.now)?;
                }
                let mut plan = present.plan(namespace);
                let mut next = plan.successor(&current);
                if let Some(new_name) = new_name {
                    if namespace.secret(new_name).is_some() {
                        return Err(Error::SecretAlreadyExists(grant.namespace().clone(), new_name.clone()));
                    }
                    plan.delete_name(name);
                    plan.put_name(new_name, next.id)?;
                    next.name = new_name.clone();
                }
                if let Some(description) = &update.description {
                    next.description = description.clone();
                }
                if let Some(metadata) = &update.metadata {
                    next.metadata = metadata.clone();
                }
                if let Some(expires_at) = expires_at.filter(|at| *at != current.expires_at) {
                    next.expires_at = expires_at;
                    next.expiry_told = ExpiryTold::Nothing;
                }
                if let Some(policy) = &update.rotation_policy {
                    let (former, at) = (next.rotation.take(), next.updated_at);
                    next.rotation = policy.clone().map(|policy| {
                        Box::new(match former {
                            Some(former) => former.with_policy(policy, at),
                            None => Rotation::new(policy, at),
                        })
                    });
                }
                if let Some(value) = &update.value {
                    plan.put_next_version(&mut next, value, None)?;
                }
                if update.value.is_none()
                    && (Secret { updated_at: current.updated_at, ..next.clone() }) == *current
                {
                    return Ok(SecretPlan::unchanged(&current));
                }
                let event = match (new_name, &update.value) {
                    (Some(_), _) => EventType::Renamed,
                    (None, Some(_)) => EventType::Rotated,
                    (None, None) => EventType::Updated,
                };
                plan.put(next, event)
            })
            .await?;
        answer.into_changed(None)
    }
}
