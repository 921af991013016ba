"""The client for `async` code. `strongroom.client` has the client for ordinary code."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar

from typing_extensions import Concatenate, ParamSpec

from strongroom import _access_calls as access_calls
from strongroom import _audit_calls as audit_calls
from strongroom import _binding_calls as binding_calls
from strongroom import _list_calls as list_calls
from strongroom import _namespace_calls as namespace_calls
from strongroom import _reference_calls as reference_calls
from strongroom import _rotation_calls as rotation_calls
from strongroom import _secret_calls as secret_calls
from strongroom import _version_calls as version_calls
from strongroom import _watch_calls as watch_calls
from strongroom._aio_cache import AsyncCache
from strongroom._aio_transport import AsyncTransport, AsyncWatch
from strongroom._cache_state import DEFAULT_SERVE_STALE, DEFAULT_SIZE
from strongroom._call import Call, Page, Scope, call_after
from strongroom._documentation import document, item_of, result_of
from strongroom._retry import RetryPolicy
from strongroom._sending import Sending
from strongroom._settings import DEFAULT_TIMEOUT, Path, Settings
from strongroom._stream import Progress
from strongroom._token import AsyncTokenSource

__all__ = [
    "AsyncAccess",
    "AsyncAudit",
    "AsyncCache",
    "AsyncReferences",
    "AsyncSecrets",
    "AsyncStrongroom",
    "AsyncWatch",
]

P = ParamSpec("P")
Item = TypeVar("Item")
Result = TypeVar("Result")


class _Resource:
    """The base of the groups of methods: the secrets, the API keys, the documents."""

    def __init__(self, transport: AsyncTransport, scope: Scope) -> None:
        self._transport = transport
        self._scope = scope


def _method(
    build: Callable[Concatenate[Scope, P], Call[Result]],
) -> Callable[Concatenate[_Resource, P], Coroutine[Any, Any, Result]]:
    """Returns the method that sends the call of `build` and awaits its result."""

    async def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return await self._transport.send(build(self._scope, *args, **kwargs))

    document(method, build)
    return method


def _pages(
    build: Callable[Concatenate[Scope, P], Call[Page[Item]]],
) -> Callable[Concatenate[_Resource, P], AsyncIterator[Item]]:
    """Returns the method that iterates over all pages: it sends the call of `build`, then a call for each next page."""

    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Item]:
        return items(self._transport, build(self._scope, *args, **kwargs))

    async def items(transport: AsyncTransport, call: Call[Page[Item]] | None) -> AsyncIterator[Item]:
        while call is not None:
            page = await transport.send(call)
            for item in page.items:
                yield item
            call = call_after(call, page)

    document(method, build, returns=f"AsyncIterator[{item_of(build)}]")
    return method


def _watch(
    build: Callable[Concatenate[Scope, P], Call[Item]],
    progress: Callable[[Call[Item], Sending], Progress[Item]],
) -> Callable[Concatenate[_Resource, P], AsyncWatch[Item]]:
    """Returns the method that makes a watch with the call of `build`."""

    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncWatch[Item]:
        return AsyncWatch(self._transport, progress(build(self._scope, *args, **kwargs), self._transport))

    document(method, build, returns=f"AsyncWatch[{result_of(build)}]")
    return method


def _whole_list(
    build: Callable[Concatenate[Scope, P], Call[Page[Item]]],
) -> Callable[Concatenate[_Resource, P], Coroutine[Any, Any, list[Item]]]:
    """Returns the method that returns the items of all pages: it sends a call for each page."""

    async def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> list[Item]:
        items: list[Item] = []
        call: Call[Page[Item]] | None = build(self._scope, *args, **kwargs)
        while call is not None:
            page = await self._transport.send(call)
            items += page.items
            call = call_after(call, page)
        return items

    document(method, build, returns=f"list[{item_of(build)}]")
    return method


class AsyncSecrets(_Resource):
    """The secrets of a namespace: `client.secrets`. Await the methods, which are those of `Secrets`."""

    create = _method(secret_calls.create)
    get = _method(secret_calls.get)
    batch_get = _method(secret_calls.batch_get)
    list = _method(list_calls.list_)
    iterate = _pages(list_calls.iterate)
    list_namespaces = _method(namespace_calls.list_namespaces)
    iterate_namespaces = _pages(namespace_calls.iterate_namespaces)
    update = _method(secret_calls.update)
    delete = _method(secret_calls.delete)
    undelete = _method(secret_calls.undelete)
    rotate = _method(secret_calls.rotate)
    promote = _method(rotation_calls.promote)
    acknowledge = _method(rotation_calls.acknowledge)
    claim_rotation = _method(rotation_calls.claim_rotation)
    release_rotation = _method(rotation_calls.release_rotation)
    watch = _watch(watch_calls.watch, watch_calls.SecretProgress)
    versions = _method(version_calls.versions)
    disable_version = _method(version_calls.disable_version)
    enable_version = _method(version_calls.enable_version)
    destroy_version = _method(version_calls.destroy_version)


class AsyncAccess(_Resource):
    """API keys, roles, bindings, and the identity of the caller: `client.access`.

    Await the methods, which are those of `Access`.
    """

    create_key = _method(access_calls.create_key)
    list_keys = _whole_list(access_calls.list_keys)
    revoke_key = _method(access_calls.revoke_key)
    rotate_key = _method(access_calls.rotate_key)
    create_role = _method(binding_calls.create_role)
    list_roles = _method(binding_calls.list_roles)
    delete_role = _method(binding_calls.delete_role)
    create_binding = _method(binding_calls.create_binding)
    list_bindings = _whole_list(binding_calls.list_bindings)
    delete_binding = _method(binding_calls.delete_binding)
    explain = _method(binding_calls.explain)
    whoami = _method(access_calls.whoami)


class AsyncAudit(_Resource):
    """The audit log: `client.audit`. Await the methods, which are those of `Audit`."""

    list = _method(audit_calls.list_)
    iterate = _pages(audit_calls.iterate)
    watch = _watch(audit_calls.watch, audit_calls.AuditProgress)
    checkpoint = _method(audit_calls.checkpoint)
    inclusion_proof = _method(audit_calls.inclusion_proof)
    consistency_proof = _method(audit_calls.consistency_proof)
    find_names = _method(audit_calls.find_names)


class AsyncReferences(_Resource):
    """Documents with references to secrets. Await the method, which the client offers as `client.resolve`."""

    resolve = _method(reference_calls.resolve)


class AsyncStrongroom:
    """A client of a Strongroom server for `async` code. It has a connection for each event loop that uses it.

        async with AsyncStrongroom(api_key="srk_…") as client:
            print((await client.secrets.get(name="stripe_api_key")).value)

    The arguments, the environment variables, the attributes and the errors are those of `Strongroom`. Its methods must
    be awaited; iterate `secrets.iterate`, `secrets.iterate_namespaces` and `secrets.watch` with `async for`. A
    `token_source` can be an `async` function.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        server: str | Sequence[str] | None = None,
        namespace: str | None = None,
        ca_cert: Path | None = None,
        insecure_plaintext: bool = False,
        api_key_file: Path | None = None,
        token_file: Path | None = None,
        token_source: AsyncTokenSource | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
    ) -> None:
        settings = Settings.resolve(
            api_key,
            server,
            namespace,
            ca_cert,
            timeout,
            os.environ,
            insecure_plaintext=insecure_plaintext,
            api_key_file=api_key_file,
            token_file=token_file,
            token_source=token_source,
            client_cert=client_cert,
            client_key=client_key,
        )
        self._scope = scope = Scope(settings.namespace)
        self._transport = AsyncTransport(settings, retry or RetryPolicy())
        self.secrets = AsyncSecrets(self._transport, scope)
        self.access = AsyncAccess(self._transport, scope)
        self.audit = AsyncAudit(self._transport, scope)
        self.whoami = self.access.whoami
        self.resolve = AsyncReferences(self._transport, scope).resolve

    def cached(self, *, serve_stale: float = DEFAULT_SERVE_STALE, size: int = DEFAULT_SIZE) -> AsyncCache:
        """Returns a cache of secrets, which is filled as they are read and kept fresh by a watch: see `AsyncCache`.

        Args:
            serve_stale: For how many seconds the cache serves the last known values after the connection is lost. 0:
                not at all.
            size: How many secrets of one namespace the cache holds at most.
        """
        return AsyncCache(self._transport, self._scope, serve_stale, size)

    async def close(self) -> None:
        """Closes the connection. Later calls raise `ClosedError`. A second close does nothing."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncStrongroom:
        """Returns the client. It is closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the connection."""
        await self.close()

    def __repr__(self) -> str:
        """The server and the namespace of the client, without the API key."""
        transport = getattr(self, "_transport", None)
        name = type(self).__name__
        return f"{name}(not set up)" if transport is None else transport.settings.describe(name)
