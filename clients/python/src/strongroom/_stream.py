"""What the sync and the async watch share: how far a watch has come, and whether it continues. It does not wait."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import grpc

from strongroom._call import Call
from strongroom._sending import Sending
from strongroom.exceptions import StrongroomError

__all__ = ["Progress"]

Item = TypeVar("Item")

# How many attempts a watch has to begin with: it has no timeout that would end them.
_FIRST_ATTEMPTS = 5

_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}


class Progress(ABC, Generic[Item]):
    """How far a watch has come: what to ask for next, and what was returned."""

    bookmarks = True
    """Whether the server sends a sign of life at least every 30 seconds, so that a silent stream is dead."""

    def __init__(self, call: Call[Item], sending: Sending) -> None:
        """`sending` has the retry policy."""
        self.call = call
        self._retry = sending.retry
        self._jitter = sending.jitter
        self._received = False
        self._failures = 0

    @property
    @abstractmethod
    def position(self) -> int | None:
        """Where another watch continues. None: nothing was received yet."""

    @abstractmethod
    def request(self) -> Any:
        """Returns the request for the stream that continues the watch."""

    @abstractmethod
    def items(self, reply: Any) -> list[Item]:
        """Returns the items that a message brings."""

    def read(self, reply: Any) -> list[Item]:
        """Notes that a message came, and returns its items."""
        self._received = True
        self._failures = 0
        return self.items(reply)

    def lost(self, error: StrongroomError | None) -> None:
        """Is told why a stream ended, each time before the next one begins. None: it ended as if all were told."""

    def pause_after(self, error: StrongroomError | None) -> float | None:
        """Returns the seconds to wait before the next stream. None: raise the error. `error` is None at a plain end."""
        self._failures += 1
        if error is not None:
            if not passes(error):
                return None
            # A server that never answered may not be there at all.
            if not self._received and self._failures >= min(self._retry.attempts, _FIRST_ATTEMPTS):
                return None
        backoff = self._retry.first_delay * self._retry.factor ** min(self._failures - 1, 32)
        pause = min(backoff, self._retry.longest_delay) * (0.5 + self._jitter() / 2)
        return pause + (error.retry_after or 0.0 if error is not None else 0.0)


def passes(error: StrongroomError) -> bool:
    """Whether a stream that ended so is continued: the server refused nothing."""
    if error.code is grpc.StatusCode.UNAVAILABLE or error.reason in ("CONTENDED", "TOO_MANY_REQUESTS"):
        return True
    if error.retry_after is not None and error.reason != "QUOTA_EXCEEDED":
        return True
    return error.code in _PASSING and error.reason in (None, "DEADLINE_EXCEEDED")
