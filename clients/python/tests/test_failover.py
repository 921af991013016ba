"""Several servers of one store, through both clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from both import done, until
from fake import ROOT_KEY, Fake, serving
from health import Health
from refusals import Refusal

from strongroom import RetryPolicy
from strongroom.exceptions import UnavailableError, ValidationError
from strongroom.v1 import secret_pb2

Code = grpc.StatusCode
ONCE = RetryPolicy(attempts=1)


@pytest.fixture
def dead() -> Iterator[str]:
    """An address that nobody listens on. It is bound, so nobody else can get it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


class Two:
    """Two fakes, each with an address of its own."""

    def __init__(self) -> None:
        self.fakes = [Fake(), Fake()]
        self.health = [Health(), Health()]
        self.stacks = [ExitStack(), ExitStack()]
        ports = [
            stack.enter_context(serving(fake, health=health))
            for stack, fake, health in zip(self.stacks, self.fakes, self.health)
        ]
        self.addresses = [f"127.0.0.1:{port}" for port in ports]

    def requests(self) -> list[int]:
        """How many requests each of them has got since the last time."""
        counts = [len(fake.requests) for fake in self.fakes]
        for fake in self.fakes:
            fake.requests.clear()
        return counts


@pytest.fixture
def two() -> Iterator[Two]:
    made = Two()
    yield made
    for stack in made.stacks:
        stack.close()


async def test_calls_go_in_turn_to_all_servers(kind: Any, two: Two) -> None:
    client = kind(ROOT_KEY, server=two.addresses)
    for _ in range(6):
        await done(client.whoami())
    assert two.requests() == [3, 3]
    await done(client.close())


@pytest.mark.parametrize("form", [list, ",".join, tuple])
async def test_a_server_that_is_not_there_costs_nothing(kind: Any, two: Two, dead: str, form: Any) -> None:
    client = kind(ROOT_KEY, server=form([dead, two.addresses[0]]), retry=ONCE)
    for _ in range(4):
        assert (await done(client.whoami())).api_key.root
    # Neither does it for a call that is never sent twice: nothing was sent to the dead address.
    assert (await done(client.access.create_key(name="a service"))).credential
    assert two.requests() == [5, 0]
    await done(client.close())


async def test_a_server_that_goes_away(kind: Any, two: Two) -> None:
    client = kind(ROOT_KEY, server=two.addresses)
    for _ in range(2):
        await done(client.whoami())
    two.requests()
    two.stacks[0].close()
    for _ in range(4):
        await done(client.whoami())
    assert two.requests() == [0, 4]
    await done(client.close())


async def test_a_change_goes_to_the_next_server_with_the_same_request_id(kind: Any, two: Two) -> None:
    for fake in two.fakes:
        fake.refusals = [Refusal(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "Not now.")]
    client = kind(ROOT_KEY, server=two.addresses, namespace="n", retry=RetryPolicy(first_delay=0.01))
    await done(client.secrets.create(name="a_key", value="v"))
    ids = {request.request_id for fake in two.fakes for request, _ in fake.requests}
    assert len(ids) == 1
    assert sorted(two.requests()) == [1, 2]
    await done(client.close())


async def test_a_call_that_is_never_sent_twice(kind: Any, two: Two) -> None:
    for fake in two.fakes:
        fake.refusals = [Refusal(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "Not now.")]
    client = kind(ROOT_KEY, server=two.addresses)
    with pytest.raises(UnavailableError):
        await done(client.access.create_key(name="a service"))
    assert sum(two.requests()) == 1
    await done(client.close())


async def test_a_server_that_says_it_is_not_serving_gets_no_calls(kind: Any, two: Two) -> None:
    client = kind(ROOT_KEY, server=two.addresses)
    for _ in range(4):
        await done(client.whoami())
    assert two.requests() == [2, 2]
    two.health[0].say(False)

    async def left_alone() -> bool:
        for _ in range(4):
            await done(client.whoami())
        return two.requests() == [0, 4]

    await until(left_alone)
    two.health[0].say(True)

    async def back() -> bool:
        for _ in range(4):
            await done(client.whoami())
        return two.requests() == [2, 2]

    await until(back)
    await done(client.close())


async def test_no_server_serves(kind: Any, two: Two) -> None:
    for health in two.health:
        health.say(False)
    client = kind(ROOT_KEY, server=two.addresses, retry=ONCE)
    with pytest.raises(UnavailableError) as caught:
        await done(client.whoami())
    assert all(address in str(caught.value) for address in two.addresses)
    assert two.requests() == [0, 0]
    await done(client.close())


async def test_the_error_names_every_server_and_its_problem(kind: Any, two: Two, dead: str) -> None:
    for stack in two.stacks:
        stack.close()
    client = kind("srk_k", server=[dead, *two.addresses], retry=ONCE)
    with pytest.raises(UnavailableError) as caught:
        await done(client.whoami())
    assert all(f"The server at {address} cannot be reached" in str(caught.value) for address in [dead, *two.addresses])
    await done(client.close())


async def test_a_watch_goes_on_with_another_server(kind: Any, two: Two) -> None:
    for fake in two.fakes:
        fake.feed.live = True
    client = kind(ROOT_KEY, server=two.addresses, namespace="n")
    watch = client.secrets.watch(snapshot=True)
    await done(client.secrets.create(name="first", value="v"))
    first = next(fake for fake in two.fakes if fake.secrets)
    # The other server has the same store.
    second = two.fakes[1 - two.fakes.index(first)]
    second.feed.events, second.revision = first.feed.events, first.revision
    second.secrets = first.secrets
    event = await watch.__anext__() if hasattr(watch, "__anext__") else next(watch)
    assert (event.type, event.secret.name) == ("snapshot", "first")
    two.stacks[0].close()
    left = two.fakes[1]
    with left.lock:
        changed = left.secrets["n", "first"]
        left.next_revision(changed)
        left.feed.tell(secret_pb2.SECRET_EVENT_TYPE_UPDATED, changed)
    event = await watch.__anext__() if hasattr(watch, "__anext__") else next(watch)
    assert event.type == "updated"
    await done(watch.close())
    await done(client.close())


def test_addresses_that_do_not_go_together(kind: Any) -> None:
    with pytest.raises(ValidationError, match="all of them as https://"):
        kind("srk_k", server=["http://127.0.0.1:1", "https://127.0.0.1:2"])
    with pytest.raises(ValidationError, match="insecure_plaintext"):
        kind("srk_k", server="127.0.0.1:1,http://10.0.0.1:2")
    empty: list[Any] = [[], "", ","]
    for none in empty:
        with pytest.raises(ValidationError):
            kind("srk_k", server=none)
    for wrong in (b"127.0.0.1:1", 1, [1]):
        with pytest.raises(TypeError):
            kind("srk_k", server=wrong)


def test_the_environment_can_name_several(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_SERVER", "localhost:1,127.0.0.1")
    assert "server='http://localhost:1,http://127.0.0.1:50051'" in repr(kind("srk_k"))
