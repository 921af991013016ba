//! Who may use the service: API keys, and the callers that present them.

mod api_key;

use std::sync::Arc;

pub use self::api_key::{Expiry, NewApiKey};
use super::commit::Core;
use super::{CredentialProblem, Error};
use crate::auth::{Credential, Principal, PrincipalName};
use crate::domain::now;

/// API keys, and who calls.
pub struct AccessControl {
    core: Arc<Core>,
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
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
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

    /// Fails unless the caller's credential is still in force. Asked once more after everything that a request has waited for.
    pub fn confirm(&self, principal: &Principal) -> Result<(), Error> {
        self.core.confirm(principal).map(drop)
    }

    /// Waits until the caller's credential is not in force any more, and returns the error that a new request with it gets.
    pub async fn ended(&self, principal: &Principal) -> Error {
        self.core.ended(principal).await
    }
}
