"""The client for ordinary code. `strongroom.aio` has the client for `async` code."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TypeVar

from typing_extensions import Concatenate, ParamSpec

from strongroom import _access_calls as access_calls
from strongroom import _audit_calls as audit_calls
from strongroom import _binding_calls as binding_calls
from strongroom import _list_calls as list_calls
from strongroom import _namespace_calls as namespace_calls
from strongroom import _reference_calls as reference_calls
from strongroom import _rotation_calls as rotation_calls
from strongroom import _secret_calls as secret_calls
from strongroom import _version_calls as version_calls
from strongroom import _watch_calls as watch_calls
from strongroom._cache import Cache
from strongroom._cache_state import DEFAULT_SERVE_STALE, DEFAULT_SIZE
from strongroom._call import Call, Page, Scope, call_after
from strongroom._documentation import document, item_of, result_of
from strongroom._retry import RetryPolicy
from strongroom._sending import Sending
from strongroom._settings import DEFAULT_TIMEOUT, Path, Settings
from strongroom._stream import Progress
from strongroom._token import TokenSource
from strongroom._transport import Transport, Watch

__all__ = ["Access", "Audit", "Cache", "References", "Secrets", "Strongroom", "Watch"]

P = ParamSpec("P")
Item = TypeVar("Item")
Result = TypeVar("Result")


class _Resource:
    """The base of the groups of methods: the secrets, the API keys, the documents."""

    def __init__(self, transport: Transport, scope: Scope) -> None:
        self._transport = transport
        self._scope = scope


def _method(build: Callable[Concatenate[Scope, P], Call[Result]]) -> Callable[Concatenate[_Resource, P], Result]:
    """Returns the method that sends the call of `build` and waits for its result."""

    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return self._transport.send(build(self._scope, *args, **kwargs))

    document(method, build)
    return method


def _pages(
    build: Callable[Concatenate[Scope, P], Call[Page[Item]]],
) -> Callable[Concatenate[_Resource, P], Iterator[Item]]:
    """Returns the method that iterates over all pages: it sends the call of `build`, then a call for each next page."""

    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Item]:
        return items(self._transport, build(self._scope, *args, **kwargs))

    def items(transport: Transport, call: Call[Page[Item]] | None) -> Iterator[Item]:
        while call is not None:
            page = transport.send(call)
            yield from page.items
            call = call_after(call, page)

    document(method, build, returns=f"Iterator[{item_of(build)}]")
    return method


def _watch(
    build: Callable[Concatenate[Scope, P], Call[Item]],
    progress: Callable[[Call[Item], Sending], Progress[Item]],
) -> Callable[Concatenate[_Resource, P], Watch[Item]]:
    """Returns the method that makes a watch with the call of `build`."""

    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> Watch[Item]:
        return Watch(self._transport, progress(build(self._scope, *args, **kwargs), self._transport))

    document(method, build, returns=f"Watch[{result_of(build)}]")
    return method


def _whole_list(
    build: Callable[Concatenate[Scope, P], Call[Page[Item]]],
) -> Callable[Concatenate[_Resource, P], list[Item]]:
    """Returns the method that returns the items of all pages: it sends a call for each page."""

    def method(self: _Resource, /, *args: P.args, **kwargs: P.kwargs) -> list[Item]:
        items: list[Item] = []
        call: Call[Page[Item]] | None = build(self._scope, *args, **kwargs)
        while call is not None:
            page = self._transport.send(call)
            items += page.items
            call = call_after(call, page)
        return items

    document(method, build, returns=f"list[{item_of(build)}]")
    return method


class Secrets(_Resource):
    """The secrets of a namespace: `client.secrets`.

    These arguments mean the same in every method:

    - `namespace`: the namespace of the secret. None: the client's namespace; when the client has none, the home
      namespace of the API key.
    - `timeout`: seconds for the call with all its retries. None: the client's timeout.
    - `cached`: True accepts an answer that can lack the changes of the last seconds: 5 at most, unless the server is
      configured otherwise. It is faster where many replicas of the server share a store. False: the answer shows every
      change that was acknowledged before the call.
    - `min_revision`: the `revision` of an earlier result. The call then sees the effects of that call, whichever
      replica of the server answers. 0: any revision, which in a change is the latest one.
    - `etag`: the `etag` of a secret that was read before. The change is made only if the secret has not changed since.
      Empty: the change is made in any case.
    - `request_id`: a UUID of this change. When the same change comes again with the same id within 24 hours, the server
      returns the stored outcome and changes nothing. None: the client makes a new id for each call, so that its retries
      are safe (see `RetryPolicy`). Pass your own id to repeat a change after a crash.

    Every method can raise `AuthenticationError`, `PermissionDeniedError`, `ValidationError`, `UnavailableError`,
    `DeadlineExceededError`, `LimitExceededError`, `NotServedError` and `InternalError`, and `TypeError` for an argument
    of the wrong type. The docstring of a method lists its further errors.
    """

    create = _method(secret_calls.create)
    get = _method(secret_calls.get)
    batch_get = _method(secret_calls.batch_get)
    list = _method(list_calls.list_)
    iterate = _pages(list_calls.iterate)
    list_namespaces = _method(namespace_calls.list_namespaces)
    iterate_namespaces = _pages(namespace_calls.iterate_namespaces)
    update = _method(secret_calls.update)
    delete = _method(secret_calls.delete)
    undelete = _method(secret_calls.undelete)
    rotate = _method(secret_calls.rotate)
    promote = _method(rotation_calls.promote)
    acknowledge = _method(rotation_calls.acknowledge)
    claim_rotation = _method(rotation_calls.claim_rotation)
    release_rotation = _method(rotation_calls.release_rotation)
    watch = _watch(watch_calls.watch, watch_calls.SecretProgress)
    versions = _method(version_calls.versions)
    disable_version = _method(version_calls.disable_version)
    enable_version = _method(version_calls.enable_version)
    destroy_version = _method(version_calls.destroy_version)


class Access(_Resource):
    """API keys, roles, bindings, and the identity of the caller: `client.access`.

    `timeout` means the same in every method: seconds for the call with all its retries. None: the client's timeout.

    Every method can raise the errors that every method of `Secrets` can raise. The docstring of a method lists its
    further errors.
    """

    create_key = _method(access_calls.create_key)
    list_keys = _whole_list(access_calls.list_keys)
    revoke_key = _method(access_calls.revoke_key)
    rotate_key = _method(access_calls.rotate_key)
    create_role = _method(binding_calls.create_role)
    list_roles = _method(binding_calls.list_roles)
    delete_role = _method(binding_calls.delete_role)
    create_binding = _method(binding_calls.create_binding)
    list_bindings = _whole_list(binding_calls.list_bindings)
    delete_binding = _method(binding_calls.delete_binding)
    explain = _method(binding_calls.explain)
    whoami = _method(access_calls.whoami)


class Audit(_Resource):
    """The audit log: who did what, and the proof that the log was not changed. Needs the right `audit`: `client.audit`.

    Each server has a log of its own. With several servers, name one: the records are those of the server that answers.

    `timeout` means the same in every method: seconds for the call with all its retries. None: the client's timeout.

    Every method can raise the errors that every method of `Secrets` can raise.
    """

    list = _method(audit_calls.list_)
    iterate = _pages(audit_calls.iterate)
    watch = _watch(audit_calls.watch, audit_calls.AuditProgress)
    checkpoint = _method(audit_calls.checkpoint)
    inclusion_proof = _method(audit_calls.inclusion_proof)
    consistency_proof = _method(audit_calls.consistency_proof)
    find_names = _method(audit_calls.find_names)


class References(_Resource):
    """Documents with references to secrets. The client offers the method as `client.resolve`."""

    resolve = _method(reference_calls.resolve)


class Strongroom:
    """A client of a Strongroom server. Many threads can use it at once. It connects at the first call.

        with Strongroom(api_key="srk_…") as client:
            print(client.secrets.get(name="stripe_api_key").value)

    An argument takes precedence over its environment variable.

    Args:
        api_key: The API key. None: STRONGROOM_API_KEY, or else the content of the file STRONGROOM_API_KEY_FILE.
        server: `https://host:port` (TLS), `http://host:port` (plaintext) or `host:port`. Without a port it is 50051.
            Without a scheme it is plaintext when the host is this machine and there is neither a CA file nor a client
            certificate, and TLS otherwise. A list, or a text with commas, names several servers of one store: the
            client keeps a connection to each, asks each for its health, and sends calls in turn to those that answer.
            None: STRONGROOM_SERVER, or else 127.0.0.1:50051.
        namespace: The namespace of calls that name none. None: STRONGROOM_NAMESPACE, or else the home namespace of the
            API key.
        ca_cert: A PEM file with the certificates to trust. None: STRONGROOM_CA_CERT, or else the certificates of the
            system.
        insecure_plaintext: Whether `http://` may name another machine. Others on the network can then read API keys
            and values.
        api_key_file: A file with the API key, instead of `api_key`. It is read again when it changes, and once when the
            server refuses the key. So is the file of STRONGROOM_API_KEY_FILE.
        token_file: A file with a token (JWT), instead of `api_key`. It is read again like `api_key_file`.
        token_source: A function that returns a token (JWT) as `Token` or str, instead of `api_key`. It is called again
            before the token expires, and once when the server refuses it.
        client_cert: A PEM file with the client's certificate. When no API key and no token are passed, it is the only
            credential: the API key of the environment is not used. None: STRONGROOM_CLIENT_CERT, where no credential is
            passed.
        client_key: A PEM file with the private key of `client_cert`. None: STRONGROOM_CLIENT_KEY, where no credential
            is passed.
        timeout: Seconds for a call with all its retries.
        retry: How often a failed call is retried. None: `RetryPolicy()`.

    Raises:
        AuthenticationError: There is no API key.
        ConfigurationError: An argument or an environment variable cannot be used. It is a `ValidationError`.
        TypeError: An argument has the wrong type.

    Attributes:
        secrets: The secrets: see `Secrets`.
        access: The API keys: see `Access`.
        audit: The audit log: see `Audit`.
        whoami: The method `Access.whoami`.
        resolve: The method `References.resolve`.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        server: str | Sequence[str] | None = None,
        namespace: str | None = None,
        ca_cert: Path | None = None,
        insecure_plaintext: bool = False,
        api_key_file: Path | None = None,
        token_file: Path | None = None,
        token_source: TokenSource | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
    ) -> None:
        settings = Settings.resolve(
            api_key,
            server,
            namespace,
            ca_cert,
            timeout,
            os.environ,
            insecure_plaintext=insecure_plaintext,
            api_key_file=api_key_file,
            token_file=token_file,
            token_source=token_source,
            client_cert=client_cert,
            client_key=client_key,
        )
        self._scope = scope = Scope(settings.namespace)
        self._transport = Transport(settings, retry or RetryPolicy())
        self.secrets = Secrets(self._transport, scope)
        self.access = Access(self._transport, scope)
        self.audit = Audit(self._transport, scope)
        self.whoami = self.access.whoami
        self.resolve = References(self._transport, scope).resolve

    def cached(self, *, serve_stale: float = DEFAULT_SERVE_STALE, size: int = DEFAULT_SIZE) -> Cache:
        """Returns a cache of secrets, which is filled as they are read and kept fresh by a watch: see `Cache`.

        Args:
            serve_stale: For how many seconds the cache serves the last known values after the connection is lost. 0:
                not at all.
            size: How many secrets of one namespace the cache holds at most.
        """
        return Cache(self._transport, self._scope, serve_stale, size)

    def close(self) -> None:
        """Closes the connection. Later calls raise `ClosedError`. A second close does nothing."""
        self._transport.close()

    def __enter__(self) -> Strongroom:
        """Returns the client. It is closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the connection."""
        self.close()

    def __repr__(self) -> str:
        """The server and the namespace of the client, without the API key."""
        transport = getattr(self, "_transport", None)
        name = type(self).__name__
        return f"{name}(not set up)" if transport is None else transport.settings.describe(name)
