"""Converts the errors of gRPC to the exceptions of this package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from strongroom import exceptions as e

__all__ = ["BY_CODE", "BY_REASON", "DOMAIN", "Explain", "exception_from", "exception_of_item"]

DOMAIN = "strongroom"

BY_REASON: dict[str, type[e.StrongroomError]] = {
    "VALIDATION_FAILED": e.ValidationError,
    "REQUEST_ID_REUSED": e.RequestIdReusedError,
    "SECRET_NOT_FOUND": e.SecretNotFoundError,
    "VERSION_NOT_FOUND": e.VersionNotFoundError,
    "SECRET_ALREADY_EXISTS": e.SecretAlreadyExistsError,
    "CREDENTIAL_MISSING": e.AuthenticationError,
    "CREDENTIAL_INVALID": e.AuthenticationError,
    "CREDENTIAL_EXPIRED": e.AuthenticationError,
    "ACCESS_DENIED": e.PermissionDeniedError,
    "ETAG_MISMATCH": e.ConflictError,
    "CONTENDED": e.ConflictError,
    "INTEGRITY_FAILURE": e.IntegrityError,
    "MESSAGE_TOO_LARGE": e.LimitExceededError,
    "STORE_UNAVAILABLE": e.UnavailableError,
    "ISSUER_UNAVAILABLE": e.UnavailableError,
    "NOT_SERVED": e.NotServedError,
    "API_KEY_NOT_FOUND": e.ApiKeyNotFoundError,
    "LAST_ADMINISTRATOR": e.LastAdministratorError,
    "INTERNAL": e.InternalError,
    "AUDIT_UNAVAILABLE": e.UnavailableError,
    "DEADLINE_EXCEEDED": e.DeadlineExceededError,
    "REFERENCE_INVALID": e.InvalidReferenceError,
    "REFERENCE_TOO_COSTLY": e.ReferenceTooCostlyError,
    "BACKUP_INVALID": e.ValidationError,
    "TOO_MANY_REQUESTS": e.LimitExceededError,
    "VERSION_DISABLED": e.VersionDisabledError,
    "VERSION_DESTROYED": e.VersionDestroyedError,
    "NAMESPACE_NOT_FOUND": e.NotFoundError,
    "MASTER_KEY_NOT_RENEWED": e.FailedPreconditionError,
    "QUOTA_EXCEEDED": e.LimitExceededError,
    "BINDING_NOT_FOUND": e.BindingNotFoundError,
    "ROLE_NOT_FOUND": e.RoleNotFoundError,
    "ROLE_ALREADY_EXISTS": e.RoleAlreadyExistsError,
    "ROLE_IN_USE": e.RoleInUseError,
    "SECRET_EXPIRED": e.SecretExpiredError,
    "VERSION_PENDING": e.VersionPendingError,
    "ROTATION_PENDING": e.RotationPendingError,
    "CLAIM_LOST": e.ClaimLostError,
    "NO_ROTATION_DUE": e.NoRotationDueError,
    "REVISION_COMPACTED": e.RevisionCompactedError,
    "WATCH_LAGGED": e.UnavailableError,
}

# For an error without a reason, or with a reason that this release does not know.
BY_CODE: dict[grpc.StatusCode, type[e.StrongroomError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: e.ValidationError,
    grpc.StatusCode.OUT_OF_RANGE: e.ValidationError,
    grpc.StatusCode.NOT_FOUND: e.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: e.AlreadyExistsError,
    grpc.StatusCode.UNAUTHENTICATED: e.AuthenticationError,
    grpc.StatusCode.PERMISSION_DENIED: e.PermissionDeniedError,
    grpc.StatusCode.ABORTED: e.ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: e.FailedPreconditionError,
    grpc.StatusCode.DATA_LOSS: e.IntegrityError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: e.LimitExceededError,
    grpc.StatusCode.UNAVAILABLE: e.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: e.DeadlineExceededError,
    grpc.StatusCode.UNIMPLEMENTED: e.NotServedError,
    grpc.StatusCode.INTERNAL: e.InternalError,
    grpc.StatusCode.UNKNOWN: e.InternalError,
}


Explain = Callable[[grpc.StatusCode, str], str]
"""Returns the message for a status that no server of Strongroom has sent, from its code and its text."""


def exception_from(
    error: grpc.RpcError, *, explain: Explain | None = None, sent_request_id: str | None = None
) -> e.StrongroomError:
    """Returns the exception to raise for an error of gRPC, sync or async.

    The reason decides when its domain is `strongroom`; otherwise the status code decides. Details that cannot be read
    are ignored.
    """
    code: grpc.StatusCode = error.code()
    text = error.details() or f"The server answered {code.name} without a message: see the server's log."
    return _exception(code, text, _details(error), explain, sent_request_id)


def exception_of_item(status: Any) -> e.StrongroomError:
    """Returns the exception for the `google.rpc.Status` of one item of a reply."""
    code = next((code for code in grpc.StatusCode if code.value[0] == status.code), grpc.StatusCode.UNKNOWN)
    return _exception(code, status.message, status.details)


def _exception(
    code: grpc.StatusCode,
    message: str,
    details: Sequence[any_pb2.Any],
    explain: Explain | None = None,
    sent_request_id: str | None = None,
) -> e.StrongroomError:
    """Returns the exception. `explain` is for a status that may not be one of Strongroom. None: it is one."""
    info = error_details_pb2.ErrorInfo()
    reason = info.reason if _read(details, info) and info.domain == DOMAIN and info.reason else None
    bad_request = error_details_pb2.BadRequest()
    _read(details, bad_request)
    resource = error_details_pb2.ResourceInfo()
    _read(details, resource)
    request = error_details_pb2.RequestInfo()
    _read(details, request)

    if explain is not None and reason is None and not request.request_id:
        message = explain(code, message)
    kind = BY_REASON.get(reason or "") or BY_CODE.get(code, e.StrongroomError)
    return kind(
        message,
        reason=reason,
        code=code,
        violations=[e.Violation(v.field, v.description) for v in bad_request.field_violations],
        resource=resource.resource_name or None,
        retry_after=_retry_after(details),
        request_id=request.request_id or None,
        sent_request_id=sent_request_id,
    )


def _retry_after(details: Sequence[any_pb2.Any]) -> float | None:
    retry = error_details_pb2.RetryInfo()
    if not _read(details, retry):
        return None
    delay: Duration = retry.retry_delay
    return max(delay.seconds + delay.nanos / 1e9, 0.0)


def _details(error: grpc.RpcError) -> Sequence[any_pb2.Any]:
    """Returns the details of the `google.rpc.Status` in the error's trailing metadata."""
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == "grpc-status-details-bin":
            try:
                status: Any = status_pb2.Status.FromString(value)
            except DecodeError:
                break
            details: Sequence[any_pb2.Any] = status.details
            return details
    return ()


def _read(details: Sequence[any_pb2.Any], message: Any) -> bool:
    """Fills the empty `message` with the first readable detail of its type. False: there is no such detail."""
    for packed in details:
        if packed.Is(message.DESCRIPTOR):
            try:
                return bool(packed.Unpack(message))
            except DecodeError:
                message.Clear()
    return False
