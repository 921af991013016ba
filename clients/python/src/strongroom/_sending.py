"""The base of the sync and the async transport: everything except the waiting."""

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
from strongroom._watch_calls import Progress
from strongroom.exceptions import StrongroomError
from strongroom.models import SecretEvent

__all__ = ["Sending"]


class Sending:
    """The base of both transports. Tests replace `clock` and `jitter`."""

    def __init__(
        self,
        settings: Settings,
        retry: RetryPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Does not connect yet."""
        self.settings = settings
        self.closed = False
        self._retry = retry
        self._clock = clock
        self._jitter = jitter
        self._metadata = call_metadata(settings)

    def begin(self, call: Call[Any]) -> Attempts:
        """Starts a call and returns its attempts. Raises `StrongroomError` when the client is closed."""
        self.check_open()
        budget = self.settings.timeout if call.timeout is None else call.timeout
        policy = self._retry if call.repeatable else RetryPolicy(attempts=1)
        return Attempts(policy, budget, self._clock, self._jitter)

    def check_open(self) -> None:
        """Raises `StrongroomError` when the client is closed."""
        if self.closed:
            raise StrongroomError("The client is closed: make a new one.")

    def progress(self, call: Call[SecretEvent]) -> Progress:
        """Returns the progress of a new watch."""
        return Progress(call, self._retry, self._jitter)

    def failure(self, error: grpc.RpcError, call: Call[Any]) -> StrongroomError:
        """Returns the exception for a failed attempt.

        Raise it outside the `except` block. Inside it, Python would keep the error of gRPC as the context, and the
        traceback of that error holds the request.
        """
        return exception_from(error, server=str(self.settings.endpoint), sent_request_id=call.request_id)
