use crate::audit::Unwritable;
use crate::auth::{ApiKeyError, ApiKeyId, Denied};
use crate::crypto::{self, BackupError, MasterKeyError};
use crate::domain::{Invalid, Namespace, SecretName, Violation, Violations};
use crate::reference::Problem;
use crate::store::Unavailable;

/// Why an operation was refused or failed. None of them holds a value, or any text that was not validated.
#[derive(Debug)]
pub enum Error {
    /// Fields are not acceptable: all of them.
    Invalid(Vec<Violation>),
    /// Fields are set that this release does not serve: all of them.
    NotServed(Vec<Violation>),
    /// The caller is not known.
    Unauthenticated(CredentialProblem),
    /// The caller lacks a right.
    Denied(Denied),
    /// No secret of that name.
    SecretNotFound(Namespace, SecretName),
    /// No version of that number.
    VersionNotFound(Namespace, SecretName, u32),
    /// The version of that number is disabled.
    VersionDisabled(Namespace, SecretName, u32),
    /// The version of that number was destroyed.
    VersionDestroyed(Namespace, SecretName, u32),
    /// The name is taken.
    SecretAlreadyExists(Namespace, SecretName),
    /// References in a document can not be resolved: where, and why.
    Unresolved(Namespace, Vec<Problem>),
    /// No namespace of that name.
    NamespaceNotFound(Namespace),
    /// The master key's source gives no other key: why, and what to do.
    MasterKeyNotRenewed(String),
    /// No API key of that id.
    ApiKeyNotFound(ApiKeyId),
    /// Nobody would be left to manage access.
    LastAdministrator,
    /// The secret is not in the state that the caller has seen.
    EtagMismatch,
    /// The request id belongs to another request.
    RequestIdReused,
    /// Other writers kept winning.
    Contended,
    /// The caller's deadline passed before the change was begun.
    TooLate,
    /// What is stored was altered, moved or damaged.
    Integrity,
    /// What should be restored is no backup that this service can read.
    BackupInvalid(BackupError),
    /// So many of so many records in a backup can not be opened.
    BackupDamaged(u64, u64),
    /// As many requests of this kind as may be are being answered: what is going on.
    Busy(&'static str),
    /// The store can not serve.
    Unavailable(Unavailable),
    /// The request could not be recorded.
    AuditUnavailable,
    /// A defect of the server. The text is for the log.
    Internal(&'static str),
}

/// What is wrong with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialProblem {
    /// There is none.
    Missing,
    /// It is malformed, unknown or revoked.
    Invalid,
    /// Its time has passed.
    Expired,
}

impl Error {
    /// One field that is not acceptable.
    pub fn invalid(field: &'static str, reason: &'static str) -> Self {
        Self::Invalid(vec![Violation { field, reason: Invalid::new(reason) }])
    }

    /// One field that is not served.
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
