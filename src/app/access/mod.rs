//! Who may use the service: API keys, client certificates and tokens, and the callers that present them.

mod api_key;
mod issuer_keys;
mod sources;
mod verified_tokens;

use std::sync::Arc;

pub use self::api_key::{Expiry, NewApiKey};
pub use self::issuer_keys::{Fetch, IssuerKeys};
pub use self::sources::CredentialSources;
use self::sources::TokenRefused;
use super::commit::Core;
use super::{CredentialProblem, Error};
use crate::auth::{ClientCertificate, Credential, Principal, PrincipalName, Token};
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
    /// The key of its token is not known: once this fetch has ended, the token can be looked at again.
    KeyWanted(Fetch),
    /// The keys of the issuer of its token are not known now.
    IssuerUnavailable,
}

impl AccessControl {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The caller that presents this credential. `may_wait`: whether the caller waits where the key of its token is not known.
    pub fn identify(&self, presented: Presented<'_>, may_wait: bool) -> Result<Principal, NoPrincipal> {
        match presented {
            Presented::Bearer(token) if Token::is_meant(token) => {
                let token = self.core.sources.token(token, may_wait)?;
                Ok(token.principal())
            }
            Presented::Bearer(key) | Presented::ApiKey(key) => Ok(self.authenticate(key)?),
            Presented::Certificate(certificate) => {
                let known = || Some(certificate.name().clone());
                match self.core.sources.confirm_certificate(certificate) {
                    Ok(()) => Ok(certificate.principal()),
                    Err(problem) => Err(Unauthenticated { problem, principal: known() }.into()),
                }
            }
        }
    }

    /// The caller that presents this text as its API key.
    pub fn authenticate(&self, credential: &str) -> Result<Principal, Unauthenticated> {
        let invalid = || Unauthenticated { problem: CredentialProblem::Invalid, principal: None };
        let credential = Credential::parse(credential).ok_or_else(invalid)?;
        let (key, keyring) = self.core.catalog.credential(credential.id()).ok_or_else(invalid)?;
        let known = key.is_of(&keyring, &credential).then_some(PrincipalName::ApiKey(key.id));
        key.authenticate(&keyring, &credential, now())
            .map_err(|refused| Unauthenticated { problem: refused.into(), principal: known })
    }

    /// Where credentials come from that the store does not have.
    pub fn sources(&self) -> &Arc<CredentialSources> {
        &self.core.sources
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
