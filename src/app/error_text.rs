//! Errors as words for the log. Callers get their sentences from `api`.
//!
//! The words name no secret: the setting `names` of the audit log can say that no log shows them.

use std::fmt;

use super::Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Unavailable(why) => return why.fmt(f),
            Self::Busy(what) => what,
            Self::Internal(defect) => return write!(f, "a defect of the server: {defect}"),
            Self::MasterKeyNotRenewed(why) => return write!(f, "the master key was not rotated: {why}"),
            Self::BackupInvalid(why) => return why.fmt(f),
            Self::BackupDamaged(damaged, of) => {
                return write!(f, "{damaged} of {of} records of the backup cannot be opened");
            }
            Self::TooManyVersions(_, _, most) => {
                return write!(f, "the secret has {most} versions, none of which may be removed");
            }
            Self::TooManyRequestIds(most) => {
                return write!(f, "the caller has {most} idempotency records, which is the limit");
            }
            Self::TooManyRoles(most) => return write!(f, "there are {most} roles, which is the limit"),
            Self::Invalid(_) => "some fields are not acceptable",
            Self::NotServed(_) => "some fields are not served",
            Self::Unauthenticated(_) => "the caller's credential is not in force",
            Self::IssuerUnavailable => "the keys of an issuer are not known now",
            Self::Denied(_) => "the caller lacks a right",
            Self::SecretNotFound(..) => "there is no such secret",
            Self::VersionNotFound(..) => "there is no such version",
            Self::VersionDisabled(..) => "the version is disabled",
            Self::VersionDestroyed(..) => "the version was destroyed",
            Self::VersionPending(..) => "the version is pending",
            Self::SecretExpired(..) => "the secret has expired",
            Self::DeletedSecretNotFound(..) => "there is no such deleted secret",
            Self::RotationPending(..) => "a staged rotation is pending",
            Self::ClaimLost => "the claim on the rotation does not hold",
            Self::NoRotationDue => "no rotation is due",
            Self::BatchTooLarge => "there is no room for the value in the batch",
            Self::RevisionCompacted => "the changes after the revision are no longer kept",
            Self::WatchLagged => "the events of a watch were not read in time",
            Self::SecretAlreadyExists(..) => "a secret already has the name",
            Self::Unresolved(..) => "references cannot be resolved",
            Self::NamespaceNotFound(_) => "there is no such namespace",
            Self::ApiKeyNotFound(_) => "there is no such API key",
            Self::BindingNotFound(_) => "there is no such binding",
            Self::RoleNotFound(_) => "there is no such role",
            Self::RoleAlreadyExists(_) => "a role already has the name",
            Self::RoleInUse(_) => "bindings have the role",
            Self::LastAdministrator => "nobody would be left with every right",
            Self::AccessChanged => "what the caller may do was changed meanwhile",
            Self::EtagMismatch => "the secret has changed since its etag was read",
            Self::RequestIdReused => "the request id belongs to another request",
            Self::Contended => "other writers were faster in every attempt",
            Self::TooLate => "the deadline passed before the change was begun",
            Self::Integrity => "a stored record was altered, moved or damaged",
            Self::Limit(_) => "a limit is reached",
            Self::QuotaReached(_) => "a quota has no room for the change",
            Self::AuditUnavailable => "the audit record could not be written",
        };
        f.write_str(text)
    }
}
