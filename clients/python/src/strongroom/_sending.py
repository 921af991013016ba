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
from strongroom._problems import explain, was_not_sent
from strongroom._retry import Attempts, RetryPolicy
from strongroom._servers import Server, Servers
from strongroom._settings import Settings
from strongroom._token import TokenKeeper
from strongroom.exceptions import AuthenticationError, ClosedError, DeadlineExceededError, StrongroomError

__all__ = ["LONGEST_SILENCE", "Metadata", "Sending"]

Metadata = tuple[tuple[str, str], ...]

LONGEST_SILENCE = 90.0
"""A stream of a watch that is silent for longer than this, in seconds, is dead: the server sends a bookmark at least
every 30 seconds."""

# Reasons of UNAVAILABLE that are not about the server that answered, so that another one would say the same.
_NOT_OF_SERVER = ("ISSUER_UNAVAILABLE", "WATCH_LAGGED")


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
        self.longest_silence = LONGEST_SILENCE
        self.retry = retry
        self._clock = clock
        self.jitter = jitter
        self._tokens = TokenKeeper() if settings.token_source is not None else None
        self._credential = Credential(settings.api_key, settings.credential_file)
        self._fixed: Metadata | None = None
        if self._tokens is None and settings.credential_file is None:
            self._fixed = bearer(settings.api_key)

    def begin(self, call: Call[Any]) -> Attempts:
        """Starts a call and returns its attempts. Raises `ClosedError` when the client is closed."""
        self.check_open()
        budget = self.settings.timeout if call.timeout is None else call.timeout
        policy = self.retry if call.repeatable else RetryPolicy(attempts=1)
        return Attempts(policy, budget, self._clock, self.jitter)

    def check_open(self) -> None:
        """Raises `ClosedError` when the client is closed."""
        if self.closed:
            raise ClosedError("The client is closed: make a new one.")

    def stored_metadata(self) -> Metadata | None:
        """Returns the gRPC metadata of the next attempt. None: the token source must be asked for a token."""
        if self._fixed is not None:
            return self._fixed
        if self._tokens is not None:
            text = self._tokens.kept()
            return bearer(text) if text else None
        return bearer(self._credential.current())

    def renewed(self, failure: StrongroomError | None, sent: Metadata) -> bool:
        """Whether the server refused the credential of `sent`, and there can be another one by now."""
        if not isinstance(failure, AuthenticationError) or not sent:
            return False
        text = sent[0][1].partition(" ")[2]
        if self._tokens is not None:
            self._tokens.refused(text)
            return True
        return self._credential.replaced(text)

    def failed(
        self, error: grpc.RpcError, call: Call[Any], servers: Servers, server: Server
    ) -> tuple[StrongroomError, bool]:
        """Notes that an attempt failed. Returns the exception, and whether the request was not sent at all.

        Raise the exception outside the `except` block. Inside it, Python would keep the error of gRPC as the context,
        and the traceback of that error holds the request.
        """
        code, text = error.code(), error.details() or ""
        not_sent = was_not_sent(code, text)
        if not_sent:
            servers.failed(server, text)
        rpc = type(call.request).__name__[: -len("Request")]

        def message(code: grpc.StatusCode, text: str) -> str:
            return explain(code, text, rpc, server.endpoint, servers.problems())

        failure = exception_from(error, explain=message, sent_request_id=call.request_id)
        if is_of_server(failure):
            if not not_sent:
                servers.failed(server, None)
        elif failure.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
            server.succeeded()
        if self.closed:
            failure = ClosedError("The client was closed during the call: make a new one.")
        return failure, not_sent

    def pause_after(
        self,
        attempts: Attempts,
        failure: StrongroomError,
        sent: Metadata,
        *,
        servers: Servers,
        server: Server,
        not_sent: bool,
    ) -> float | None:
        """Returns the seconds to wait before the next attempt. None: there is no next attempt, so raise the error."""
        if not attempts.renewed and self.renewed(failure, sent):
            # A refused call changed nothing, so that any call can be sent again.
            attempts.renewed = True
            return 0.0
        attempts.tried.append(server)
        another = is_of_server(failure) and servers.another(attempts.tried)
        if another and not_sent:
            # Nothing was sent, so this was no attempt.
            return 0.0
        pause = attempts.pause_after(failure)
        if another and pause is not None:
            return 0.0
        attempts.tried.clear()
        return pause

    def overdue(self) -> DeadlineExceededError:
        """Returns the error for a token source that takes longer than the call has."""
        return DeadlineExceededError(
            "The token source did not return a token in time.", code=grpc.StatusCode.DEADLINE_EXCEEDED
        )


def bearer(credential: str) -> Metadata:
    """Returns the metadata that sends a credential. Empty: the client certificate is the credential."""
    return (("authorization", f"Bearer {credential}"),) if credential else ()


def is_of_server(failure: StrongroomError) -> bool:
    """Whether another server may do better."""
    return failure.code is grpc.StatusCode.UNAVAILABLE and failure.reason not in _NOT_OF_SERVER
