//! Principals: the callers, and the names that bindings, limits and the audit know them by.
//!
//! A credential in force makes a [`Principal`]. Its [`PrincipalName`] is its identity everywhere: two credentials with the
//! same name are the same principal. The kinds of credentials differ in what confirms them (`app/authority.rs`), and each
//! place that treats them differently matches on [`CredentialKind`].

use std::fmt;
use std::sync::Arc;

use super::api_key::{ApiKey, ApiKeyId};
use super::certificate::ClientCertificate;
use super::token::VerifiedToken;
use crate::domain::{Invalid, Namespace, Timestamp};

/// The name of a principal, or of a group of principals. As text: `key:ID`, `cert:SAN`, `jwt:ISSUER:SUBJECT` or
/// `group:ISSUER:NAME`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalName {
    /// An API key.
    ApiKey(ApiKeyId),
    /// The holder of a client certificate: the URI or DNS name that the certificate is for.
    Certificate(Arc<str>),
    /// The subject of an issuer's tokens.
    Token(IssuedName),
    /// A group that an issuer's tokens name.
    Group(IssuedName),
}

/// A name that an issuer of tokens gives: to a subject, or to a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuedName {
    issuer: Arc<str>,
    name: Arc<str>,
}

impl PrincipalName {
    /// The most bytes of the name in a certificate, of a subject and of a group.
    pub const MAX_NAME: usize = 512;
    /// The most bytes of an issuer's name.
    pub const MAX_ISSUER: usize = 64;

    /// Parses the text form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const FORM: Invalid =
            Invalid::new("must be a principal: key:ID, cert:SAN, jwt:ISSUER:SUBJECT or group:ISSUER:NAME");
        let (kind, rest) = text.split_once(':').ok_or(FORM)?;
        match kind {
            "key" => ApiKeyId::parse(rest).map(Self::ApiKey).map_err(|_| {
                Invalid::new(
                    "must be key: and the 16 characters of an API key's id, for a principal of this kind",
                )
            }),
            "cert" => Self::certificate(rest),
            "jwt" | "group" => {
                let (issuer, name) = rest.split_once(':').ok_or(FORM)?;
                if kind == "jwt" { Self::token(issuer, name) } else { Self::group(issuer, name) }
            }
            _ => Err(FORM),
        }
    }

    /// The principal of a certificate for this URI or DNS name: 1 to 512 visible characters of ASCII.
    pub fn certificate(san: &str) -> Result<Self, Invalid> {
        let fits =
            (1..=Self::MAX_NAME).contains(&san.len()) && san.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(Invalid::new(
                "must be cert: and a URI or DNS name of 1 to 512 visible ASCII characters, for a principal of this kind",
            ));
        }
        Ok(Self::Certificate(san.into()))
    }

    /// The principal of an issuer's tokens for this subject.
    pub fn token(issuer: &str, subject: &str) -> Result<Self, Invalid> {
        IssuedName::parse(issuer, subject).map(Self::Token)
    }

    /// A group that an issuer's tokens name.
    pub fn group(issuer: &str, name: &str) -> Result<Self, Invalid> {
        IssuedName::parse(issuer, name).map(Self::Group)
    }
}

impl IssuedName {
    /// An issuer's name is 1 to 64 letters, digits, dots, underscores and hyphens, and begins with a letter or a digit. The other
    /// name is 1 to 512 bytes without control characters, and without white space at its ends.
    fn parse(issuer: &str, name: &str) -> Result<Self, Invalid> {
        let begins = issuer.starts_with(|c: char| c.is_ascii_alphanumeric());
        let holds = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !begins || issuer.len() > PrincipalName::MAX_ISSUER || !issuer.bytes().all(holds) {
            return Err(Invalid::new(
                "must have the name of an issuer behind jwt: or group:, 1 to 64 letters, digits, dots, underscores and \
                 hyphens, beginning with a letter or a digit",
            ));
        }
        let fits = (1..=PrincipalName::MAX_NAME).contains(&name.len());
        if !fits || name.trim() != name || name.chars().any(char::is_control) {
            return Err(Invalid::new(
                "must have a subject or a group behind the issuer, 1 to 512 bytes without control characters, and without \
                 white space at its ends",
            ));
        }
        Ok(Self { issuer: issuer.into(), name: name.into() })
    }

    /// The issuer, by its name in the configuration.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The name that the issuer gives.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(id) => write!(f, "key:{id}"),
            Self::Certificate(san) => write!(f, "cert:{san}"),
            Self::Token(IssuedName { issuer, name }) => write!(f, "jwt:{issuer}:{name}"),
            Self::Group(IssuedName { issuer, name }) => write!(f, "group:{issuer}:{name}"),
        }
    }
}

/// An authenticated caller. Cheap to clone. Only the credentials of this folder make one.
#[derive(Clone)]
pub struct Principal {
    name: PrincipalName,
    credential: CredentialKind,
}

/// The credential that a caller presented, by its kind.
#[derive(Clone)]
pub enum CredentialKind {
    /// An API key, as it was when it authenticated the caller.
    ApiKey(Arc<ApiKey>),
    /// The client certificate of the connection.
    Certificate(Arc<ClientCertificate>),
    /// A token of a configured issuer.
    Token(Arc<VerifiedToken>),
}

impl Principal {
    /// The caller whose credential was found to belong to this key.
    pub(super) fn of_api_key(key: Arc<ApiKey>) -> Self {
        Self { name: PrincipalName::ApiKey(key.id), credential: CredentialKind::ApiKey(key) }
    }

    /// The caller whose connection presented this certificate.
    pub(super) fn of_certificate(certificate: Arc<ClientCertificate>) -> Self {
        Self { name: certificate.name().clone(), credential: CredentialKind::Certificate(certificate) }
    }

    /// The caller who presented this token.
    pub(super) fn of_token(token: Arc<VerifiedToken>) -> Self {
        Self { name: token.name().clone(), credential: CredentialKind::Token(token) }
    }

    /// The caller's name.
    pub fn name(&self) -> &PrincipalName {
        &self.name
    }

    /// The groups that the caller's credential says it belongs to. Only tokens name groups.
    pub fn groups(&self) -> &[PrincipalName] {
        match &self.credential {
            CredentialKind::ApiKey(_) | CredentialKind::Certificate(_) => &[],
            CredentialKind::Token(token) => token.groups(),
        }
    }

    /// The namespace that an empty namespace in the caller's requests means.
    pub fn home(&self) -> &Namespace {
        match &self.credential {
            CredentialKind::ApiKey(key) => &key.home,
            CredentialKind::Certificate(certificate) => certificate.home(),
            CredentialKind::Token(token) => token.home(),
        }
    }

    /// When the credential expires; `None`: never. As it was when it authenticated the caller.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.credential {
            CredentialKind::ApiKey(key) => key.expires_at,
            CredentialKind::Certificate(certificate) => Some(certificate.expires_at()),
            CredentialKind::Token(token) => Some(token.expires_at()),
        }
    }

    /// The credential that the caller presented.
    pub fn credential(&self) -> &CredentialKind {
        &self.credential
    }

    /// The id of the API key that the caller presented.
    #[cfg(test)]
    pub(crate) fn api_key_id(&self) -> ApiKeyId {
        match &self.credential {
            CredentialKind::ApiKey(key) => key.id,
            CredentialKind::Certificate(_) | CredentialKind::Token(_) => panic!("{self} has no API key"),
        }
    }
}

/// The caller as logs name it.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_they_are_read() {
        for text in [
            "key:abcdefghijklmnop",
            "cert:spiffe://example.org/ns/web/sa/api",
            "cert:api.example.org",
            "jwt:cluster:system:serviceaccount:web:api",
            "jwt:google:117",
            "group:corp:Domain Admins",
            "group:corp:équipe",
        ] {
            assert_eq!(PrincipalName::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_principal_is_refused() {
        let (longest, too_long) = ("a".repeat(512), "a".repeat(513));
        assert!(PrincipalName::certificate(&longest).is_ok() && PrincipalName::token("i", &longest).is_ok());
        for text in [
            "",
            "key",
            "key:",
            "key:ABCDEFGHIJKLMNOP",
            "key:abcdefghijklmno",
            "Key:abcdefghijklmnop",
            " key:abcdefghijklmnop",
            "cert:",
            "cert:a b",
            "cert:é",
            &format!("cert:{too_long}"),
            "jwt:issuer",
            "jwt::subject",
            "jwt:-issuer:subject",
            "jwt:iss uer:subject",
            "jwt:issuer:",
            "jwt:issuer: subject",
            "jwt:issuer:sub\nject",
            &format!("jwt:issuer:{too_long}"),
            &format!("jwt:{too_long}:subject"),
            "group:issuer",
            "user:root",
            "*",
        ] {
            assert!(PrincipalName::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_of_different_kinds_are_different_principals() {
        let token = PrincipalName::token("corp", "ops").unwrap();
        assert_ne!(token, PrincipalName::group("corp", "ops").unwrap());
        assert_ne!(token, PrincipalName::token("other", "ops").unwrap());
        assert_eq!(token, PrincipalName::parse("jwt:corp:ops").unwrap());
    }
}
