//! Note that a consumer uses a version. It is stored at once, unlike a read.

use std::sync::Arc;

use super::SecretOperations;
use super::read::find_readable;
use crate::app::Error;
use crate::app::authority::Authority;
use crate::app::commit::REQUEST_ATTEMPTS;
use crate::auth::{Grant, Read};
use crate::domain::{Revision, Secret, SecretUsage, Version};
use crate::store::Transaction;

/// What a consumer says. Its grant has the name of the secret.
pub struct Acknowledgement {
    /// The number of the version that it uses.
    pub number: u32,
    /// The name that the consumer gives itself; empty: none.
    pub consumer: Box<str>,
}

/// A version that was acknowledged.
pub struct AcknowledgedVersion {
    /// The version.
    pub version: Version,
    /// The secret.
    pub secret: Arc<Secret>,
    /// How its versions are used.
    pub usage: SecretUsage,
    /// The store's revision of the acknowledgement.
    pub revision: Revision,
}

impl SecretOperations {
    /// Stores that a consumer uses a version, which must be readable.
    pub async fn acknowledge(
        &self,
        grant: &Grant<Read>,
        acknowledgement: &Acknowledgement,
    ) -> Result<AcknowledgedVersion, Error> {
        let Acknowledgement { number, consumer } = acknowledgement;
        let (principal, granted) = (grant.principal(), [grant.granted()]);
        let _lock = self.locks.lock(principal, grant.namespace(), grant.name()).await;
        let mut attempts = self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(principal, &granted));
        loop {
            let attempt = attempts.next()?;
            let (namespace, secret) = self.reader.find(grant.namespace(), grant.name()).await?;
            let now = self.core.clock.now();
            let version = find_readable(&secret, *number, now)?.clone();
            let name = principal.name().to_string();
            let acknowledge = |usage: &mut SecretUsage| {
                usage.acknowledge(*number, &name, consumer, now);
                true
            };
            let planned = self.core.plan_secret_usage(&attempt, namespace.id(), &secret, acknowledge).await?;
            let Some((planned, usage)) = planned else {
                return Err(Error::Internal("an acknowledgement says nothing new"));
            };
            let mut transaction = Transaction::default();
            planned.add_to(&mut transaction);
            if let Some(revision) = attempt.commit(transaction).await? {
                return Ok(AcknowledgedVersion { version, secret, usage, revision });
            }
        }
    }
}
