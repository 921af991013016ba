//! Where credentials come from that the store does not have: the authorities of client certificates, and the issuers of tokens.
//! The server reads them at its start, and again at each reload.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::rustls::pki_types::CertificateDer;

use super::issuer_keys::{Fetch, IssuerKeys};
use super::verified_tokens::VerifiedTokens;
use crate::app::{CredentialProblem, Error};
use crate::auth::{
    CertificateProblem, ClientAuthorities, ClientCertificate, Token, TokenProblem, VerifiedToken,
};
use crate::crypto::sha256;
use crate::domain::now;

/// The sources of credentials.
#[derive(Default)]
pub struct CredentialSources {
    authorities: RwLock<Arc<ClientAuthorities>>,
    issuers: Vec<Arc<IssuerKeys>>,
    verified: VerifiedTokens,
}

/// Why a token makes no principal.
pub(super) enum TokenRefused {
    /// It is not a credential.
    Problem(TokenProblem),
    /// Its key is not known, and this fetch may bring it.
    KeyWanted(Fetch),
    /// The keys of its issuer are not known.
    IssuerUnavailable,
}

impl CredentialSources {
    /// These issuers, and no authorities yet.
    pub fn new(issuers: Vec<IssuerKeys>) -> Self {
        Self { issuers: issuers.into_iter().map(Arc::new).collect(), ..Self::default() }
    }

    /// The issuers of tokens.
    pub fn issuers(&self) -> &[Arc<IssuerKeys>] {
        &self.issuers
    }

    /// Replaces the authorities of client certificates.
    pub fn replace_authorities(&self, authorities: ClientAuthorities) {
        *self.authorities.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authorities);
    }

    fn authorities(&self) -> Arc<ClientAuthorities> {
        self.authorities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The certificate that the peer of a connection has presented in its TLS handshake.
    pub fn certificate(&self, chain: &[CertificateDer<'_>]) -> Result<ClientCertificate, CertificateProblem> {
        self.authorities().verify(chain, now())
    }

    /// Fails unless a certificate is in force.
    pub(in crate::app) fn confirm_certificate(
        &self,
        certificate: &ClientCertificate,
    ) -> Result<(), CredentialProblem> {
        Ok(certificate.in_force(&self.authorities(), now())?)
    }

    /// Fails unless a token that was verified is in force.
    pub(in crate::app) fn confirm_token(&self, token: &VerifiedToken) -> Result<(), Error> {
        let issuer = self.issuers.iter().find(|issuer| issuer.rules.name() == token.issuer());
        let issuer = issuer.ok_or(CredentialProblem::Token(TokenProblem::UnknownIssuer))?;
        let keys = issuer.keys().map_err(|_| Error::IssuerUnavailable)?;
        Ok(token.in_force(&keys, now()).map_err(CredentialProblem::from)?)
    }

    /// The verified token of this text. `may_wait`: whether the caller waits for a fetch of the issuer's keys.
    pub(super) fn token(&self, text: &str, may_wait: bool) -> Result<Arc<VerifiedToken>, TokenRefused> {
        if text.len() > Token::MAX_BYTES {
            return Err(TokenProblem::Malformed.into());
        }
        let digest = sha256(&[text.as_bytes()]);
        if let Some(token) = self.verified.find(&digest) {
            match self.confirm_token(&token) {
                Ok(()) => return Ok(token),
                // It is looked at as a new one, which says why it is refused.
                Err(_ended) => self.verified.forget(&digest),
            }
        }
        let token = Token::parse(text)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.rules.issuer() == token.issuer());
        let issuer = issuer.ok_or(TokenProblem::UnknownIssuer)?;
        let wanted = || issuer.fetch().filter(|_| may_wait).map(TokenRefused::KeyWanted);
        let Ok(keys) = issuer.keys() else {
            return Err(wanted().unwrap_or(TokenRefused::IssuerUnavailable));
        };
        match issuer.rules.verify(&token, &keys, now()) {
            Ok(token) => {
                let token = Arc::new(token);
                self.verified.keep(digest, token.clone());
                Ok(token)
            }
            Err(TokenProblem::UnknownKey) => Err(wanted().unwrap_or(if issuer.is_unreachable() {
                TokenRefused::IssuerUnavailable
            } else {
                TokenProblem::UnknownKey.into()
            })),
            Err(problem) => Err(problem.into()),
        }
    }
}

impl From<TokenProblem> for TokenRefused {
    fn from(problem: TokenProblem) -> Self {
        Self::Problem(problem)
    }
}

/// Shows how many there are.
impl fmt::Debug for CredentialSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSources")
            .field("authorities", &self.authorities())
            .field("issuers", &self.issuers.len())
            .finish()
    }
}
