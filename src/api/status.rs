//! Errors as they go over the wire: a code, a sentence, and details for programs.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::v1::ErrorReason;
use crate::app::{CredentialProblem, Error};
use crate::auth::Denied;
use crate::domain::{Namespace, SecretName, Violation};
use crate::reference::{Problem, ProblemKind};

const DOMAIN: &str = "strongroom";
/// When to try again what the service can not do now.
const RETRY: Duration = Duration::from_secs(1);

/// An error as a status.
pub(super) fn status(error: &Error, request_id: &str) -> Status {
    let mut details = ErrorDetails::new();
    let (code, reason, message) = describe(error, &mut details);
    finish(code, reason, message, details, request_id)
}

/// A status without the details that every error has, which the transport made, as one with them.
pub(super) fn complete(bare: &Status, request_id: &str) -> Status {
    use ErrorReason as R;
    let (code, reason, message) = match bare.code() {
        // What tonic says when it can not decode a message.
        Code::Internal | Code::InvalidArgument => (
            Code::InvalidArgument,
            R::ValidationFailed,
            "The request is not a message of this RPC: generate the client from the service's proto files.",
        ),
        Code::OutOfRange | Code::ResourceExhausted => {
            (Code::ResourceExhausted, R::MessageTooLarge, "The message is larger than 1 MiB: send less.")
        }
        Code::Unimplemented => (
            Code::Unimplemented,
            R::NotServed,
            "This server does not serve that RPC, or not in that encoding.",
        ),
        Code::Cancelled | Code::DeadlineExceeded => (
            Code::DeadlineExceeded,
            R::DeadlineExceeded,
            "The deadline passed before the answer was ready: a change may or may not have been made.",
        ),
        _ => (Code::Internal, R::Internal, "The server failed: its log says more under the request id."),
    };
    let mut details = ErrorDetails::new();
    if reason == R::MessageTooLarge {
        details.add_quota_failure_violation("message", "A message is at most 1 MiB.");
    }
    finish(code, reason, message.to_owned(), details, request_id)
}

/// The reason in a status's details, as the enum's own text.
pub(super) fn reason_of(status: &Status) -> Option<&'static str> {
    let info = status.get_details_error_info()?;
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason)).map(reason_name)
}

/// A code as audit records name it.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn finish(
    code: Code,
    reason: ErrorReason,
    message: String,
    mut details: ErrorDetails,
    request_id: &str,
) -> Status {
    details.set_error_info(reason_name(reason), DOMAIN, HashMap::new());
    details.set_request_info(request_id, "");
    Status::with_error_details(code, message, details)
}

fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// Code, reason and sentence of an error; what else programs may want goes into the details.
fn describe(error: &Error, details: &mut ErrorDetails) -> (Code, ErrorReason, String) {
    use ErrorReason as R;
    match error {
        Error::Invalid(violations) => (
            Code::InvalidArgument,
            R::ValidationFailed,
            fields("These fields are not acceptable", violations, details),
        ),
        Error::NotServed(violations) => (
            Code::Unimplemented,
            R::NotServed,
            fields("This release does not serve these fields", violations, details),
        ),
        Error::Unauthenticated(problem) => {
            let (reason, message) = credential(*problem);
            (Code::Unauthenticated, reason, message.to_owned())
        }
        Error::Denied(denied) => (Code::PermissionDenied, R::AccessDenied, denial(denied)),
        Error::SecretNotFound(namespace, name) => {
            resource(details, "strongroom.v1.Secret", namespace, name);
            let message = format!("There is no secret '{name}' in the namespace '{namespace}'.");
            (Code::NotFound, R::SecretNotFound, message)
        }
        Error::VersionNotFound(namespace, name, version) => {
            resource(details, "strongroom.v1.Secret", namespace, name);
            let message =
                format!("The secret '{name}' in the namespace '{namespace}' has no version {version}.");
            (Code::NotFound, R::VersionNotFound, message)
        }
        Error::VersionDisabled(namespace, name, version) => {
            precondition(details, R::VersionDisabled, namespace, name, *version);
            let message = format!(
                "Version {version} of the secret '{name}' in the namespace '{namespace}' is disabled: enable it, or rotate \
                 the secret."
            );
            (Code::FailedPrecondition, R::VersionDisabled, message)
        }
        Error::VersionDestroyed(namespace, name, version) => {
            precondition(details, R::VersionDestroyed, namespace, name, *version);
            let message = format!(
                "Version {version} of the secret '{name}' in the namespace '{namespace}' was destroyed, and its value is \
                 gone for good: rotate the secret."
            );
            (Code::FailedPrecondition, R::VersionDestroyed, message)
        }
        Error::SecretAlreadyExists(namespace, name) => {
            resource(details, "strongroom.v1.Secret", namespace, name);
            let message = format!(
                "The namespace '{namespace}' already has a secret '{name}': update or rotate it, or choose another name."
            );
            (Code::AlreadyExists, R::SecretAlreadyExists, message)
        }
        Error::Unresolved(namespace, problems) => unresolved(namespace, problems, details),
        Error::NamespaceNotFound(namespace) => {
            details.set_resource_info("namespace", namespace.to_string(), "", "");
            (
                Code::NotFound,
                R::NamespaceNotFound,
                format!("No namespace {namespace}: nothing was ever put there."),
            )
        }
        Error::MasterKeyNotRenewed(why) => (
            Code::FailedPrecondition,
            R::MasterKeyNotRenewed,
            format!("The master key was not rotated: {why}."),
        ),
        Error::ApiKeyNotFound(id) => {
            details.set_resource_info("strongroom.v1.ApiKey", id.to_string(), "", "");
            (Code::NotFound, R::ApiKeyNotFound, format!("There is no API key '{id}'."))
        }
        Error::LastAdministrator => (
            Code::FailedPrecondition,
            R::LastAdministrator,
            "The root key can not be revoked: nobody could manage API keys any more.".to_owned(),
        ),
        Error::EtagMismatch => (
            Code::Aborted,
            R::EtagMismatch,
            "The secret has changed since this etag: read it again, and decide again.".to_owned(),
        ),
        Error::RequestIdReused => {
            let message = "was used for another request within 24 hours: send a new one";
            details.add_bad_request_violation("request_id", message);
            (Code::InvalidArgument, R::RequestIdReused, format!("The request_id {message}."))
        }
        Error::Contended => {
            details.set_retry_info(Some(RETRY));
            let message = "Others kept changing the same secret, and nothing was changed: try again.";
            (Code::Aborted, R::Contended, message.to_owned())
        }
        Error::TooLate => (
            Code::DeadlineExceeded,
            R::DeadlineExceeded,
            "The deadline passed before the change was begun, and nothing was changed: allow more time."
                .to_owned(),
        ),
        Error::Integrity => (
            Code::DataLoss,
            R::IntegrityFailure,
            "What is stored was altered, moved or damaged, so it is not served: restore it from a backup."
                .to_owned(),
        ),
        Error::Busy(what) => {
            details.set_retry_info(Some(RETRY));
            let message = format!("{what}: try again once that is done.");
            (Code::ResourceExhausted, R::TooManyRequests, message)
        }
        Error::BackupInvalid(why) => {
            let message = format!("The backup can not be restored, and nothing was replaced: {why}.");
            (Code::InvalidArgument, R::BackupInvalid, message)
        }
        Error::BackupDamaged(damaged, of) => {
            let message = format!(
                "{damaged} of the backup's {of} records can not be opened, and nothing was replaced: take another backup, \
                 or accept_damaged to restore it with them; they will answer as damaged."
            );
            (Code::InvalidArgument, R::BackupInvalid, message)
        }
        Error::Unavailable(why) => {
            details.set_retry_info(Some(RETRY));
            tracing::warn!(cause = %why, "a request could not be served");
            let message = "The store can not serve now, or is not that far yet: try again.";
            (Code::Unavailable, R::StoreUnavailable, message.to_owned())
        }
        Error::AuditUnavailable => {
            details.set_retry_info(Some(RETRY));
            let message = "The request could not be recorded, so it is not answered: try again.";
            (Code::Unavailable, R::AuditUnavailable, message.to_owned())
        }
        Error::Internal(cause) => {
            tracing::error!(cause, "a request failed for a defect of the server");
            let message = "The server failed: its log says more under the request id.";
            (Code::Internal, R::Internal, message.to_owned())
        }
    }
}

fn fields(what: &str, violations: &[Violation], details: &mut ErrorDetails) -> String {
    let listed: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.field, v.reason)).collect();
    let found: Vec<_> =
        violations.iter().map(|v| FieldViolation::new(v.field, v.reason.to_string())).collect();
    details.set_bad_request(found);
    format!("{what}: {}.", listed.join("; "))
}

/// Why a document can not be resolved, and where: the worst reason, and all places.
fn unresolved(
    namespace: &Namespace,
    problems: &[Problem],
    details: &mut ErrorDetails,
) -> (Code, ErrorReason, String) {
    let field = |problem: &Problem| format!("document{}", problem.place);
    // As many as fit into the headers that clients take, of which 8 KiB are sure.
    let mut bytes = 0;
    let told = problems.iter().map(|problem| FieldViolation::new(field(problem), problem.to_string()));
    let told = told.take_while(|violation| {
        let first = bytes == 0;
        bytes += violation.field.len() + violation.description.len();
        first || bytes <= 2048
    });
    details.set_bad_request(told.collect::<Vec<_>>());
    let costly = problems.iter().find(|problem| matches!(problem.kind, ProblemKind::TooCostly(_)));
    let invalid = problems.iter().find(|problem| is_invalid(&problem.kind));
    if let Some(costly) = costly {
        let message = format!("At {}: {costly}", field(costly));
        return (Code::InvalidArgument, ErrorReason::ReferenceTooCostly, message);
    }
    if let Some(invalid) = invalid {
        let message = format!("At {}: {invalid}", field(invalid));
        return (Code::InvalidArgument, ErrorReason::ReferenceInvalid, message);
    }
    // What is left is right, but for the secrets: one that is missing goes before one without a value.
    let missing = problems.iter().find(|problem| matches!(problem.kind, ProblemKind::MissingSecret(_)));
    let Some(problem) = missing.or(problems.first()) else {
        return (
            Code::InvalidArgument,
            ErrorReason::ReferenceInvalid,
            "The document can not be resolved.".into(),
        );
    };
    let message = format!("At {}: {problem}", field(problem));
    match &problem.kind {
        ProblemKind::MissingSecret(name) => {
            resource(details, "strongroom.v1.Secret", namespace, name);
            (Code::NotFound, ErrorReason::SecretNotFound, message)
        }
        ProblemKind::VersionDisabled(name, version) => {
            precondition(details, ErrorReason::VersionDisabled, namespace, name, *version);
            (Code::FailedPrecondition, ErrorReason::VersionDisabled, message)
        }
        ProblemKind::VersionDestroyed(name, version) => {
            precondition(details, ErrorReason::VersionDestroyed, namespace, name, *version);
            (Code::FailedPrecondition, ErrorReason::VersionDestroyed, message)
        }
        _ => (Code::InvalidArgument, ErrorReason::ReferenceInvalid, message),
    }
}

/// Whether the document itself is wrong, and not what it costs nor the secrets that it names.
fn is_invalid(kind: &ProblemKind) -> bool {
    match kind {
        ProblemKind::Syntax { .. }
        | ProblemKind::NotSupported(_)
        | ProblemKind::UnknownName
        | ProblemKind::NoInput
        | ProblemKind::NotASecretName
        | ProblemKind::Type(_)
        | ProblemKind::Value(_)
        | ProblemKind::Binary => true,
        ProblemKind::MissingSecret(_)
        | ProblemKind::VersionDisabled(..)
        | ProblemKind::VersionDestroyed(..)
        | ProblemKind::TooCostly(_) => false,
    }
}

fn credential(problem: CredentialProblem) -> (ErrorReason, &'static str) {
    match problem {
        CredentialProblem::Missing => (
            ErrorReason::CredentialMissing,
            "There is no API key: send the metadata 'authorization: Bearer srk_…' or 'x-api-key: srk_…'.",
        ),
        CredentialProblem::Invalid => (
            ErrorReason::CredentialInvalid,
            "The API key is malformed, unknown or revoked: check the key, or ask for a new one.",
        ),
        CredentialProblem::Expired => {
            (ErrorReason::CredentialExpired, "The API key has expired: ask for a new one.")
        }
    }
}

fn denial(Denied { right, namespace }: &Denied) -> String {
    let right = right.name();
    match namespace {
        Some(namespace) => {
            format!(
                "This API key does not have the right '{right}' on the namespace '{namespace}': use another key."
            )
        }
        None => format!("This API key does not have the right '{right}': the root key has it."),
    }
}

fn resource(details: &mut ErrorDetails, kind: &str, namespace: &Namespace, name: &SecretName) {
    details.set_resource_info(kind, format!("{namespace}/{name}"), "", "");
}

fn precondition(
    details: &mut ErrorDetails,
    reason: ErrorReason,
    namespace: &Namespace,
    name: &SecretName,
    version: u32,
) {
    let subject = format!("{namespace}/{name}/versions/{version}");
    details.add_precondition_failure_violation(
        reason_name(reason),
        subject,
        "This version has no value to read.",
    );
}
