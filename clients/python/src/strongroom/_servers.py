"""The servers of a client: a connection to each, and which of them gets the next call.

gRPC asks each of several servers for its health (`grpc.health.v1`) and connects again by itself. A call to a server
that is not there, or not healthy, fails at once. So it is enough to remember what failed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence

from strongroom._call import Stubs
from strongroom._endpoint import Endpoint

__all__ = ["Server", "Servers"]

# How long a server that failed is left alone while another one answers, in seconds: after the first failure, and at
# most.
_FIRST_DOWN, _LONGEST_DOWN = 0.5, 5.0


class Server:
    """One server."""

    def __init__(self, endpoint: Endpoint, stubs: Stubs) -> None:
        """The caller closes the channel of the stubs."""
        self.endpoint = endpoint
        self.stubs = stubs
        self.problem: str | None = None
        """Why the last attempt to connect failed, as gRPC says it. None: it did not fail."""
        self.failures = 0
        self.down_until = 0.0

    def succeeded(self) -> None:
        """Notes that the server has answered."""
        self.problem = None
        self.failures = 0
        self.down_until = 0.0


class Servers:
    """All servers of one client. Calls go in turn to those that answer."""

    def __init__(
        self,
        servers: Sequence[Server],
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Tests replace `clock` and `jitter`."""
        self._servers = tuple(servers)
        self._clock = clock
        self._jitter = jitter
        self._only = self._servers[0] if len(self._servers) == 1 else None
        # Two threads that read the same number send two calls to the same server, which does no harm.
        self._turn = 0

    def pick(self, tried: Collection[Server] = ()) -> Server:
        """Returns the server for the next attempt: the next in turn that is not down, or else the first that comes
        back.

        `tried` are the servers that the call was sent to before, without a pause since.
        """
        if self._only is not None:
            return self._only
        turn = self._turn
        self._turn = (turn + 1) % len(self._servers)
        in_turn = self._servers[turn:] + self._servers[:turn]
        now = self._clock()
        for server in in_turn:
            if server.down_until <= now and server not in tried:
                return server
        return min(in_turn, key=lambda server: (server in tried, server.down_until))

    def failed(self, server: Server, problem: str | None) -> None:
        """Notes that a server failed. `problem`: why there is no connection to it. None: there was one."""
        if problem is not None:
            server.problem = problem
        down = min(_FIRST_DOWN * 2.0 ** min(server.failures, 10), _LONGEST_DOWN)
        server.failures += 1
        server.down_until = self._clock() + down * (0.5 + self._jitter() / 2)

    def another(self, tried: Collection[Server]) -> bool:
        """Whether there is a server that the call was not sent to yet."""
        return len(tried) < len(self._servers)

    def problems(self) -> list[tuple[Endpoint, str | None]]:
        """Returns each server with its problem."""
        return [(server.endpoint, server.problem) for server in self._servers]
