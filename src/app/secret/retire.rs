//! Retire former versions before their grace periods end, once nobody uses them any more: `retire_when_unread` of a rotation policy.
//!
//! Whenever a use of such a secret is stored, the secret is looked at, and again with each storing of uses until there is nothing to wait
//! for. The grace periods of the versions that nobody uses end then, and the scheduler disables them. A use that no replica has stored yet
//! is not known, so nothing retires within [`SETTLED`] of a promotion: by then every use from before it is stored.

use std::time::Duration;

use super::plan::SecretPlan;
use crate::app::Error;
use crate::app::authority::Authority;
use crate::app::commit::{Core, REQUEST_ATTEMPTS};
use crate::domain::{Secret, SecretId, Timestamp, Version, VersionState};
use crate::schema::NamespaceId;
use crate::store::{Expect, Key};

/// How long after a promotion all uses from before it are stored. Uses are stored within 60 seconds.
const SETTLED: Duration = Duration::from_secs(120);

impl Core {
    /// Retires the versions of the secrets that are waited for, as far as their consumers have moved on.
    pub(in crate::app) async fn retire_unread(&self) -> Result<(), Error> {
        for (namespace, id) in self.usage.take_awaited() {
            match self.retire_unread_of(namespace, id).await {
                Ok(waits) => {
                    if waits {
                        self.usage.wait_for(namespace, id);
                    }
                }
                // Another use of the secret brings it back.
                Err(Error::Integrity | Error::Contended) => {
                    tracing::warn!(secret = %id, "versions of a secret that nobody uses any more could not be retired");
                }
                Err(error) => {
                    self.usage.wait_for(namespace, id);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Retires the versions of one secret that nobody uses any more. Returns whether there is something to wait for.
    async fn retire_unread_of(&self, namespace: NamespaceId, id: SecretId) -> Result<bool, Error> {
        let mut attempts = self.attempts(REQUEST_ATTEMPTS, Authority::Service);
        loop {
            let attempt = attempts.next()?;
            let Some(namespace) = self.catalog.namespace_of(namespace) else { return Ok(false) };
            let Some(current) =
                namespace.secret_of(id).filter(|secret| awaits_consumers(secret, self.clock.now()))
            else {
                return Ok(false);
            };
            let now = self.clock.now();
            if current.rotated_at.is_some_and(|rotated_at| now < rotated_at.plus(SETTLED)) {
                return Ok(true);
            }
            let (stored, usage) = self.stored_usage(&attempt.keyring, namespace.id(), id).await?;
            let is_left = |version: &&Version| {
                is_in_grace(version, now) && usage.has_moved_on(version.number, current.version)
            };
            let left: Vec<_> = current.versions.iter().filter(is_left).collect();
            if left.is_empty() {
                return Ok(true);
            }
            let mut plan = SecretPlan::in_namespace(&attempt.keyring, &namespace, now);
            let mut next = plan.unchanged_successor(&current);
            for version in left {
                let ended = Version { retires_at: Some(now), ..version.clone() };
                next.versions = next.versions.with_changed(ended);
            }
            let waits = awaits_consumers(&next, now);
            let mut transaction = plan.put_note(&next, None)?;
            let expect = stored.map_or(Expect::Absent, |stored| Expect::At(stored.revision));
            transaction.require.push((Key::secret_usage(namespace.id(), id), expect));
            if attempt.commit(transaction).await?.is_some() {
                return Ok(waits);
            }
        }
    }
}

/// Whether a version of the secret retires once its consumers have moved on.
pub(in crate::app) fn awaits_consumers(secret: &Secret, now: Timestamp) -> bool {
    let retires_unread = secret.rotation.as_ref().is_some_and(|rotation| rotation.policy.retire_when_unread);
    retires_unread && !secret.is_deleted() && secret.versions.iter().any(|version| is_in_grace(version, now))
}

fn is_in_grace(version: &Version, now: Timestamp) -> bool {
    version.retires_at.is_some() && version.state_at(now) == VersionState::Enabled
}
