"""The cache, through both clients, with the fake and with a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from both import done, together, until
from fake import ROOT_KEY, Fake
from refusals import Refusal
from servers import Server

from strongroom import AsyncStrongroom, Strongroom
from strongroom.exceptions import (
    AuthenticationError,
    ClosedError,
    DeadlineExceededError,
    PermissionDeniedError,
    SecretNotFoundError,
    UnavailableError,
    ValidationError,
)
from strongroom.v1 import secret_pb2

Code = grpc.StatusCode
# The last attempt is refused, or the time ends during it.
UNREACHABLE = (UnavailableError, DeadlineExceededError)

on_the_fake = pytest.mark.parametrize("server", ["fake"], indirect=True)


@pytest.fixture(autouse=True)
def live_feed(fake: Fake) -> None:
    """The streams of the fake stay open, as those of the server do."""
    fake.feed.live = True


@pytest.fixture
async def cache(client: Any) -> AsyncIterator[Any]:
    made = client.cached()
    yield made
    await done(made.close())


def reads(fake: Fake) -> int:
    return sum(type(request).__name__ == "GetSecretRequest" for request, _ in fake.requests)


async def create(client: Any, **values: str) -> None:
    for name, value in values.items():
        await done(client.secrets.create(name=name, value=value))


async def test_a_second_read_asks_nobody(client: Any, cache: Any, fake: Fake, server: Server) -> None:
    await create(client, a_key="one")
    first = await done(cache.get("a_key"))
    assert (first.value, first.version, first.value_version, first.stale) == ("one", 1, 1, False)
    asked = len(fake.requests)
    assert await done(cache.get("a_key")) == first
    assert len(fake.requests) == asked
    assert "one" not in f"{cache!r} {first!r}"


async def test_a_change_comes_by_itself(client: Any, cache: Any) -> None:
    await create(client, a_key="one")
    assert (await done(cache.get("a_key"))).value == "one"
    await done(client.secrets.rotate(name="a_key", value="two"))

    async def changed() -> bool:
        found = await done(cache.get("a_key"))
        assert not found.stale
        return bool(found.value == "two")

    await until(changed)


async def test_a_deleted_secret_is_gone(client: Any, cache: Any) -> None:
    await create(client, a_key="one", other="two")
    await done(cache.get("a_key"))
    await done(client.secrets.delete(name="a_key"))

    async def gone() -> bool:
        try:
            await done(cache.get("a_key"))
        except SecretNotFoundError:
            return True
        return False

    await until(gone)
    assert (await done(cache.get("other"))).value == "two"


async def test_a_revoked_key_empties_it(client: Any, kind: Any, server: Server, fake: Fake) -> None:
    await create(client, a_key="one")
    made = await done(client.access.create_key(name="reader", home_namespace=server.namespace, role="reader"))
    theirs = kind(**server.arguments(api_key=made.credential))
    cache = theirs.cached()
    assert (await done(cache.get("a_key"))).value == "one"
    await done(client.access.revoke_key(id=made.api_key.id))

    async def refused() -> bool:
        try:
            await done(cache.get("a_key"))
        except AuthenticationError:
            return True
        return False

    if server.root_key == ROOT_KEY:
        # The fake does not end a stream by itself when a key is revoked.
        fake.feed.cut(Refusal(Code.UNAUTHENTICATED, "CREDENTIAL_INVALID", "The key was revoked."))
    await until(refused)
    # It stays empty.
    for _ in range(3):
        assert await refused()
    await end(cache, theirs)


async def end(*parts: Any) -> None:
    for part in parts:
        await done(part.close())


@pytest.mark.parametrize("server", ["live"], indirect=True)
async def test_a_right_that_is_taken_away(client: Any, kind: Any, server: Server) -> None:
    # The fake has no bindings that count.
    await create(client, a_key="one", other="two")
    made = await done(client.access.create_key(name="reader", home_namespace=server.namespace, role="reader"))
    theirs = kind(**server.arguments(api_key=made.credential))
    cache = theirs.cached()
    assert (await done(cache.get("a_key"))).value == "one"
    await done(
        client.access.create_binding(
            principal=f"key:{made.api_key.id}",
            role="reader",
            namespace_pattern=server.namespace,
            name_pattern="a_key",
            deny=True,
        )
    )

    async def refused() -> bool:
        try:
            await done(cache.get("a_key"))
        except PermissionDeniedError:
            return True
        return False

    await until(refused)
    assert (await done(cache.get("other"))).value == "two"
    await end(cache, theirs)


@on_the_fake
async def test_the_last_known_value_while_the_server_is_away(client: Any, cache: Any, fake: Fake) -> None:
    await create(client, a_key="one")
    await done(cache.get("a_key"))
    fake.down = Refusal(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "Not now.")
    fake.feed.cut(fake.down)

    async def stale() -> bool:
        found = await done(cache.get("a_key"))
        assert found.value == "one"
        assert (found.stale_since is None) is not found.stale
        return bool(found.stale)

    await until(stale)
    # What the cache does not have cannot be read.
    with pytest.raises(UNREACHABLE):
        await done(cache.get("other", timeout=0.2))
    fake.down = None

    async def fresh() -> bool:
        return not await stale()

    await until(fresh)


@on_the_fake
async def test_no_stale_value_is_served_when_none_is_wanted(client: Any, fake: Fake) -> None:
    cache = client.cached(serve_stale=0)
    await create(client, a_key="one")
    await done(cache.get("a_key"))
    fake.down = Refusal(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "Not now.")
    fake.feed.cut(fake.down)

    async def refused() -> bool:
        try:
            await done(cache.get("a_key", timeout=0.2))
        except UNREACHABLE:
            return True
        return False

    await until(refused)
    await done(cache.close())


@on_the_fake
async def test_a_read_that_fails_before_the_watch_knows(client: Any, cache: Any, fake: Fake) -> None:
    await create(client, a_key="one")
    await done(cache.get("a_key"))
    fake.down = Refusal(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "Not now.")
    # An event says that the value is not the latest, and the server cannot tell the latest.
    with fake.lock:
        secret = next(iter(fake.secrets.values()))
        fake.next_revision(secret)
        fake.feed.tell(secret_pb2.SECRET_EVENT_TYPE_UPDATED, secret)

    async def stale() -> bool:
        return bool((await done(cache.get("a_key", timeout=0.2))).stale)

    await until(stale)


@on_the_fake
async def test_a_right_that_the_stream_ends_for(client: Any, cache: Any, fake: Fake) -> None:
    await create(client, a_key="one")
    await done(cache.get("a_key"))
    fake.down = Refusal(Code.PERMISSION_DENIED, "ACCESS_DENIED", "Not any more.")
    fake.feed.cut(Refusal(Code.ABORTED, "CONTENDED", "What this caller may do was changed."))

    async def refused() -> bool:
        try:
            await done(cache.get("a_key"))
        except PermissionDeniedError:
            return True
        return False

    await until(refused)
    fake.down = None
    # Without a watch nothing is kept, and each read asks the server.
    before = reads(fake)
    for _ in range(3):
        assert (await done(cache.get("a_key"))).value == "one"
    assert reads(fake) == before + 3


@on_the_fake
async def test_many_who_ask_make_one_read(client: Any, cache: Any, fake: Fake) -> None:
    await create(client, a_key="one", other="two")
    await done(cache.get("other"))
    before = reads(fake)
    if isinstance(client, Strongroom):
        found = await together(lambda _: cache.get("a_key"), 8)
    else:
        found = await asyncio.gather(*(cache.get("a_key") for _ in range(8)))
    assert {one.value for one in found} == {"one"}
    assert reads(fake) == before + 1


@on_the_fake
async def test_it_is_bounded(client: Any, fake: Fake) -> None:
    cache = client.cached(size=3)
    for number in range(6):
        await create(client, **{f"key_{number}": "v"})
        await done(cache.get(f"key_{number}"))
    assert "3 secrets" in repr(cache)
    await done(cache.close())


async def test_each_namespace_has_a_watch(client: Any, cache: Any, server: Server) -> None:
    other = f"{server.namespace}-other"
    await create(client, a_key="one")
    await done(client.secrets.create(name="a_key", value="two", namespace=other))
    assert (await done(cache.get("a_key"))).value == "one"
    assert (await done(cache.get("a_key", namespace=other))).value == "two"
    await done(client.secrets.rotate(name="a_key", value="three", namespace=other))

    async def changed() -> bool:
        return bool((await done(cache.get("a_key", namespace=other))).value == "three")

    await until(changed)
    assert (await done(cache.get("a_key"))).value == "one"


async def test_a_closed_cache(client: Any) -> None:
    await create(client, a_key="one")
    cache = client.cached()
    await done(cache.get("a_key"))
    await done(cache.close())
    await done(cache.close())
    with pytest.raises(ClosedError, match="cache is closed"):
        await done(cache.get("a_key"))
    # The client is still open.
    assert (await done(client.secrets.get(name="a_key"))).value == "one"


async def test_the_client_is_closed_before_the_cache(kind: Any, server: Server) -> None:
    client = kind(**server.arguments())
    await create(client, a_key="one")
    cache = client.cached()
    await done(cache.get("a_key"))
    await done(client.close())

    async def closed() -> bool:
        try:
            await done(cache.get("a_key"))
        except ClosedError:
            return True
        return False

    await until(closed)
    await done(cache.close())


async def test_arguments_that_cannot_be_used(client: Any, cache: Any) -> None:
    wrong: list[dict[str, Any]] = [{"serve_stale": -1}, {"serve_stale": float("nan")}, {"size": 0}]
    for settings in wrong:
        with pytest.raises(ValidationError):
            client.cached(**settings)
    with pytest.raises(TypeError):
        client.cached(size="3")
    with pytest.raises(TypeError):
        await done(cache.get(3))
    with pytest.raises(ValidationError):
        await done(cache.get("a_key", timeout=0))


def test_an_async_cache_begins_again_in_another_event_loop(fake_server: Server) -> None:
    with Strongroom(**fake_server.arguments()) as maker:
        maker.secrets.create(name="a_key", value="one")
    client = AsyncStrongroom(**fake_server.arguments())
    cache = client.cached()

    async def get() -> Any:
        found = await cache.get("a_key")
        again = await cache.get("a_key")
        return found.value, again == found

    for _ in range(2):
        assert asyncio.run(get()) == ("one", True)
    asyncio.run(cache.close())
    asyncio.run(client.close())
