"""A watch: what it returns, and how it continues by itself, through both clients."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from both import all_of, done, until
from fake import Fake

from strongroom import SecretEvent
from strongroom.exceptions import ClosedError, RevisionCompactedError, UnavailableError
from strongroom.v1 import secret_pb2

on_the_fake = pytest.mark.parametrize("server", ["fake"], indirect=True)


async def take(watch: Any, count: int) -> list[SecretEvent]:
    """The next events of either watch."""
    return [await watch.__anext__() if hasattr(watch, "__anext__") else next(watch) for _ in range(count)]


def told(events: list[SecretEvent]) -> list[tuple[str, str]]:
    return [(event.type, event.secret.name) for event in events]


async def test_changes_come_in_order_after_a_revision(client: Any) -> None:
    first = await done(client.secrets.create(name="first", value="v"))
    await done(client.secrets.create(name="a_key", value="one", metadata={"team": "ops"}))
    await done(client.secrets.rotate(name="a_key", value="two"))
    await done(client.secrets.update(name="a_key", new_name="a_name"))
    await done(client.secrets.delete(name="a_name"))
    watch = client.secrets.watch(after_revision=first.revision)
    events = await take(watch, 4)
    await done(watch.close())
    assert [event.type for event in events] == ["created", "rotated", "renamed", "deleted"]
    assert all(event.secret.redacted for event in events)
    assert [event.revision for event in events] == sorted({event.revision for event in events})
    assert (events[2].former_name, events[2].secret.name) == ("a_key", "a_name")
    assert watch.resume_revision == events[-1].resume_revision

    again = client.secrets.watch(after_revision=events[1].resume_revision, metadata={"team": "ops"})
    assert told(await take(again, 2)) == [("renamed", "a_name"), ("deleted", "a_name")]
    await done(again.close())


async def test_a_snapshot_comes_first(client: Any) -> None:
    for name in ("a_1", "a_2", "b_1"):
        await done(client.secrets.create(name=name, value="v"))
    watch = client.secrets.watch(snapshot=True, name_prefix="a_")
    assert sorted(told(await take(watch, 2))) == [("snapshot", "a_1"), ("snapshot", "a_2")]
    await done(client.secrets.rotate(name="b_1", value="w"))
    await done(client.secrets.rotate(name="a_2", value="w"))
    assert told(await take(watch, 1)) == [("rotated", "a_2")]
    await done(watch.close())


@on_the_fake
async def test_a_watch_continues_behind_its_last_event(client: Any, fake: Fake) -> None:
    first = await done(client.secrets.create(name="first", value="v"))
    for number in range(5):
        await done(client.secrets.create(name=f"name_{number}", value="v"))
    # Each of the first streams breaks after some messages; the others end after all of them.
    fake.feed.cut_after = [2, 0, 1]
    watch = client.secrets.watch(after_revision=first.revision)
    assert told(await take(watch, 5)) == [("created", f"name_{number}") for number in range(5)]
    await done(watch.close())
    asked = [request.after_revision for request, _ in fake.requests if hasattr(request, "after_revision")]
    assert asked == [1, 3, 3, 4]


@on_the_fake
async def test_a_snapshot_that_breaks_is_returned_once(client: Any, fake: Fake) -> None:
    for name in ("a_1", "a_2"):
        await done(client.secrets.create(name=name, value="v"))
    fake.feed.cut_after = [1]
    watch = client.secrets.watch(snapshot=True)
    assert told(await take(watch, 2)) == [("snapshot", "a_1"), ("snapshot", "a_2")]
    await done(watch.close())


@on_the_fake
async def test_an_event_that_was_returned_does_not_come_again(client: Any, fake: Fake) -> None:
    for name in ("first", "second", "third"):
        await done(client.secrets.create(name=name, value="v"))
    # Two events of one revision: after the first of them a watch continues before that revision.
    second, third = fake.feed.events[1], fake.feed.events[2]
    third.revision = third.resume_revision = second.revision
    second.resume_revision = second.revision - 1
    fake.feed.cut_after = [1]
    watch = client.secrets.watch(after_revision=1)
    assert told(await take(watch, 2)) == [("created", "second"), ("created", "third")]
    await done(watch.close())


@on_the_fake
async def test_a_revision_that_is_not_kept_is_an_error(client: Any, fake: Fake) -> None:
    await done(client.secrets.create(name="a_key", value="v"))
    fake.feed.compacted = 5
    with pytest.raises(RevisionCompactedError) as refused:
        await take(client.secrets.watch(after_revision=1), 1)
    assert refused.value.reason == "REVISION_COMPACTED"


async def test_a_closed_watch_ends(client: Any) -> None:
    await done(client.secrets.create(name="a_key", value="v"))
    watch = client.secrets.watch(snapshot=True)
    assert told(await take(watch, 1)) == [("snapshot", "a_key")]
    await done(watch.close())
    assert await all_of(watch) == []


async def test_a_server_that_never_answers_is_an_error(kind: Any) -> None:
    client = kind("srk_k", server="127.0.0.1:1")
    with pytest.raises(UnavailableError):
        await take(client.secrets.watch(), 1)
    await done(client.close())


@on_the_fake
async def test_a_stream_that_is_silent_for_too_long_is_left(client: Any, fake: Fake) -> None:
    await done(client.secrets.create(name="a_key", value="v"))
    fake.feed.live = True
    client._transport.longest_silence = 0.1
    watch = client.secrets.watch(after_revision=1)

    def streams() -> int:
        return sum(type(request).__name__ == "WatchSecretsRequest" for request, _ in fake.requests)

    async def other() -> None:
        """Tells of a change once the watch has begun a third stream."""
        await until(lambda: streams() >= 3)
        fake.feed.tell(secret_pb2.SECRET_EVENT_TYPE_UPDATED, fake.next_revision(next(iter(fake.secrets.values()))))

    if hasattr(watch, "__anext__"):
        task = asyncio.create_task(other())
        assert told([await watch.__anext__()]) == [("updated", "a_key")]
        await task
    else:
        thread = threading.Thread(target=asyncio.run, args=(other(),))
        thread.start()
        assert told([next(watch)]) == [("updated", "a_key")]
        thread.join()
    await done(watch.close())


@on_the_fake
async def test_a_watch_that_is_closed_while_it_waits(client: Any, fake: Fake) -> None:
    fake.feed.live = True
    watch = client.secrets.watch()

    async def close() -> None:
        await until(lambda: fake.requests)
        await done(watch.close())

    if hasattr(watch, "__anext__"):
        task = asyncio.create_task(close())
        assert await all_of(watch) == []
        await task
    else:
        thread = threading.Thread(target=asyncio.run, args=(close(),))
        thread.start()
        assert list(watch) == []
        thread.join()


@on_the_fake
async def test_a_watch_ends_with_its_client(client: Any, fake: Fake) -> None:
    fake.feed.live = True
    await done(client.secrets.create(name="a_key", value="v"))
    watch = client.secrets.watch(snapshot=True)
    assert told(await take(watch, 1)) == [("snapshot", "a_key")]
    await done(client.close())
    assert await all_of(watch) == []
    with pytest.raises(ClosedError):
        await take(client.secrets.watch(), 1)
