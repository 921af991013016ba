"""What a cache knows of one namespace, with a clock of the test."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import grpc
import pytest

from strongroom import CachedSecret, Secret, SecretEvent
from strongroom import _replies as replies
from strongroom import exceptions as e
from strongroom._cache_state import WATCH_AGAIN_AFTER, Space
from strongroom.v1 import secret_pb2

BEGIN = datetime(2030, 1, 1, tzinfo=timezone.utc)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> datetime:
        return BEGIN + timedelta(seconds=self.now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def space(clock: Clock) -> Space:
    """A namespace that a watch follows."""
    made = Space("n", 600.0, 2, clock=clock.monotonic, now=clock.time)
    made.sync(1)
    return made


def secret(name: str, value: str = "v", *, expires: datetime | None = None) -> Secret:
    message = secret_pb2.Secret(name=name, id=f"id-{name}", metadata={"k": "v"}, version=1)
    message.value.text = value
    if expires is not None:
        message.expires_at.FromDatetime(expires)
    return replies.secret(message, 1)


def keep(space: Space, name: str, value: str = "v", *, at: int = 1, expires: datetime | None = None) -> bool:
    return space.finish(name, space.begin(name, None), (secret(name, value, expires=expires), at), None)


def event(kind: str, name: str, revision: int, former_name: str | None = None) -> SecretEvent:
    return SecretEvent(kind, secret(name), revision, former_name, revision, None)


def shown(space: Space, name: str) -> tuple[str | bytes, bool] | None:
    found = space.look_up(name)
    return None if found is None else (found.value, found.stale)


def refused(reason: str, code: grpc.StatusCode) -> e.StrongroomError:
    return e.StrongroomError("No.", reason=reason, code=code)


def test_a_secret_that_was_read_is_kept(space: Space) -> None:
    assert space.look_up("a") is None
    assert keep(space, "a")
    found = space.look_up("a")
    assert type(found) is CachedSecret
    assert (found.value, found.value_version, found.stale, found.stale_since) == ("v", 1, False, None)
    # Who changes the metadata of a result changes no other result.
    found.metadata["k"] = "changed"
    assert space.look_up("a") == secret_like(found)


def secret_like(found: CachedSecret) -> CachedSecret:
    found.metadata["k"] = "v"
    return found


def test_nothing_is_kept_without_a_watch(clock: Clock) -> None:
    space = Space("n", 600.0, 2, clock=clock.monotonic, now=clock.time)
    keep(space, "a")
    assert space.look_up("a") is None


def test_a_change_is_read_again(space: Space) -> None:
    keep(space, "a")
    assert space.apply(event("rotated", "b", 2)) is None
    assert space.apply(event("rotated", "a", 3)) == "a"
    assert shown(space, "a") is None
    assert space.sync(3) == ["a"]
    keep(space, "a", "w", at=3)
    assert shown(space, "a") == ("w", False)
    assert space.sync(4) == []
    assert space.seen == 4


@pytest.mark.parametrize("kind", ["deleted", "purged", "expired", "removed", "renamed", "version_changed", "type_99"])
def test_what_may_be_gone_is_dropped(space: Space, kind: str) -> None:
    keep(space, "a")
    assert space.apply(event(kind, "a", 2)) is None
    assert space.look_up("a") is None


def test_a_renamed_secret_is_dropped_under_its_former_name(space: Space) -> None:
    keep(space, "a")
    renamed = event("renamed", "a", 2, former_name="a")
    object.__setattr__(renamed.secret, "name", "b")
    space.apply(renamed)
    assert space.look_up("a") is None


@pytest.mark.parametrize("kind", ["staged", "rotation_due", "rotation_failed", "expiring", "created", "snapshot"])
def test_what_changes_no_value_keeps_it(space: Space, kind: str) -> None:
    keep(space, "a")
    space.apply(event(kind, "a", 2))
    assert shown(space, "a") == ("v", False)


def test_a_read_that_an_event_overtook_is_made_again(space: Space) -> None:
    read = space.begin("a", None)
    space.apply(event("rotated", "a", 5))
    assert not space.finish("a", read, (secret("a", "old"), 4), None)
    assert space.look_up("a") is None
    assert space.finish("a", read, (secret("a", "new"), 5), None)
    assert shown(space, "a") == ("new", False)


def test_a_read_that_a_denial_overtook_is_not_kept(space: Space) -> None:
    read = space.begin("a", None)
    space.lose(refused("CONTENDED", grpc.StatusCode.ABORTED))
    # The stream is there again before the read has ended.
    space.sync(2)
    assert space.finish("a", read, (secret("a"), 1), None)
    assert read.result().value == "v"
    assert space.look_up("a") is None


def test_the_last_known_value_for_a_time(space: Space, clock: Clock) -> None:
    keep(space, "a")
    space.lose(refused("", grpc.StatusCode.UNAVAILABLE))
    lost = clock.time()
    clock.now += 599
    space.lose(None)
    found = space.look_up("a")
    assert found is not None
    assert (found.value, found.stale, found.stale_since) == ("v", True, lost)
    assert "stale=True" in repr(found)
    clock.now += 1
    assert space.look_up("a") is None
    assert space.last_known("a") is None
    # The connection is there again.
    space.sync(2)
    assert shown(space, "a") == ("v", False)


def test_an_outdated_value_is_the_last_known_one(space: Space) -> None:
    keep(space, "a")
    space.apply(event("rotated", "a", 2))
    space.lose(None)
    assert shown(space, "a") == ("v", True)


def test_nothing_is_kept_while_the_connection_is_lost(space: Space) -> None:
    space.lose(None)
    keep(space, "a")
    assert space.look_up("a") is None


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("CREDENTIAL_INVALID", grpc.StatusCode.UNAUTHENTICATED),
        ("CREDENTIAL_EXPIRED", grpc.StatusCode.UNAUTHENTICATED),
        ("ACCESS_DENIED", grpc.StatusCode.PERMISSION_DENIED),
        # So says the server when what the caller may do was changed.
        ("CONTENDED", grpc.StatusCode.ABORTED),
        ("REVISION_COMPACTED", grpc.StatusCode.OUT_OF_RANGE),
    ],
)
def test_a_denial_empties_it_at_once(space: Space, reason: str, code: grpc.StatusCode) -> None:
    keep(space, "a")
    space.lose(refused(reason, code))
    assert space.entries == {}


@pytest.mark.parametrize(
    "error", [e.PermissionDeniedError, e.NotFoundError, e.SecretExpiredError, e.IntegrityError, e.ValidationError]
)
def test_a_read_that_is_refused_drops_the_secret(space: Space, error: type[e.StrongroomError]) -> None:
    keep(space, "a")
    keep(space, "b")
    assert space.finish("a", space.begin("a", None), None, error("No."))
    assert space.look_up("a") is None
    assert shown(space, "b") == ("v", False)


def test_a_read_that_fails_keeps_the_secret(space: Space) -> None:
    keep(space, "a")
    space.finish("a", space.begin("a", None), None, e.UnavailableError("Not now."))
    found = space.last_known("a")
    assert found is not None
    assert found.stale


def test_an_expired_secret_is_not_served(space: Space, clock: Clock) -> None:
    keep(space, "a", expires=clock.time() + timedelta(seconds=5))
    assert shown(space, "a") == ("v", False)
    space.lose(None)
    clock.now += 5
    assert space.look_up("a") is None


def test_it_is_bounded_and_keeps_what_is_read(space: Space) -> None:
    keep(space, "a")
    keep(space, "b")
    space.look_up("a")
    keep(space, "c")
    assert set(space.entries) == {"a", "c"}
    keep(space, "d")
    assert len(space.entries) == 2
    assert "d" in space.entries


def test_a_refused_watch_is_not_asked_for_all_the_time(space: Space, clock: Clock) -> None:
    keep(space, "a")
    space.end()
    assert space.entries == {}
    assert not space.may_watch()
    clock.now += WATCH_AGAIN_AFTER
    assert space.may_watch()
