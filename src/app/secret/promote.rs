//! Make a version of a secret the current one: the end of a staged rotation, and the way back to an older value.

use std::time::Duration;

use super::change::ChangeRequest;
use super::claim::{ClaimToken, require_claim};
use super::generate::with_public_key;
use super::plan::SecretPlan;
use super::read::{destroyed, disabled, find_version, refuse_expired};
use super::{ChangedSecret, SecretOperations};
use crate::app::{Error, Idempotency};
use crate::auth::{Grant, Rotate};
use crate::domain::{EventType, VersionState};

/// A version that is to be the current one. Its grant has the name of the secret.
pub struct Promotion {
    /// The number of the version.
    pub number: u32,
    /// How long the version that was current stays readable; `None`: as the rotation policy says.
    pub grace_period: Option<Duration>,
    /// A claim on the rotation, which must still hold.
    pub claim: Option<ClaimToken>,
    /// The etag that the secret must still have.
    pub etag: Option<Box<str>>,
}

impl SecretOperations {
    /// Makes a version the current one. Where it is a generated private key, its public key takes the place of the one in the metadata.
    ///
    /// The version that is current already stays so, and nothing is changed: so a promotion whose answer was
    /// lost can be repeated, also with the claim that it has ended.
    pub async fn promote(
        &self,
        grant: &Grant<Rotate>,
        promotion: &Promotion,
        idempotency: Option<&Idempotency>,
    ) -> Result<ChangedSecret, Error> {
        let Promotion { number, grace_period, ref claim, ref etag } = *promotion;
        let request = ChangeRequest::new(grant, idempotency).of_version(number);
        let answer = self
            .change(&request, |present| {
                let (namespace, current) = present.secret(&request, etag.as_deref())?;
                refuse_expired(&current, present.now)?;
                let version = find_version(&current, number)?;
                match version.state_at(present.now) {
                    VersionState::Pending | VersionState::Enabled => {}
                    VersionState::Disabled => return Err(disabled(&current, number)),
                    VersionState::Destroyed => return Err(destroyed(&current, number)),
                }
                if number == current.version {
                    return Ok(SecretPlan::unchanged(&current));
                }
                if let Some(claim) = claim {
                    require_claim(namespace, &current, claim, present.now)?;
                }
                let mut plan = present.plan(namespace);
                let mut next = plan.successor(&current);
                next.make_current(number, grace_period, present.now);
                let public_key = present.stored_version.public_key_of(next.id);
                next.metadata = with_public_key(&next.metadata, public_key)?;
                plan.put(next, EventType::Rotated)
            })
            .await?;
        answer.into_changed(None)
    }
}
