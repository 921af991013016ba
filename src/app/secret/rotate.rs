//! Rotate a secret: give it a new value as its next version, which is current at once or pending.

use std::time::Duration;

use super::change::ChangeRequest;
use super::claim::{ClaimToken, require_claim};
use super::generate::NewValue;
use super::read::refuse_expired;
use super::{ChangedSecret, SecretOperations, ValueSource};
use crate::app::{Error, Idempotency};
use crate::auth::{Grant, Rotate};
use crate::domain::{EventType, Secret};

/// A new value for a secret.
pub struct SecretRotation {
    /// Where the value comes from; `None`: from the generator of the rotation policy.
    pub source: Option<ValueSource>,
    /// Whether the new version stays pending.
    pub stage: bool,
    /// How long the version that was current stays readable; `None`: as the rotation policy says.
    pub grace_period: Option<Duration>,
    /// A claim on the rotation, which must still hold.
    pub claim: Option<ClaimToken>,
    /// The etag that the secret must still have.
    pub etag: Option<Box<str>>,
}

/// The metadata has one public key, that of the current version.
const KEY_PAIR: &str = "must not be set for a key pair: its public key takes the place of the current one at once, so rotate without stage";

impl SecretRotation {
    /// A new value that becomes the current one, and no further conditions.
    pub fn of(source: ValueSource) -> Self {
        Self { source: Some(source), stage: false, grace_period: None, claim: None, etag: None }
    }
}

impl SecretOperations {
    /// Gives a secret a new value, as its next version.
    pub async fn rotate(
        &self,
        grant: &Grant<Rotate>,
        rotation: SecretRotation,
        idempotency: Option<&Idempotency>,
    ) -> Result<ChangedSecret, Error> {
        let SecretRotation { source, stage, grace_period, claim, etag } = rotation;
        let given = source.map(ValueSource::value).transpose()?;
        let request = ChangeRequest::new(grant, idempotency);
        let request = if stage { request } else { request.of_public_key() };
        let answer = self
            .change(&request, |present| {
                let (namespace, current) = present.secret(&request, etag.as_deref())?;
                refuse_expired(&current, present.now)?;
                if let Some(claim) = &claim {
                    require_claim(namespace, &current, claim, present.now)?;
                }
                let generated;
                let new = match &given {
                    Some(given) => given,
                    None => {
                        generated = generate_by_policy(&current)?;
                        &generated
                    }
                };
                let mut plan = present.plan(namespace);
                let mut next = plan.successor(&current);
                if !stage {
                    let former = present.stored_version.public_key_of(current.id);
                    next.metadata = new.metadata(&current.metadata, former)?;
                    plan.put_next_version(&mut next, &new.value, grace_period)?;
                    return plan.put(next, EventType::Rotated);
                }
                if let Some(pending) = current.pending_version() {
                    let (namespace, name) = (current.namespace.clone(), current.name.clone());
                    return Err(Error::RotationPending(namespace, name, pending));
                }
                if new.has_public_key() {
                    return Err(Error::invalid("stage", KEY_PAIR));
                }
                let pending = plan.put_pending_version(&mut next, &new.value)?;
                plan.put_with_version(next, pending, EventType::Staged)
            })
            .await?;
        answer.into_changed(given.and_then(NewValue::revealed))
    }
}

/// A value of the generator that the rotation policy of the secret has.
fn generate_by_policy(secret: &Secret) -> Result<NewValue, Error> {
    const NO_GENERATOR: &str = "is required: give a value, a generator in generate, or the secret a rotation policy with a generator";
    let generator = secret.rotation.as_ref().and_then(|rotation| rotation.policy.generator.clone());
    let generator = generator.ok_or(Error::invalid("value", NO_GENERATOR))?;
    ValueSource::Generate { generator, reveal: false }.value()
}
