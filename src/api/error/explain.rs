//! Each error of the service as a [`Refusal`].

use super::unresolved::unresolved;
use super::{Code, Reason, Refusal};
use crate::app::UnavailableCause;
use crate::app::{CredentialProblem, Error};
use crate::auth::{CertificateProblem, Denied, TokenProblem};
use crate::domain::Violation;

impl From<&Error> for Refusal {
    /// The cause of an error that the caller can do nothing about goes to the log.
    fn from(error: &Error) -> Self {
        match error {
            Error::Invalid(violations) => {
                let message = list("These fields are not acceptable", violations);
                with_fields(Self::new(Code::InvalidArgument, Reason::ValidationFailed, message), violations)
            }
            Error::NotServed(violations) => {
                let message = list("This release does not serve these fields", violations);
                with_fields(Self::new(Code::Unimplemented, Reason::NotServed, message), violations)
            }
            Error::Unauthenticated(problem) => credential(*problem),
            Error::IssuerUnavailable => {
                let message = "The keys of the issuer of the token cannot be fetched, so it is not known whether the token is \
                               right: try again.";
                Self::new(Code::Unavailable, Reason::IssuerUnavailable, message).that_passes()
            }
            Error::Denied(denied) => denial(denied),
            Error::SecretNotFound(namespace, name) => {
                let message = format!("There is no secret '{name}' in the namespace '{namespace}'.");
                Self::new(Code::NotFound, Reason::SecretNotFound, message).of_secret(namespace, name)
            }
            Error::VersionNotFound(namespace, name, version) => {
                let message =
                    format!("The secret '{name}' in the namespace '{namespace}' has no version {version}.");
                Self::new(Code::NotFound, Reason::VersionNotFound, message).of_secret(namespace, name)
            }
            Error::VersionDisabled(namespace, name, version) => {
                let message = format!(
                    "Version {version} of the secret '{name}' in the namespace '{namespace}' is disabled: enable it, or \
                     rotate the secret."
                );
                let refusal = Self::new(Code::FailedPrecondition, Reason::VersionDisabled, message);
                refusal.of_version(namespace, name, *version)
            }
            Error::VersionDestroyed(namespace, name, version) => {
                let message = format!(
                    "Version {version} of the secret '{name}' in the namespace '{namespace}' was destroyed, and its \
                     value is gone for good: rotate the secret."
                );
                let refusal = Self::new(Code::FailedPrecondition, Reason::VersionDestroyed, message);
                refusal.of_version(namespace, name, *version)
            }
            Error::VersionPending(namespace, name, version) => {
                let message = format!(
                    "Version {version} of the secret '{name}' in the namespace '{namespace}' is pending: promote it first."
                );
                let refusal = Self::new(Code::FailedPrecondition, Reason::VersionPending, message);
                refusal.of_version(namespace, name, *version)
            }
            Error::SecretExpired(namespace, name) => {
                let message = format!(
                    "The secret '{name}' in the namespace '{namespace}' has expired: update it with a later expires_at."
                );
                Self::new(Code::FailedPrecondition, Reason::SecretExpired, message).of_secret(namespace, name)
            }
            Error::DeletedSecretNotFound(namespace, id) => {
                let message = format!(
                    "The namespace '{namespace}' has no deleted secret with the id {id}: list the secrets with \
                     include_deleted to see those that can be brought back."
                );
                Self::new(Code::NotFound, Reason::SecretNotFound, message)
                    .of_resource("strongroom.v1.Secret", format!("{namespace}/{id}"))
            }
            Error::RotationPending(namespace, name, version) => {
                let message = format!(
                    "The secret '{name}' in the namespace '{namespace}' has the pending version {version}: promote it or \
                     destroy it, then stage another one."
                );
                Self::new(Code::FailedPrecondition, Reason::RotationPending, message)
                    .of_secret(namespace, name)
            }
            Error::TooManyVersions(namespace, name, most) => {
                let reached = format!(
                    "The secret '{name}' in the namespace '{namespace}' has {most} versions, and none of them can be removed: \
                     they are within their grace periods"
                );
                let message = format!(
                    "{reached}. Shorten the grace period of its rotations, or wait until one has ended."
                );
                let mut refusal = Self::new(Code::ResourceExhausted, Reason::QuotaExceeded, message);
                refusal.details.quota = Some(("versions_per_secret", format!("{reached}.")));
                refusal
            }
            Error::ClaimLost => {
                let message = "The claim on this rotation does not hold: its lease has run out, it was released, or the \
                               rotation has ended. Claim the rotation again.";
                Self::new(Code::FailedPrecondition, Reason::ClaimLost, message)
            }
            Error::NoRotationDue => {
                let message = "No rotation is due that matches and that this caller may make: ask again later, or wait for an \
                               event ROTATION_DUE.";
                Self::new(Code::NotFound, Reason::NoRotationDue, message)
            }
            Error::BatchTooLarge => {
                let message = "The secrets of the batch are larger than a reply may be, and there is no room for this one: ask \
                               for it in another request.";
                Self::new(Code::ResourceExhausted, Reason::MessageTooLarge, message)
            }
            Error::RevisionCompacted => {
                let message = "The changes after this revision are no longer kept, or a restore has replaced them: watch again \
                               with snapshot.";
                Self::new(Code::OutOfRange, Reason::RevisionCompacted, message)
            }
            Error::WatchLagged => {
                let message = "The events of the watch were not read in time, so it has ended: watch again with after_revision, \
                               from the resume_revision of the last event.";
                Self::new(Code::Unavailable, Reason::WatchLagged, message).that_passes()
            }
            Error::SecretAlreadyExists(namespace, name) => {
                let message = format!(
                    "The namespace '{namespace}' already has a secret '{name}': update or rotate it, or choose another \
                     name."
                );
                Self::new(Code::AlreadyExists, Reason::SecretAlreadyExists, message)
                    .of_secret(namespace, name)
            }
            Error::Unresolved(namespace, problems) => unresolved(namespace, problems),
            Error::NamespaceNotFound(namespace) => {
                let message = format!("No namespace {namespace}: nothing was ever put there.");
                Self::new(Code::NotFound, Reason::NamespaceNotFound, message)
                    .of_resource("namespace", namespace.to_string())
            }
            Error::MasterKeyNotRenewed(why) => {
                let message = format!("The master key was not rotated: {why}.");
                Self::new(Code::FailedPrecondition, Reason::MasterKeyNotRenewed, message)
            }
            Error::ApiKeyNotFound(id) => {
                let message = format!("There is no API key '{id}'.");
                Self::new(Code::NotFound, Reason::ApiKeyNotFound, message)
                    .of_resource("strongroom.v1.ApiKey", id.to_string())
            }
            Error::BindingNotFound(id) => {
                let message = format!("There is no binding '{id}', or it is not yours to manage.");
                Self::new(Code::NotFound, Reason::BindingNotFound, message)
                    .of_resource("strongroom.v1.Binding", id.to_string())
            }
            Error::RoleNotFound(name) => {
                let message = format!("There is no role '{name}': create it, or use another role.");
                Self::new(Code::NotFound, Reason::RoleNotFound, message)
                    .of_resource("strongroom.v1.Role", name.to_string())
            }
            Error::RoleAlreadyExists(name) => {
                let message = format!("There already is a role '{name}': choose another name.");
                Self::new(Code::AlreadyExists, Reason::RoleAlreadyExists, message)
                    .of_resource("strongroom.v1.Role", name.to_string())
            }
            Error::TooManyRoles(most) => {
                let reached =
                    format!("There are {most} roles besides the built-in ones, as many as there can be");
                let message = format!("{reached}: delete those that no binding has.");
                let mut refusal = Self::new(Code::ResourceExhausted, Reason::QuotaExceeded, message);
                refusal.details.quota = Some(("roles", format!("{reached}.")));
                refusal
            }
            Error::RoleInUse(name) => {
                let message = format!("Bindings have the role '{name}': delete them first.");
                Self::new(Code::FailedPrecondition, Reason::RoleInUse, message)
                    .of_resource("strongroom.v1.Role", name.to_string())
            }
            Error::LastAdministrator => {
                let message = "Nobody would have every right on everything any more: make another administrator first, with a \
                               binding of the role 'admin' on '**'.";
                Self::new(Code::FailedPrecondition, Reason::LastAdministrator, message)
            }
            Error::AccessChanged => {
                let message = "What this caller may do was changed while the request waited: try again.";
                Self::new(Code::Aborted, Reason::Contended, message).that_passes()
            }
            Error::EtagMismatch => {
                let message = "The secret has changed since this etag: read it again, and decide again.";
                Self::new(Code::Aborted, Reason::EtagMismatch, message)
            }
            Error::RequestIdReused => {
                let what = "was used for another request within 24 hours: send a new one";
                Self::new(Code::InvalidArgument, Reason::RequestIdReused, format!("The request_id {what}."))
                    .with_field("request_id", what)
            }
            Error::TooManyRequestIds(most) => {
                let reached = format!(
                    "This caller has sent {most} requests with a request_id in 24 hours, as many as it may"
                );
                let message = format!("{reached}: repeat the request without a request_id, or later.");
                let mut refusal = Self::new(Code::ResourceExhausted, Reason::QuotaExceeded, message);
                refusal.details.quota =
                    Some(("limits.idempotency_records_per_principal", format!("{reached}.")));
                refusal
            }
            Error::Contended => {
                let message =
                    "Other writers kept changing the same record, and nothing was changed: try again.";
                Self::new(Code::Aborted, Reason::Contended, message).that_passes()
            }
            Error::TooLate => {
                let message = "The deadline passed before the change was begun, and nothing was changed: allow more time.";
                Self::new(Code::DeadlineExceeded, Reason::DeadlineExceeded, message)
            }
            Error::Integrity => {
                let message = "The stored record was altered, moved or damaged, so it is not served: restore it from a backup.";
                Self::new(Code::DataLoss, Reason::IntegrityFailure, message)
            }
            Error::Busy(what) => {
                let message = format!("{what}: try again once that is done.");
                Self::new(Code::ResourceExhausted, Reason::TooManyRequests, message).that_passes()
            }
            Error::Limit(limit) => Self::limit(limit),
            Error::QuotaReached(reached) => Self::quota(reached),
            Error::BackupInvalid(why) => {
                let message = format!("The backup cannot be restored, and nothing was replaced: {why}.");
                Self::new(Code::InvalidArgument, Reason::BackupInvalid, message)
            }
            Error::BackupDamaged(damaged, of) => {
                let message = format!(
                    "{damaged} of the backup's {of} records cannot be opened, and nothing was replaced: take another \
                     backup, or set accept_damaged to restore this one; then those records answer as damaged."
                );
                Self::new(Code::InvalidArgument, Reason::BackupInvalid, message)
            }
            Error::Unavailable(why) => {
                match why.cause() {
                    UnavailableCause::Stopping => tracing::debug!("a request ended, since the server stops"),
                    _ => tracing::warn!(cause = %why, "a request could not be served"),
                }
                Self::store_unavailable_because(why.cause())
            }
            Error::AuditUnavailable => {
                let message =
                    "The request could not be recorded in the audit log, so it is not answered: try again.";
                Self::new(Code::Unavailable, Reason::AuditUnavailable, message).that_passes()
            }
            Error::Internal(cause) => {
                tracing::error!(cause, "a request failed for a defect of the server");
                Self::defect()
            }
        }
    }
}

fn list(what: &str, violations: &[Violation]) -> String {
    let listed: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.field, v.reason)).collect();
    format!("{what}: {}.", listed.join("; "))
}

fn with_fields(refusal: Refusal, violations: &[Violation]) -> Refusal {
    violations.iter().fold(refusal, |refusal, v| refusal.with_field(v.field, v.reason.to_string()))
}

fn credential(problem: CredentialProblem) -> Refusal {
    let (reason, message) = match problem {
        CredentialProblem::Missing => (
            Reason::CredentialMissing,
            "There is no credential: send an API key as the metadata 'authorization: Bearer srk_…' or 'x-api-key: srk_…', or \
             another credential that this service accepts.",
        ),
        CredentialProblem::Invalid => (
            Reason::CredentialInvalid,
            "The API key is malformed, unknown or revoked: check the key, or ask for a new one.",
        ),
        CredentialProblem::Expired => {
            (Reason::CredentialExpired, "The credential has expired: ask for a new one.")
        }
        CredentialProblem::Several => (
            Reason::CredentialInvalid,
            "The request has more than one credential: send one, as 'authorization' or as 'x-api-key'.",
        ),
        CredentialProblem::CertificateToo => (
            Reason::CredentialInvalid,
            "The request has more than one credential: the connection has a client certificate, which is one, so send no \
             'authorization' and no 'x-api-key', or connect without the certificate.",
        ),
        CredentialProblem::Certificate(problem) => certificate(problem),
        CredentialProblem::Token(problem) => token(problem),
    };
    Refusal::new(Code::Unauthenticated, reason, message)
}

fn certificate(problem: CertificateProblem) -> (Reason, &'static str) {
    match problem {
        CertificateProblem::Expired => (
            Reason::CredentialExpired,
            "The client certificate has expired, or one that vouches for it: connect again with a new one.",
        ),
        CertificateProblem::Untrusted => (
            Reason::CredentialInvalid,
            "No authority of this service vouches for the client certificate: use one of an authority in --tls-client-ca.",
        ),
        CertificateProblem::NoName => (
            Reason::CredentialInvalid,
            "The client certificate names no principal: it needs one URI or a DNS name as subject alternative name.",
        ),
        CertificateProblem::SeveralUris => (
            Reason::CredentialInvalid,
            "The client certificate has more than one URI, so its principal is not certain: use one with a single URI.",
        ),
    }
}

fn token(problem: TokenProblem) -> (Reason, &'static str) {
    let message = match problem {
        TokenProblem::Expired => {
            return (Reason::CredentialExpired, "The token has expired: get a new one from its issuer.");
        }
        TokenProblem::Malformed => {
            "The token is not a JSON web token that can be read, or is larger than 8 KiB: check it."
        }
        TokenProblem::UnknownIssuer => {
            "The issuer of the token is not configured: use a token whose claim 'iss' an issuer of this service has."
        }
        TokenProblem::UnknownKey => {
            "The issuer has no key with the id in the token's header: get a new token from the issuer."
        }
        TokenProblem::Algorithm => {
            "The algorithm of the token's signature is not accepted for this issuer and key: use a token with another one."
        }
        TokenProblem::Signature => {
            "The token's signature is not that of its issuer: get a new token from the issuer."
        }
        TokenProblem::Audience => {
            "The token is for another audience: ask the issuer for one with the audience that this service is configured with."
        }
        TokenProblem::NoExpiry => {
            "The token has no time of its end in the claim 'exp': use a token that ends."
        }
        TokenProblem::NotYetValid => {
            "The time of the token has not come, by its claims 'nbf' and 'iat': check the clocks, or wait."
        }
        TokenProblem::TooLongLived => {
            "The token lives for longer than tokens of its issuer may: ask the issuer for one that ends sooner."
        }
        TokenProblem::Subject => {
            "The token has no subject that can be a principal: 1 to 512 bytes of text without control characters are expected."
        }
        TokenProblem::RequiredClaim => {
            "A claim that this service requires of the issuer's tokens is missing, or has another text: use another token."
        }
        TokenProblem::Groups => {
            "The groups of the token are not a list of at most 200 names: ask the issuer for a token with fewer groups."
        }
    };
    (Reason::CredentialInvalid, message)
}

fn denial(Denied { right, object, by }: &Denied) -> Refusal {
    let why = match by {
        None => "no binding gives it",
        Some(_) => "a binding denies it",
    };
    let message = format!(
        "This caller does not have the right '{right}' {object}, since {why}: use another credential, or ask for the right."
    );
    Refusal::new(Code::PermissionDenied, Reason::AccessDenied, message)
}
