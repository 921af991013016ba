"""The calls of `client.access`, and `whoami`: each function is one method there, sync and async."""

from __future__ import annotations

from datetime import datetime, timedelta

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._call import Call, Scope, timeout_for
from strongroom.models import ApiKey, CreatedApiKey, Identity
from strongroom.v1 import access_pb2

__all__ = ["create_key", "list_keys", "revoke_key", "whoami"]


def create_key(
    scope: Scope,
    *,
    name: str,
    home_namespace: str | None = None,
    expires_at: datetime | None = None,
    ttl: timedelta | None = None,
    timeout: float | None = None,
) -> Call[CreatedApiKey]:
    """Makes an API key for a namespace. The reply's `credential` is the only place where the key is ever shown.

    `name` is 1 to 128 characters. `home_namespace` left out is the caller's own home namespace, whatever the client's
    namespace is. The key works until `expires_at`, or for the time `ttl`, or for ever.

    Never retried, for the call has no `request_id`: after an `UnavailableError` or a `DeadlineExceededError`, see
    `list_keys` for whether it was made. Needs the right `manage_access`.
    """
    request = access_pb2.CreateApiKeyRequest(name=arguments.text("name", name))
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


def list_keys(scope: Scope, *, timeout: float | None = None) -> Call[list[ApiKey]]:
    """Returns all API keys without the keys themselves, revoked and expired ones too, oldest first.

    Needs the right `manage_access`.
    """
    return Call(
        lambda stubs: stubs.access.ListApiKeys, access_pb2.ListApiKeysRequest(), _api_keys_of, timeout_for(timeout)
    )


def revoke_key(scope: Scope, *, id: str, timeout: float | None = None) -> Call[ApiKey]:
    """Revokes an API key by its id, at once and for good; a revoked one stays revoked.

    Raises `NotFoundError`, `FailedPreconditionError` (the root key itself), `ConflictError`. Needs the right
    `manage_access`.
    """
    request = access_pb2.RevokeApiKeyRequest(id=arguments.text("id", id))
    return Call(lambda stubs: stubs.access.RevokeApiKey, request, _api_key_of, timeout_for(timeout))


def whoami(scope: Scope, *, timeout: float | None = None) -> Call[Identity]:
    """Returns who the caller is, and what it may do."""
    return Call(lambda stubs: stubs.access.WhoAmI, access_pb2.WhoAmIRequest(), replies.identity, timeout_for(timeout))


def _api_key_of(reply: access_pb2.RevokeApiKeyResponse) -> ApiKey:
    return replies.api_key(reply.api_key)


def _api_keys_of(reply: access_pb2.ListApiKeysResponse) -> list[ApiKey]:
    return [replies.api_key(item) for item in reply.items]
