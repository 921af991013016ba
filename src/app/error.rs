//! The one error of the app. `api` maps each variant to a code, a reason and a sentence.

use crate::audit::Unwritable;
use crate::auth::{
    ApiKeyError, ApiKeyId, BindingId, CertificateProblem, Denied, NotConfirmed, RoleName, TokenProblem,
};
use crate::crypto::{self, BackupError, MasterKeyError};
use crate::domain::{Invalid, Namespace, SecretId, SecretName, Violation, Violations};
use crate::limits::{LimitReached, QuotaReached};
use crate::reference::Problem;
use crate::store::{Unavailable, UnavailableCause};

/// Why an operation was refused or failed. No variant holds a value, or text of a request that was not validated.
#[derive(Debug)]
pub enum Error {
    /// Some fields are not acceptable: all of those.
    Invalid(Vec<Violation>),
    /// Some fields are set that this release does not serve: all of those.
    NotServed(Vec<Violation>),
    /// The caller is not known.
    Unauthenticated(CredentialProblem),
    /// The keys of the issuer of the caller's token are not known now.
    IssuerUnavailable,
    /// The caller lacks a right.
    Denied(Denied),
    /// There is no secret of this name.
    SecretNotFound(Namespace, SecretName),
    /// The secret has no version of this number.
    VersionNotFound(Namespace, SecretName, u32),
    /// The version of this number is disabled.
    VersionDisabled(Namespace, SecretName, u32),
    /// The version of this number was destroyed.
    VersionDestroyed(Namespace, SecretName, u32),
    /// The version of this number is pending.
    VersionPending(Namespace, SecretName, u32),
    /// The secret has expired.
    SecretExpired(Namespace, SecretName),
    /// No deleted secret of the namespace has this id.
    DeletedSecretNotFound(Namespace, SecretId),
    /// The version of this number is pending already.
    RotationPending(Namespace, SecretName, u32),
    /// The secret has so many versions, none of which may be removed for another one.
    TooManyVersions(Namespace, SecretName, u32),
    /// The claim on a rotation does not hold.
    ClaimLost,
    /// No rotation is due for the caller to take.
    NoRotationDue,
    /// There is no room for the value beside the others of its batch.
    BatchTooLarge,
    /// The store no longer keeps the changes after a revision.
    RevisionCompacted,
    /// A watcher has not read its events in time.
    WatchLagged,
    /// A secret already has this name.
    SecretAlreadyExists(Namespace, SecretName),
    /// References in a document cannot be resolved: where, and why.
    Unresolved(Namespace, Vec<Problem>),
    /// There is no namespace of this name.
    NamespaceNotFound(Namespace),
    /// The source of the master key gives no other key: why, and what to do.
    MasterKeyNotRenewed(String),
    /// There is no API key of this id.
    ApiKeyNotFound(ApiKeyId),
    /// There is no binding of this id, or none that the caller manages.
    BindingNotFound(BindingId),
    /// There is no role of this name.
    RoleNotFound(RoleName),
    /// A role already has this name.
    RoleAlreadyExists(RoleName),
    /// Bindings have this role.
    RoleInUse(RoleName),
    /// There are as many roles as there can be: so many.
    TooManyRoles(usize),
    /// The change would leave nobody with every right on everything.
    LastAdministrator,
    /// What the caller may do was changed while its request waited.
    AccessChanged,
    /// The secret has changed since the caller read its etag.
    EtagMismatch,
    /// The request id belongs to another request.
    RequestIdReused,
    /// The caller has so many idempotency records, which is the limit.
    TooManyRequestIds(usize),
    /// Other writers were faster in every attempt.
    Contended,
    /// The caller's deadline passed before the change was begun.
    TooLate,
    /// A stored record was altered, moved or damaged.
    Integrity,
    /// The bytes to restore are not a backup that this service can read.
    BackupInvalid(BackupError),
    /// Some records of a backup cannot be opened: how many, and how many there are in all.
    BackupDamaged(u64, u64),
    /// Another request of this kind is running. The text says what is going on.
    Busy(&'static str),
    /// A limit is reached.
    Limit(LimitReached),
    /// A quota has no room for the change.
    QuotaReached(QuotaReached),
    /// The store cannot serve.
    Unavailable(Unavailable),
    /// The audit record of the request could not be written.
    AuditUnavailable,
    /// A defect of the server. The text is for the log.
    Internal(&'static str),
}

/// What is wrong with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialProblem {
    /// The request has no credential.
    Missing,
    /// The credential is malformed, unknown or revoked.
    Invalid,
    /// The credential has expired.
    Expired,
    /// The request has more than one credential.
    Several,
    /// The request has a credential, and its connection a client certificate that is one too.
    CertificateToo,
    /// The client certificate is not a credential.
    Certificate(CertificateProblem),
    /// The token is not a credential.
    Token(TokenProblem),
}

impl From<CertificateProblem> for CredentialProblem {
    fn from(problem: CertificateProblem) -> Self {
        Self::Certificate(problem)
    }
}

impl From<TokenProblem> for CredentialProblem {
    fn from(problem: TokenProblem) -> Self {
        Self::Token(problem)
    }
}

impl From<CredentialProblem> for Error {
    fn from(problem: CredentialProblem) -> Self {
        Self::Unauthenticated(problem)
    }
}

impl Error {
    /// Whether it can be the consequence of a change that was made meanwhile: of the very change that the request asks for, too.
    /// Not so where it is about who calls and what the caller may do, about the store, or about time.
    pub(super) fn can_follow_from_a_change(&self) -> bool {
        match self {
            Self::Invalid(_)
            | Self::NotServed(_)
            | Self::SecretNotFound(..)
            | Self::VersionNotFound(..)
            | Self::VersionDisabled(..)
            | Self::VersionDestroyed(..)
            | Self::VersionPending(..)
            | Self::SecretExpired(..)
            | Self::DeletedSecretNotFound(..)
            | Self::RotationPending(..)
            | Self::TooManyVersions(..)
            | Self::ClaimLost
            | Self::NoRotationDue
            | Self::SecretAlreadyExists(..)
            | Self::NamespaceNotFound(_)
            | Self::ApiKeyNotFound(_)
            | Self::BindingNotFound(_)
            | Self::RoleNotFound(_)
            | Self::RoleAlreadyExists(_)
            | Self::RoleInUse(_)
            | Self::TooManyRoles(_)
            | Self::LastAdministrator
            | Self::EtagMismatch
            | Self::TooManyRequestIds(_)
            | Self::QuotaReached(_)
            | Self::Contended
            | Self::Integrity => true,
            Self::Unauthenticated(_)
            | Self::IssuerUnavailable
            | Self::Denied(_)
            | Self::AccessChanged
            | Self::BatchTooLarge
            | Self::RevisionCompacted
            | Self::WatchLagged
            | Self::Unresolved(..)
            | Self::MasterKeyNotRenewed(_)
            | Self::RequestIdReused
            | Self::TooLate
            | Self::BackupInvalid(_)
            | Self::BackupDamaged(..)
            | Self::Busy(_)
            | Self::Limit(_)
            | Self::Unavailable(_)
            | Self::AuditUnavailable
            | Self::Internal(_) => false,
        }
    }

    /// Whether the reason can be gone in a newer state, and certainly nothing was changed.
    pub fn can_come_from_an_older_state(&self) -> bool {
        self.can_follow_from_a_change()
            || matches!(self, Self::Unauthenticated(_) | Self::Denied(_) | Self::AccessChanged)
    }

    /// The error for one field that is not acceptable.
    pub fn invalid(field: &'static str, reason: &'static str) -> Self {
        Self::Invalid(vec![Violation { field, reason: Invalid::new(reason) }])
    }

    /// The same with a reason that a parser gave.
    pub fn of_field(field: &'static str, reason: Invalid) -> Self {
        Self::Invalid(vec![Violation { field, reason }])
    }

    /// The error for one field that is not served.
    pub fn not_served(field: &'static str, reason: &'static str) -> Self {
        Self::NotServed(vec![Violation { field, reason: Invalid::new(reason) }])
    }
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations.into_vec())
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<NotConfirmed> for Error {
    fn from(not_confirmed: NotConfirmed) -> Self {
        match not_confirmed {
            NotConfirmed::Denied(denied) => Self::Denied(denied),
            NotConfirmed::Changed => Self::AccessChanged,
        }
    }
}

impl From<ApiKeyError> for CredentialProblem {
    fn from(error: ApiKeyError) -> Self {
        match error {
            ApiKeyError::Invalid => Self::Invalid,
            ApiKeyError::Expired => Self::Expired,
        }
    }
}

impl From<crypto::Error> for Error {
    fn from(error: crypto::Error) -> Self {
        match error {
            crypto::Error::Integrity => Self::Integrity,
            crypto::Error::Failed => Self::Internal("the cryptography of this machine failed"),
        }
    }
}

impl From<MasterKeyError> for Error {
    fn from(error: MasterKeyError) -> Self {
        Self::MasterKeyNotRenewed(error.to_string())
    }
}

impl From<LimitReached> for Error {
    fn from(limit: LimitReached) -> Self {
        Self::Limit(limit)
    }
}

impl From<QuotaReached> for Error {
    fn from(reached: QuotaReached) -> Self {
        Self::QuotaReached(reached)
    }
}

impl Error {
    /// The server is stopping.
    pub fn stopping() -> Self {
        Self::Unavailable(Unavailable::because(UnavailableCause::Stopping, "the server is stopping"))
    }
}

impl From<Unavailable> for Error {
    fn from(why: Unavailable) -> Self {
        Self::Unavailable(why)
    }
}

impl From<Unwritable> for Error {
    fn from(_: Unwritable) -> Self {
        Self::AuditUnavailable
    }
}
