//! Who may use the service: the callers that present credentials, what they may do, and the API keys, roles and bindings that say
//! so.
//!
//! Every change here that can take something away writes the access epoch again, and every change requires the epoch as it was. So the
//! state that a change was decided on, such as which administrators are left, is the state in which it is made. To create a key and to
//! rotate one take nothing away: the record of a key stands for its credential.

mod administrators;
mod api_key;
mod binding;
mod explain;
mod migrate;
mod page;
mod role;

use std::sync::Arc;

pub use self::api_key::{Expiry, NewApiKey, Rotation};
pub use self::binding::{BindingQuery, NewBinding};
pub use self::explain::{Explanation, Question};
pub(super) use self::migrate::{implied_access, migrate};
pub use self::page::AccessPage;
use super::commit::Core;
use super::idempotency::IdempotencyRecords;
use super::{CredentialProblem, Error};
use crate::auth::{
    Authorization, Credential, Denied, Grant, ManagerGrant, NamespaceGrant, Principal, PrincipalName,
    RightType, Rights, Scope, ScopeGrant, ServiceGrant,
};
use crate::domain::{Namespace, SecretName, now};
use crate::limits::{FairQueue, Turn};

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

impl AccessControl {
    pub(super) fn new(core: Arc<Core>, idempotency: Arc<IdempotencyRecords>) -> Self {
        Self { core, idempotency, turns: FairQueue::new(1, usize::MAX) }
    }

    /// Waits until no other change of this process writes the access epoch. Correctness does not depend on it.
    async fn turn(&self, principal: &Principal) -> Option<Turn<PrincipalName>> {
        self.turns.turn(principal.name()).await.ok()
    }

    /// The caller that presents this text as its credential.
    pub fn authenticate(&self, credential: &str) -> Result<Principal, Unauthenticated> {
        let invalid = || Unauthenticated { problem: CredentialProblem::Invalid, principal: None };
        let credential = Credential::parse(credential).ok_or_else(invalid)?;
        let (key, keyring) = self.core.catalog.credential(credential.id()).ok_or_else(invalid)?;
        let known = key.is_of(&keyring, &credential).then_some(PrincipalName::ApiKey(key.id));
        key.authenticate(&keyring, &credential, now())
            .map_err(|refused| Unauthenticated { problem: refused.into(), principal: known })
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

    /// Proof that a caller manages access somewhere.
    pub fn grant_manager(&self, principal: &Principal) -> Result<ManagerGrant, Denied> {
        self.core.catalog.with_policy(|policy| policy.grant_manager(principal, now()))
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
