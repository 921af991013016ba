"""The calls of `client.secrets` about secrets. Each function here is one method there, sync and async.

`strongroom.client.Secrets` describes the arguments and errors that all of them share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._arguments import NOT_GIVEN, NotGiven, RequestId
from strongroom._call import Call, Scope, timeout_for
from strongroom.generate import Generator
from strongroom.models import DeletedSecret, RotationPolicy, Secret, SecretBatch, Value
from strongroom.v1 import secret_pb2

__all__ = ["batch_get", "create", "delete", "get", "rotate", "undelete", "update"]


def create(
    scope: Scope,
    *,
    name: str,
    value: Value | None = None,
    description: str | None = None,
    metadata: Mapping[str, str] | None = None,
    namespace: str | None = None,
    generate: Generator | None = None,
    return_value: bool = False,
    ttl: timedelta | None = None,
    expires_at: datetime | None = None,
    rotation_policy: RotationPolicy | None = None,
    request_id: RequestId | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[Secret]:
    """Creates a secret with version 1.

    Pass exactly one of `value` and `generate`.

    Args:
        name: 1 to 128 ASCII letters, digits and underscores. The first character is not a digit.
        value: The value, at most 65,536 bytes. A str is stored as text and counts as UTF-8; bytes are stored as bytes.
        description: At most 1,024 bytes of UTF-8. None: no description.
        metadata: At most 64 pairs of str. Keys are 1 to 128 bytes, values at most 512 bytes. None: no metadata.
        namespace: See `Secrets`.
        generate: How the server generates the value: the result of a function in `strongroom.generate`.
        return_value: Whether to return the generated value. Needs `generate`. The server returns the value only once:
            if the first reply is lost and the call is retried, the value comes back as `"ENCRYPTED"`; then use `get`.
        ttl: How long the secret lives, 1 second to 100 years. None: for ever.
        expires_at: When the secret expires, a datetime with a time zone, in the future: from then on its values cannot
            be read. Must not be passed together with `ttl`. None: it never expires.
        rotation_policy: When and how the secret is rotated. None: only on request.
        request_id: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The new secret. Its `value` is `"ENCRYPTED"`, unless `return_value` is true.

    Raises:
        SecretAlreadyExistsError: The name is taken.
        RequestIdReusedError: The `request_id` was used for another request.
        ConflictError: The reason is `CONTENDED`: other writers changed the same data each time. Try again.
        IntegrityError: The stored data that the change needs was altered or damaged.
    """
    request = secret_pb2.CreateSecretRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        return_value=arguments.flag("return_value", return_value),
        request_id=arguments.request_id("request_id", request_id),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    _set_new_value(request, value, generate)
    if description is not None:
        request.description = arguments.text("description", description)
    if metadata is not None:
        request.metadata.update(arguments.metadata("metadata", metadata))
    if ttl is not None:
        request.ttl.CopyFrom(arguments.duration("ttl", ttl))
    if expires_at is not None:
        request.expires_at.CopyFrom(arguments.timestamp("expires_at", expires_at))
    if rotation_policy is not None:
        request.rotation_policy.CopyFrom(_policy("rotation_policy", rotation_policy))
    return Call(lambda stubs: stubs.secrets.CreateSecret, request, _secret_of, timeout_for(timeout))


def get(
    scope: Scope,
    *,
    name: str,
    namespace: str | None = None,
    version: int | None = None,
    include_value: bool = True,
    min_revision: int = 0,
    cached: bool = False,
    timeout: float | None = None,
) -> Call[Secret]:
    """Returns a secret with its value.

    Args:
        name: The name of the secret.
        namespace: See `Secrets`.
        version: The number of the version to return the value of, 1 or more. None: the current version. All other
            fields of the result describe the secret as it is now.
        include_value: False leaves the value out. The right `list` is then enough, and the version can be disabled or
            destroyed.
        min_revision: See `Secrets`.
        cached: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The secret. Its `value` is a str when text was stored, and bytes when bytes were stored.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        VersionNotFoundError: The secret has no such version.
        SecretExpiredError: The secret has expired.
        VersionPendingError: The version is the new value of a staged rotation.
        VersionDisabledError: The version is disabled.
        VersionDestroyedError: The version was destroyed.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.GetSecretRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        min_revision=arguments.revision("min_revision", min_revision),
        consistency=arguments.consistency("cached", cached),
    )
    if version is not None:
        request.version = arguments.integer("version", version, 0, arguments.UINT32)
    if not arguments.flag("include_value", include_value):
        request.view = secret_pb2.VIEW_METADATA
    return Call(lambda stubs: stubs.secrets.GetSecret, request, _secret_with_value, timeout_for(timeout))


def batch_get(
    scope: Scope,
    *,
    names: Iterable[str],
    namespace: str | None = None,
    include_value: bool = True,
    min_revision: int = 0,
    cached: bool = False,
    timeout: float | None = None,
) -> Call[SecretBatch]:
    """Returns several secrets of one namespace with their values, all as they were at one revision.

    A secret that cannot be returned does not make the call fail: its item has the error that `get` would raise.

    Args:
        names: The names of the secrets: 1 to 100, each of them once.
        namespace: See `Secrets`.
        include_value: False leaves the values out. The right `list` is then enough.
        min_revision: See `Secrets`.
        cached: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        One item for each name, in the order of the names. `batch["name"]` returns the secret of that name, or raises
        its error.

    Raises:
        ValidationError: An argument is not valid, for example a name that comes twice.
    """
    if isinstance(names, str):
        raise TypeError("names must be a list of str, not str")
    request = secret_pb2.BatchGetSecretsRequest(
        namespace=scope.namespace_for(namespace),
        names=[arguments.text("names", name) for name in names],
        min_revision=arguments.revision("min_revision", min_revision),
        consistency=arguments.consistency("cached", cached),
    )
    if not arguments.flag("include_value", include_value):
        request.view = secret_pb2.VIEW_METADATA
    return Call(lambda stubs: stubs.secrets.BatchGetSecrets, request, replies.secret_batch, timeout_for(timeout))


def update(
    scope: Scope,
    *,
    name: str,
    new_name: str | NotGiven = NOT_GIVEN,
    value: Value | NotGiven = NOT_GIVEN,
    description: str | NotGiven | None = NOT_GIVEN,
    metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
    expires_at: datetime | NotGiven | None = NOT_GIVEN,
    rotation_policy: RotationPolicy | NotGiven | None = NOT_GIVEN,
    namespace: str | None = None,
    etag: str = "",
    request_id: RequestId | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[Secret]:
    """Changes the parts of a secret that are passed and keeps all others.

    The whole update is made in one step, or nothing is changed. The default `NOT_GIVEN` means that this part stays.

    Args:
        name: The present name of the secret.
        new_name: The new name.
        value: The new value, which becomes a new version. `""` is an empty value.
        description: The new description. `""` or None clears it.
        metadata: The new metadata, which replaces all pairs. `{}` or None clears it.
        expires_at: When the secret expires, a datetime with a time zone, in the future. An expired secret can be read
            again then. None: the secret never expires.
        rotation_policy: The new rotation policy, which replaces the whole policy. None removes it.
        namespace: See `Secrets`.
        etag: See `Secrets`.
        request_id: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The changed secret. Its `value` is `"ENCRYPTED"`.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        SecretAlreadyExistsError: The new name is taken.
        ConflictError: The secret has changed since the `etag`, or other writers changed it each time.
        RequestIdReusedError: The `request_id` was used for another request.
        IntegrityError: The stored record was altered or damaged.
        ValidationError: An argument is not valid, or no change was passed.
    """
    request = secret_pb2.UpdateSecretRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    given: list[str] = []
    # On the wire an empty field looks like an absent one, so only a mask can clear it. The mask then names all fields
    # of this update.
    clears = False
    if not isinstance(new_name, NotGiven):
        request.new_name = arguments.text("new_name", new_name)
        given.append("new_name")
    if not isinstance(value, NotGiven):
        request.value.CopyFrom(arguments.secret_value("value", value))
        given.append("value")
    if not isinstance(description, NotGiven):
        request.description = arguments.text("description", "" if description is None else description)
        given.append("description")
    if not isinstance(metadata, NotGiven):
        request.metadata.update(arguments.metadata("metadata", {} if metadata is None else metadata))
        given.append("metadata")
        clears = not request.metadata
    if not isinstance(expires_at, NotGiven):
        given.append("expires_at")
        if expires_at is None:
            clears = True
        else:
            request.expires_at.CopyFrom(arguments.timestamp("expires_at", expires_at))
    if not isinstance(rotation_policy, NotGiven):
        given.append("rotation_policy")
        if rotation_policy is None:
            clears = True
        else:
            request.rotation_policy.CopyFrom(_policy("rotation_policy", rotation_policy))
    if clears:
        request.update_mask.CopyFrom(FieldMask(paths=given))
    return Call(lambda stubs: stubs.secrets.UpdateSecret, request, _secret_of, timeout_for(timeout))


def delete(
    scope: Scope,
    *,
    name: str,
    namespace: str | None = None,
    etag: str = "",
    request_id: RequestId | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[DeletedSecret]:
    """Deletes a secret and all its versions. The name is free again at once.

    Until the `purge_at` of the result, `undelete` brings the secret back.

    Args:
        name: The name of the secret.
        namespace: See `Secrets`.
        etag: See `Secrets`.
        request_id: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The id of the deleted secret, when it was deleted, and until when it can be brought back.

    Raises:
        SecretNotFoundError: There is no secret with this name, for example because it is already deleted.
        ConflictError: The secret has changed since the `etag`, or other writers changed it each time.
        RequestIdReusedError: The `request_id` was used for another request.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.DeleteSecretRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    return Call(lambda stubs: stubs.secrets.DeleteSecret, request, replies.deleted_secret, timeout_for(timeout))


def undelete(
    scope: Scope,
    *,
    id: str,
    new_name: str = "",
    namespace: str | None = None,
    request_id: RequestId | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[Secret]:
    """Brings a deleted secret back, with all its versions.

    Args:
        id: The id of the deleted secret: `delete` returns it, and `list(include_deleted=True)` shows it.
        new_name: The name that the secret gets. Empty: the name that it had.
        namespace: See `Secrets`.
        request_id: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The secret. Its `value` is `"ENCRYPTED"`.

    Raises:
        SecretNotFoundError: The namespace has no deleted secret of this id.
        SecretAlreadyExistsError: Another secret has the name now: pass a `new_name`.
        ConflictError: The reason is `CONTENDED`: other writers changed the same data each time. Try again.
        RequestIdReusedError: The `request_id` was used for another request.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.UndeleteSecretRequest(
        namespace=scope.namespace_for(namespace),
        id=arguments.text("id", id),
        new_name=arguments.text("new_name", new_name),
        request_id=arguments.request_id("request_id", request_id),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    return Call(lambda stubs: stubs.secrets.UndeleteSecret, request, _secret_of, timeout_for(timeout))


def rotate(
    scope: Scope,
    *,
    name: str,
    value: Value | None = None,
    generate: Generator | None = None,
    return_value: bool = False,
    stage: bool = False,
    grace_period: timedelta | None = None,
    claim_id: str = "",
    namespace: str | None = None,
    etag: str = "",
    request_id: RequestId | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[Secret]:
    """Gives a secret a new value as its next version.

    The rotation is made in one step: a concurrent `get` returns the old value or the new one, never no value. Pass
    exactly one of `value` and `generate`, or neither when the secret has a rotation policy with a generator.

    Args:
        name: The name of the secret.
        value: The new value. See `create`.
        generate: How the server generates the value. See `create`.
        return_value: Whether to return the generated value. See `create`.
        stage: True: the new version stays pending, and the current version stays as it is, until `promote`.
            `destroy_version` abandons a pending version.
        grace_period: How long the former version stays readable by its number, 0 to 10 years. Must not be passed
            together with `stage`: `promote` takes it then. None: as the rotation policy says; without one, as long as
            the server keeps the version and it is enabled.
        claim_id: The `claim_id` of `claim_rotation`, which must still hold. Empty: no claim is asked for.
        namespace: See `Secrets`.
        etag: See `Secrets`.
        request_id: See `Secrets`.
        min_revision: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The rotated secret. Its `value` is `"ENCRYPTED"`, unless `return_value` is true. With `stage`, its
        `pending_version` is the number of the new version.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        SecretExpiredError: The secret has expired.
        RotationPendingError: The secret has a pending version already.
        ClaimLostError: The claim does not hold any more.
        ConflictError: The secret has changed since the `etag`, or other writers changed it each time.
        RequestIdReusedError: The `request_id` was used for another request.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.RotateSecretRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        return_value=arguments.flag("return_value", return_value),
        stage=arguments.flag("stage", stage),
        claim_id=arguments.text("claim_id", claim_id),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
        min_revision=arguments.revision("min_revision", min_revision),
    )
    if value is not None or generate is not None:
        _set_new_value(request, value, generate)
    if grace_period is not None:
        request.grace_period.CopyFrom(arguments.duration("grace_period", grace_period))
    return Call(lambda stubs: stubs.secrets.RotateSecret, request, _secret_of, timeout_for(timeout))


def _set_new_value(
    request: secret_pb2.CreateSecretRequest | secret_pb2.RotateSecretRequest,
    value: Value | None,
    generate: Generator | None,
) -> None:
    """Sets the value of the caller, or how the server generates one. Exactly one of them must be passed."""
    if (value is None) == (generate is None):
        raise arguments.invalid("value", "pass exactly one of value and generate.")
    if generate is None:
        request.value.CopyFrom(arguments.secret_value("value", value))
    elif isinstance(generate, Generator):
        request.generate.CopyFrom(generate.message)
    else:
        raise TypeError(f"generate must be made by a function of strongroom.generate, not {type(generate).__name__}")


def _policy(argument: str, given: RotationPolicy) -> secret_pb2.RotationPolicy:
    """Converts a rotation policy."""
    if not isinstance(given, RotationPolicy):
        raise TypeError(f"{argument} must be RotationPolicy, not {type(given).__name__}")
    message = secret_pb2.RotationPolicy(
        window=arguments.text("window", given.window),
        paused=arguments.flag("paused", given.paused),
        retire_when_unread=arguments.flag("retire_when_unread", given.retire_when_unread),
    )
    if given.interval is not None:
        message.interval.CopyFrom(arguments.duration("interval", given.interval))
    if given.generator is not None:
        if not isinstance(given.generator, Generator):
            raise TypeError(f"generator must be made by strongroom.generate, not {type(given.generator).__name__}")
        message.generator.CopyFrom(given.generator.message)
    if given.grace_period is not None:
        message.grace_period.CopyFrom(arguments.duration("grace_period", given.grace_period))
    return message


def _secret_of(reply: Any) -> Secret:
    return replies.secret(reply.secret)


def _secret_with_value(reply: secret_pb2.GetSecretResponse) -> Secret:
    return replies.secret(reply.secret, reply.version)
