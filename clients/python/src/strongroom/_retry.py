"""Decides when a failed call is retried, and after which pause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import grpc

from strongroom._servers import Server
from strongroom.exceptions import StrongroomError

__all__ = ["Attempts", "RetryPolicy"]


@dataclass(frozen=True)
class RetryPolicy:
    """Which failed calls are retried, how often, and after which pauses.

    A call is retried when it failed in one of these ways:

    - with the status UNAVAILABLE: the network failed, or the server cannot serve now;
    - with the reason CONTENDED: other writers changed the same secret each time;
    - with the reason TOO_MANY_REQUESTS: the server is busy;
    - with a `RetryInfo`: the server asks for a retry, except when a quota is exceeded.

    The longest pause before the n-th retry is `first_delay * factor ** (n - 1)`, but at most `longest_delay`. The pause
    is a random time between half of it and all of it, plus the time that the server asks for. When the pause would end
    after the call's deadline, the call is not retried. With the defaults, it is the call's timeout that ends the
    retries. With several servers, a call goes to the next server without a pause, until each of them has failed.

    Retries are safe because every change of a secret carries a `request_id`: the server makes the change once and
    returns the stored outcome for every repeat. A call that has no `request_id`, such as `access.create_key` and
    `secrets.claim_rotation`, is never retried; but while nothing was sent, since a server cannot be reached, it goes to
    the next server. A watch continues by itself, with the same pauses.
    """

    attempts: int = 20
    """The number of attempts in all, including the first, if the call's timeout leaves time for them. 1: no retries."""
    first_delay: float = 0.1
    """The longest pause before the first retry, in seconds."""
    factor: float = 2.0
    """The factor by which the pauses grow."""
    longest_delay: float = 5.0
    """The upper limit of the pauses, in seconds, before the time that the server asks for is added."""


class Attempts:
    """The attempts of one call: counts them, and knows the time that is left."""

    def __init__(
        self, policy: RetryPolicy, budget: float, clock: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        """`budget` is in seconds, for all attempts. `clock` returns seconds, `jitter` a number from 0 to 1."""
        self._policy = policy
        self._clock = clock
        self._jitter = jitter
        self._end = clock() + budget
        self._made = 0
        self.renewed = False
        """Whether an attempt was made again because the credential was renewed."""
        self.tried: list[Server] = []
        """The servers that failed since the last pause."""

    def time_left(self) -> float:
        """Returns the seconds until the deadline. 0: the deadline has passed."""
        return max(self._end - self._clock(), 0.0)

    def pause_after(self, error: StrongroomError) -> float | None:
        """Returns the seconds to wait before the next attempt. None: there is no next attempt, so raise the error."""
        self._made += 1
        if self._made >= self._policy.attempts or not _is_transient(error):
            return None
        backoff = self._policy.first_delay * self._policy.factor ** (self._made - 1)
        pause = min(backoff, self._policy.longest_delay) * (0.5 + self._jitter() / 2) + (error.retry_after or 0.0)
        return pause if pause < self.time_left() else None


def _is_transient(error: StrongroomError) -> bool:
    if error.code is grpc.StatusCode.UNAVAILABLE or error.reason in ("CONTENDED", "TOO_MANY_REQUESTS"):
        return True
    return error.retry_after is not None and error.reason != "QUOTA_EXCEEDED"
