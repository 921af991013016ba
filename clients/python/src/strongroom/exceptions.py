"""What a call can fail with.

Every exception derives from `StrongroomError`. Which one is raised is decided by the reason that the server puts into
the error's details (`ErrorReason` in `error.proto`), never by its text; an error without a reason, such as one of the
network, is told by its gRPC status code. An argument of a wrong Python type is a plain `TypeError`.

No exception holds a secret's value: neither its message, nor an attribute, nor the request that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc

__all__ = [
    "AlreadyExistsError",
    "AuthenticationError",
    "ConflictError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "IntegrityError",
    "InternalError",
    "InvalidReferenceError",
    "LimitExceededError",
    "NotFoundError",
    "NotServedError",
    "PermissionDeniedError",
    "ReferenceTooCostlyError",
    "RequestIdReusedError",
    "SecretAlreadyExistsError",
    "SecretNotFoundError",
    "StrongroomError",
    "UnavailableError",
    "ValidationError",
    "VersionDestroyedError",
    "VersionDisabledError",
    "VersionNotFoundError",
    "Violation",
]


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with a request."""

    field: str
    """Which argument, in the server's words: for example `name` or `metadata`; for a place in a document, its JSON
    Pointer behind the argument: `document/steps/0/expression`."""

    description: str
    """What is wrong with it, and what to do."""


class StrongroomError(Exception):
    """The base of all errors of this package. Also raised itself for a status that has no class of its own."""

    reason: str | None
    """The server's reason, for example `SECRET_NOT_FOUND`. None: the error came without one."""

    code: grpc.StatusCode | None
    """The gRPC status. None: the call was never sent."""

    violations: tuple[Violation, ...]
    """What is wrong with the request, all of it at once. Empty: nothing, or the server did not say."""

    resource: str | None
    """What the error is about, where the server says it: a secret as `namespace/name`, or the id of a key."""

    retry_after: float | None
    """After how many seconds to try again, where the server says it."""

    request_id: str | None
    """The server's own id of the failed request, to find it in the server's log. None: the server did not say."""

    sent_request_id: str | None
    """The `request_id` that a change was sent with. When it is not known whether the change was made
    (`DeadlineExceededError`, `UnavailableError`), the same call with this `request_id` gives the first outcome."""

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
    """An argument is not acceptable; `violations` names each. Nothing was changed.

    Raised by the server for what it refuses, and by this package for what can not be sent at all.
    """

    def __str__(self) -> str:
        """The message, and behind it the violations that it does not already contain."""
        message = super().__str__()
        notes = (f"{v.field}: {v.description}" if v.field else v.description for v in self.violations)
        return "\n  ".join([message, *(note for note in notes if note not in message)])


class RequestIdReusedError(ValidationError):
    """The `request_id` was used within 24 hours for another request."""


class InvalidReferenceError(ValidationError):
    """An expression in a document can not be resolved. `violations` says where and why, and shows no value."""


class ReferenceTooCostlyError(ValidationError):
    """Resolving a document would cost more than the server allows. `violations` says where, and which bound."""


class NotFoundError(StrongroomError):
    """What the call is about does not exist: a secret, a version, or an API key."""


class SecretNotFoundError(NotFoundError):
    """There is no secret of this name in this namespace. From `resolve`, `violations` says where it is named."""


class VersionNotFoundError(NotFoundError):
    """The secret exists; the version asked for never was, or is no longer among the 100 that are kept."""


class AlreadyExistsError(StrongroomError):
    """What the call would make exists."""


class SecretAlreadyExistsError(AlreadyExistsError):
    """The name of a create or a rename is taken. Nothing was changed."""


class AuthenticationError(StrongroomError):
    """There is no API key, or it is malformed, unknown, revoked or expired; `reason` says which."""


class PermissionDeniedError(StrongroomError):
    """The API key does not have the right that the call needs. Does not tell whether the secret exists."""


class ConflictError(StrongroomError):
    """Somebody else changed the secret: `ETAG_MISMATCH` (read it and decide again) or `CONTENDED` (try again)."""


class FailedPreconditionError(StrongroomError):
    """The state of things does not allow the call, for example `LAST_ADMINISTRATOR`."""


class VersionDisabledError(FailedPreconditionError):
    """The version, or the secret's current one, is disabled. From `resolve`, `violations` says where it is named."""


class VersionDestroyedError(FailedPreconditionError):
    """The version, or the secret's current one, was destroyed. From `resolve`, `violations` says where it is named."""


class IntegrityError(StrongroomError):
    """What the server has stored for this secret was altered or damaged. Other secrets are served."""


class LimitExceededError(StrongroomError):
    """The request is too large, or there are too many."""


class UnavailableError(StrongroomError):
    """The server can not be reached, or can not serve now, and still could not after the retries."""


class DeadlineExceededError(StrongroomError):
    """No answer came in time. A change may or may not have been made: see `sent_request_id`."""


class NotServedError(StrongroomError):
    """This release of the server does not serve the call, or an argument of it; `violations` names which."""


class InternalError(StrongroomError):
    """A defect of the server. Its log says more under `request_id`."""
