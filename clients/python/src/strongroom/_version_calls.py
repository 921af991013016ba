"""The calls of `client.secrets` about versions. Each function here is one method there, sync and async.

`strongroom.client.Secrets` describes the arguments and errors that all of them share.
"""

from __future__ import annotations

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._arguments import RequestId
from strongroom._call import Call, Scope, timeout_for
from strongroom.models import ChangedVersion, DestroyedVersion, SecretVersions
from strongroom.v1 import secret_pb2

__all__ = ["destroy_version", "disable_version", "enable_version", "versions"]


def versions(
    scope: Scope,
    name: str,
    *,
    namespace: str | None = None,
    min_revision: int = 0,
    cached: bool = False,
    timeout: float | None = None,
) -> Call[SecretVersions]:
    """Returns the versions of a secret without their values.

    The server keeps the 100 newest versions. `get(name=name, version=number)` returns the value of an enabled version.

    Args:
        name: The name of the secret.
        namespace: See `Secrets`.
        min_revision: See `Secrets`.
        cached: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The versions, newest first.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.ListSecretVersionsRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        min_revision=arguments.revision("min_revision", min_revision),
        consistency=arguments.consistency("cached", cached),
    )
    return Call(lambda stubs: stubs.secrets.ListSecretVersions, request, replies.secret_versions, timeout_for(timeout))


def disable_version(
    scope: Scope,
    name: str,
    version: int,
    *,
    namespace: str | None = None,
    etag: str = "",
    request_id: RequestId | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[ChangedVersion]:
    """Disables a version, so that its value cannot be read.

    `enable_version` makes the value readable again. The current version can be disabled too: the secret then has no
    readable value until the version is enabled or the secret is rotated. When the version is already disabled, nothing
    is changed.

    Args:
        name: The name of the secret.
        version: The number of the version, 1 or more.
        namespace: See `Secrets`.
        etag: See `Secrets`.
        request_id: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The version and its secret in their new state.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        VersionNotFoundError: The secret has no such version.
        VersionDestroyedError: The version was destroyed.
        ConflictError: The secret has changed since the `etag`, or other writers changed it each time.
        RequestIdReusedError: The `request_id` was used for another request.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.DisableVersionRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        version=arguments.integer("version", version, 0, arguments.UINT32),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    return Call(lambda stubs: stubs.secrets.DisableVersion, request, replies.changed_version, timeout_for(timeout))


def enable_version(
    scope: Scope,
    name: str,
    version: int,
    *,
    namespace: str | None = None,
    etag: str = "",
    request_id: RequestId | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[ChangedVersion]:
    """Enables a disabled version, so that its value can be read again.

    When the version is already enabled, nothing is changed.

    Args:
        name: The name of the secret.
        version: The number of the version, 1 or more.
        namespace: See `Secrets`.
        etag: See `Secrets`.
        request_id: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The version and its secret in their new state.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        VersionNotFoundError: The secret has no such version.
        VersionDestroyedError: The version was destroyed.
        ConflictError: The secret has changed since the `etag`, or other writers changed it each time.
        RequestIdReusedError: The `request_id` was used for another request.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.EnableVersionRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        version=arguments.integer("version", version, 0, arguments.UINT32),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    return Call(lambda stubs: stubs.secrets.EnableVersion, request, replies.changed_version, timeout_for(timeout))


def destroy_version(
    scope: Scope,
    name: str,
    version: int,
    *,
    namespace: str | None = None,
    etag: str = "",
    request_id: RequestId | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[DestroyedVersion]:
    """Destroys a version: deletes its data key and its value, so that the value cannot be recovered.

    The secret, its other versions, and the number, state and times of this version stay. The current version can be
    destroyed too: the secret then has no readable value until it is rotated. When the version is already destroyed,
    nothing is changed, and the receipt is returned again. Older backups still hold the version.

    Args:
        name: The name of the secret.
        version: The number of the version, 1 or more.
        namespace: See `Secrets`.
        etag: See `Secrets`.
        request_id: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The version and its secret in their new state, and the server's signed destruction receipt.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        VersionNotFoundError: The secret has no such version.
        ConflictError: The secret has changed since the `etag`, or other writers changed it each time.
        RequestIdReusedError: The `request_id` was used for another request.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.DestroyVersionRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        version=arguments.integer("version", version, 0, arguments.UINT32),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    return Call(lambda stubs: stubs.secrets.DestroyVersion, request, replies.destroyed_version, timeout_for(timeout))
