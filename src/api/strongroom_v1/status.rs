//! Errors as gRPC has them: a status with its details in `google.rpc` messages (see `error.proto`).

use std::collections::HashMap;

use http::Response;
use tonic::body::Body;
use tonic::{Code as GrpcCode, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::api::error::{Code, Details, Reason, Refusal};
use crate::app::Error;

/// The `domain` of every `google.rpc.ErrorInfo`.
const DOMAIN: &str = "strongroom";

/// An error as a status.
pub(super) fn status(error: &Error, request_id: &str) -> Status {
    refused(error.into(), request_id)
}

/// A status that tonic or the transport made, which has no details, as one with them.
pub(super) fn completed(bare: &Status, request_id: &str) -> Status {
    let refusal = match bare.code() {
        // Given by tonic where it cannot decode a message.
        GrpcCode::Internal | GrpcCode::InvalidArgument => Refusal::malformed(),
        GrpcCode::OutOfRange | GrpcCode::ResourceExhausted => Refusal::too_large(),
        GrpcCode::Unimplemented => Refusal::no_such_rpc(),
        // Given where the caller ended its request early: see `gate/body.rs`.
        GrpcCode::Aborted => return ended_early(),
        GrpcCode::Cancelled | GrpcCode::DeadlineExceeded => Refusal::late(),
        _ => Refusal::defect(),
    };
    refused(refusal, request_id)
}

/// The response to a caller that has hung up.
pub(in crate::api) fn abandoned() -> Response<Body> {
    ended_early().into_http()
}

/// Only the audit sees this, so it has no details.
fn ended_early() -> Status {
    Status::cancelled("The caller ended the request early.")
}

/// The response that tells a refusal.
pub(in crate::api) fn response(refusal: impl Into<Refusal>, request_id: &str) -> Response<Body> {
    refused(refusal.into(), request_id).into_http()
}

/// The response of a handler, in which every error has its details.
pub(in crate::api) fn complete(response: Response<Body>, request_id: &str) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(bare) if bare.code() != GrpcCode::Ok && bare.details().is_empty() => {
            completed(&bare, request_id).into_http()
        }
        _ => response,
    }
}

/// The code and the reason of a response that tells an error; `None` where it tells none.
pub(in crate::api) fn failure(response: &Response<Body>) -> Option<(Code, Option<Reason>)> {
    let status = Status::from_header_map(response.headers())?;
    let reason = || Reason::named(&status.get_details_error_info()?.reason);
    Some((code(status.code())?, reason()))
}

/// A refusal as a status.
pub(in crate::api) fn refused(refusal: Refusal, request_id: &str) -> Status {
    let Refusal { code, reason, message, details } = refusal;
    let Details { fields, resource, precondition, quota, retry_after, cause } = details;
    let mut details = ErrorDetails::new();
    let metadata = cause.map(|cause| ("cause".to_owned(), cause.to_owned()));
    details.set_error_info(reason.name(), DOMAIN, metadata.into_iter().collect::<HashMap<_, _>>());
    details.set_request_info(request_id, "");
    if !fields.is_empty() {
        let fields = fields.into_iter().map(|(field, problem)| FieldViolation::new(field, problem));
        details.set_bad_request(fields.collect::<Vec<_>>());
    }
    if let Some((kind, name)) = resource {
        details.set_resource_info(kind, name, "", "");
    }
    if let Some((subject, description)) = precondition {
        details.add_precondition_failure_violation(reason.name(), subject, description);
    }
    if let Some((subject, description)) = quota {
        details.add_quota_failure_violation(subject, description);
    }
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(grpc_code(code), message, details)
}

fn grpc_code(code: Code) -> GrpcCode {
    match code {
        Code::Cancelled => GrpcCode::Cancelled,
        Code::Unknown => GrpcCode::Unknown,
        Code::InvalidArgument => GrpcCode::InvalidArgument,
        Code::DeadlineExceeded => GrpcCode::DeadlineExceeded,
        Code::NotFound => GrpcCode::NotFound,
        Code::AlreadyExists => GrpcCode::AlreadyExists,
        Code::PermissionDenied => GrpcCode::PermissionDenied,
        Code::ResourceExhausted => GrpcCode::ResourceExhausted,
        Code::FailedPrecondition => GrpcCode::FailedPrecondition,
        Code::Aborted => GrpcCode::Aborted,
        Code::OutOfRange => GrpcCode::OutOfRange,
        Code::Unimplemented => GrpcCode::Unimplemented,
        Code::Internal => GrpcCode::Internal,
        Code::Unavailable => GrpcCode::Unavailable,
        Code::DataLoss => GrpcCode::DataLoss,
        Code::Unauthenticated => GrpcCode::Unauthenticated,
    }
}

fn code(code: GrpcCode) -> Option<Code> {
    Some(match code {
        GrpcCode::Ok => return None,
        GrpcCode::Cancelled => Code::Cancelled,
        GrpcCode::Unknown => Code::Unknown,
        GrpcCode::InvalidArgument => Code::InvalidArgument,
        GrpcCode::DeadlineExceeded => Code::DeadlineExceeded,
        GrpcCode::NotFound => Code::NotFound,
        GrpcCode::AlreadyExists => Code::AlreadyExists,
        GrpcCode::PermissionDenied => Code::PermissionDenied,
        GrpcCode::ResourceExhausted => Code::ResourceExhausted,
        GrpcCode::FailedPrecondition => Code::FailedPrecondition,
        GrpcCode::Aborted => Code::Aborted,
        GrpcCode::OutOfRange => Code::OutOfRange,
        GrpcCode::Unimplemented => Code::Unimplemented,
        GrpcCode::Internal => Code::Internal,
        GrpcCode::Unavailable => Code::Unavailable,
        GrpcCode::DataLoss => Code::DataLoss,
        GrpcCode::Unauthenticated => Code::Unauthenticated,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::strongroom_v1::proto::ErrorReason;

    #[test]
    fn the_reasons_are_those_of_the_proto_file() {
        let described = (1..).map_while(|number| ErrorReason::try_from(number).ok());
        let described = described.map(|reason| reason.as_str_name().replacen("ERROR_REASON_", "", 1));
        let known = Reason::ALL.iter().map(|reason| reason.name().to_owned());
        assert_eq!(described.collect::<BTreeSet<_>>(), known.collect());
    }

    #[test]
    fn a_failure_is_read_as_it_was_told() {
        let told = response(Refusal::too_large(), "id");
        assert_eq!(failure(&told), Some((Code::ResourceExhausted, Some(Reason::MessageTooLarge))));
        let bare = complete(Status::unimplemented("").into_http(), "id");
        assert_eq!(failure(&bare), Some((Code::Unimplemented, Some(Reason::NotServed))));
        assert_eq!(failure(&Response::new(Body::empty())), None);
    }
}
