"""Updating secrets, through both clients."""

from __future__ import annotations

from typing import Any

import pytest
from both import done

from strongroom import NOT_GIVEN
from strongroom.exceptions import SecretAlreadyExistsError, SecretNotFoundError, ValidationError


@pytest.fixture
async def made(client: Any) -> Any:
    return await done(client.secrets.create(name="a_key", value="v-1", description="d", metadata={"k": "v", "l": "w"}))


async def state(client: Any, name: str = "a_key") -> tuple[Any, ...]:
    read = await done(client.secrets.get(name=name))
    return (read.value, read.description, read.metadata, read.version)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"value": "v-2"}, ("v-2", "d", {"k": "v", "l": "w"}, 2)),
        ({"value": ""}, ("", "d", {"k": "v", "l": "w"}, 2)),
        ({"description": "e"}, ("v-1", "e", {"k": "v", "l": "w"}, 1)),
        ({"description": ""}, ("v-1", "", {"k": "v", "l": "w"}, 1)),
        ({"description": None}, ("v-1", "", {"k": "v", "l": "w"}, 1)),
        ({"metadata": {"m": "x"}}, ("v-1", "d", {"m": "x"}, 1)),
        ({"metadata": {}}, ("v-1", "d", {}, 1)),
        ({"metadata": None}, ("v-1", "d", {}, 1)),
        ({"metadata": {}, "description": "e", "value": b"v-2"}, (b"v-2", "e", {}, 2)),
        ({"metadata": {}, "description": ""}, ("v-1", "", {}, 1)),
        ({"value": "v-2", "description": NOT_GIVEN, "metadata": NOT_GIVEN}, ("v-2", "d", {"k": "v", "l": "w"}, 2)),
    ],
    ids=str,
)
async def test_only_what_is_given_changes(
    client: Any, made: Any, arguments: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    updated = await done(client.secrets.update(name="a_key", **arguments))
    assert (updated.value, updated.redacted) == ("ENCRYPTED", True)
    assert (updated.id, updated.created_at) == (made.id, made.created_at)
    assert updated.updated_at > made.updated_at
    assert updated.etag != made.etag
    assert await state(client) == expected


async def test_a_rename_keeps_everything_else(client: Any, made: Any) -> None:
    before = await state(client)
    renamed = await done(client.secrets.update(name="a_key", new_name="b_key"))
    assert (renamed.name, renamed.id, renamed.created_at) == ("b_key", made.id, made.created_at)
    assert await state(client, "b_key") == before
    with pytest.raises(SecretNotFoundError):
        await done(client.secrets.get(name="a_key"))
    await done(client.secrets.create(name="a_key", value="the name is free"))


async def test_a_rename_with_everything_at_once(client: Any, made: Any) -> None:
    await done(client.secrets.update(name="a_key", new_name="b_key", value="v-2", description="e", metadata={}))
    assert await state(client, "b_key") == ("v-2", "e", {}, 2)


async def test_a_refused_rename_changes_nothing(client: Any, made: Any) -> None:
    await done(client.secrets.create(name="taken", value="v-1"))
    before = await state(client)
    with pytest.raises(SecretAlreadyExistsError):
        await done(client.secrets.update(name="a_key", new_name="taken", value="v-2", description="e"))
    with pytest.raises(ValidationError) as caught:
        await done(client.secrets.update(name="a_key", new_name="not legal", value="v-2", description="e"))
    assert [v.field for v in caught.value.violations] == ["new_name"]
    assert await state(client) == before


async def test_an_update_of_nothing_is_refused(client: Any, made: Any) -> None:
    with pytest.raises(ValidationError):
        await done(client.secrets.update(name="a_key"))


async def test_an_update_of_no_secret(client: Any) -> None:
    with pytest.raises(SecretNotFoundError):
        await done(client.secrets.update(name="a_key", description="e"))
