//! On whose authority something is done, and whether that authority still stands.
//!
//! A caller is authenticated once, when its request arrives. The request can wait after that, and meanwhile the caller's credential can
//! be revoked or expire. So the caller is confirmed again: before a value is opened, with every commit, and before the answer
//! leaves. This is the one place that says what it means to be confirmed.

use std::future::pending;
use std::time::{Duration, Instant};

use super::commit::Core;
use super::{CredentialProblem, Error};
use crate::auth::{ApiKeyId, CredentialKind, Principal, PrincipalName};
use crate::domain::{Revision, Timestamp, now};
use crate::store::{Expect, Key, Transaction};

/// How long the time of expiry is slept for at once: the system's clock can be set meanwhile, an authority of client
/// certificates can be removed, and an issuer can withdraw a key.
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
    /// The name of the caller.
    pub(super) name: PrincipalName,
    /// The record of the credential, and its revision; `None` where the store has none.
    record: Option<(Key, Revision)>,
    expires: Option<Instant>,
}

/// A credential that is in force.
pub(super) struct InForce {
    /// The credential's record in the store, where it has one, and the revision of that. Not the revision of the authentication:
    /// a rekey seals the record again.
    record: Option<(ApiKeyId, Revision)>,
    /// When it expires; `None`: never.
    expires_at: Option<Timestamp>,
}

impl Core {
    /// The caller's credential, which is in force. Fails where it is not, or where the catalog can be too old to tell.
    pub(super) fn confirm(&self, principal: &Principal) -> Result<InForce, Error> {
        self.catalog.follows()?;
        match principal.credential() {
            CredentialKind::ApiKey(presented) => {
                let key = self.catalog.api_key(presented.id);
                let key = key.ok_or(Error::Unauthenticated(CredentialProblem::Invalid))?;
                key.in_force(now()).map_err(|refused| Error::Unauthenticated(refused.into()))?;
                Ok(InForce { record: Some((key.id, key.revision)), expires_at: key.expires_at })
            }
            CredentialKind::Certificate(certificate) => {
                self.sources.confirm_certificate(certificate)?;
                Ok(InForce { record: None, expires_at: Some(certificate.expires_at()) })
            }
            CredentialKind::Token(token) => {
                self.sources.confirm_token(token)?;
                Ok(InForce { record: None, expires_at: Some(token.expires_at()) })
            }
        }
    }

    /// Waits until the caller's credential is not in force any more, and returns the error that a new request with it gets.
    pub(super) async fn ended(&self, principal: &Principal) -> Error {
        let mut changes = self.catalog.api_key_changes();
        loop {
            let in_force = match self.confirm(principal) {
                Ok(in_force) => in_force,
                Err(error) => return error,
            };
            let expires = async {
                match in_force.expires_at {
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
                let InForce { record, expires_at } = core.confirm(principal)?;
                Ok(Some(ConfirmedCredential {
                    name: principal.name().clone(),
                    record: record.map(|(id, revision)| (Key::api_key(&id.0), revision)),
                    expires: expires_at.and_then(|at| Instant::now().checked_add(now().until(at))),
                }))
            }
        }
    }
}

impl ConfirmedCredential {
    /// Makes a transaction require that the credential is unchanged, and that it has not expired when the transaction begins.
    pub(super) fn require(&self, transaction: &mut Transaction) {
        if let Some((place, revision)) = &self.record {
            let unchanged = (place.clone(), Expect::At(*revision));
            if !transaction.require.contains(&unchanged) {
                transaction.require.push(unchanged);
            }
        }
        transaction.limit_deadline(self.expires);
    }

    /// Whether it has expired.
    pub(super) fn is_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= Instant::now())
    }
}
