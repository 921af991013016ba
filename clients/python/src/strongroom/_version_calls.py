"""The calls of `client.secrets` about versions: each function is one method there, sync and async.

What they have in common is said at `strongroom.client.Secrets`.
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
    timeout: float | None = None,
) -> Call[SecretVersions]:
    """Returns the versions of a secret that are kept, at most 100, newest first, without their values.

    `get(name=name, version=number)` returns the value of one that is enabled. `min_revision` is the `revision` of an
    earlier reply whose effects must be seen.

    Raises `SecretNotFoundError`, `IntegrityError`.
    """
    request = secret_pb2.ListSecretVersionsRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        min_revision=arguments.integer("min_revision", min_revision, 0, arguments.UINT64),
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
    timeout: float | None = None,
) -> Call[ChangedVersion]:
    """Has the value of a version not be read until it is enabled again.

    The current version can be disabled too: the secret then has no value until the version is enabled, or the secret is
    rotated. One that is disabled stays so. With `etag`, only if nobody else has changed the secret since it was read.

    Raises `SecretNotFoundError`, `VersionNotFoundError`, `VersionDestroyedError`, `ConflictError`,
    `RequestIdReusedError`, `IntegrityError`.
    """
    request = secret_pb2.DisableVersionRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        version=arguments.integer("version", version, 0, arguments.UINT32),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
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
    timeout: float | None = None,
) -> Call[ChangedVersion]:
    """Has the value of a disabled version be read again. One that is enabled stays so.

    Raises what `disable_version` does.
    """
    request = secret_pb2.EnableVersionRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        version=arguments.integer("version", version, 0, arguments.UINT32),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
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
    timeout: float | None = None,
) -> Call[DestroyedVersion]:
    """Removes the data key and the value of a version for good, and returns the server's signed receipt of it.

    The secret, its other versions and what is known of this one stay. The current version can be destroyed too: the
    secret then has no value until it is rotated. One that was destroyed stays so, and has the same receipt. Backups
    from before still have the version.

    Raises `SecretNotFoundError`, `VersionNotFoundError`, `ConflictError`, `RequestIdReusedError`, `IntegrityError`.
    """
    request = secret_pb2.DestroyVersionRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        version=arguments.integer("version", version, 0, arguments.UINT32),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
    )
    return Call(lambda stubs: stubs.secrets.DestroyVersion, request, replies.destroyed_version, timeout_for(timeout))
