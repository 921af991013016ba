"""The cache of the sync client."""

from __future__ import annotations

import copy
import queue
import threading
import time
from types import TracebackType
from typing import Union

from strongroom import _arguments as arguments
from strongroom import exceptions as e
from strongroom._cache_state import UNREACHABLE, CacheProgress, Read, Space, late, limits, read
from strongroom._call import Scope
from strongroom._transport import Transport, Watch
from strongroom.models import CachedSecret, SecretEvent

__all__ = ["Cache"]

# How long `close` waits for a thread that is in the middle of a call, in seconds.
_CLOSING = 1.0

Work = Union[tuple[Space, str, Read], None]


class Cache:
    """Keeps the secrets that were read through it, and keeps them fresh: `client.cached()` makes it.

        with client.cached(serve_stale=600) as cache:
            cache.get("db_password").value

    - A read of a secret that the cache has does no I/O. The server does not see it: its audit log, and the consumers
      and the last read of a version, show when the cache asked for the secret.
    - One watch for each namespace tells of changes. When a secret changes, the cache asks for it again by itself.
    - When the connection is lost, the cache serves the last known values for the time of `serve_stale`, and says so:
      `stale` and `stale_since` of the secret.
    - When the server refuses the caller's credential or takes away a right, the cache is emptied at once, and the error
      of the server is raised.

    The watch needs the right `list` for the secrets of the namespace. Without it nothing is kept, and each read asks
    the server. Many threads can use a cache at once. Close it at the end. Python cannot overwrite a value in memory: a
    value that the cache drops is gone when nobody has it any more and Python has reused its memory.
    """

    def __init__(self, transport: Transport, scope: Scope, serve_stale: float, size: int) -> None:
        """Asks for nothing yet."""
        self._transport = transport
        self._scope = scope
        self._serve_stale, self._size = limits(serve_stale, size)
        self._lock = threading.Lock()
        self._spaces: dict[str, Space] = {}
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._watches: list[Watch[SecretEvent]] = []
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._refresher: threading.Thread | None = None

    def get(self, name: str, *, namespace: str | None = None, timeout: float | None = None) -> CachedSecret:
        """Returns the current version of a secret with its value.

        Args:
            name: The name of the secret.
            namespace: The namespace. None: the client's namespace.
            timeout: Seconds for the read, where the cache must ask the server. None: the client's timeout.

        Returns:
            The secret. `stale` says whether the connection is lost, so that the secret may have changed since.

        Raises:
            ClosedError: The cache or its client is closed.
            StrongroomError: Any error of `Secrets.get`.
        """
        space = self._spaces.get(self._scope.namespace if namespace is None else namespace)
        found = None if space is None else space.look_up(name)
        return self._fill(name, namespace, timeout) if found is None else found

    def _fill(self, name: str, namespace: str | None, timeout: float | None) -> CachedSecret:
        """Reads the secret from the server, and keeps it while a watch follows the namespace."""
        arguments.text("name", name)
        budget = self._transport.settings.timeout if timeout is None else arguments.seconds("timeout", timeout)
        end = time.monotonic() + budget
        space = self._space(self._scope.namespace_for(namespace))
        if not self._follow(space).wait(budget):
            raise late()
        while True:
            with self._lock:
                self._check_open()
                found = space.look_up(name)
                if found is not None:
                    # Another read has ended just now.
                    return found
                under_way = space.reads.get(name)
                mine = space.begin(name, threading.Event()) if under_way is None else None
            if mine is not None:
                self._read(space, name, mine, end)
                return self._outcome(space, name, mine)
            if under_way is None:
                continue
            if not under_way.waiter.wait(max(end - time.monotonic(), 0.0)):
                under_way = Read(None)
                under_way.error = late()
            elif isinstance(under_way.error, UNREACHABLE) and time.monotonic() < end:
                # The other caller may have had less time than this one.
                continue
            return self._outcome(space, name, under_way)

    def _outcome(self, space: Space, name: str, read: Read) -> CachedSecret:
        """Returns what was read. The last known value takes its place when the server cannot be reached."""
        if isinstance(read.error, UNREACHABLE):
            with self._lock:
                found = space.last_known(name)
            if found is not None:
                return found
        if read.error is not None:
            # Several threads can raise it, each with its own traceback.
            raise copy.copy(read.error)
        return read.result()

    def _read(self, space: Space, name: str, mine: Read, end: float | None) -> None:
        """Makes a read that was begun, again while the secret changes."""
        found, error = None, None
        try:
            while True:
                with self._lock:
                    seen = space.seen
                try:
                    found, error = self._transport.send(read(space.namespace, name, seen, end)), None
                except e.StrongroomError as failure:
                    found, error = None, failure.with_traceback(None)
                with self._lock:
                    if isinstance(error, e.AuthenticationError):
                        self._drop_all()
                    if space.finish(name, mine, found, error):
                        return
        finally:
            with self._lock:
                if mine.secret is None and mine.error is None:
                    # Something else ended it, such as Ctrl-C.
                    space.finish(name, mine, None, late())
            mine.waiter.set()

    def _space(self, namespace: str) -> Space:
        with self._lock:
            self._check_open()
            space = self._spaces.get(namespace)
            if space is None:
                space = self._spaces[namespace] = Space(namespace, self._serve_stale, self._size)
            return space

    def _follow(self, space: Space) -> threading.Event:
        """Starts the watch unless it runs. The event is set when the watch follows the namespace, or cannot."""
        with self._lock:
            self._check_open()
            watching: threading.Event | None = space.watching
            if watching is not None:
                return watching
            decided = threading.Event()
            if not space.may_watch():
                decided.set()
                return decided
            space.watching = decided
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._start(threading.Thread(target=self._watch, args=(space, decided), name="strongroom-cache-watch"))
        return decided

    def _start(self, thread: threading.Thread) -> None:
        thread.daemon = True
        self._threads.append(thread)
        thread.start()

    def _watch(self, space: Space, decided: threading.Event) -> None:
        """Follows the namespace until the server refuses to tell more, or the cache is closed."""

        def synced(revision: int) -> None:
            with self._lock:
                outdated = [] if self._closed else space.sync(revision)
            decided.set()
            for name in outdated:
                self._refresh(space, name)

        def lost(error: e.StrongroomError | None) -> None:
            with self._lock:
                space.lose(error)
            decided.set()

        changes = Watch(self._transport, CacheProgress(space.namespace, self._transport, synced, lost))
        with self._lock:
            self._watches.append(changes)
            if self._closed:
                changes.close()
        refused = False
        try:
            for event in changes:
                with self._lock:
                    again = space.apply(event)
                if again is not None:
                    self._refresh(space, again)
        except e.StrongroomError as error:
            # The next caller who reads gets the error of the server.
            refused = isinstance(error, e.AuthenticationError)
        finally:
            with self._lock:
                self._watches.remove(changes)
                if refused:
                    self._drop_all()
                space.end()
            decided.set()

    def _refresh(self, space: Space, name: str) -> None:
        """Reads the secret in the background, unless a read is under way: that one then reads it again."""
        with self._lock:
            if self._closed or name in space.reads:
                return
            mine = space.begin(name, threading.Event())
            if self._refresher is None:
                self._refresher = threading.Thread(target=self._refresh_all, name="strongroom-cache-refresh")
                self._start(self._refresher)
        self._work.put((space, name, mine))

    def _refresh_all(self) -> None:
        while True:
            work = self._work.get()
            if work is None:
                return
            self._read(*work, None)

    def _drop_all(self) -> None:
        for space in self._spaces.values():
            space.entries.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise e.ClosedError("The cache is closed: make a new one.")

    def close(self) -> None:
        """Empties the cache and ends its watches. It does not close the client. A second call does nothing."""
        with self._lock:
            self._closed = True
            watches, threads = list(self._watches), list(self._threads)
        for watch in watches:
            watch.close()
        self._work.put(None)
        for thread in threads:
            thread.join(_CLOSING)
        with self._lock:
            for space in self._spaces.values():
                space.end()

    def __enter__(self) -> Cache:
        """Returns the cache. It is closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the cache."""
        self.close()

    def __repr__(self) -> str:
        """How many secrets it has, without their names."""
        return f"Cache({sum(len(space.entries) for space in self._spaces.values())} secrets)"
