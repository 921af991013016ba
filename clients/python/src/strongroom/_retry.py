"""When a call is made again, and after how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import grpc

from strongroom.exceptions import StrongroomError

__all__ = ["Attempts", "RetryPolicy"]


@dataclass(frozen=True)
class RetryPolicy:
    """How often a failed call is made again.

    Tried again is what failed with UNAVAILABLE (the network, or a server that can not serve now), with the reason
    CONTENDED (others kept changing the same secret), or with a `RetryInfo` by which the server asks for it. The pause
    before the n-th retry is at most `first_delay * factor ** (n - 1)` and at most `longest_delay`, at least half of
    that, and comes on top of what the server asks for. No attempt is made, and no pause begun, that the call's
    deadline does not leave time for.

    It is safe because a change carries a `request_id`: the server makes it once, and gives every repeat the first
    outcome. The one call without such an id, `access.create_key`, is never made again.
    """

    attempts: int = 5
    """How often in all, the first time included. 1: no retries."""
    first_delay: float = 0.1
    """Seconds."""
    factor: float = 2.0
    longest_delay: float = 5.0
    """Seconds."""


class Attempts:
    """The attempts of one call: what time is left, and whether there is to be another."""

    def __init__(
        self, policy: RetryPolicy, budget: float, clock: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        """`budget` is the seconds for all attempts; `clock` gives seconds, `jitter` a number from 0 to 1."""
        self._policy = policy
        self._clock = clock
        self._jitter = jitter
        self._end = clock() + budget
        self._made = 0

    def time_left(self) -> float:
        """Seconds until the deadline, 0 when it has passed."""
        return max(self._end - self._clock(), 0.0)

    def pause_after(self, error: StrongroomError) -> float | None:
        """How many seconds to wait before the next attempt. None: there is none, and the error stands."""
        self._made += 1
        if self._made >= self._policy.attempts or not _is_transient(error):
            return None
        backoff = self._policy.first_delay * self._policy.factor ** (self._made - 1)
        pause = min(backoff, self._policy.longest_delay) * (0.5 + self._jitter() / 2) + (error.retry_after or 0.0)
        return pause if pause < self.time_left() else None


def _is_transient(error: StrongroomError) -> bool:
    return error.code is grpc.StatusCode.UNAVAILABLE or error.reason == "CONTENDED" or error.retry_after is not None
