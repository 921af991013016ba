"""The errors that a call can raise.

Every exception derives from `StrongroomError`. The reason in the details of the server's error (`ErrorReason` in
`error.proto`) decides which exception is raised; its text never does. For an error without a reason, such as a network
error, the gRPC status code decides. An argument of the wrong Python type raises a plain `TypeError`.

No exception holds the value of a secret: not in its message, not in an attribute, not in the failed request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc

__all__ = [
    "AlreadyExistsError",
    "ApiKeyNotFoundError",
    "AuthenticationError",
    "BindingNotFoundError",
    "ClaimLostError",
    "ClosedError",
    "ConfigurationError",
    "ConflictError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "IntegrityError",
    "InternalError",
    "InvalidReferenceError",
    "LastAdministratorError",
    "LimitExceededError",
    "NoRotationDueError",
    "NotFoundError",
    "NotServedError",
    "PermissionDeniedError",
    "ReferenceTooCostlyError",
    "RequestIdReusedError",
    "RevisionCompactedError",
    "RoleAlreadyExistsError",
    "RoleInUseError",
    "RoleNotFoundError",
    "RotationPendingError",
    "SecretAlreadyExistsError",
    "SecretExpiredError",
    "SecretNotFoundError",
    "StrongroomError",
    "UnavailableError",
    "ValidationError",
    "VersionDestroyedError",
    "VersionDisabledError",
    "VersionNotFoundError",
    "VersionPendingError",
    "Violation",
]


@dataclass(frozen=True)
class Violation:
    """One problem of a request."""

    field: str
    """The field of the request, for example `name` or `metadata`. For a place in a document: the argument, then a JSON
    Pointer, for example `document/steps/0/expression`."""

    description: str
    """The problem, and how to correct it."""


class StrongroomError(Exception):
    """The base of all errors of this package. It is raised itself for a status without a class of its own."""

    reason: str | None
    """The reason of the server, for example `SECRET_NOT_FOUND`. None: the error has no reason."""

    code: grpc.StatusCode | None
    """The gRPC status code. None: the call was not sent."""

    violations: tuple[Violation, ...]
    """All problems of the request. Empty: the server named none."""

    resource: str | None
    """The resource that the error is about: a secret as `namespace/name`, or the id of an API key. None: the server
    named none."""

    retry_after: float | None
    """The seconds after which to try again. None: the server did not say."""

    request_id: str | None
    """The id of the failed request in the server's log. None: the server did not say."""

    sent_request_id: str | None
    """The `request_id` that the change was sent with. After a `DeadlineExceededError` or an `UnavailableError` the
    change may or may not have been made: repeat the call with this `request_id` to learn the outcome. None: the call
    has no `request_id`."""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        code: grpc.StatusCode | None = None,
        violations: Sequence[Violation] = (),
        resource: str | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        sent_request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code
        self.violations = tuple(violations)
        self.resource = resource
        self.retry_after = retry_after
        self.request_id = request_id
        self.sent_request_id = sent_request_id


class ValidationError(StrongroomError):
    """One or more arguments are not valid. `violations` lists them. Nothing was changed.

    The server refused the arguments, or this package did because they cannot be sent.
    """

    def __str__(self) -> str:
        """The message, then the violations that it does not already contain."""
        message = super().__str__()
        notes = (f"{v.field}: {v.description}" if v.field else v.description for v in self.violations)
        return "\n  ".join([message, *(note for note in notes if note not in message)])


class ConfigurationError(ValidationError):
    """The settings of the client cannot be used, or its token source failed. No request was sent."""


class ClosedError(StrongroomError):
    """The client or the cache was closed before. Make a new one."""


class RequestIdReusedError(ValidationError):
    """The `request_id` was used within 24 hours for another request. Use a new one."""


class InvalidReferenceError(ValidationError):
    """An expression in a document cannot be resolved. `violations` gives the place and the problem, without a value."""


class ReferenceTooCostlyError(ValidationError):
    """The document needs more than the server allows. `violations` gives the place and the limit."""


class NotFoundError(StrongroomError):
    """The secret, version, API key, role, binding or namespace does not exist."""


class SecretNotFoundError(NotFoundError):
    """The namespace has no secret of this name. From `resolve`, `violations` gives the places that name it."""


class VersionNotFoundError(NotFoundError):
    """The secret exists, but the version does not: it never existed, or it is not among the 100 newest any more."""


class ApiKeyNotFoundError(NotFoundError):
    """There is no API key of this id, or the caller does not manage it."""


class NoRotationDueError(NotFoundError):
    """No rotation is due among the secrets that match. Ask again later, or wait for the event `rotation_due`."""


class RoleNotFoundError(NotFoundError):
    """There is no role of this name."""


class BindingNotFoundError(NotFoundError):
    """There is no binding of this id, or the caller does not manage it."""


class AlreadyExistsError(StrongroomError):
    """The resource to create already exists."""


class SecretAlreadyExistsError(AlreadyExistsError):
    """The name of the new or renamed secret is taken. Nothing was changed."""


class RoleAlreadyExistsError(AlreadyExistsError):
    """The name of the new role is taken. Nothing was changed."""


class AuthenticationError(StrongroomError):
    """The API key is missing, malformed, unknown, revoked or expired. `reason` says which."""


class PermissionDeniedError(StrongroomError):
    """The API key does not have the right that the call needs. This does not tell whether the secret exists.

    `client.access.explain` says what is missing.
    """


class ConflictError(StrongroomError):
    """Somebody else changed the secret. Nothing was changed by this call.

    The reason is `ETAG_MISMATCH` (read the secret again, then decide again) or `CONTENDED` (try again).
    """


class FailedPreconditionError(StrongroomError):
    """The present state of the service does not allow the call. `reason` says why, for example `LAST_ADMINISTRATOR`."""


class LastAdministratorError(FailedPreconditionError):
    """The change would leave nobody with every right on everything. Nothing was changed."""


class RoleInUseError(FailedPreconditionError):
    """Bindings have the role. Delete them first."""


class VersionDisabledError(FailedPreconditionError):
    """The version is disabled. Enable it, or rotate the secret.

    From `resolve`, it is the current version of a secret, and `violations` gives the places that name the secret.
    """


class VersionDestroyedError(FailedPreconditionError):
    """The version was destroyed, and its value cannot be recovered. Rotate the secret.

    From `resolve`, it is the current version of a secret, and `violations` gives the places that name the secret.
    """


class VersionPendingError(FailedPreconditionError):
    """The version is the new value of a staged rotation. It can be read once `promote` has made it current."""


class SecretExpiredError(FailedPreconditionError):
    """The secret has expired. `update` with a later `expires_at` makes it readable again, until it is purged.

    From `resolve`, `violations` gives the places that name the secret.
    """


class RotationPendingError(FailedPreconditionError):
    """The secret has a pending version already. Promote it or destroy it, then stage another one."""


class ClaimLostError(FailedPreconditionError):
    """The claim on the rotation does not hold any more: its lease has ended, or it was released. Claim it again."""


class RevisionCompactedError(StrongroomError):
    """The server does not keep the changes after this revision any more. Watch again with `snapshot`."""


class IntegrityError(StrongroomError):
    """The stored record was altered or damaged. Restore it from a backup. Other records are still served."""


class LimitExceededError(StrongroomError):
    """The message is too large, or the server is busy with such a request. `reason` says which."""


class UnavailableError(StrongroomError):
    """The server cannot be reached or cannot serve now, and the retries did not help."""


class DeadlineExceededError(StrongroomError):
    """The deadline passed before an answer came. A change may or may not have been made: see `sent_request_id`."""


class NotServedError(StrongroomError):
    """This release of the server does not serve the call or an argument. `violations` lists these arguments."""


class InternalError(StrongroomError):
    """A defect of the server. The server's log has the details under `request_id`."""
