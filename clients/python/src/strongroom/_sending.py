"""The base of the sync and the async transport: everything except the waiting."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import grpc

from strongroom._call import Call
from strongroom._credential import Credential
from strongroom._errors import exception_from
from strongroom._retry import Attempts, RetryPolicy
from strongroom._settings import Settings
from strongroom._watch_calls import Progress
from strongroom.exceptions import AuthenticationError, StrongroomError
from strongroom.models import SecretEvent

__all__ = ["Metadata", "Sending"]

Metadata = tuple[tuple[str, str], ...]


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
        self._credential = Credential(settings.api_key, settings.credential_file)

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

    def metadata(self) -> Metadata:
        """Returns the gRPC metadata of the next attempt: the credential as it is now."""
        credential = self._credential.current()
        return (("authorization", f"Bearer {credential}"),) if credential else ()

    def renewed(self, failure: StrongroomError | None, sent: Metadata) -> bool:
        """Whether the server refused the credential of `sent`, and its file has another one by now."""
        if not isinstance(failure, AuthenticationError) or not sent:
            return False
        return self._credential.replaced(sent[0][1].partition(" ")[2])

    def progress(self, call: Call[SecretEvent]) -> Progress:
        """Returns the progress of a new watch."""
        return Progress(call, self._retry, self._jitter)

    def failure(self, error: grpc.RpcError, call: Call[Any]) -> StrongroomError:
        """Returns the exception for a failed attempt.

        Raise it outside the `except` block. Inside it, Python would keep the error of gRPC as the context, and the
        traceback of that error holds the request.
        """
        return exception_from(error, server=str(self.settings.endpoint), sent_request_id=call.request_id)
