"""When a call is retried. The tests control the clock and the pauses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from both import done
from fake import Fake
from google.rpc import error_details_pb2
from refusals import Refusal
from servers import Server

from strongroom import AsyncStrongroom, RetryPolicy, Strongroom, generate
from strongroom._aio_transport import AsyncTransport
from strongroom._call import Scope
from strongroom._retry import Attempts
from strongroom._settings import Settings
from strongroom._transport import Transport
from strongroom.aio import AsyncAccess, AsyncReferences, AsyncSecrets
from strongroom.client import Access, References, Secrets
from strongroom.exceptions import ConflictError, SecretNotFoundError, StrongroomError, UnavailableError

Code = grpc.StatusCode


class Time:
    """A clock that advances only when a client sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


def unavailable(retry_after_ms: int | None = None) -> Refusal:
    details = []
    if retry_after_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(retry_after_ms)
        details.append(retry)
    return Refusal(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "Not now.", *details)


def contended() -> Refusal:
    return Refusal(Code.ABORTED, "CONTENDED", "Others won.")


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def client(kind: Any, fake_server: Server, time: Time) -> AsyncIterator[Any]:
    """A client whose clock the test controls. Without jitter, a pause is half of its longest time."""
    given = fake_server.arguments()
    settings = Settings.resolve(**given, timeout=30.0, environ={})
    clocks: dict[str, Callable[[], float]] = {"clock": lambda: time.now, "jitter": lambda: 0.0}
    scope = Scope(fake_server.namespace)
    if kind is Strongroom:
        transport = Transport(settings, RetryPolicy(), sleep=time.sleep, **clocks)
        yield SimpleNamespace(
            secrets=Secrets(transport, scope),
            access=Access(transport, scope),
            resolve=References(transport, scope).resolve,
        )
        transport.close()
    else:
        aio = AsyncTransport(settings, RetryPolicy(), sleep=time.sleep_async, **clocks)
        yield SimpleNamespace(
            secrets=AsyncSecrets(aio, scope),
            access=AsyncAccess(aio, scope),
            resolve=AsyncReferences(aio, scope).resolve,
        )
        await aio.close()


async def test_a_change_is_retried_with_the_same_request_id(client: Any, fake: Fake, time: Time) -> None:
    fake.refusals = [unavailable(), contended()]
    made = await done(client.secrets.create(name="a_key", value="v-1"))
    assert made.version == 1
    assert time.pauses == pytest.approx([0.05, 0.1])
    assert len({request.request_id for request, _ in fake.requests}) == 1
    assert len(fake.requests) == 3


async def test_resolve_is_retried(client: Any, fake: Fake, time: Time) -> None:
    fake.refusals = [unavailable(), unavailable()]
    assert (await done(client.resolve({"a": "$ 1 + 1"}))).document == {"a": 2}
    assert time.pauses == pytest.approx([0.05, 0.1])


async def test_it_ends(client: Any, fake: Fake, time: Time) -> None:
    fake.refusals = [unavailable() for _ in range(99)]
    with pytest.raises(UnavailableError) as caught:
        await done(client.secrets.delete(name="a_key"))
    # The time that the call has is used, with pauses that grow.
    assert time.pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, *[2.5] * 10])
    assert 25 < time.now - 1000.0 <= 30
    assert len(fake.requests) == len(time.pauses) + 1
    assert caught.value.sent_request_id == fake.requests[0][0].request_id


async def test_the_pause_that_the_server_asks_for(client: Any, fake: Fake, time: Time) -> None:
    fake.refusals = [unavailable(retry_after_ms=2500)]
    with pytest.raises(SecretNotFoundError):
        await done(client.secrets.get(name="a_key"))
    assert time.pauses == pytest.approx([2.55])


async def test_no_pause_goes_past_the_deadline(client: Any, fake: Fake, time: Time) -> None:
    fake.refusals = [unavailable(retry_after_ms=600_000)]
    with pytest.raises(UnavailableError):
        await done(client.secrets.get(name="a_key"))
    assert time.pauses == []
    fake.refusals = [unavailable(retry_after_ms=1500), unavailable(retry_after_ms=1500)]
    with pytest.raises(UnavailableError):
        await done(client.secrets.get(name="a_key", timeout=3))
    assert time.pauses == pytest.approx([1.55])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (Code.ABORTED, "ETAG_MISMATCH"),
        (Code.INTERNAL, "INTERNAL"),
        (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"),
    ],
)
async def test_other_errors_stand(client: Any, fake: Fake, time: Time, code: grpc.StatusCode, reason: str) -> None:
    fake.refusals = [Refusal(code, reason, "No.")]
    with pytest.raises(StrongroomError) as caught:
        await done(client.secrets.rotate(name="a_key", value="v-1"))
    assert caught.value.reason == reason
    assert (len(fake.requests), time.pauses) == (1, [])


async def test_a_key_is_never_made_twice(client: Any, fake: Fake, time: Time) -> None:
    fake.refusals = [unavailable(retry_after_ms=0)]
    with pytest.raises(UnavailableError):
        await done(client.access.create_key(name="a service"))
    assert (len(fake.requests), time.pauses) == (1, [])


async def test_contention_that_does_not_end(client: Any, fake: Fake) -> None:
    fake.refusals = [contended() for _ in range(99)]
    with pytest.raises(ConflictError) as caught:
        await done(client.secrets.update(name="a_key", value="v-1"))
    assert caught.value.reason == "CONTENDED"


async def test_a_lost_reply_to_a_generating_create(client: Any, fake: Fake) -> None:
    """The server made the change, but its reply was lost: the retry gets the stored outcome without the value."""
    once, lost = fake.once, iter([True])

    def losing(request: Any, do: Callable[[Any], Any]) -> Any:
        reply = once(request, do)
        if next(lost, False):
            raise unavailable()
        return reply

    fake.once = losing  # type: ignore[method-assign]
    made = await done(client.secrets.create(name="a_key", generate=generate.password(), return_value=True))
    assert (made.version, made.redacted, len(fake.requests)) == (1, True, 2)
    assert len((await done(client.secrets.get(name="a_key"))).value) == 32


async def test_calls_carry_a_deadline_and_the_key(kind: Any, fake_server: Server, fake: Fake) -> None:
    client = kind(**fake_server.arguments())
    await done(client.whoami())
    headers = fake.requests[0][1]
    assert headers["authorization"] == f"Bearer {fake_server.root_key}"
    assert headers["user-agent"].startswith("strongroom-python/")
    await done(client.close())


def test_pauses_grow_to_a_bound_and_are_scattered() -> None:
    jitter = iter([1.0, 0.0, 0.5, 1.0, 1.0])
    policy = RetryPolicy(attempts=6, first_delay=1, longest_delay=3)
    attempts = Attempts(policy, 1000, lambda: 0.0, lambda: next(jitter))
    error = UnavailableError("Not now.", code=Code.UNAVAILABLE)
    pauses = [attempts.pause_after(error) for _ in range(6)]
    assert pauses == [1.0, 1.0, 2.25, 3.0, 3.0, None]


def test_an_error_that_asks_for_a_retry_gets_one() -> None:
    attempts = Attempts(RetryPolicy(), 1000, lambda: 0.0, lambda: 0.0)
    assert attempts.pause_after(StrongroomError("Slow down.", code=Code.RESOURCE_EXHAUSTED, retry_after=1)) == 1.05
    assert attempts.pause_after(StrongroomError("No more.", code=Code.RESOURCE_EXHAUSTED)) is None


def test_an_async_client_can_be_used_in_one_event_loop_after_another(fake_server: Server, fake: Fake) -> None:
    client = AsyncStrongroom(**fake_server.arguments())
    for _ in range(2):
        assert asyncio.run(client.whoami()).api_key is not None
    asyncio.run(client.close())
    with pytest.raises(StrongroomError, match="closed"):
        asyncio.run(client.whoami())
