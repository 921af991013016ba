"""What a client says when it cannot use a server: each message tells what to do. Through both clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from both import done
from fake import ROOT_KEY, Fake, serving
from refusals import Refusal
from servers import Server

from strongroom import RetryPolicy
from strongroom._endpoint import Endpoint
from strongroom._problems import explain
from strongroom.exceptions import (
    AuthenticationError,
    NotServedError,
    StrongroomError,
    UnavailableError,
)

Code = grpc.StatusCode
ONCE = RetryPolicy(attempts=1)


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    return made


def credentials(authority: trustme.CA, *names: str, **times: Any) -> grpc.ServerCredentials:
    issued = authority.issue_cert(*names, **times)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])


async def problem(kind: Any, server: str, **settings: Any) -> StrongroomError:
    """Makes a call, and returns its error."""
    client = kind(**{"api_key": ROOT_KEY, "server": server, "retry": ONCE, **settings})
    with pytest.raises(StrongroomError) as caught:
        await done(client.whoami())
    await done(client.close())
    assert ROOT_KEY not in str(caught.value)
    return caught.value


async def test_an_authority_that_does_not_match(kind: Any, authority: trustme.CA, tmp_path: Path) -> None:
    with serving(Fake(), credentials(authority, "localhost")) as port:
        error = await problem(kind, f"https://localhost:{port}", ca_cert=tmp_path / "other.pem")
    assert isinstance(error, UnavailableError)
    assert "is not signed by an authority that this client trusts" in str(error)
    assert "ca_cert=" in str(error)


async def test_a_certificate_that_has_expired(kind: Any, authority: trustme.CA, tmp_path: Path) -> None:
    now = datetime.now(timezone.utc)
    times = {"not_before": now - timedelta(days=2), "not_after": now - timedelta(days=1)}
    with serving(Fake(), credentials(authority, "localhost", **times)) as port:
        error = await problem(kind, f"https://localhost:{port}", ca_cert=tmp_path / "ca.pem")
    assert "has expired or is not yet valid: renew it" in str(error)


async def test_a_certificate_for_another_name(kind: Any, authority: trustme.CA, tmp_path: Path) -> None:
    with serving(Fake(), credentials(authority, "other.example")) as port:
        error = await problem(kind, f"https://localhost:{port}", ca_cert=tmp_path / "ca.pem")
    assert "is for other names" in str(error)


async def test_plaintext_where_tls_is(kind: Any, authority: trustme.CA) -> None:
    with serving(Fake(), credentials(authority, "localhost")) as port:
        error = await problem(kind, f"http://localhost:{port}")
    assert f"if it uses TLS, use the address https://localhost:{port}" in str(error)


async def test_tls_where_plaintext_is(kind: Any, authority: trustme.CA, tmp_path: Path) -> None:
    with serving(Fake()) as port:
        error = await problem(kind, f"https://127.0.0.1:{port}", ca_cert=tmp_path / "ca.pem")
    assert f"does not use TLS: turn TLS on there, or use the address http://127.0.0.1:{port}" in str(error)


@pytest.fixture
def closing() -> Iterator[str]:
    """The address of a server that closes each connection at once."""
    with ThreadPoolExecutor(1) as pool, socket.create_server(("127.0.0.1", 0)) as listener:

        def close_all() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.close()

        pool.submit(close_all)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


async def test_a_server_that_closes_the_connection(
    kind: Any, closing: str, authority: trustme.CA, tmp_path: Path
) -> None:
    assert f"https://{closing}" in str(await problem(kind, closing))
    error = await problem(kind, f"https://{closing}", ca_cert=tmp_path / "ca.pem")
    assert f"http://{closing}" in str(error)


async def test_an_older_server_without_the_call(kind: Any) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    error = await problem(kind, f"127.0.0.1:{port}")
    server.stop(None).wait()
    assert (type(error), error.code, error.reason) == (NotServedError, Code.UNIMPLEMENTED, None)
    assert "does not serve WhoAmI: it is of an older release than this client, or no Strongroom" in str(error)


async def test_an_expired_key(kind: Any, fake_server: Server, fake: Fake) -> None:
    fake.refusals = [Refusal(Code.UNAUTHENTICATED, "CREDENTIAL_EXPIRED", "The API key has expired: ask for a new one.")]
    error = await problem(kind, fake_server.address)
    assert (type(error), str(error)) == (AuthenticationError, "The API key has expired: ask for a new one.")


class Foreign(grpc.GenericRpcHandler):
    """A server that is no Strongroom: it answers each call with the status of a proxy."""

    def service(self, handler_call_details: Any) -> Any:
        def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
            context.abort(Code.PERMISSION_DENIED, "RBAC: access denied")
            return b""

        return grpc.unary_unary_rpc_method_handler(refuse)


async def test_an_answer_that_is_not_one_of_strongroom(kind: Any) -> None:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Foreign()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    error = await problem(kind, f"127.0.0.1:{port}")
    server.stop(None).wait()
    assert "is not one of Strongroom: check the address, and proxies on the way" in str(error)
    assert "RBAC: access denied." in str(error)


def test_the_texts_that_no_test_above_makes() -> None:
    secure, plain = Endpoint("a.example", 1, True, False), Endpoint("127.0.0.1", 1, False, True)

    def text(server: Endpoint, cause: str) -> str:
        cause = f"failed to connect to all addresses; last error: UNKNOWN: {cause}"
        return explain(Code.UNAVAILABLE, cause, "GetSecret", server, [(server, cause)])

    assert "accepts the client certificate" in text(secure, "Tls handshake failed: SSLV3_ALERT_BAD_CERTIFICATE")
    assert "cannot be reached" in text(plain, "connection attempt timed out before receiving SETTINGS frame")
    # No test asks a name server.
    unknown = "errors resolving a.example:1: [field:hostname lookup error:Domain name not found]"
    assert "is not known: check the address" in explain(
        Code.UNAVAILABLE, unknown, "GetSecret", secure, [(secure, unknown)]
    )
    broke = explain(Code.UNAVAILABLE, "Connection reset by peer", "GetSecret", plain, [(plain, None)])
    assert "The connection to the server at 127.0.0.1:1 broke" in broke
    late = explain(Code.DEADLINE_EXCEEDED, "Deadline Exceeded", "GetSecret", plain, [(plain, None)])
    assert "did not answer in time" in late
    known = explain(Code.DEADLINE_EXCEEDED, "Deadline Exceeded", "GetSecret", plain, [(plain, "Connection refused")])
    assert "cannot be reached" in known
