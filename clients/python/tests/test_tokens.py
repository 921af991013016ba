"""Tokens that a function of the caller returns, through both clients."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from both import done, together
from fake import ROOT_KEY, Fake
from servers import Server

from strongroom import AsyncStrongroom, Strongroom, Token
from strongroom._token import TokenKeeper
from strongroom.exceptions import AuthenticationError, ConfigurationError, DeadlineExceededError

CANARY = "eyJcanary.canary"


def later(seconds: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(seconds=seconds)


class Source:
    """Returns the given tokens, one after the other; the last of them stays. `calls` counts."""

    def __init__(self, *tokens: Any) -> None:
        self.tokens = list(tokens)
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        if isinstance(token, Exception):
            raise token
        return token


async def test_a_token_is_kept(kind: Any, fake_server: Server) -> None:
    for token in (ROOT_KEY, f" {ROOT_KEY}\n", Token(ROOT_KEY), Token(ROOT_KEY, later(3600))):
        source = Source(token)
        client = kind(server=fake_server.address, token_source=source)
        for _ in range(3):
            assert (await done(client.whoami())).api_key.root
        assert source.calls == 1
        assert ROOT_KEY not in f"{client!r} {vars(client)!r} {token!r}" or isinstance(token, str)
        await done(client.close())


async def test_a_token_is_renewed_before_it_ends(kind: Any, fake_server: Server, fake: Fake) -> None:
    source = Source(Token(ROOT_KEY, later(20)))
    client = kind(server=fake_server.address, token_source=source)
    for _ in range(2):
        await done(client.whoami())
    assert source.calls == 2
    await done(client.close())


async def test_a_refused_token_is_renewed_once(kind: Any, fake_server: Server) -> None:
    source = Source(CANARY, ROOT_KEY)
    client = kind(server=fake_server.address, token_source=source)
    # Also a call that is never sent twice: the server has looked at nothing but the token.
    assert (await done(client.access.create_key(name="a service"))).credential
    assert source.calls == 2
    await done(client.close())
    source = Source(CANARY)
    client = kind(server=fake_server.address, token_source=source)
    with pytest.raises(AuthenticationError) as caught:
        await done(client.whoami())
    assert source.calls == 2
    assert CANARY not in repr(caught.value)
    await done(client.close())


async def test_a_source_that_fails(kind: Any, fake_server: Server, fake: Fake) -> None:
    source = Source(RuntimeError(CANARY), ROOT_KEY)
    client = kind(server=fake_server.address, token_source=source)
    with pytest.raises(ConfigurationError, match="RuntimeError") as caught:
        await done(client.whoami())
    assert CANARY not in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert fake.requests == []
    # The next call asks again.
    assert (await done(client.whoami())).api_key.root
    await done(client.close())


@pytest.mark.parametrize("token", ["", "  ", f"{CANARY} {CANARY}", Token(""), None, 7, b"srk_k"])
async def test_what_is_no_token(kind: Any, fake_server: Server, token: Any) -> None:
    client = kind(server=fake_server.address, token_source=Source(token))
    with pytest.raises(ConfigurationError) as caught:
        await done(client.whoami())
    assert CANARY not in str(caught.value)
    await done(client.close())


async def test_a_source_that_fails_while_the_token_works(kind: Any, fake_server: Server) -> None:
    source = Source(Token(ROOT_KEY, later(20)), RuntimeError("no answer"))
    client = kind(server=fake_server.address, token_source=source)
    for _ in range(3):
        assert (await done(client.whoami())).api_key.root
    assert source.calls == 3
    await done(client.close())


def test_a_token_that_has_ended_does_not_take_the_place_of_a_new_one() -> None:
    now = 1000.0
    keeper = TokenKeeper(lambda: now)
    keeper.keep(Token(CANARY, datetime.fromtimestamp(1100, timezone.utc)))
    assert keeper.kept() == CANARY
    now = 1071.0
    assert keeper.kept() == ""
    assert keeper.after_failure(RuntimeError("no answer")) == CANARY
    now = 1100.0
    with pytest.raises(ConfigurationError):
        keeper.after_failure(RuntimeError("no answer"))
    assert CANARY not in repr(vars(Token)) + repr(Token(CANARY))


async def test_one_call_asks_and_the_others_wait(kind: Any, fake_server: Server) -> None:
    asked = threading.Event()

    def sync_source() -> str:
        assert not asked.is_set()
        asked.set()
        return ROOT_KEY

    async def async_source() -> str:
        await asyncio.sleep(0)
        return sync_source()

    client = kind(server=fake_server.address, token_source=sync_source if kind is Strongroom else async_source)
    if kind is Strongroom:
        found = await together(lambda _: client.whoami(), 8)
    else:
        found = await asyncio.gather(*(client.whoami() for _ in range(8)))
    assert all(one.api_key.root for one in found)
    await done(client.close())


async def test_a_source_that_takes_too_long(fake_server: Server) -> None:
    async def never() -> str:
        await asyncio.Event().wait()
        return ROOT_KEY

    async with AsyncStrongroom(server=fake_server.address, token_source=never) as client:
        with pytest.raises(DeadlineExceededError, match="token source"):
            await client.access.whoami(timeout=0.05)

    entered, leave = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        leave.wait()
        return ROOT_KEY

    with Strongroom(server=fake_server.address, token_source=slow) as sync_client:
        first = threading.Thread(target=sync_client.whoami)
        first.start()
        entered.wait()
        with pytest.raises(DeadlineExceededError, match="token source"):
            sync_client.access.whoami(timeout=0.05)
        leave.set()
        first.join()


async def test_a_watch_takes_its_token_from_the_source(kind: Any, fake_server: Server) -> None:
    source = Source(CANARY, ROOT_KEY)
    client = kind(server=fake_server.address, token_source=source, namespace=fake_server.namespace)
    watch = client.secrets.watch(snapshot=True)
    maker = Strongroom(**fake_server.arguments())
    maker.secrets.create(name="a_key", value="v")
    event = await watch.__anext__() if hasattr(watch, "__anext__") else next(watch)
    assert event.secret.name == "a_key"
    assert source.calls == 2
    await done(watch.close())
    maker.close()
    await done(client.close())


def test_one_credential_only(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="only credential"):
        kind("srk_k", token_source=Source(ROOT_KEY))
    with pytest.raises(TypeError, match="token_source"):
        kind(token_source=ROOT_KEY)
