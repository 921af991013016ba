//! Read several secrets of a namespace at one revision.

use std::sync::Arc;

use super::read::{CurrentValue, destroyed, disabled};
use super::{RevealedSecret, SecretOperations};
use crate::app::Error;
use crate::auth::{Grant, List, NamespaceGrant, Read};
use crate::domain::{Revision, Secret, Value};
use crate::limits::LimitReached;

/// How many bytes the values of a batch have at most. A gRPC client accepts 4 MiB by default.
const MAX_VALUE_BYTES: usize = 3 << 20;

/// The outcomes for some secrets, in the order of their grants, and the store's revision of all of them.
pub type Batch<T> = (Vec<Result<T, Error>>, Revision);

impl SecretOperations {
    /// The secrets of these grants with their current values. The values that would make the batch larger than 3 MiB are left
    /// out. `room` is asked whether there is room for as many bytes as the values can
    /// have.
    pub async fn get_batch(
        &self,
        grant: &NamespaceGrant<Read>,
        grants: Vec<Result<Grant<Read>, Error>>,
        at_least: Revision,
        room: impl FnOnce(usize) -> Result<(), LimitReached>,
    ) -> Result<Batch<RevealedSecret>, Error> {
        self.core.at_least(at_least).await?;
        let (granted, refusals) = split(grants);
        room(granted.len().saturating_mul(Value::MAX).min(MAX_VALUE_BYTES))?;
        let (found, revision) = self.reader.read_current(grant, &granted, MAX_VALUE_BYTES).await?;
        let namespace = self.core.catalog.namespace(grant.namespace());
        let found = granted.iter().zip(found).map(|(of_secret, current)| match current {
            CurrentValue::Value(secret, value) => {
                if let Some(namespace) = &namespace {
                    let reader = grant.principal().name();
                    self.core.usage.note_read(namespace, secret.id, secret.version, reader);
                }
                Ok(RevealedSecret { version: secret.version, secret, value, revision })
            }
            CurrentValue::Disabled(secret) => Err(disabled(&secret, secret.version)),
            CurrentValue::Destroyed(secret) => Err(destroyed(&secret, secret.version)),
            CurrentValue::Expired(secret) => {
                Err(Error::SecretExpired(secret.namespace.clone(), secret.name.clone()))
            }
            CurrentValue::Missing => {
                Err(Error::SecretNotFound(of_secret.namespace().clone(), of_secret.name().clone()))
            }
            CurrentValue::Damaged => Err(Error::Integrity),
            CurrentValue::TooLarge => Err(Error::BatchTooLarge),
        });
        Ok((joined(found, refusals), revision))
    }

    /// The same without values.
    pub async fn describe_batch(
        &self,
        grant: &NamespaceGrant<List>,
        grants: Vec<Result<Grant<List>, Error>>,
        at_least: Revision,
    ) -> Result<Batch<Arc<Secret>>, Error> {
        self.core.at_least(at_least).await?;
        let (granted, refusals) = split(grants);
        let names: Vec<_> = granted.iter().map(|grant| grant.name().clone()).collect();
        let shown = self.core.catalog.revision();
        let (secrets, revision) = match self.core.catalog.namespace(grant.namespace()) {
            Some(namespace) => namespace.secrets(&names, shown),
            None => (Vec::new(), shown),
        };
        let mut secrets = secrets.into_iter();
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            found.push(match secrets.next().flatten() {
                Some(secret) => Ok(secret),
                None => match self.reader.refuse_damaged(grant.namespace(), &name).await {
                    Ok(()) => Err(Error::SecretNotFound(grant.namespace().clone(), name)),
                    Err(Error::Integrity) => Err(Error::Integrity),
                    Err(failed) => return Err(failed),
                },
            });
        }
        Ok((joined(found.into_iter(), refusals), revision))
    }
}

/// The grants that were given, and for each place the refusal where none was.
fn split<G>(grants: Vec<Result<G, Error>>) -> (Vec<G>, Vec<Option<Error>>) {
    let mut given = Vec::with_capacity(grants.len());
    let refusals = grants.into_iter().map(|grant| grant.map(|grant| given.push(grant)).err());
    let refusals = refusals.collect();
    (given, refusals)
}

/// The outcomes in the order of the request.
fn joined<T>(
    mut found: impl Iterator<Item = Result<T, Error>>,
    refusals: Vec<Option<Error>>,
) -> Vec<Result<T, Error>> {
    let missing = || Err(Error::Internal("a secret of a batch has no outcome"));
    refusals
        .into_iter()
        .map(|refusal| match refusal {
            Some(refusal) => Err(refusal),
            None => found.next().unwrap_or_else(missing),
        })
        .collect()
}
