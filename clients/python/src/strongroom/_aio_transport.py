"""How the async client sends calls and reads the streams of watches."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

import grpc

from strongroom._call import Call, Stubs
from strongroom._certificates import Renewal
from strongroom._channel import aio_channels
from strongroom._retry import RetryPolicy
from strongroom._sending import Metadata, Sending, bearer, is_of_server
from strongroom._servers import Server, Servers
from strongroom._settings import Settings
from strongroom._stream import Progress
from strongroom.exceptions import StrongroomError

__all__ = ["AsyncTransport", "AsyncWatch"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Connection:
    """The channels of one event loop."""

    def __init__(self, transport: AsyncTransport) -> None:
        """Is made in the loop."""
        self.asking = asyncio.Lock()
        self.streams: WeakSet[Any] = WeakSet()
        """The streams of watches, which a channel does not reliably end when it is closed."""
        self._transport = transport
        files = transport.settings.certificate_files
        self._renewal = None if files is None else Renewal(files)
        self._former: list[grpc.aio.Channel] = []
        self._channels: list[grpc.aio.Channel] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._servers = self._connect(transport.settings)

    def servers(self) -> Servers:
        """Returns the servers. With a new client certificate, it connects to them again."""
        pair = None if self._renewal is None else self._renewal.changed()
        if pair is not None and not self._transport.closed:
            # What is under way goes on over the former connections, until the certificate changes again.
            ended, self._former = self._former, self._channels
            self._servers = self._connect(dataclasses.replace(self._transport.settings, client_certificate=pair))
            for channel in ended:
                task = asyncio.get_running_loop().create_task(channel.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        return self._servers

    def _connect(self, settings: Settings) -> Servers:
        made = aio_channels(settings)
        self._channels = [channel for _, channel in made]
        transport = self._transport
        servers = [Server(endpoint, Stubs(channel)) for endpoint, channel in made]
        return Servers(servers, transport._clock, transport.jitter)

    async def close(self) -> None:
        """Closes the channels."""
        for stream in list(self.streams):
            stream.cancel()
        for channel in [*self._channels, *self._former]:
            await channel.close()
        await asyncio.gather(*self._closing)


class AsyncTransport(Sending):
    """Sends calls and awaits their replies."""

    def __init__(
        self, settings: Settings, retry: RetryPolicy, *, sleep: Callable[[float], Any] = asyncio.sleep, **clocks: Any
    ) -> None:
        """Tests replace `sleep` and the `clocks` of `Sending`."""
        super().__init__(settings, retry, **clocks)
        self._sleep = sleep
        # A channel belongs to the event loop that makes it. A loop that has ended takes its channels with it.
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, Connection] = WeakKeyDictionary()

    async def send(self, call: Call[Result]) -> Result:
        """Sends the call, retries it as the retry policy says, and returns its result."""
        attempts = self.begin(call)
        connection = self.connected()
        while True:
            servers = connection.servers()
            server = servers.pick(attempts.tried)
            metadata = self.stored_metadata()
            if metadata is None:
                metadata = await self.metadata(attempts.time_left())
            # The generated stubs work with both kinds of channel, but their types are those of the sync channel.
            rpc = cast("grpc.aio.UnaryUnaryMultiCallable[Any, Any]", call.rpc(server.stubs))
            try:
                reply = await rpc(call.request, timeout=attempts.time_left(), metadata=metadata)
            except grpc.RpcError as error:
                failure, not_sent = self.failed(error, call, servers, server)
            else:
                if server.failures:
                    server.succeeded()
                return call.read(reply)
            pause = self.pause_after(attempts, failure, metadata, servers=servers, server=server, not_sent=not_sent)
            if pause is None:
                raise failure
            if pause:
                await self._sleep(pause)

    async def metadata(self, seconds: float | None) -> Metadata:
        """Returns the gRPC metadata of the next attempt. It asks the token source, if need be, within the time."""
        stored = self.stored_metadata()
        if stored is not None:
            return stored
        try:
            return await asyncio.wait_for(self._asked(), seconds)
        except asyncio.TimeoutError:
            raise self.overdue() from None

    async def _asked(self) -> Metadata:
        async with self.connected().asking:
            stored = self.stored_metadata()
            return bearer(await self._ask()) if stored is None else stored

    async def _ask(self) -> str:
        if self._tokens is None or self.settings.token_source is None:
            return ""
        try:
            given = self.settings.token_source()
            return self._tokens.keep(await given if inspect.isawaitable(given) else given)
        except Exception as error:
            return self._tokens.after_failure(error)

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await self._sleep(seconds)

    def connected(self) -> Connection:
        """Returns the connection of the running event loop. Its first call makes it."""
        loop = asyncio.get_running_loop()
        connection = self._connections.get(loop)
        if connection is None:
            connection = self._connections[loop] = Connection(self)
        return connection

    async def close(self) -> None:
        """Closes the connections. A second call does nothing."""
        self.closed = True
        connection = self._connections.pop(asyncio.get_running_loop(), None)
        if connection is not None:
            await connection.close()


class AsyncWatch(AsyncIterator[Item], Generic[Item]):
    """What happens, as it happens: `client.secrets.watch` and `client.audit.watch` make it.

    It is an async iterator. Use it with `async with`, or call `close`, to end it before its client is closed.
    """

    def __init__(self, transport: AsyncTransport, progress: Progress[Item]) -> None:
        """Sends nothing yet."""
        self._transport = transport
        self._progress = progress
        self._ready: deque[Item] = deque()
        self._stream: Any = None
        self._streams: WeakSet[Any] = WeakSet()
        self._server: Server | None = None
        self._tried: list[Server] = []
        self._sent: Metadata = ()
        self._closed = False
        self._silent = False

    @property
    def resume_revision(self) -> int:
        """Where another watch continues: the `after_revision`, or the `from_index`. 0: nothing was received yet."""
        return self._progress.position or 0

    async def __anext__(self) -> Item:
        """Waits for what happens next. Raises an error that does not pass by itself."""
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            await self._receive()
        return self._ready.popleft()

    async def _receive(self) -> None:
        """Receives one message, or opens the next stream."""
        failure: StrongroomError | None = None
        not_sent = False
        transport = self._transport
        if transport.closed and self._stream is not None:
            await self.close()
            return
        transport.check_open()
        connection = transport.connected()
        servers = connection.servers()
        reply: Any = grpc.aio.EOF
        try:
            stream, server = await self._opened(connection, servers)
            reply = await self._read(stream)
        except grpc.RpcError as error:
            if self._server is not None:
                failure, not_sent = transport.failed(error, self._progress.call, servers, self._server)
        except asyncio.CancelledError:
            # `close` and silence cancel the stream; everything else cancels the task.
            if not (self._closed or transport.closed or self._silent):
                self._end_stream()
                raise
        else:
            if reply is not grpc.aio.EOF:
                if server.failures:
                    server.succeeded()
                self._tried.clear()
                self._ready.extend(self._progress.read(reply))
                return
        self._end_stream()
        self._silent = False
        if self._closed or transport.closed:
            self._closed = True
            return
        self._progress.lost(failure)
        if transport.renewed(failure, self._sent):
            return
        pause = self._progress.pause_after(failure)
        if failure is not None:
            if self._server is not None:
                self._tried.append(self._server)
            if is_of_server(failure) and servers.another(self._tried) and (pause is not None or not_sent):
                return
            self._tried.clear()
            if pause is None:
                raise failure
        await transport.sleep(pause or 0.0)

    async def _opened(self, connection: Connection, servers: Servers) -> tuple[Any, Server]:
        """Returns the stream that is open. It opens one where there is none."""
        if self._stream is None or self._server is None:
            self._sent = await self._transport.metadata(None)
            self._server = servers.pick(self._tried)
            rpc: Any = self._progress.call.rpc(self._server.stubs)
            self._stream = rpc(self._progress.request(), metadata=self._sent)
            self._streams = connection.streams
            self._streams.add(self._stream)
        return self._stream, self._server

    async def _read(self, stream: Any) -> Any:
        """Reads the next message. A stream that is silent for too long is ended."""

        def end() -> None:
            self._silent = True
            stream.cancel()

        if not self._progress.bookmarks:
            return await stream.read()
        timer = asyncio.get_running_loop().call_later(self._transport.longest_silence, end)
        try:
            return await stream.read()
        finally:
            timer.cancel()

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()
            self._streams.discard(stream)

    async def close(self) -> None:
        """Ends the watch. The iterator then ends. A second call does nothing."""
        self._closed = True
        self._end_stream()

    async def __aenter__(self) -> AsyncWatch[Item]:
        """Returns the watch. It is closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the watch."""
        await self.close()
