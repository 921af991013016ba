"""The cache of the async client."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from strongroom import _arguments as arguments
from strongroom import exceptions as e
from strongroom._aio_transport import AsyncTransport, AsyncWatch
from strongroom._cache_state import UNREACHABLE, CacheProgress, Read, Space, late, limits, read
from strongroom._call import Scope
from strongroom.models import CachedSecret

__all__ = ["AsyncCache"]


class AsyncCache:
    """Keeps the secrets that were read through it, and keeps them fresh: `client.cached()` makes it.

        async with client.cached(serve_stale=600) as cache:
            (await cache.get("db_password")).value

    `Cache` describes what it does. It works in one event loop at a time: in another loop, it begins again with nothing.
    """

    def __init__(self, transport: AsyncTransport, scope: Scope, serve_stale: float, size: int) -> None:
        """Asks for nothing yet."""
        self._transport = transport
        self._scope = scope
        self._serve_stale, self._size = limits(serve_stale, size)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._spaces: dict[str, Space] = {}
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, name: str, *, namespace: str | None = None, timeout: float | None = None) -> CachedSecret:
        """Returns the current version of a secret with its value.

        The arguments, the result and the errors are those of `Cache.get`.
        """
        if asyncio.get_running_loop() is not self._loop:
            self._begin_again()
        space = self._spaces.get(self._scope.namespace if namespace is None else namespace)
        found = None if space is None else space.look_up(name)
        return await self._fill(name, namespace, timeout) if found is None else found

    async def _fill(self, name: str, namespace: str | None, timeout: float | None) -> CachedSecret:
        """Reads the secret from the server, and keeps it while a watch follows the namespace."""
        arguments.text("name", name)
        budget = self._transport.settings.timeout if timeout is None else arguments.seconds("timeout", timeout)
        end = time.monotonic() + budget
        self._check_open()
        key = self._scope.namespace_for(namespace)
        space = self._spaces.get(key)
        if space is None:
            space = self._spaces[key] = Space(key, self._serve_stale, self._size)
        if not await self._within(self._follow(space), end):
            raise late()
        while True:
            self._check_open()
            found = space.look_up(name)
            if found is not None:
                # Another read has ended just now.
                return found
            under_way = space.reads.get(name)
            mine = under_way or self._begin(space, name, end)
            # A read of this caller ends by itself when the time is over.
            in_time = await self._within(mine.waiter, None if under_way is None else end)
            error = mine.error if in_time else late()
            if not isinstance(error, UNREACHABLE):
                break
            if under_way is None or time.monotonic() >= end:
                found = space.last_known(name)
                if found is not None:
                    return found
                break
            # The other caller may have had less time than this one.
        if error is not None:
            # Several tasks can raise it, each with its own traceback.
            raise copy.copy(error)
        return mine.result()

    async def _within(self, waiter: asyncio.Future[None], end: float | None) -> bool:
        """Waits. Returns whether the time was enough. It never cancels what it waits for."""
        done, _ = await asyncio.wait({waiter}, timeout=None if end is None else max(end - time.monotonic(), 0.0))
        return bool(done)

    def _begin(self, space: Space, name: str, end: float | None) -> Read:
        """Begins a read of the secret."""
        mine = space.begin(name, asyncio.get_running_loop().create_future())
        self._start(self._make(space, name, mine, end))
        return mine

    def _refresh(self, space: Space, name: str) -> None:
        """Reads the secret in the background, unless a read is under way: that one then reads it again."""
        if name not in space.reads:
            self._begin(space, name, None)

    async def _make(self, space: Space, name: str, mine: Read, end: float | None) -> None:
        """Makes a read that was begun, again while the secret changes."""
        found, error = None, None
        try:
            while True:
                try:
                    found, error = await self._transport.send(read(space.namespace, name, space.seen, end)), None
                except e.StrongroomError as failure:
                    found, error = None, failure.with_traceback(None)
                if isinstance(error, e.AuthenticationError):
                    self._drop_all()
                if space.finish(name, mine, found, error):
                    return
        finally:
            if mine.secret is None and mine.error is None:
                # `close` has cancelled it.
                space.finish(name, mine, None, e.ClosedError("The cache is closed: make a new one."))
            if not mine.waiter.done():
                mine.waiter.set_result(None)

    def _follow(self, space: Space) -> asyncio.Future[None]:
        """Starts the watch unless it runs. The result is set when the watch follows the namespace, or cannot."""
        watching: asyncio.Future[None] | None = space.watching
        if watching is not None:
            return watching
        decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if space.may_watch():
            space.watching = decided
            self._start(self._watch(space, decided))
        else:
            decided.set_result(None)
        return decided

    async def _watch(self, space: Space, decided: asyncio.Future[None]) -> None:
        """Follows the namespace until the server refuses to tell more, or the cache is closed."""

        def decide() -> None:
            if not decided.done():
                decided.set_result(None)

        def synced(revision: int) -> None:
            for name in space.sync(revision):
                self._refresh(space, name)
            decide()

        def lost(error: e.StrongroomError | None) -> None:
            space.lose(error)
            decide()

        changes = AsyncWatch(self._transport, CacheProgress(space.namespace, self._transport, synced, lost))
        try:
            async for event in changes:
                again = space.apply(event)
                if again is not None:
                    self._refresh(space, again)
        except e.StrongroomError as error:
            # The next caller who reads gets the error of the server.
            if isinstance(error, e.AuthenticationError):
                self._drop_all()
        finally:
            space.end()
            decide()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _begin_again(self) -> None:
        """Leaves what belongs to another event loop, which has ended."""
        self._loop = asyncio.get_running_loop()
        self._spaces = {}
        self._tasks = set()

    def _drop_all(self) -> None:
        for space in self._spaces.values():
            space.entries.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise e.ClosedError("The cache is closed: make a new one.")

    async def close(self) -> None:
        """Empties the cache and ends its watches. It does not close the client. A second call does nothing."""
        self._closed = True
        if self._loop is asyncio.get_running_loop():
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._drop_all()

    async def __aenter__(self) -> AsyncCache:
        """Returns the cache. It is closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the cache."""
        await self.close()

    def __repr__(self) -> str:
        """How many secrets it has, without their names."""
        return f"AsyncCache({sum(len(space.entries) for space in self._spaces.values())} secrets)"
