//! Who may use the service: API keys, and the callers that present them.

mod api_key;

use std::sync::Arc;

pub use self::api_key::{Expiry, NewApiKey};
use super::commit::Core;
use super::{CredentialProblem, Error};
use crate::auth::{ApiKeyId, Credential, Principal};
use crate::domain::now;

/// API keys, and who calls.
pub struct AccessControl {
    core: Arc<Core>,
}

/// A caller that is refused, because its credential is.
#[derive(Debug, Clone, Copy)]
pub struct Unauthenticated {
    /// What is wrong with the credential.
    pub problem: CredentialProblem,
    /// The key that the credential belongs to, where it is the right credential of a key that is not in force any more.
    pub key: Option<ApiKeyId>,
}

impl AccessControl {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The caller that presents this text as its credential.
    pub fn authenticate(&self, credential: &str) -> Result<Principal, Unauthenticated> {
        let invalid = Unauthenticated { problem: CredentialProblem::Invalid, key: None };
        let credential = Credential::parse(credential).ok_or(invalid)?;
        let (key, keyring) = self.core.catalog.credential(credential.id()).ok_or(invalid)?;
        let known = key.is_of(&keyring, &credential).then_some(key.id);
        key.authenticate(&keyring, &credential, now())
            .map_err(|refused| Unauthenticated { problem: refused.into(), key: known })
    }

    /// Fails unless the caller's key is still in force. Asked once more after everything that a request has waited for.
    pub fn confirm(&self, principal: &Principal) -> Result<(), Error> {
        self.core.confirm(principal).map(drop)
    }

    /// Waits until the caller's key is not in force any more, and returns the error that a new request with the key gets.
    pub async fn ended(&self, principal: &Principal) -> Error {
        self.core.ended(principal).await
    }
}
