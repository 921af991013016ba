//! JSON web tokens (RFC 7519) of configured issuers as credentials.
//!
//! The crate `jsonwebtoken` reads a token, has ring verify its signature, and checks issuer and audience. Times are checked
//! here, against the service's own clock. Nothing that a token brings along is used as a key or fetched: keys come from the
//! configured [`KeySet`] only.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::key_set::{Found, KeyPrint, KeySet};
use super::principal::{Principal, PrincipalName};
use crate::config::{self, TokenAlgorithm};
use crate::crypto::verify_tokens_with_ring;
use crate::domain::{Invalid, Namespace, Timestamp};

/// How far the clocks of issuers may be from that of the service.
const SKEW: Duration = Duration::from_secs(60);
/// The most groups of a token.
const MAX_GROUPS: usize = 200;
/// The latest time in a token that is read: the last second of the year 9999.
const LATEST: i64 = 253_402_300_799;

/// A token that was read, and not verified.
pub struct Token<'a> {
    text: &'a str,
    header: Header,
    issuer: String,
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenProblem {
    /// It is not a token that can be read, or is too large.
    Malformed,
    /// Its issuer is not configured.
    UnknownIssuer,
    /// Its issuer has no key with the id that it names.
    UnknownKey,
    /// Its algorithm is not accepted, or is not for the key that it names.
    Algorithm,
    /// Its signature is not that of its issuer.
    Signature,
    /// It is for another audience.
    Audience,
    /// It has expired.
    Expired,
    /// It has no time of its end that can be read.
    NoExpiry,
    /// Its time has not come.
    NotYetValid,
    /// It lives for longer than tokens of its issuer may.
    TooLongLived,
    /// It has no subject that can be a principal.
    Subject,
    /// A claim that the configuration requires is missing or different.
    RequiredClaim,
    /// It has more groups than are read, or a list of groups that is none.
    Groups,
}

/// What makes a token of an issuer a credential.
pub struct TokenRules {
    name: Arc<str>,
    issuer: String,
    algorithms: Vec<Algorithm>,
    validation: Validation,
    subject_claim: String,
    groups_claim: Option<String>,
    required_claims: BTreeMap<String, String>,
    max_lifetime: Duration,
    home: Namespace,
}

/// A token that was verified, without its text.
pub struct VerifiedToken {
    name: PrincipalName,
    groups: Vec<PrincipalName>,
    home: Namespace,
    /// The issuer, by its name in the configuration.
    issuer: Arc<str>,
    /// The key that signed it.
    key: KeyPrint,
    expires_at: Timestamp,
}

impl<'a> Token<'a> {
    /// The most bytes of a token.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Whether a credential has the beginning of a token, which is that of a JSON object in base64.
    pub fn is_meant(credential: &str) -> bool {
        credential.starts_with("eyJ")
    }

    /// Reads a token. Nothing in it is certain yet.
    pub fn parse(text: &'a str) -> Result<Self, TokenProblem> {
        #[derive(Deserialize)]
        struct Issued {
            iss: String,
        }
        if text.len() > Self::MAX_BYTES {
            return Err(TokenProblem::Malformed);
        }
        let header = decode_header(text).map_err(|_| TokenProblem::Malformed)?;
        let Issued { iss: issuer } = insecure_decode_claims(text).map_err(|_| TokenProblem::Malformed)?;
        Ok(Self { text, header, issuer })
    }

    /// The issuer that it says it has.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

impl TokenRules {
    /// The rules of a configured issuer. Fails where its home namespace is none.
    pub fn new(issuer: &config::Issuer) -> Result<Self, Invalid> {
        verify_tokens_with_ring();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&issuer.audiences);
        validation.set_issuer(&[&issuer.issuer]);
        validation.set_required_spec_claims(&["iss", "aud"]);
        (validation.validate_exp, validation.validate_nbf) = (false, false); // `verify` does that
        Ok(Self {
            name: issuer.name.as_str().into(),
            issuer: issuer.issuer.clone(),
            algorithms: issuer.algorithms.iter().copied().map(algorithm).collect(),
            validation,
            subject_claim: issuer.subject_claim.clone(),
            groups_claim: issuer.groups_claim.clone(),
            required_claims: issuer.required_claims.clone(),
            max_lifetime: issuer.max_lifetime,
            home: match &issuer.home_namespace {
                Some(home) => Namespace::parse(home)?,
                None => Namespace::default_namespace(),
            },
        })
    }

    /// The issuer's name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The claim `iss` of the issuer's tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Verifies a token of this issuer with the issuer's keys, at `now`.
    pub fn verify(
        &self,
        token: &Token<'_>,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<VerifiedToken, TokenProblem> {
        let algorithm = token.header.alg;
        if !self.algorithms.contains(&algorithm) {
            return Err(TokenProblem::Algorithm);
        }
        let key = match keys.find(token.header.kid.as_deref(), algorithm) {
            Found::Key(key) => key,
            Found::Unknown => return Err(TokenProblem::UnknownKey),
            Found::Unfit => return Err(TokenProblem::Algorithm),
        };
        let validation = Validation { algorithms: vec![algorithm], ..self.validation.clone() };
        let decoded = decode::<Map<String, Value>>(token.text, &key.key, &validation);
        let claims = decoded.map_err(|error| problem(error.kind()))?.claims;
        self.accept(&claims, key.print, now)
    }

    /// The token with these claims, which the issuer's key has signed and whose audience is right.
    pub(super) fn accept(
        &self,
        claims: &Map<String, Value>,
        key: KeyPrint,
        now: Timestamp,
    ) -> Result<VerifiedToken, TokenProblem> {
        // The crate accepts a list of issuers too.
        if text(claims, "iss") != Some(&self.issuer) {
            return Err(TokenProblem::UnknownIssuer);
        }
        let expires_at = self.expiry(claims, now)?;
        let required = |(claim, value): (&String, &String)| text(claims, claim) == Some(value);
        if !self.required_claims.iter().all(required) {
            return Err(TokenProblem::RequiredClaim);
        }
        let subject = text(claims, &self.subject_claim).ok_or(TokenProblem::Subject)?;
        let name = PrincipalName::token(&self.name, subject).map_err(|_| TokenProblem::Subject)?;
        let (groups, home) = (self.groups(claims)?, self.home.clone());
        Ok(VerifiedToken { name, groups, home, issuer: self.name.clone(), key, expires_at })
    }

    /// Checks the times of a token, and returns the time from which on it is refused.
    fn expiry(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, TokenProblem> {
        let ends = time(claims, "exp").ok_or(TokenProblem::NoExpiry)?;
        let expires_at = ends.plus(SKEW);
        if expires_at <= now {
            return Err(TokenProblem::Expired);
        }
        let latest = now.plus(SKEW);
        for claim in ["nbf", "iat"] {
            if claims.contains_key(claim) && time(claims, claim).is_none_or(|time| time > latest) {
                return Err(TokenProblem::NotYetValid);
            }
        }
        // A token that does not say when it was issued counts as issued now.
        let issued = time(claims, "iat").unwrap_or(now).min(now);
        if ends > issued.plus(self.max_lifetime).plus(SKEW) {
            return Err(TokenProblem::TooLongLived);
        }
        Ok(expires_at)
    }

    /// The groups of a token. A name that no binding can name is left out.
    fn groups(&self, claims: &Map<String, Value>) -> Result<Vec<PrincipalName>, TokenProblem> {
        let Some(groups) = self.groups_claim.as_ref().and_then(|claim| claims.get(claim)) else {
            return Ok(Vec::new());
        };
        let names: Vec<&str> = match groups {
            Value::Null => Vec::new(),
            Value::String(name) => vec![name],
            Value::Array(names) if names.len() <= MAX_GROUPS => names
                .iter()
                .map(|name| name.as_str().ok_or(TokenProblem::Groups))
                .collect::<Result<_, _>>()?,
            _ => return Err(TokenProblem::Groups),
        };
        Ok(names.into_iter().filter_map(|name| PrincipalName::group(&self.name, name).ok()).collect())
    }
}

impl VerifiedToken {
    /// Its principal.
    pub fn name(&self) -> &PrincipalName {
        &self.name
    }

    /// The groups that it names.
    pub fn groups(&self) -> &[PrincipalName] {
        &self.groups
    }

    /// The namespace that an empty namespace in its caller's requests means.
    pub(super) fn home(&self) -> &Namespace {
        &self.home
    }

    /// Its issuer, by the name in the configuration.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The time from which on it is refused.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The caller who presented it.
    pub fn principal(self: &Arc<Self>) -> Principal {
        Principal::of_token(self.clone())
    }

    /// An error where it has expired at `now`, or where its key is not among these keys of its issuer any more.
    pub fn in_force(&self, keys: &KeySet, now: Timestamp) -> Result<(), TokenProblem> {
        if self.expires_at <= now {
            return Err(TokenProblem::Expired);
        }
        if keys.holds(self.key) { Ok(()) } else { Err(TokenProblem::UnknownKey) }
    }
}

/// Shows no claim.
impl fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedToken({})", self.name)
    }
}

/// A claim that is a text.
fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c String> {
    match claims.get(name)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A claim that is a time: seconds since 1970, with or without a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    let claim = claims.get(name)?;
    let seconds = match claim.as_i64() {
        Some(seconds) => seconds,
        #[allow(clippy::cast_possible_truncation)]
        // a number beyond the range becomes its end, which is refused
        None => claim.as_f64()?.floor() as i64,
    };
    (0..=LATEST).contains(&seconds).then(|| Timestamp::from_micros(seconds.saturating_mul(1_000_000)))
}

fn problem(error: &ErrorKind) -> TokenProblem {
    match error {
        ErrorKind::InvalidSignature => TokenProblem::Signature,
        ErrorKind::InvalidAudience => TokenProblem::Audience,
        ErrorKind::InvalidIssuer => TokenProblem::UnknownIssuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenProblem::Audience,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenProblem::Algorithm,
        _ => TokenProblem::Malformed,
    }
}

fn algorithm(algorithm: TokenAlgorithm) -> Algorithm {
    match algorithm {
        TokenAlgorithm::RS256 => Algorithm::RS256,
        TokenAlgorithm::RS384 => Algorithm::RS384,
        TokenAlgorithm::RS512 => Algorithm::RS512,
        TokenAlgorithm::PS256 => Algorithm::PS256,
        TokenAlgorithm::PS384 => Algorithm::PS384,
        TokenAlgorithm::PS512 => Algorithm::PS512,
        TokenAlgorithm::ES256 => Algorithm::ES256,
        TokenAlgorithm::ES384 => Algorithm::ES384,
        TokenAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}
