//! On whose authority something is done, and whether that authority still stands.
//!
//! A caller is authenticated once, when its request arrives, and is granted what it asks for. The request can wait after that, and
//! meanwhile the caller's credential can be revoked or expire, and bindings can change. So the caller is confirmed again: before a
//! value is opened, with every commit, and before the answer leaves. This is the one place that says what it means to be confirmed.

use std::time::{Duration, Instant};

use super::commit::Core;
use super::{CredentialProblem, Error};
use crate::auth::{
    AccessEpoch, ApiKeyId, Authorization, CredentialKind, Granted, NotConfirmed, Principal, PrincipalName,
};
use crate::domain::{Revision, Timestamp, now};
use crate::store::{Expect, Key, Transaction};

/// How long is slept at once for a time of expiry: the system's clock can be set meanwhile, the caller can be granted more, an
/// authority of client certificates can be removed, and an issuer can withdraw a key.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// On whose authority a change is made.
#[derive(Clone, Copy)]
pub(super) enum Authority<'a> {
    /// This caller has asked for the change, and was granted this for it.
    Caller(&'a Principal, &'a [Granted]),
    /// The service makes the change by itself, or ends what a caller had begun.
    Service,
}

/// A caller who was confirmed. A commit requires that the credential and the access epoch are unchanged.
pub(super) struct ConfirmedCaller {
    /// The name of the caller.
    pub(super) name: PrincipalName,
    /// The access epoch as it was; `None` where the store has none.
    pub(super) epoch: Option<AccessEpoch>,
    /// The record of the credential, and its revision; `None` where the store has none.
    record: Option<(Key, Revision)>,
    expires: Option<Instant>,
    /// Until when the caller has what it was granted.
    granted_until: Option<Instant>,
}

/// A credential that is in force.
struct InForce {
    /// The credential's record in the store, where it has one, and the revision of that. Not the revision of the authentication:
    /// a rekey seals the record again.
    record: Option<(ApiKeyId, Revision)>,
    /// When it expires; `None`: never.
    expires_at: Option<Timestamp>,
}

impl Core {
    /// Fails where the caller's credential is not in force any more, where something that the caller was granted is taken away, and
    /// where the catalog can be too old, or the clock wrong, to tell.
    pub(super) fn confirm(&self, principal: &Principal, granted: &[Granted]) -> Result<(), Error> {
        let InForce { expires_at, .. } = self.credential(principal)?;
        let granted_until = self.granted_until(|confirm| granted.iter().try_for_each(confirm))?;
        self.until(principal, expires_at, granted_until).map(drop)
    }

    /// The same for everything that a caller was granted during its request. Returns until when that is so, if nothing changes.
    pub(super) fn confirm_all(&self, authorization: &Authorization) -> Result<Option<Timestamp>, Error> {
        if authorization.is_concluded() {
            return Ok(None);
        }
        let principal = authorization.principal();
        let InForce { expires_at, .. } = self.credential(principal)?;
        let granted_until = self.granted_until(|confirm| authorization.try_each(confirm))?;
        self.until(principal, expires_at, granted_until)
    }

    /// The earlier of two times of expiry. Fails where there is one, or where something is denied to the caller for a time, and the
    /// clock of this server cannot tell whether that time has come.
    fn until(
        &self,
        principal: &Principal,
        one: Option<Timestamp>,
        other: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, Error> {
        let until = earlier(one, other);
        if let Err(why) = self.clocks.check_expiries()
            && (until.is_some() || self.catalog.with_policy(|policy| policy.denies_for_a_time(principal)))
        {
            return Err(why.into());
        }
        Ok(until)
    }

    /// The caller's credential, which is in force. Fails where it is not, or where the catalog can be too old to tell.
    fn credential(&self, principal: &Principal) -> Result<InForce, Error> {
        self.catalog.follows()?;
        self.freshness.check()?;
        match principal.credential() {
            CredentialKind::ApiKey(presented) => {
                let key = self.catalog.api_key(presented.id);
                let key = key.ok_or(Error::Unauthenticated(CredentialProblem::Invalid))?;
                let expires_at = key.confirm(presented, now());
                let expires_at = expires_at.map_err(|refused| Error::Unauthenticated(refused.into()))?;
                Ok(InForce { record: Some((key.id, key.revision)), expires_at })
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

    /// Until when all is given that `each` asks about. Fails where something of it is not given any more.
    fn granted_until(
        &self,
        each: impl FnOnce(&mut dyn FnMut(&Granted) -> Result<(), NotConfirmed>) -> Result<(), NotConfirmed>,
    ) -> Result<Option<Timestamp>, Error> {
        let (now, mut until) = (now(), None);
        self.catalog.with_policy(|policy| {
            each(&mut |granted| {
                until = earlier(until, policy.confirm(granted, now)?);
                Ok(())
            })
        })?;
        Ok(until)
    }

    /// Waits until the caller's credential is not in force any more, or something that the caller was granted is taken away, and
    /// returns the error that a new request gets.
    pub(super) async fn ended(&self, authorization: &Authorization) -> Error {
        let mut changes = self.catalog.access_changes();
        loop {
            let until = match self.confirm_all(authorization) {
                Ok(until) => until,
                Err(error) => return error,
            };
            let sleep = until.map_or(LONGEST_SLEEP, |until| now().until(until).min(LONGEST_SLEEP));
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return Error::Internal("the catalog has ended before its requests");
                },
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }
}

impl Authority<'_> {
    /// Confirms the caller, where there is one.
    pub(super) fn confirm(self, core: &Core) -> Result<Option<ConfirmedCaller>, Error> {
        match self {
            Self::Service => Ok(None),
            Self::Caller(principal, granted) => {
                // The epoch is read first: what is asked of the policy may be newer than it, and never older.
                let epoch = core.catalog.with_policy(|policy| policy.epoch());
                let InForce { record, expires_at } = core.credential(principal)?;
                let granted_until = core.granted_until(|confirm| granted.iter().try_for_each(confirm))?;
                let instant =
                    |at: Option<Timestamp>| at.and_then(|at| Instant::now().checked_add(now().until(at)));
                Ok(Some(ConfirmedCaller {
                    name: principal.name().clone(),
                    epoch,
                    record: record.map(|(id, revision)| (Key::api_key(&id.0), revision)),
                    expires: instant(expires_at),
                    granted_until: instant(granted_until),
                }))
            }
        }
    }
}

impl ConfirmedCaller {
    /// Makes a transaction require that the credential and the access epoch are unchanged, and that neither the credential nor what
    /// the caller was granted has expired when the transaction begins.
    pub(super) fn require(&self, transaction: &mut Transaction) {
        let record = self.record.iter().map(|(place, revision)| (place.clone(), Expect::At(*revision)));
        let epoch = self.epoch.map_or(Expect::Absent, |epoch| Expect::At(epoch.revision));
        for unchanged in record.chain([(Key::access_epoch(), epoch)]) {
            if !transaction.require.contains(&unchanged) {
                transaction.require.push(unchanged);
            }
        }
        transaction.limit_deadline(self.expires);
        transaction.limit_deadline(self.granted_until);
    }

    /// Whether the credential has expired.
    pub(super) fn is_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= Instant::now())
    }
}

/// The earlier of two times, of which `None` is never.
fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
