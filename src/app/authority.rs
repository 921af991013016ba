//! On whose authority something is done, and whether that authority still stands.
//!
//! A caller is authenticated once, when its request arrives. The request can wait after that, and meanwhile the caller's key can
//! be revoked or expire. So the caller is confirmed again: before a value is opened, with every commit, and before the answer
//! leaves. This is the one place that says what it means to be confirmed.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commit::Core;
use super::{CredentialProblem, Error};
use crate::auth::{ApiKey, ApiKeyId, Principal};
use crate::domain::{Revision, now};
use crate::store::{Expect, Key, Transaction};

/// How long the time of expiry is slept for at once: the system's clock can be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// On whose authority a change is made.
#[derive(Clone, Copy)]
pub(super) enum Authority<'a> {
    /// This caller has asked for the change.
    Caller(&'a Principal),
    /// The service makes the change by itself, or ends what a caller had begun.
    Service,
}

/// The credential of a caller who was confirmed. A commit requires that it is unchanged.
pub(super) struct ConfirmedCredential {
    /// The id of the key.
    pub(super) id: ApiKeyId,
    place: Key,
    /// The revision of the key's record. Not that of the authentication: a rekey seals the record again.
    revision: Revision,
    expires: Option<Instant>,
}

impl Core {
    /// The caller's key, which is in force. Fails where it is not, or where the catalog can be too old to tell.
    pub(super) fn confirm(&self, principal: &Principal) -> Result<Arc<ApiKey>, Error> {
        self.catalog.follows()?;
        let key = self.catalog.api_key(principal.api_key().id);
        let key = key.ok_or(Error::Unauthenticated(CredentialProblem::Invalid))?;
        key.in_force(now()).map_err(|refused| Error::Unauthenticated(refused.into()))?;
        Ok(key)
    }

    /// Waits until the caller's key is not in force any more, and returns the error that a new request with the key gets.
    pub(super) async fn ended(&self, principal: &Principal) -> Error {
        let mut changes = self.catalog.api_key_changes();
        loop {
            let key = match self.confirm(principal) {
                Ok(key) => key,
                Err(error) => return error,
            };
            let expires = async {
                match key.expires_at {
                    Some(at) => tokio::time::sleep(now().until(at).min(LONGEST_SLEEP)).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return Error::Internal("the catalog has ended before its requests");
                },
                () = expires => {}
            }
        }
    }
}

impl Authority<'_> {
    /// Confirms the caller, where there is one.
    pub(super) fn confirm(self, core: &Core) -> Result<Option<ConfirmedCredential>, Error> {
        match self {
            Self::Service => Ok(None),
            Self::Caller(principal) => {
                let key = core.confirm(principal)?;
                Ok(Some(ConfirmedCredential {
                    id: key.id,
                    place: Key::api_key(&key.id.0),
                    revision: key.revision,
                    expires: key.expires_at.and_then(|at| Instant::now().checked_add(now().until(at))),
                }))
            }
        }
    }
}

impl ConfirmedCredential {
    /// Makes a transaction require that the credential is unchanged, and that it has not expired when the transaction begins.
    pub(super) fn require(&self, transaction: &mut Transaction) {
        let unchanged = (self.place.clone(), Expect::At(self.revision));
        if !transaction.require.contains(&unchanged) {
            transaction.require.push(unchanged);
        }
        transaction.limit_deadline(self.expires);
    }

    /// Whether it has expired.
    pub(super) fn is_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= Instant::now())
    }
}
