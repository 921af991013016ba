//! What a refusal must look like: its code, its reason, and the fields it names.

use std::collections::BTreeSet;

use strongroom::api::v1::ErrorReason;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

/// Asserts that a call was refused with this code and reason, in the form that every refusal has.
#[track_caller]
pub fn refused<T>(reply: Result<Response<T>, Status>, code: Code, reason: &str) -> Status {
    let status = match reply {
        Ok(_) => panic!("the call was answered, but had to be refused with {code:?} {reason}"),
        Err(status) => status,
    };
    assert_eq!((status.code(), reason_of(&status).as_str()), (code, reason), "{status:?}");
    status
}

/// Asserts a refusal with VALIDATION_FAILED that names exactly these fields.
///
/// A part of `metadata` or `generate` counts as the field itself: only its description says which part it is.
#[track_caller]
pub fn invalid<T>(reply: Result<Response<T>, Status>, fields: &[&str]) -> Status {
    let status = refused(reply, Code::InvalidArgument, "VALIDATION_FAILED");
    assert_eq!(fields_of(&status), fields.iter().map(|&field| field.to_owned()).collect(), "{status:?}");
    status
}

/// Asserts a refusal because there is no such secret, which the details name.
#[track_caller]
pub fn not_found<T>(reply: Result<Response<T>, Status>, name: &str) -> Status {
    let status = refused(reply, Code::NotFound, "SECRET_NOT_FOUND");
    names_resource(&status, name);
    status
}

/// Asserts a refusal because the name is taken, which the details name.
#[track_caller]
pub fn taken<T>(reply: Result<Response<T>, Status>, name: &str) -> Status {
    let status = refused(reply, Code::AlreadyExists, "SECRET_ALREADY_EXISTS");
    names_resource(&status, name);
    status
}

#[track_caller]
pub fn denied<T>(reply: Result<Response<T>, Status>) -> Status {
    refused(reply, Code::PermissionDenied, "ACCESS_DENIED")
}

/// Asserts that a failure says that the server is ending or has ended, not that the request was wrong.
#[track_caller]
pub fn gone(status: &Status) {
    // A status without details comes from the broken connection, not from the server.
    let told = status.get_details_error_info();
    assert!(told.is_none() || status.code() == Code::Unavailable, "a server that ends answers {status:?}");
}

/// The reason of a refusal; asserts the form that all refusals have.
#[track_caller]
pub fn reason_of(status: &Status) -> String {
    let info =
        status.get_details_error_info().unwrap_or_else(|| panic!("no google.rpc.ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "strongroom", "{status:?}");
    let reason = ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason));
    assert!(
        reason.is_some_and(|reason| reason != ErrorReason::Unspecified),
        "the reason is not in the ErrorReason enum: {status:?}"
    );
    assert!(!status.message().is_empty(), "a refusal without a message for people: {status:?}");
    info.reason
}

/// The fields that a refusal names, each once.
#[track_caller]
pub fn fields_of(status: &Status) -> BTreeSet<String> {
    let violations =
        status.get_details_bad_request().map_or_else(Vec::new, |request| request.field_violations);
    let mut paths = BTreeSet::new();
    for violation in &violations {
        assert!(
            paths.insert(violation.field.as_str()),
            "two violations of {:?}: {violations:?}",
            violation.field
        );
        assert!(!violation.description.is_empty(), "{:?} has no description", violation.field);
    }
    paths
        .into_iter()
        .map(|path| {
            let whole = ["metadata", "generate"].into_iter().find(|whole| path.starts_with(whole));
            whole.unwrap_or(path).to_owned()
        })
        .collect()
}

#[track_caller]
fn names_resource(status: &Status, name: &str) {
    let resource =
        status.get_details_resource_info().unwrap_or_else(|| panic!("no ResourceInfo in {status:?}"));
    let last = resource.resource_name.rsplit('/').next();
    assert_eq!(last, Some(name), "ResourceInfo names another resource: {resource:?}");
}
