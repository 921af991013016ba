"""What the sync and the async transport have in common: all but the waiting."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import grpc

from strongroom._call import Call
from strongroom._channel import call_metadata
from strongroom._errors import exception_from
from strongroom._retry import Attempts, RetryPolicy
from strongroom._settings import Settings
from strongroom.exceptions import StrongroomError

__all__ = ["Sending"]


class Sending:
    """The base of both transports. `clock` and `jitter` are there to be replaced by tests."""

    def __init__(
        self,
        settings: Settings,
        retry: RetryPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Connects to nothing yet."""
        self.settings = settings
        self.closed = False
        self._retry = retry
        self._clock = clock
        self._jitter = jitter
        self._metadata = call_metadata(settings)

    def begin(self, call: Call[Any]) -> Attempts:
        """The attempts of a call that begins now."""
        if self.closed:
            raise StrongroomError("The client is closed: make a new one.")
        budget = self.settings.timeout if call.timeout is None else call.timeout
        policy = self._retry if call.repeatable else RetryPolicy(attempts=1)
        return Attempts(policy, budget, self._clock, self._jitter)

    def failure(self, error: grpc.RpcError, call: Call[Any]) -> StrongroomError:
        """The exception for a failed attempt.

        It is to be raised outside of the `except` block: the error of gRPC, whose traceback holds the request, is then
        not its context.
        """
        return exception_from(error, server=str(self.settings.endpoint), sent_request_id=call.request_id)
