"""The versions of a secret, through both clients."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from both import done

from strongroom.exceptions import (
    ConflictError,
    FailedPreconditionError,
    SecretNotFoundError,
    ValidationError,
    VersionDestroyedError,
    VersionDisabledError,
    VersionNotFoundError,
)


@pytest.fixture
async def name(client: Any) -> str:
    """A secret with the versions `one`, some bytes, and `three`."""
    await done(client.secrets.create(name="a_key", value="one"))
    await done(client.secrets.rotate(name="a_key", value=b"\x00\xff"))
    await done(client.secrets.update(name="a_key", value="three"))
    return "a_key"


async def test_older_values_are_read_exactly(client: Any, name: str) -> None:
    for number, value in enumerate(["one", b"\x00\xff", "three"], start=1):
        read = await done(client.secrets.get(name=name, version=number))
        assert (read.value, read.version) == (value, 3)
    with pytest.raises(VersionNotFoundError):
        await done(client.secrets.get(name=name, version=4))


async def test_versions_are_listed_newest_first(client: Any, name: str) -> None:
    listed = await done(client.secrets.versions(name))
    told = [(version.number, version.state, version.current) for version in listed.versions]
    assert told == [(3, "enabled", True), (2, "enabled", False), (1, "enabled", False)]
    assert all(version.created_at and version.state_changed_at is None for version in listed.versions)
    assert all(isinstance(version.consumers, tuple) for version in listed.versions)
    assert listed.revision > 0
    with pytest.raises(SecretNotFoundError):
        await done(client.secrets.versions("absent"))


async def test_a_disabled_version_is_not_read_until_it_is_enabled(client: Any, name: str) -> None:
    changed = await done(client.secrets.disable_version(name, 1))
    assert (changed.version.number, changed.version.state) == (1, "disabled")
    assert changed.version.state_changed_at == changed.secret.updated_at
    assert (changed.secret.value, changed.secret.redacted) == ("ENCRYPTED", True)
    with pytest.raises(VersionDisabledError) as refused:
        await done(client.secrets.get(name=name, version=1))
    assert refused.value.reason == "VERSION_DISABLED"
    assert isinstance(refused.value, FailedPreconditionError)
    enabled = await done(client.secrets.enable_version(name, 1))
    assert enabled.version.state == "enabled"
    assert (await done(client.secrets.get(name=name, version=1))).value == "one"


async def test_a_destroyed_version_is_gone_and_its_receipt_stays(client: Any, name: str) -> None:
    destroyed = await done(client.secrets.destroy_version(name, 3))
    assert (destroyed.version.state, destroyed.version.current) == ("destroyed", True)
    receipt = destroyed.receipt
    assert (receipt.name, receipt.version, receipt.secret_id) == (name, 3, destroyed.secret.id)
    assert receipt.destroyed_at == destroyed.version.state_changed_at
    assert b"version: 3\n" in receipt.statement
    assert (len(receipt.data_key_sha256), len(receipt.signature), len(receipt.public_key)) == (64, 64, 32)
    assert (await done(client.secrets.destroy_version(name, 3))).receipt == receipt
    with pytest.raises(VersionDestroyedError):
        await done(client.secrets.get(name=name))
    with pytest.raises(VersionDestroyedError):
        await done(client.secrets.enable_version(name, 3))
    await done(client.secrets.rotate(name=name, value="four"))
    assert (await done(client.secrets.get(name=name))).value == "four"


async def test_a_change_needs_the_right_etag_and_an_existing_version(client: Any, name: str) -> None:
    with pytest.raises(ConflictError):
        await done(client.secrets.disable_version(name, 1, etag="0000000000000000"))
    with pytest.raises(VersionNotFoundError):
        await done(client.secrets.destroy_version(name, 9))
    with pytest.raises(ValidationError):
        await done(client.secrets.disable_version(name, 0))
    etag = (await done(client.secrets.get(name=name))).etag
    assert (await done(client.secrets.disable_version(name, 1, etag=etag))).version.state == "disabled"


async def test_a_repeated_change_returns_the_stored_outcome(client: Any, name: str) -> None:
    request_id = str(uuid.uuid4())
    first = await done(client.secrets.disable_version(name, 1, request_id=request_id))
    await done(client.secrets.enable_version(name, 1))
    assert await done(client.secrets.disable_version(name, 1, request_id=request_id)) == first
    assert (await done(client.secrets.get(name=name, version=1))).value == "one"
