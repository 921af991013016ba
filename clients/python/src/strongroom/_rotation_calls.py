"""The calls of `client.secrets` about rotations. Each function here is one method there, sync and async.

`strongroom.client.Secrets` describes the arguments and errors that all of them share.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._arguments import RequestId
from strongroom._call import Call, Scope, timeout_for
from strongroom.models import AcknowledgedVersion, ClaimedRotation, Secret
from strongroom.v1 import secret_pb2

__all__ = ["acknowledge", "claim_rotation", "promote", "release_rotation"]


def promote(
    scope: Scope,
    name: str,
    version: int,
    *,
    grace_period: timedelta | None = None,
    claim_id: str = "",
    namespace: str | None = None,
    etag: str = "",
    request_id: RequestId | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[Secret]:
    """Makes a version the current one, in one step.

    The version is the pending one, at the end of a staged rotation, or an older enabled one, to go back to its value.
    When it is already the current one, nothing is changed.

    Args:
        name: The name of the secret.
        version: The number of the version, 1 or more.
        grace_period: How long the version that was current stays readable by its number, 0 to 10 years. None: as the
            rotation policy says; without one, as long as the server keeps the version and it is enabled.
        claim_id: The `claim_id` of `claim_rotation`, which must still hold. The promotion ends the claim. Empty: no
            claim is asked for.
        namespace: See `Secrets`.
        etag: See `Secrets`.
        request_id: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The secret with its new current version. Its `value` is `"ENCRYPTED"`.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        SecretExpiredError: The secret has expired.
        VersionNotFoundError: The secret has no such version.
        VersionDisabledError: The version is disabled.
        VersionDestroyedError: The version was destroyed.
        ClaimLostError: The claim does not hold any more.
        ConflictError: The secret has changed since the `etag`, or other writers changed it each time.
        RequestIdReusedError: The `request_id` was used for another request.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.PromoteVersionRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        version=arguments.integer("version", version, 0, arguments.UINT32),
        claim_id=arguments.text("claim_id", claim_id),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    if grace_period is not None:
        request.grace_period.CopyFrom(arguments.duration("grace_period", grace_period))
    return Call(lambda stubs: stubs.secrets.PromoteVersion, request, _secret_of, timeout_for(timeout))


def acknowledge(
    scope: Scope,
    name: str,
    version: int,
    *,
    consumer: str = "",
    namespace: str | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[AcknowledgedVersion]:
    """Notes that this consumer now uses a version. `versions` shows who has acknowledged which version.

    With `retire_when_unread` in its rotation policy, a secret's former version retires once each of its consumers has
    moved to a newer one.

    Args:
        name: The name of the secret.
        version: The number of the version, 1 or more.
        consumer: A name of the consumer, for consumers that share a credential: at most 128 printable ASCII characters.
            Empty: the principal is enough.
        namespace: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The version with its consumers.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        SecretExpiredError: The secret has expired.
        VersionNotFoundError: The secret has no such version.
        VersionPendingError: The version is the new value of a staged rotation.
        VersionDisabledError: The version is disabled.
        VersionDestroyedError: The version was destroyed.
        ConflictError: The reason is `CONTENDED`: other writers changed the same data each time. Try again.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.AcknowledgeVersionRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        version=arguments.integer("version", version, 0, arguments.UINT32),
        consumer=arguments.text("consumer", consumer),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    return Call(
        lambda stubs: stubs.secrets.AcknowledgeVersion, request, replies.acknowledged_version, timeout_for(timeout)
    )


def claim_rotation(
    scope: Scope,
    *,
    name_prefix: str = "",
    metadata: Mapping[str, str] | None = None,
    lease: timedelta | None = None,
    namespace: str | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[ClaimedRotation]:
    """Takes a rotation that is due, so that no other worker takes it at the same time.

    A rotation is due when the secret has a rotation policy without a generator, and its `next_rotation_at` has passed.
    Then stage a value (`rotate` with `stage` and `claim_id`), set and test it where it is used, and make it current
    (`promote` with `claim_id`), or give the rotation back (`release_rotation`).

    The client never retries this call: a second claim would take a second rotation. A claim whose reply was lost ends
    with its lease.

    Args:
        name_prefix: Take only a secret whose name begins with this text, case-sensitive. Empty: any name.
        metadata: Take only a secret whose metadata holds all these pairs exactly. None: any metadata.
        lease: How long this worker holds the rotation, 1 second to 24 hours. None: 5 minutes.
        namespace: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The claim, and the secret to rotate. `pending_version` is the version that another worker has left pending.

    Raises:
        NoRotationDueError: No rotation is due. Ask again later, or wait for the event `rotation_due` of `watch`.
        ConflictError: The reason is `CONTENDED`: other workers took the rotations. Try again.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.ClaimRotationRequest(
        namespace=scope.namespace_for(namespace),
        name_prefix=arguments.text("name_prefix", name_prefix),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    if metadata is not None:
        request.metadata.update(arguments.metadata("metadata", metadata))
    if lease is not None:
        request.lease.CopyFrom(arguments.duration("lease", lease))
    return Call(
        lambda stubs: stubs.secrets.ClaimRotation,
        request,
        replies.claimed_rotation,
        timeout_for(timeout),
        repeatable=False,
    )


def release_rotation(
    scope: Scope,
    *,
    claim_id: str,
    error: str = "",
    retry_after: timedelta | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[Secret]:
    """Gives a rotation back that this worker has claimed. The client never retries this call.

    Args:
        claim_id: The `claim_id` of `claim_rotation`.
        error: Why the rotation failed, without any value: at most 1,024 bytes. Empty: it did not fail, and is due at
            once.
        retry_after: After how long the rotation is due again, 0 to 30 days. Needs `error`. None: 1 minute after the
            first failure, twice as long after each further one, at most 6 hours.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The secret. Its `value` is `"ENCRYPTED"`.

    Raises:
        ClaimLostError: The claim does not hold any more.
        ConflictError: The reason is `CONTENDED`: other writers changed the same data each time. Try again.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.ReleaseRotationRequest(
        claim_id=arguments.text("claim_id", claim_id),
        error=arguments.text("error", error),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    if retry_after is not None:
        request.retry_after.CopyFrom(arguments.duration("retry_after", retry_after))
    return Call(
        lambda stubs: stubs.secrets.ReleaseRotation, request, _secret_of, timeout_for(timeout), repeatable=False
    )


def _secret_of(reply: Any) -> Secret:
    return replies.secret(reply.secret)
