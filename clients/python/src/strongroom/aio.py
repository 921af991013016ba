"""The client for `async` code. `strongroom.client` has the client for ordinary code."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import grpc
from typing_extensions import Concatenate, ParamSpec

from strongroom import _access_calls as access_calls
from strongroom import _binding_calls as binding_calls
from strongroom import _list_calls as list_calls
from strongroom import _reference_calls as reference_calls
from strongroom import _rotation_calls as rotation_calls
from strongroom import _secret_calls as secret_calls
from strongroom import _version_calls as version_calls
from strongroom import _watch_calls as watch_calls
from strongroom._call import Call, Page, Scope, Stubs, call_after
from strongroom._channel import aio_channel
from strongroom._documentation import document, list_of
from strongroom._retry import RetryPolicy
from strongroom._sending import Metadata, Sending
from strongroom._settings import DEFAULT_TIMEOUT, Path, Settings
from strongroom.exceptions import StrongroomError
from strongroom.models import Secret, SecretEvent, SecretPage

__all__ = ["AsyncAccess", "AsyncReferences", "AsyncSecrets", "AsyncStrongroom", "AsyncWatch"]

P = ParamSpec("P")
Item = TypeVar("Item")
Result = TypeVar("Result")


class AsyncTransport(Sending):
    """Sends calls and awaits their replies."""

    def __init__(
        self, settings: Settings, retry: RetryPolicy, *, sleep: Callable[[float], Any] = asyncio.sleep, **clocks: Any
    ) -> None:
        """Tests replace `sleep` and the `clocks` of `Sending`."""
        super().__init__(settings, retry, **clocks)
        self._sleep = sleep
        # A channel belongs to the event loop that makes it. A loop that has ended takes its channel with it.
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[grpc.aio.Channel, Stubs]] = (
            WeakKeyDictionary()
        )

    async def send(self, call: Call[Result]) -> Result:
        """Sends the call, retries it as the retry policy says, and returns its result."""
        attempts = self.begin(call)
        # The generated stubs work with both kinds of channel, but their types are those of the sync channel.
        rpc = cast("grpc.aio.UnaryUnaryMultiCallable[Any, Any]", call.rpc(self._connected()))
        renewed = False
        while True:
            metadata = self.metadata()
            try:
                reply = await rpc(call.request, timeout=attempts.time_left(), metadata=metadata)
            except grpc.RpcError as error:
                failure = self.failure(error, call)
            else:
                return call.read(reply)
            if not renewed and self.renewed(failure, metadata):
                # A refused call changed nothing, so that any call can be sent again.
                renewed = True
                continue
            pause = attempts.pause_after(failure)
            if pause is None:
                raise failure
            await self._sleep(pause)

    def open(self, call: Call[SecretEvent], progress: watch_calls.Progress, metadata: Metadata) -> Any:
        """Opens a stream of a watch. The stream has `read` and `cancel`."""
        rpc: Any = call.rpc(self._connected())
        return rpc(progress.request(), timeout=watch_calls.STREAM_SECONDS, metadata=metadata)

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await self._sleep(seconds)

    async def close(self) -> None:
        """Closes the connection. A second call does nothing."""
        self.closed = True
        connection = self._connections.pop(asyncio.get_running_loop(), None)
        if connection is not None:
            await connection[0].close()

    def _connected(self) -> Stubs:
        """Returns the stubs of the running event loop. Its first call makes them."""
        loop = asyncio.get_running_loop()
        connection = self._connections.get(loop)
        if connection is None:
            channel = aio_channel(self.settings)
            connection = self._connections[loop] = (channel, Stubs(channel))
        return connection[1]


class AsyncWatch(AsyncIterator[SecretEvent]):
    """The changes of a namespace's secrets, as they are made: `client.secrets.watch` makes it.

    It is an async iterator. Use it with `async with`, or call `close`, to end it before its client is closed.
    """

    def __init__(self, transport: AsyncTransport, call: Call[SecretEvent]) -> None:
        """Sends nothing yet."""
        self._transport = transport
        self._call = call
        self._progress = transport.progress(call)
        self._ready: deque[SecretEvent] = deque()
        self._stream: Any = None
        self._sent: Metadata = ()
        self._closed = False

    @property
    def resume_revision(self) -> int:
        """The `after_revision` with which another watch continues. 0: nothing was received yet."""
        return self._progress.resume_revision

    async def __anext__(self) -> SecretEvent:
        """Waits for the next event. Raises an error that does not pass by itself."""
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            await self._receive()
        return self._ready.popleft()

    async def _receive(self) -> None:
        """Receives one message, or opens the next stream."""
        failure: StrongroomError | None = None
        try:
            if self._stream is None:
                self._transport.check_open()
                self._sent = self._transport.metadata()
                self._stream = self._transport.open(self._call, self._progress, self._sent)
            reply = await self._stream.read()
        except grpc.RpcError as error:
            failure = self._transport.failure(error, self._call)
        except asyncio.CancelledError:
            # `close` cancels the stream; everything else cancels the task.
            if not (self._closed or self._transport.closed):
                self._end_stream()
                raise
            reply = grpc.aio.EOF
        else:
            if reply is not grpc.aio.EOF:
                self._ready.extend(self._progress.read(reply))
                return
        self._stream = None
        if self._closed or self._transport.closed:
            self._closed = True
            return
        if self._transport.renewed(failure, self._sent):
            return
        pause = self._progress.pause_after(failure)
        if pause is None and failure is not None:
            raise failure
        await self._transport.sleep(pause or 0.0)

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()

    async def close(self) -> None:
        """Ends the watch. The iterator then ends. A second call does nothing."""
        self._closed = True
        self._end_stream()

    async def __aenter__(self) -> AsyncWatch:
        """Returns the watch. It is closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the watch."""
        await self.close()


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
    build: Callable[Concatenate[Scope, P], Call[SecretPage]],
) -> Callable[Concatenate[_Resource, P], AsyncIterator[Secret]]:
    """Returns the method that iterates over all pages: it sends the call of `build`, then a call for each next page."""

    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Secret]:
        return items(self._transport, build(self._scope, *args, **kwargs))

    async def items(transport: AsyncTransport, call: Call[SecretPage] | None) -> AsyncIterator[Secret]:
        while call is not None:
            page = await transport.send(call)
            for item in page.items:
                yield item
            call = list_calls.page_after(call, page)

    document(method, build, returns="AsyncIterator[Secret]")
    return method


def _watch(
    build: Callable[Concatenate[Scope, P], Call[SecretEvent]],
) -> Callable[Concatenate[_Resource, P], AsyncWatch]:
    """Returns the method that makes a watch with the call of `build`."""

    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncWatch:
        return AsyncWatch(self._transport, build(self._scope, *args, **kwargs))

    document(method, build, returns="AsyncWatch")
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

    document(method, build, returns=list_of(build))
    return method


class AsyncSecrets(_Resource):
    """The secrets of a namespace: `client.secrets`. Await the methods, which are those of `Secrets`."""

    create = _method(secret_calls.create)
    get = _method(secret_calls.get)
    batch_get = _method(secret_calls.batch_get)
    list = _method(list_calls.list_)
    iterate = _pages(list_calls.iterate)
    update = _method(secret_calls.update)
    delete = _method(secret_calls.delete)
    undelete = _method(secret_calls.undelete)
    rotate = _method(secret_calls.rotate)
    promote = _method(rotation_calls.promote)
    acknowledge = _method(rotation_calls.acknowledge)
    claim_rotation = _method(rotation_calls.claim_rotation)
    release_rotation = _method(rotation_calls.release_rotation)
    watch = _watch(watch_calls.watch)
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


class AsyncReferences(_Resource):
    """Documents with references to secrets. Await the method, which the client offers as `client.resolve`."""

    resolve = _method(reference_calls.resolve)


class AsyncStrongroom:
    """A client of a Strongroom server for `async` code. It has a connection for each event loop that uses it.

        async with AsyncStrongroom(api_key="srk_…") as client:
            print((await client.secrets.get(name="stripe_api_key")).value)

    The arguments, the environment variables, the attributes and the errors are those of `Strongroom`. Its methods must
    be awaited; iterate `secrets.iterate` and `secrets.watch` with `async for`.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        server: str | None = None,
        namespace: str | None = None,
        ca_cert: Path | None = None,
        insecure_plaintext: bool = False,
        api_key_file: Path | None = None,
        token_file: Path | None = None,
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
            client_cert=client_cert,
            client_key=client_key,
        )
        scope = Scope(settings.namespace)
        self._transport = AsyncTransport(settings, retry or RetryPolicy())
        self.secrets = AsyncSecrets(self._transport, scope)
        self.access = AsyncAccess(self._transport, scope)
        self.whoami = self.access.whoami
        self.resolve = AsyncReferences(self._transport, scope).resolve

    async def close(self) -> None:
        """Closes the connection. Later calls raise `StrongroomError`. A second close does nothing."""
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
