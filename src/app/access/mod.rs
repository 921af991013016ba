//! Who may use the service: the callers that present API keys, client certificates and tokens, what they may do,
//! and the roles and bindings that say so.
//!
//! Every change here that can take something away writes the access epoch again, and every change requires the epoch as it was. So the
//! state that a change was decided on, such as which administrators are left, is the state in which it is made. To create a key and to
//! rotate one take nothing away: the record of a key stands for its credential.

mod administrators;
mod api_key;
mod binding;
mod explain;
mod issuer_keys;
mod migrate;
mod page;
mod role;
mod sources;
mod verified_tokens;

use std::sync::Arc;

pub use self::api_key::{Expiry, NewApiKey, Rotation};
pub use self::binding::{BindingQuery, NewBinding};
pub use self::explain::{Explanation, Question};
pub use self::issuer_keys::{Fetch, IssuerKeys};
pub(super) use self::migrate::{implied_access, migrate};
pub use self::page::AccessPage;
pub use self::sources::CredentialSources;
use self::sources::TokenRefused;
use super::commit::Core;
use super::idempotency::IdempotencyRecords;
use super::{CredentialProblem, Error};
use crate::auth::{
    Authorization, ClientCertificate, Credential, Denied, Grant, NamespaceGrant, Principal, PrincipalName,
    RightType, Rights, Scope, ScopeGrant, ServiceGrant, SomewhereGrant, Token,
};
use crate::domain::{Namespace, SecretName, now};
use crate::limits::{FairQueue, Turn};
use crate::store::Unavailable;

/// API keys, roles and bindings, and who calls.
pub struct AccessControl {
    core: Arc<Core>,
    idempotency: Arc<IdempotencyRecords>,
    /// The turns of changes that write the access epoch, one at a time in this process: they would otherwise race for it.
    turns: Arc<FairQueue<PrincipalName>>,
}

/// A caller that is refused, because its credential is.
#[derive(Debug, Clone)]
pub struct Unauthenticated {
    /// What is wrong with the credential.
    pub problem: CredentialProblem,
    /// The principal that the credential belongs to, where it is a right credential that is not in force any more.
    pub principal: Option<PrincipalName>,
}

/// The credential of a request.
#[derive(Clone, Copy)]
pub enum Presented<'a> {
    /// The text of the header `authorization`, behind `Bearer`: an API key or a token.
    Bearer(&'a str),
    /// The text of the header `x-api-key`.
    ApiKey(&'a str),
    /// The client certificate of the connection.
    Certificate(&'a Arc<ClientCertificate>),
}

/// Why a request has no principal.
pub enum NoPrincipal {
    /// Its credential is refused.
    Refused(Unauthenticated),
    /// Its API key is not in force, as far as this replica knows: another one can have made the key a moment ago.
    KeyNotKnown(Unauthenticated),
    /// The key of its token is not known: once this fetch has ended, the token can be looked at again.
    KeyWanted(Fetch),
    /// The keys of the issuer of its token are not known now.
    IssuerUnavailable,
    /// Its credential expires at some time, and the clock of this server can be wrong.
    TimeNotKnown(Unavailable),
}

impl AccessControl {
    pub(super) fn new(core: Arc<Core>, idempotency: Arc<IdempotencyRecords>) -> Self {
        Self { core, idempotency, turns: FairQueue::new(1, usize::MAX) }
    }

    /// Waits until no other change of this process writes the access epoch. Correctness does not depend on it.
    async fn turn(&self, principal: &Principal) -> Option<Turn<PrincipalName>> {
        self.turns.turn(principal.name()).await.ok()
    }

    /// The caller that presents this credential. `may_wait`: whether the caller waits where the key of its token is not known.
    pub fn identify(&self, presented: Presented<'_>, may_wait: bool) -> Result<Principal, NoPrincipal> {
        if let Err(why) = self.core.clocks.check_expiries()
            && self.expires(presented)
        {
            return Err(NoPrincipal::TimeNotKnown(why));
        }
        match presented {
            Presented::Bearer(token) if Token::is_meant(token) => {
                let token = self.core.sources.token(token, may_wait)?;
                Ok(token.principal())
            }
            Presented::Bearer(key) | Presented::ApiKey(key) => {
                let is_key = || self.core.freshness.can_be_behind() && Credential::parse(key).is_some();
                self.authenticate(key).map_err(|refused| match is_key() {
                    true => NoPrincipal::KeyNotKnown(refused),
                    false => NoPrincipal::Refused(refused),
                })
            }
            Presented::Certificate(certificate) => {
                let known = || Some(certificate.name().clone());
                match self.core.sources.confirm_certificate(certificate) {
                    Ok(()) => Ok(certificate.principal()),
                    Err(problem) => Err(Unauthenticated { problem, principal: known() }.into()),
                }
            }
        }
    }

    /// Whether the credential is one that expires at some time, or has expired: all are, but some API keys.
    fn expires(&self, presented: Presented<'_>) -> bool {
        match presented {
            Presented::Bearer(key) | Presented::ApiKey(key) if !Token::is_meant(key) => {
                let key = Credential::parse(key)
                    .and_then(|credential| self.core.catalog.credential(credential.id()));
                key.is_some_and(|(key, _)| key.expires_at.is_some())
            }
            Presented::Bearer(_) | Presented::ApiKey(_) | Presented::Certificate(_) => true,
        }
    }

    /// The caller that presents this text as its API key.
    pub fn authenticate(&self, credential: &str) -> Result<Principal, Unauthenticated> {
        let invalid = || Unauthenticated { problem: CredentialProblem::Invalid, principal: None };
        let credential = Credential::parse(credential).ok_or_else(invalid)?;
        let (key, keyring) = self.core.catalog.credential(credential.id()).ok_or_else(invalid)?;
        let known = key.is_of(&keyring, &credential).then_some(PrincipalName::ApiKey(key.id));
        let principal = key
            .authenticate(&keyring, &credential, now())
            .map_err(|refused| Unauthenticated { problem: refused.into(), principal: known })?;
        self.core.usage.note_key(key.id);
        Ok(principal)
    }

    /// Whether this text is an API key in force. Does not count as a use of the key.
    pub fn is_in_force(&self, credential: &str) -> bool {
        let found = Credential::parse(credential)
            .and_then(|credential| Some((self.core.catalog.credential(credential.id())?, credential)));
        found.is_some_and(|((key, keyring), credential)| {
            key.authenticate(&keyring, &credential, now()).is_ok()
        })
    }

    /// Where credentials come from that the store does not have.
    pub fn sources(&self) -> &Arc<CredentialSources> {
        &self.core.sources
    }

    /// Proof that a caller has a right on a secret.
    pub fn grant<R: RightType>(
        &self,
        principal: &Principal,
        namespace: &Namespace,
        name: &SecretName,
    ) -> Result<Grant<R>, Denied> {
        self.core.catalog.with_policy(|policy| policy.grant(principal, namespace, name, now()))
    }

    /// Proof that a caller has a right on secrets of a namespace.
    pub fn grant_namespace<R: RightType>(
        &self,
        principal: &Principal,
        namespace: &Namespace,
    ) -> Result<NamespaceGrant<R>, Denied> {
        self.core.catalog.with_policy(|policy| policy.grant_namespace(principal, namespace, now()))
    }

    /// Proof that a caller has a right on the service as a whole.
    pub fn grant_service<R: RightType>(&self, principal: &Principal) -> Result<ServiceGrant<R>, Denied> {
        self.core.catalog.with_policy(|policy| policy.grant_service(principal, now()))
    }

    /// Proof that a caller has a right on the whole of a scope.
    pub fn grant_scope<R: RightType>(
        &self,
        principal: &Principal,
        scope: Scope,
    ) -> Result<ScopeGrant<R>, Denied> {
        self.core.catalog.with_policy(|policy| policy.grant_scope(principal, scope, now()))
    }

    /// Proof that a caller has a right on something.
    pub fn grant_somewhere<R: RightType>(&self, principal: &Principal) -> Result<SomewhereGrant<R>, Denied> {
        self.core.catalog.with_policy(|policy| policy.grant_somewhere(principal, now()))
    }

    /// The rights of a caller in a namespace, on some secrets at least, and on the service as a whole.
    pub fn rights_in(&self, principal: &Principal, namespace: &Namespace) -> Rights {
        self.core.catalog.with_policy(|policy| policy.rights_in(principal, namespace, now()))
    }

    /// Fails unless the caller's credential is still in force, and the caller still has everything that it was granted. Asked once
    /// more after everything that a request has waited for.
    pub fn confirm(&self, authorization: &Authorization) -> Result<(), Error> {
        self.core.confirm_all(authorization).map(drop)
    }

    /// Waits until that is not so any more, and returns the error that a new request gets.
    pub async fn ended(&self, authorization: &Authorization) -> Error {
        self.core.ended(authorization).await
    }
}

impl From<Unauthenticated> for NoPrincipal {
    fn from(refused: Unauthenticated) -> Self {
        Self::Refused(refused)
    }
}

impl From<TokenRefused> for NoPrincipal {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::Problem(problem) => {
                Self::Refused(Unauthenticated { problem: problem.into(), principal: None })
            }
            TokenRefused::KeyWanted(fetch) => Self::KeyWanted(fetch),
            TokenRefused::IssuerUnavailable => Self::IssuerUnavailable,
        }
    }
}
