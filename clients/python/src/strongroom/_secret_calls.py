"""The calls of `client.secrets` about secrets. Each function here is one method there, sync and async.

`strongroom.client.Secrets` describes the arguments and errors that all of them share.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._arguments import NOT_GIVEN, NotGiven, RequestId
from strongroom._call import Call, Scope, timeout_for
from strongroom.exceptions import InternalError
from strongroom.generate import Generator
from strongroom.models import DeletedSecret, Secret, SecretPage, Value
from strongroom.v1 import secret_pb2

__all__ = ["create", "delete", "get", "iterate", "list_", "page_after", "rotate", "update"]


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
    request_id: RequestId | None = None,
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
        request_id: See `Secrets`.
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
    )
    _set_new_value(request, value, generate)
    if description is not None:
        request.description = arguments.text("description", description)
    if metadata is not None:
        request.metadata.update(arguments.metadata("metadata", metadata))
    return Call(lambda stubs: stubs.secrets.CreateSecret, request, _secret_of, timeout_for(timeout))


def get(
    scope: Scope,
    *,
    name: str,
    namespace: str | None = None,
    version: int | None = None,
    include_value: bool = True,
    min_revision: int = 0,
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
        min_revision: The `revision` of an earlier result. The answer then shows the effects of that call. 0: any
            revision.
        timeout: See `Secrets`.

    Returns:
        The secret. Its `value` is a str when text was stored, and bytes when bytes were stored.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        VersionNotFoundError: The secret has no such version.
        VersionDisabledError: The version is disabled.
        VersionDestroyedError: The version was destroyed.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.GetSecretRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        min_revision=arguments.integer("min_revision", min_revision, 0, arguments.UINT64),
    )
    if version is not None:
        request.version = arguments.integer("version", version, 0, arguments.UINT32)
    if not arguments.flag("include_value", include_value):
        request.view = secret_pb2.VIEW_METADATA
    return Call(lambda stubs: stubs.secrets.GetSecret, request, _secret_of, timeout_for(timeout))


def list_(
    scope: Scope,
    *,
    limit: int | None = None,
    offset: int | None = None,
    page_token: str = "",
    metadata: Mapping[str, str] | None = None,
    name_prefix: str = "",
    order_by: str = "",
    unused_since: datetime | None = None,
    namespace: str | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[SecretPage]:
    """Returns one page of secrets. `iterate` returns all secrets.

    Args:
        limit: The largest number of secrets in the page, 1 to 1,000. None: 100.
        offset: The number of secrets to skip from the start. Must not be passed together with `page_token`. None: 0.
        page_token: The `next_page_token` of the previous page. Pass `metadata`, `name_prefix`, `order_by`,
            `unused_since` and `namespace` as for that page. The pages stay disjoint while others create and delete
            secrets.
        metadata: Return only secrets whose metadata holds all these pairs exactly, case-sensitive. None: no filter.
        name_prefix: Return only secrets whose name begins with this text, case-sensitive. Empty: no filter.
        order_by: `name`, `created_at` or `updated_at`. Add ` desc` for the reverse order. Empty: `name`.
        unused_since: Return only secrets that were created before this time, a datetime with a time zone, and of which
            no value was read since. A read is known within 60 seconds. None: no filter.
        namespace: See `Secrets`.
        min_revision: The `revision` of an earlier result. The page then shows the effects of that call. 0: any
            revision.
        timeout: See `Secrets`.

    Returns:
        The page. The `value` of every secret in it is `"ENCRYPTED"`.

    Raises:
        ValidationError: An argument is not valid, or the page token belongs to another query.
        IntegrityError: The stored record of the namespace was altered or damaged.
    """
    request = secret_pb2.ListSecretsRequest(
        namespace=scope.namespace_for(namespace),
        page_token=arguments.text("page_token", page_token),
        name_prefix=arguments.text("name_prefix", name_prefix),
        order_by=arguments.text("order_by", order_by),
        min_revision=arguments.integer("min_revision", min_revision, 0, arguments.UINT64),
    )
    if limit is not None:
        request.limit = arguments.integer("limit", limit, -arguments.INT32, arguments.INT32)
    if offset is not None:
        request.offset = arguments.integer("offset", offset, -arguments.INT32, arguments.INT32)
    if metadata is not None:
        request.metadata.update(arguments.metadata("metadata", metadata))
    if unused_since is not None:
        request.unused_since.CopyFrom(arguments.timestamp("unused_since", unused_since))
    return Call(lambda stubs: stubs.secrets.ListSecrets, request, replies.secret_page, timeout_for(timeout))


def iterate(
    scope: Scope,
    *,
    metadata: Mapping[str, str] | None = None,
    name_prefix: str = "",
    order_by: str = "",
    unused_since: datetime | None = None,
    page_size: int = 1000,
    namespace: str | None = None,
    timeout: float | None = None,
) -> Call[SecretPage]:
    """Returns an iterator over all secrets that match. It reads one page after the other.

    The result is not a snapshot: it may or may not show the changes that others make during the iteration. While others
    only create and delete secrets, no secret comes twice.

    Args:
        metadata: See `list`.
        name_prefix: See `list`.
        order_by: See `list`.
        unused_since: See `list`.
        page_size: The number of secrets to read at a time, 1 to 1,000.
        namespace: See `Secrets`.
        timeout: Seconds for each page with all its retries. None: the client's timeout.

    Returns:
        An iterator over the secrets. The `value` of every secret is `"ENCRYPTED"`. The iterator raises the errors of
        `list`.
    """
    return list_(
        scope,
        limit=page_size,
        metadata=metadata,
        name_prefix=name_prefix,
        order_by=order_by,
        unused_since=unused_since,
        namespace=namespace,
        timeout=timeout,
    )


def page_after(call: Call[SecretPage], page: SecretPage) -> Call[SecretPage] | None:
    """Returns the call for the page after this one. None: this page is the last."""
    if not page.next_page_token:
        return None
    if page.next_page_token == call.request.page_token:
        raise InternalError("The server returned the same page twice: report this defect of the server.")
    request = secret_pb2.ListSecretsRequest()
    request.CopyFrom(call.request)
    request.ClearField("offset")
    request.page_token = page.next_page_token
    return Call(call.rpc, request, call.read, call.timeout)


def update(
    scope: Scope,
    *,
    name: str,
    new_name: str | NotGiven = NOT_GIVEN,
    value: Value | NotGiven = NOT_GIVEN,
    description: str | NotGiven | None = NOT_GIVEN,
    metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
    namespace: str | None = None,
    etag: str = "",
    request_id: RequestId | None = None,
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
        namespace: See `Secrets`.
        etag: See `Secrets`.
        request_id: See `Secrets`.
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
    )
    given: list[str] = []
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
        if not request.metadata:
            # On the wire an empty map looks like an absent one, so only a mask can clear it. The mask then names all
            # fields of this update.
            request.update_mask.CopyFrom(FieldMask(paths=given))
    return Call(lambda stubs: stubs.secrets.UpdateSecret, request, _secret_of, timeout_for(timeout))


def delete(
    scope: Scope,
    *,
    name: str,
    namespace: str | None = None,
    etag: str = "",
    request_id: RequestId | None = None,
    timeout: float | None = None,
) -> Call[DeletedSecret]:
    """Deletes a secret and all its versions. The name is free again at once.

    Args:
        name: The name of the secret.
        namespace: See `Secrets`.
        etag: See `Secrets`.
        request_id: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The id of the deleted secret, and when it was deleted.

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
    )
    return Call(lambda stubs: stubs.secrets.DeleteSecret, request, replies.deleted_secret, timeout_for(timeout))


def rotate(
    scope: Scope,
    *,
    name: str,
    value: Value | None = None,
    generate: Generator | None = None,
    return_value: bool = False,
    namespace: str | None = None,
    etag: str = "",
    request_id: RequestId | None = None,
    timeout: float | None = None,
) -> Call[Secret]:
    """Gives a secret a new value as its next version.

    The rotation is made in one step: a concurrent `get` returns the old value or the new one, never no value. Pass
    exactly one of `value` and `generate`.

    Args:
        name: The name of the secret.
        value: The new value. See `create`.
        generate: How the server generates the value. See `create`.
        return_value: Whether to return the generated value. See `create`.
        namespace: See `Secrets`.
        etag: See `Secrets`.
        request_id: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The rotated secret. Its `value` is `"ENCRYPTED"`, unless `return_value` is true.

    Raises:
        SecretNotFoundError: There is no secret with this name.
        ConflictError: The secret has changed since the `etag`, or other writers changed it each time.
        RequestIdReusedError: The `request_id` was used for another request.
        IntegrityError: The stored record was altered or damaged.
    """
    request = secret_pb2.RotateSecretRequest(
        namespace=scope.namespace_for(namespace),
        name=arguments.text("name", name),
        return_value=arguments.flag("return_value", return_value),
        etag=arguments.text("etag", etag),
        request_id=arguments.request_id("request_id", request_id),
    )
    _set_new_value(request, value, generate)
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


def _secret_of(reply: Any) -> Secret:
    return replies.secret(reply.secret)
