"""How the sync client sends calls and reads the streams of watches."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

import grpc

from strongroom._call import Call, Stubs
from strongroom._certificates import Renewal
from strongroom._channel import channels
from strongroom._retry import RetryPolicy
from strongroom._sending import Metadata, Sending, bearer, is_of_server
from strongroom._servers import Server, Servers
from strongroom._settings import Settings
from strongroom._stream import Progress
from strongroom.exceptions import StrongroomError

__all__ = ["Transport", "Watch"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Transport(Sending):
    """Sends calls and waits for their replies."""

    def __init__(
        self, settings: Settings, retry: RetryPolicy, *, sleep: Callable[[float], Any] = time.sleep, **clocks: Any
    ) -> None:
        """Tests replace `sleep` and the `clocks` of `Sending`."""
        super().__init__(settings, retry, **clocks)
        self._sleep = sleep
        self._asking = threading.Lock()
        files = settings.certificate_files
        self._renewal = None if files is None else Renewal(files)
        self._connecting = threading.Lock()
        self._former: list[grpc.Channel] = []
        self._channels: list[grpc.Channel] = []
        self._servers = self._connect(settings)
        self.silence = Silence()

    def send(self, call: Call[Result]) -> Result:
        """Sends the call, retries it as the retry policy says, and returns its result."""
        attempts = self.begin(call)
        while True:
            servers = self.connected()
            server = servers.pick(attempts.tried)
            metadata = self.metadata(attempts.time_left())
            try:
                rpc = call.rpc(server.stubs)
                reply = rpc(call.request, timeout=attempts.time_left(), metadata=metadata)
            except grpc.RpcError as error:
                failure, not_sent = self.failed(error, call, servers, server)
            except ValueError:
                # So says gRPC when another thread has closed the channel.
                self.check_open()
                raise
            else:
                if server.failures:
                    server.succeeded()
                return call.read(reply)
            pause = self.pause_after(attempts, failure, metadata, servers=servers, server=server, not_sent=not_sent)
            if pause is None:
                raise failure
            if pause:
                self._sleep(pause)

    def metadata(self, seconds: float | None) -> Metadata:
        """Returns the gRPC metadata of the next attempt. It asks the token source, if need be, within the time."""
        stored = self.stored_metadata()
        if stored is not None:
            return stored
        if not self._asking.acquire(timeout=-1 if seconds is None else seconds):
            raise self.overdue()
        try:
            stored = self.stored_metadata()
            return bearer(self._ask()) if stored is None else stored
        finally:
            self._asking.release()

    def _ask(self) -> str:
        if self._tokens is None or self.settings.token_source is None:
            return ""
        try:
            return self._tokens.keep(self.settings.token_source())
        except Exception as error:
            return self._tokens.after_failure(error)

    def connected(self) -> Servers:
        """Returns the servers. With a new client certificate, it connects to them again."""
        pair = None if self._renewal is None else self._renewal.changed()
        if pair is not None:
            with self._connecting:
                if not self.closed:
                    # What is under way goes on over the former connections, until the certificate changes again.
                    ended, self._former = self._former, self._channels
                    self._servers = self._connect(dataclasses.replace(self.settings, client_certificate=pair))
                    for channel in ended:
                        channel.close()
        return self._servers

    def _connect(self, settings: Settings) -> Servers:
        made = channels(settings)
        self._channels = [channel for _, channel in made]
        return Servers([Server(endpoint, Stubs(channel)) for endpoint, channel in made], self._clock, self.jitter)

    def close(self) -> None:
        """Closes the connections. A second call does nothing."""
        with self._connecting:
            self.closed = True
            for channel in [*self._channels, *self._former]:
                channel.close()


class Silence:
    """Ends the streams that are silent for too long, so that a connection that is dead without a sign is noticed.

    It has one thread, as long as there is a stream.
    """

    def __init__(self) -> None:
        """Starts nothing yet."""
        self._changed = threading.Condition()
        self._ends: dict[Any, float] = {}
        self._running = False

    def heard(self, stream: Any, seconds: float) -> None:
        """Notes that the stream was opened, or has brought something. It may be silent for some seconds now."""
        with self._changed:
            self._ends[stream] = time.monotonic() + seconds
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="strongroom-silence", daemon=True).start()

    def forget(self, stream: Any) -> None:
        """Notes that the stream has ended."""
        with self._changed:
            self._ends.pop(stream, None)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._ends:
                    self._running = False
                    return
                now = time.monotonic()
                overdue = [stream for stream, end in self._ends.items() if end <= now]
                for stream in overdue:
                    del self._ends[stream]
                if not overdue:
                    self._changed.wait(min(self._ends.values()) - now)
            for stream in overdue:
                stream.cancel()


class Watch(Iterator[Item], Generic[Item]):
    """What happens, as it happens: `client.secrets.watch` and `client.audit.watch` make it.

    It is an iterator, and belongs to one thread, except that any thread may `close` it. Use it as a context manager, or
    call `close`, to end it before its client is closed.
    """

    def __init__(self, transport: Transport, progress: Progress[Item]) -> None:
        """Sends nothing yet."""
        self._transport = transport
        self._progress = progress
        self._ready: deque[Item] = deque()
        self._stream: Any = None
        self._servers = transport.connected()
        self._server: Server | None = None
        self._tried: list[Server] = []
        self._sent: Metadata = ()
        self._closed = threading.Event()

    @property
    def resume_revision(self) -> int:
        """Where another watch continues: the `after_revision`, or the `from_index`. 0: nothing was received yet."""
        return self._progress.position or 0

    def __next__(self) -> Item:
        """Waits for what happens next. Raises an error that does not pass by itself."""
        while not self._ready:
            if self._closed.is_set():
                raise StopIteration
            self._receive()
        return self._ready.popleft()

    def _receive(self) -> None:
        """Receives one message, or opens the next stream."""
        failure: StrongroomError | None = None
        not_sent = False
        transport = self._transport
        try:
            stream, server = self._opened()
            reply = next(stream, None)
        except grpc.RpcError as error:
            if self._server is not None:
                failure, not_sent = transport.failed(error, self._progress.call, self._servers, self._server)
        except ValueError:
            # So says gRPC when another thread has closed the channel.
            if not transport.closed:
                raise
        else:
            if reply is not None:
                if self._progress.bookmarks:
                    transport.silence.heard(stream, transport.longest_silence)
                if server.failures:
                    server.succeeded()
                self._tried.clear()
                self._ready.extend(self._progress.read(reply))
                return
        if self._stream is not None:
            transport.silence.forget(self._stream)
        self._stream = None
        if self._closed.is_set() or transport.closed:
            self._closed.set()
            return
        self._progress.lost(failure)
        if transport.renewed(failure, self._sent):
            return
        pause = self._progress.pause_after(failure)
        if failure is not None:
            if self._server is not None:
                self._tried.append(self._server)
            if is_of_server(failure) and self._servers.another(self._tried) and (pause is not None or not_sent):
                return
            self._tried.clear()
            if pause is None:
                raise failure
        self._closed.wait(pause)

    def _opened(self) -> tuple[Any, Server]:
        """Returns the stream that is open. It opens one where there is none."""
        if self._stream is None or self._server is None:
            transport = self._transport
            transport.check_open()
            self._sent = transport.metadata(None)
            self._servers = transport.connected()
            self._server = self._servers.pick(self._tried)
            rpc: Any = self._progress.call.rpc(self._server.stubs)
            self._stream = rpc(self._progress.request(), metadata=self._sent)
            if self._progress.bookmarks:
                transport.silence.heard(self._stream, transport.longest_silence)
            if self._closed.is_set():
                # `close` came meanwhile, and saw no stream.
                self._stream.cancel()
        return self._stream, self._server

    def close(self) -> None:
        """Ends the watch. The iterator then ends. A second call does nothing."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def __enter__(self) -> Watch[Item]:
        """Returns the watch. It is closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the watch."""
        self.close()
