//! What the driver reads: results and errors as JSON.

use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use strongroom_client::{Code, Error, ErrorKind, Secret, SecretVersion, Value};

pub(crate) fn secret(secret: &Secret) -> Json {
    json!({
        "namespace": secret.namespace, "name": secret.name, "id": secret.id,
        "value": value(secret.value.as_ref()), "value_version": secret.value_version,
        "description": secret.description, "metadata": secret.metadata, "version": secret.version,
        "pending_version": secret.pending_version, "etag": secret.etag, "revision": secret.revision,
    })
}

pub(crate) fn value(value: Option<&Value>) -> Json {
    match value {
        None => Json::Null,
        Some(value) => match value.as_text() {
            Some(text) => json!({"text": text}),
            None => json!({"binary": BASE64.encode(value.as_bytes())}),
        },
    }
}

pub(crate) fn version(version: &SecretVersion) -> Json {
    let state = enum_name(version.state.as_str_name(), "VERSION_STATE_");
    json!({"number": version.number, "state": state, "current": version.current})
}

/// The name of an enum value in lower case without its prefix.
pub(crate) fn enum_name(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

pub(crate) fn failure(error: &Error) -> Json {
    let sent = !matches!(error.kind(), ErrorKind::Configuration | ErrorKind::Closed);
    json!({
        "class": class(error.kind()),
        "reason": error.reason_name(),
        "code": sent.then(|| code(error.code())),
        "message": error.message(),
        "request_id": error.request_id(),
    })
}

fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Configuration => "configuration",
        ErrorKind::Closed => "closed",
        ErrorKind::Invalid => "validation",
        ErrorKind::NotFound => "not_found",
        ErrorKind::AlreadyExists => "already_exists",
        ErrorKind::Unauthenticated => "authentication",
        ErrorKind::PermissionDenied => "permission_denied",
        ErrorKind::Conflict => "conflict",
        ErrorKind::FailedPrecondition => "failed_precondition",
        ErrorKind::RevisionCompacted => "revision_compacted",
        ErrorKind::Integrity => "integrity",
        ErrorKind::LimitExceeded => "limit_exceeded",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::DeadlineExceeded => "deadline_exceeded",
        ErrorKind::NotServed => "not_served",
        ErrorKind::Internal => "internal",
        _ => "unsupported",
    }
}

fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
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
