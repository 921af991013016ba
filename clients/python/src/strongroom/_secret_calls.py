"""The calls of `client.secrets`: each function is one method there, sync and async.

What they have in common is said at `strongroom.client.Secrets`.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """Makes a secret, and returns it with its value `"ENCRYPTED"`.

    `name` is 1 to 128 letters, digits and underscores, no digit first. Either `value`, a str or bytes of up to
    65,536 bytes (text counts as UTF-8), or `generate`, to have the server make one: see `strongroom.generate`.
    `return_value=True` asks for a generated value to be returned, once: should a retry have been needed because the
    first reply was lost, it comes back redacted, and `get` tells it. `description` is up to 1,024 bytes, `metadata` up
    to 64 pairs of str, keys of 1 to 128 and values of up to 512 bytes.

    Raises `SecretAlreadyExistsError`, `RequestIdReusedError`.
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
    """Returns a secret with its value: str where text was stored, bytes where bytes were.

    `version` names a version, 1 or more, whose value to return in place of the current one's; all else of the secret
    is as it is now. `include_value=False` leaves the value out, for which the right `list` is enough. `min_revision` is
    the `revision` of an earlier reply whose effects must be seen.

    Raises `SecretNotFoundError`, `VersionNotFoundError`, `VersionDisabledError`, `VersionDestroyedError`,
    `IntegrityError`.
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
    namespace: str | None = None,
    min_revision: int = 0,
    timeout: float | None = None,
) -> Call[SecretPage]:
    """Returns one page of secrets, their values `"ENCRYPTED"`; `iterate` gives all of them.

    `limit` is 1 to 1,000, 100 when left out. The page begins after `offset` secrets, or at the `page_token` that the
    page before gave (with the other arguments as they were), which stays right while others create and delete.
    `metadata` are pairs that a secret must all have, exactly; `name_prefix` is what its name starts with; both are
    case-sensitive. `order_by` is `name`, `created_at` or `updated_at`, with ` desc` behind it for the reverse; `name`
    when left out.
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
    return Call(lambda stubs: stubs.secrets.ListSecrets, request, replies.secret_page, timeout_for(timeout))


def iterate(
    scope: Scope,
    *,
    metadata: Mapping[str, str] | None = None,
    name_prefix: str = "",
    order_by: str = "",
    page_size: int = 1000,
    namespace: str | None = None,
    timeout: float | None = None,
) -> Call[SecretPage]:
    """Gives all secrets that match, their values `"ENCRYPTED"`, reading page by page as it goes.

    The other arguments are those of `list`; `page_size` is 1 to 1,000, and `timeout` counts for each page. Pages are
    disjoint while others create and delete, but not one snapshot: what changes meanwhile may be seen or not.
    """
    return list_(
        scope,
        limit=page_size,
        metadata=metadata,
        name_prefix=name_prefix,
        order_by=order_by,
        namespace=namespace,
        timeout=timeout,
    )


def page_after(call: Call[SecretPage], page: SecretPage) -> Call[SecretPage] | None:
    """The call for the page behind this one. None: this was the last."""
    if not page.next_page_token:
        return None
    if page.next_page_token == call.request.page_token:
        raise InternalError("The server gave the same page twice: iterating would never end.")
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
    """Changes what is given, keeps what is left out, and returns the secret with its value `"ENCRYPTED"`.

    All of it happens in one step or not at all. `new_name` renames, `value` becomes a new version, `metadata` replaces
    all pairs. An empty `description` or `metadata`, or None for either, clears it; `value=""` is an empty value. With
    `etag`, the one of a secret read before, the change is made only if nobody else has changed it since.

    Raises `SecretNotFoundError`, `SecretAlreadyExistsError` (the new name is taken), `ConflictError`,
    `RequestIdReusedError`, `IntegrityError`; and `ValidationError` when nothing is given.
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
            # On the wire an empty map is an absent one: only a mask can clear it, and the mask then names all.
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
    """Deletes a secret with all its versions. Its name is free again at once.

    With `etag`, only if nobody else has changed it since it was read.

    Raises `SecretNotFoundError` (a second time too), `ConflictError`, `RequestIdReusedError`, `IntegrityError`.
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
    """Gives a secret a new value, its next version, in one step, and returns it with its value `"ENCRYPTED"`.

    Whoever reads meanwhile gets the old value or the new one, never none. Either `value` or `generate`;
    `return_value`, `etag` and `request_id` as in `create` and `update`.

    Raises `SecretNotFoundError`, `ConflictError`, `RequestIdReusedError`, `IntegrityError`.
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
    """The caller's value, or how to make one: exactly one of them."""
    if (value is None) == (generate is None):
        raise arguments.invalid("value", "pass exactly one of value and generate.")
    if generate is None:
        request.value.CopyFrom(arguments.secret_value("value", value))
    elif isinstance(generate, Generator):
        request.generate.CopyFrom(generate.message)
    else:
        raise TypeError(f"generate must be made by strongroom.generate, not {type(generate).__name__}")


def _secret_of(reply: Any) -> Secret:
    return replies.secret(reply.secret)
