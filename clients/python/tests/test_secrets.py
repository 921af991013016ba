"""Creating, reading, deleting and rotating secrets, through both clients."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from both import done, together
from servers import Server, fresh_namespace

from strongroom import Secret, generate
from strongroom.exceptions import (
    ConflictError,
    RequestIdReusedError,
    SecretAlreadyExistsError,
    SecretNotFoundError,
    ValidationError,
)

VALUES = [
    "sk_test_1234",
    "",
    "two\nlines\r\n",
    "{braces} $ secrets.x {{ y }}",
    "nul\0inside",
    "žluťoučký kůň 🐎 \u202e",
    "ENCRYPTED",
    "x" * 65536,
    b"",
    b"\x00\xff\xfe not utf-8",
    bytes(range(256)) * 256,
]


async def test_create_returns_everything_but_the_value(client: Any, server: Server) -> None:
    metadata = {"environment": "production", "owner": "payments-team"}
    made = await done(client.secrets.create(name="a_key", value="v-1", description="What for", metadata=metadata))
    assert isinstance(made, Secret)
    assert (made.name, made.namespace, made.version) == ("a_key", server.namespace, 1)
    assert (made.value, made.redacted) == ("ENCRYPTED", True)
    assert (made.description, made.metadata) == ("What for", metadata)
    assert made.created_at is not None
    assert made.created_at.tzinfo is timezone.utc
    assert made.updated_at == made.created_at
    assert made.rotated_at is None
    assert made.id
    assert made.etag
    assert made.revision > 0


async def test_times_are_now(client: Any) -> None:
    before = datetime.now(timezone.utc)
    made = await done(client.secrets.create(name="a_key", value="v-1"))
    assert abs((made.created_at - before).total_seconds()) < 60


async def test_arguments_that_are_left_out_are_empty(client: Any) -> None:
    await done(client.secrets.create(name="bare", value="v-1"))
    read = await done(client.secrets.get(name="bare"))
    assert (read.description, read.metadata) == ("", {})
    await done(client.secrets.create(name="none", value="v-1", description=None, metadata=None))


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
async def test_get_returns_the_exact_value(client: Any, value: Any) -> None:
    made = await done(client.secrets.create(name="a_key", value=value))
    read = await done(client.secrets.get(name="a_key"))
    assert type(read.value) is type(value)
    # This compares bools, so that a failure does not print 64 KiB.
    assert (read.value == value) is True
    assert not read.redacted
    assert read == made


async def test_get_without_the_value(client: Any) -> None:
    await done(client.secrets.create(name="a_key", value="v-1"))
    read = await done(client.secrets.get(name="a_key", include_value=False))
    assert (read.value, read.redacted) == ("ENCRYPTED", True)


async def test_get_of_the_current_version_and_revision(client: Any) -> None:
    made = await done(client.secrets.create(name="a_key", value="v-1"))
    read = await done(client.secrets.get(name="a_key", version=1, min_revision=made.revision))
    assert read.value == "v-1"


@pytest.mark.parametrize("name", ["invalid name", "1a", "a-b", "", "é", "a\n", "a" * 129])
async def test_illegal_names(client: Any, name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        await done(client.secrets.create(name=name, value="v-1"))
    assert caught.value.reason == "VALIDATION_FAILED"
    assert [v.field for v in caught.value.violations] == ["name"]


@pytest.mark.parametrize("name", ["A", "_a", "a_1", "OPENAI_API_KEY", "items", "get", "__class__", "a" * 128])
async def test_legal_names(client: Any, name: str) -> None:
    assert (await done(client.secrets.create(name=name, value="v-1"))).name == name


async def test_names_are_case_sensitive(client: Any) -> None:
    await done(client.secrets.create(name="key", value="lower"))
    await done(client.secrets.create(name="KEY", value="upper"))
    assert (await done(client.secrets.get(name="key"))).value == "lower"
    assert (await done(client.secrets.get(name="KEY"))).value == "upper"


async def test_a_duplicate_is_refused_and_changes_nothing(client: Any) -> None:
    made = await done(client.secrets.create(name="a_key", value="first", description="d"))
    with pytest.raises(SecretAlreadyExistsError) as caught:
        await done(client.secrets.create(name="a_key", value="second"))
    assert caught.value.reason == "SECRET_ALREADY_EXISTS"
    read = await done(client.secrets.get(name="a_key"))
    assert (read.value, read) == ("first", made)


async def test_of_concurrent_creates_one_wins(kind: Any, client: Any) -> None:
    async def create_async(n: int) -> Any:
        return await client.secrets.create(name="a_key", value=f"v-{n}")

    def create_sync(n: int) -> Any:
        return client.secrets.create(name="a_key", value=f"v-{n}")

    outcomes = await together(create_async if kind.__name__.startswith("Async") else create_sync, 12)
    winners = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Secret)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, SecretAlreadyExistsError) for outcome in outcomes) == 11
    assert (await done(client.secrets.get(name="a_key"))).value == f"v-{winners[0]}"


async def test_another_namespace_has_another_secret_of_the_name(client: Any) -> None:
    other = f"{fresh_namespace()}/inner"
    await done(client.secrets.create(name="a_key", value="here"))
    await done(client.secrets.create(name="a_key", value="there", namespace=other))
    assert (await done(client.secrets.get(name="a_key"))).value == "here"
    there = await done(client.secrets.get(name="a_key", namespace=other))
    assert (there.value, there.namespace) == ("there", other)


async def test_a_value_that_is_too_large_is_refused(client: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        await done(client.secrets.create(name="a_key", value="é" * 32768 + "x"))
    assert [v.field.split(".")[0] for v in caught.value.violations] == ["value"]


async def test_delete_frees_the_name(client: Any) -> None:
    made = await done(client.secrets.create(name="a_key", value="v-1"))
    gone = await done(client.secrets.delete(name="a_key"))
    assert gone.id == made.id
    assert gone.purge_at > gone.deleted_at
    for again in (client.secrets.delete, client.secrets.get):
        with pytest.raises(SecretNotFoundError) as caught:
            await done(again(name="a_key"))
        assert caught.value.reason == "SECRET_NOT_FOUND"
    later = await done(client.secrets.create(name="a_key", value="v-2"))
    assert later.id != made.id
    assert later.version == 1


async def test_rotate_is_a_new_version_of_the_same_secret(client: Any) -> None:
    made = await done(client.secrets.create(name="a_key", value="v-1", description="d", metadata={"k": "v"}))
    rotated = await done(client.secrets.rotate(name="a_key", value=b"v-2"))
    assert (rotated.value, rotated.version, rotated.id) == ("ENCRYPTED", 2, made.id)
    assert (rotated.description, rotated.metadata) == ("d", {"k": "v"})
    assert rotated.rotated_at is not None
    assert rotated.updated_at > made.updated_at
    assert rotated.etag != made.etag
    assert (await done(client.secrets.get(name="a_key"))).value == b"v-2"


async def test_rotate_of_nothing(client: Any) -> None:
    with pytest.raises(SecretNotFoundError):
        await done(client.secrets.rotate(name="a_key", value="v-1"))


@pytest.mark.parametrize(
    ("generator", "kind_of_value", "length"),
    [
        (generate.password(length=20, alphabet="xyz"), str, 20),
        (generate.password(), str, 32),
        (generate.bytes_(16, encoding="raw"), bytes, 16),
        (generate.uuid(), str, 36),
    ],
)
async def test_generated_values_are_returned_when_asked_for(
    client: Any, generator: generate.Generator, kind_of_value: Any, length: int
) -> None:
    made = await done(client.secrets.create(name="a_key", generate=generator))
    assert made.redacted
    rotated = await done(client.secrets.rotate(name="a_key", generate=generator, return_value=True))
    assert not rotated.redacted
    assert isinstance(rotated.value, kind_of_value)
    assert len(rotated.value) == length
    assert (await done(client.secrets.get(name="a_key"))).value == rotated.value


async def test_an_etag_guards_against_others(client: Any) -> None:
    made = await done(client.secrets.create(name="a_key", value="v-1"))
    changed = await done(client.secrets.update(name="a_key", value="v-2", etag=made.etag))
    calls: list[Callable[[], Any]] = [
        lambda: client.secrets.update(name="a_key", value="v-3", etag=made.etag),
        lambda: client.secrets.rotate(name="a_key", value="v-3", etag=made.etag),
        lambda: client.secrets.delete(name="a_key", etag=made.etag),
    ]
    for call in calls:
        with pytest.raises(ConflictError) as caught:
            await done(call())
        assert caught.value.reason == "ETAG_MISMATCH"
    assert (await done(client.secrets.get(name="a_key"))).value == "v-2"
    await done(client.secrets.delete(name="a_key", etag=changed.etag))


async def test_a_repeated_request_id_returns_the_stored_outcome(client: Any) -> None:
    request_id = uuid.uuid4()
    made = await done(client.secrets.create(name="a_key", value="v-1", request_id=request_id))
    again = await done(client.secrets.create(name="a_key", value="v-1", request_id=str(request_id)))
    assert again == made
    with pytest.raises(RequestIdReusedError):
        await done(client.secrets.create(name="another", value="v-1", request_id=request_id))
    change = {"name": "a_key", "value": "v-2", "etag": made.etag, "request_id": uuid.uuid4()}
    changed = await done(client.secrets.update(**change))
    assert await done(client.secrets.update(**change)) == changed
    assert changed.version == 2
    deletion = uuid.uuid4()
    gone = await done(client.secrets.delete(name="a_key", request_id=deletion))
    assert await done(client.secrets.delete(name="a_key", request_id=deletion)) == gone
