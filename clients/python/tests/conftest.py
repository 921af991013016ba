"""The servers that the tests run against, and clients of these servers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fake import ROOT_KEY, Fake, serving
from servers import Server, fresh_namespace

from strongroom import AsyncStrongroom, Strongroom

NAMES = ("STRONGROOM_SERVER", "STRONGROOM_API_KEY", "STRONGROOM_API_KEY_FILE", "STRONGROOM_NAMESPACE")
LIVE = {name: os.environ.get(name, "") for name in (*NAMES, "STRONGROOM_CA_CERT")}
OTHERS = ("STRONGROOM_CLIENT_CERT", "STRONGROOM_CLIENT_KEY")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that a test does not pass must not come from the shell that runs the test."""
    for name in (*LIVE, *OTHERS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def fake_server(fake: Fake) -> Iterator[Server]:
    with serving(fake) as port:
        yield Server(f"127.0.0.1:{port}", ROOT_KEY, fresh_namespace())


@pytest.fixture(params=["fake", "live"])
def server(request: pytest.FixtureRequest) -> Server:
    """The fake server, and the real server of STRONGROOM_SERVER, whose root key is STRONGROOM_API_KEY."""
    if request.param == "fake":
        fake_server: Server = request.getfixturevalue("fake_server")
        return fake_server
    if not (LIVE["STRONGROOM_SERVER"] and LIVE["STRONGROOM_API_KEY"]):
        missing = "needs a server: set STRONGROOM_SERVER, and STRONGROOM_API_KEY to its root key"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return Server(
        LIVE["STRONGROOM_SERVER"],
        LIVE["STRONGROOM_API_KEY"],
        fresh_namespace(),
        LIVE["STRONGROOM_CA_CERT"] or None,
    )


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Any:
    """The class of the client."""
    return Strongroom if request.param == "sync" else AsyncStrongroom


@pytest.fixture
async def client(kind: Any, server: Server) -> AsyncIterator[Any]:
    """A client with the root key, in the test's namespace."""
    made = kind(**server.arguments())
    yield made
    closing = made.close()
    if closing is not None:
        await closing
