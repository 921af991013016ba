"""The calls of `client.access` about API keys. Each function here is one method there, sync and async.

`_binding_calls` has the calls about roles and bindings. `whoami` is also a method of the client itself.
`strongroom.client.Access` describes the arguments and errors that all of them share.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._call import Call, Page, Scope, timeout_for
from strongroom.models import ApiKey, CreatedApiKey, Identity
from strongroom.v1 import access_pb2

__all__ = ["create_key", "list_keys", "revoke_key", "rotate_key", "whoami"]


def create_key(
    scope: Scope,
    *,
    name: str,
    home_namespace: str | None = None,
    expires_at: datetime | None = None,
    ttl: timedelta | None = None,
    role: str = "",
    timeout: float | None = None,
) -> Call[CreatedApiKey]:
    """Creates an API key for a namespace. Needs the right `manage_access` there, and all rights of the role.

    Only the `credential` of this result shows the key itself. The client never retries this call, because it has no
    `request_id`. After an `UnavailableError` or a `DeadlineExceededError`, use `list_keys` to see whether the key
    exists.

    Args:
        name: 1 to 128 characters without control characters. Several keys can have the same name.
        home_namespace: The home namespace of the key. None: the home namespace of the caller; the client's `namespace`
            does not count here.
        expires_at: When the key expires: a datetime with a time zone, in the future. Pass at most one of `expires_at`
            and `ttl`. None for both: the key never expires.
        ttl: How long the key works, at most 100 years.
        role: The role that the key gets on all secrets of its home namespace. Empty: `editor`, which has every right on
            secrets. `none`: the key has no right until a binding gives it one.
        timeout: See `Access`.

    Returns:
        The new key.

    Raises:
        RoleNotFoundError: There is no role of this name.
        ConflictError: The reason is `CONTENDED`: other writers changed the same data each time. Try again.
        IntegrityError: The stored data that the change needs was altered or damaged.
    """
    request = access_pb2.CreateApiKeyRequest(name=arguments.text("name", name), role=arguments.text("role", role))
    if home_namespace is not None:
        request.home_namespace = arguments.text("home_namespace", home_namespace)
    if expires_at is not None:
        request.expires_at.CopyFrom(arguments.timestamp("expires_at", expires_at))
    if ttl is not None:
        request.ttl.CopyFrom(arguments.duration("ttl", ttl))
    return Call(
        lambda stubs: stubs.access.CreateApiKey,
        request,
        replies.created_api_key,
        timeout_for(timeout),
        repeatable=False,
    )


def list_keys(scope: Scope, *, timeout: float | None = None) -> Call[Page[ApiKey]]:
    """Returns the API keys that the caller manages, oldest first. Needs the right `manage_access`.

    Revoked and expired keys leave the list after 30 days.

    Args:
        timeout: Seconds for each page of the list with all its retries. None: the client's timeout.

    Returns:
        The API keys, without the keys themselves.
    """
    request = access_pb2.ListApiKeysRequest(limit=1000)
    return Call(lambda stubs: stubs.access.ListApiKeys, request, _api_keys_of, timeout_for(timeout))


def revoke_key(scope: Scope, *, id: str, timeout: float | None = None) -> Call[ApiKey]:
    """Revokes an API key, and deletes its bindings. Needs the right `manage_access` on all that they are about.

    The key stops working at once, and cannot be restored. When the key is already revoked, nothing is changed.

    Args:
        id: The id of the key.
        timeout: See `Access`.

    Returns:
        The revoked key.

    Raises:
        ApiKeyNotFoundError: There is no API key with this id.
        LastAdministratorError: Nobody else has every right on everything.
        ConflictError: The reason is `CONTENDED`: other writers changed the same key each time. Try again.
        IntegrityError: The stored data that the change needs was altered or damaged.
    """
    request = access_pb2.RevokeApiKeyRequest(id=arguments.text("id", id))
    return Call(lambda stubs: stubs.access.RevokeApiKey, request, _api_key_of, timeout_for(timeout))


def rotate_key(
    scope: Scope, *, id: str, overlap: timedelta | None = None, timeout: float | None = None
) -> Call[CreatedApiKey]:
    """Gives an API key a new secret. The key keeps its id, its name and its bindings. Every key may rotate itself.

    To rotate another key, the caller needs the right `manage_access` and all rights that bindings give the key. Only
    the `credential` of this result shows the key itself. The client never retries this call, because it has no
    `request_id`.

    Args:
        id: The id of the key.
        overlap: How long the present secret still works, at most 100 years. None: it stops working at once.
        timeout: See `Access`.

    Returns:
        The key with its new secret.

    Raises:
        ApiKeyNotFoundError: There is no API key with this id, or it was revoked or has expired.
        ConflictError: The reason is `CONTENDED`: other writers changed the same key each time. Try again.
        IntegrityError: The stored data that the change needs was altered or damaged.
    """
    request = access_pb2.RotateApiKeyRequest(id=arguments.text("id", id))
    if overlap is not None:
        request.overlap.CopyFrom(arguments.duration("overlap", overlap))
    return Call(
        lambda stubs: stubs.access.RotateApiKey,
        request,
        replies.created_api_key,
        timeout_for(timeout),
        repeatable=False,
    )


def whoami(scope: Scope, *, timeout: float | None = None) -> Call[Identity]:
    """Returns the identity of the caller and its rights. Needs no right.

    Args:
        timeout: See `Access`.

    Returns:
        The identity of the caller.
    """
    return Call(lambda stubs: stubs.access.WhoAmI, access_pb2.WhoAmIRequest(), replies.identity, timeout_for(timeout))


def _api_key_of(reply: access_pb2.RevokeApiKeyResponse) -> ApiKey:
    return replies.api_key(reply.api_key)


def _api_keys_of(reply: access_pb2.ListApiKeysResponse) -> Page[ApiKey]:
    return Page([replies.api_key(item) for item in reply.items], reply.next_page_token)
