"""The client for ordinary code. `strongroom.aio` is the same for `async` code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import grpc
from typing_extensions import Concatenate, ParamSpec

from strongroom import _access_calls as access_calls
from strongroom import _reference_calls as reference_calls
from strongroom import _secret_calls as secret_calls
from strongroom import _version_calls as version_calls
from strongroom._call import Call, Scope, Stubs
from strongroom._channel import channel
from strongroom._documentation import document
from strongroom._retry import RetryPolicy
from strongroom._sending import Sending
from strongroom._settings import DEFAULT_TIMEOUT, Path, Settings
from strongroom.models import Secret, SecretPage

__all__ = ["Access", "References", "Secrets", "Strongroom"]

P = ParamSpec("P")
Result = TypeVar("Result")


class Transport(Sending):
    """Sends calls, and waits for their replies."""

    def __init__(
        self, settings: Settings, retry: RetryPolicy, *, sleep: Callable[[float], Any] = time.sleep, **clocks: Any
    ) -> None:
        """`sleep` is there to be replaced by tests, as are the `clocks` of `Sending`."""
        super().__init__(settings, retry, **clocks)
        self._sleep = sleep
        self._channel = channel(settings)
        self._stubs = Stubs(self._channel)

    def send(self, call: Call[Result]) -> Result:
        """Makes the call, and makes it again as the retry policy says."""
        attempts = self.begin(call)
        rpc = call.rpc(self._stubs)
        while True:
            try:
                reply = rpc(call.request, timeout=attempts.time_left(), metadata=self._metadata)
            except grpc.RpcError as error:
                failure = self.failure(error, call)
            else:
                return call.read(reply)
            pause = attempts.pause_after(failure)
            if pause is None:
                raise failure
            self._sleep(pause)

    def close(self) -> None:
        """Closes the connection; again, does nothing."""
        self.closed = True
        self._channel.close()


class _Resource:
    """A part of the service."""

    def __init__(self, transport: Transport, scope: Scope) -> None:
        self._transport = transport
        self._scope = scope


def _method(build: Callable[Concatenate[Scope, P], Call[Result]]) -> Callable[Concatenate[_Resource, P], Result]:
    """The method that makes the call and waits for its result."""

    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return self._transport.send(build(self._scope, *args, **kwargs))

    document(method, build)
    return method


def _pages(
    build: Callable[Concatenate[Scope, P], Call[SecretPage]],
) -> Callable[Concatenate[_Resource, P], Iterator[Secret]]:
    """The method that makes the call and those for the pages behind, as its result is iterated."""

    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Secret]:
        return items(self._transport, build(self._scope, *args, **kwargs))

    def items(transport: Transport, call: Call[SecretPage] | None) -> Iterator[Secret]:
        while call is not None:
            page = transport.send(call)
            yield from page.items
            call = secret_calls.page_after(call, page)

    document(method, build, returns="Iterator[Secret]")
    return method


class Secrets(_Resource):
    """The secrets of a namespace.

    Every method takes `namespace` (left out: the client's, and without one the API key's home namespace) and `timeout`
    (seconds for all attempts together; left out: the client's). Beside what its own text names, each can raise
    `AuthenticationError`, `PermissionDeniedError`, `ValidationError`, `UnavailableError`, `DeadlineExceededError`,
    `LimitExceededError` and `InternalError`, and `TypeError` for an argument of a wrong type.

    Methods that change something send a `request_id`, a UUID, and take one to repeat an earlier call: the server gives
    the same id the first outcome for 24 hours, and changes nothing. Left out, each call has a new one, so that it can
    safely be retried (see `RetryPolicy`).
    """

    create = _method(secret_calls.create)
    get = _method(secret_calls.get)
    list = _method(secret_calls.list_)
    iterate = _pages(secret_calls.iterate)
    update = _method(secret_calls.update)
    delete = _method(secret_calls.delete)
    rotate = _method(secret_calls.rotate)
    versions = _method(version_calls.versions)
    disable_version = _method(version_calls.disable_version)
    enable_version = _method(version_calls.enable_version)
    destroy_version = _method(version_calls.destroy_version)


class Access(_Resource):
    """The API keys, and who the caller is.

    Every method takes `timeout` (seconds for all attempts together; left out: the client's). Beside what its own text
    names, each can raise the errors that those of `Secrets` can.
    """

    create_key = _method(access_calls.create_key)
    list_keys = _method(access_calls.list_keys)
    revoke_key = _method(access_calls.revoke_key)
    whoami = _method(access_calls.whoami)


class References(_Resource):
    """Documents that refer to secrets. Its method is the client's own `resolve`."""

    resolve = _method(reference_calls.resolve)


class Strongroom:
    """A client of a Strongroom server. May be used by many threads at once. Connects at the first call.

        with Strongroom(api_key="srk_…") as client:
            print(client.secrets.get(name="stripe_api_key").value)

    - `api_key`: or STRONGROOM_API_KEY, or the file that STRONGROOM_API_KEY_FILE names.
    - `server`: `host:port`, `http://host:port` (plaintext) or `https://host:port` (TLS); or STRONGROOM_SERVER, or
      127.0.0.1:50051. A bare `host:port` is plaintext only on a loopback host and without a CA; otherwise it is TLS.
    - `namespace`: what calls that name none mean; or STRONGROOM_NAMESPACE, or the API key's home namespace.
    - `ca_cert`: a PEM file of the certificates to trust; or STRONGROOM_CA_CERT, or the system's.
    - `timeout`: seconds for a call with all its retries.
    - `retry`: how often a failed call is made again, see `RetryPolicy`.

    Arguments win over the environment. Raises `AuthenticationError` when there is no API key, `ValidationError` for an
    argument or a variable that can not be used.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        server: str | None = None,
        namespace: str | None = None,
        ca_cert: Path | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
    ) -> None:
        settings = Settings.resolve(api_key, server, namespace, ca_cert, timeout, os.environ)
        scope = Scope(settings.namespace)
        self._transport = Transport(settings, retry or RetryPolicy())
        self.secrets = Secrets(self._transport, scope)
        self.access = Access(self._transport, scope)
        self.whoami = self.access.whoami
        self.resolve = References(self._transport, scope).resolve

    def close(self) -> None:
        """Closes the connection. Calls after it are refused; a second close does nothing."""
        self._transport.close()

    def __enter__(self) -> Strongroom:
        """The client itself, closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the connection."""
        self.close()

    def __repr__(self) -> str:
        """Where it goes; not the API key."""
        return self._transport.settings.describe(type(self).__name__)
