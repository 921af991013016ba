"""Staged rotation, recovery, expiry and batch reads, through both clients."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from both import done

from strongroom import ENCRYPTED, RotationPolicy, generate
from strongroom.exceptions import (
    ClaimLostError,
    NoRotationDueError,
    RotationPendingError,
    SecretAlreadyExistsError,
    SecretNotFoundError,
    ValidationError,
    VersionPendingError,
)


async def test_a_staged_version_is_pending_until_it_is_promoted(client: Any) -> None:
    await done(client.secrets.create(name="a_key", value="one"))
    staged = await done(client.secrets.rotate(name="a_key", value="two", stage=True))
    assert (staged.version, staged.pending_version, staged.value) == (1, 2, ENCRYPTED)
    assert (await done(client.secrets.get(name="a_key"))).value == "one"
    with pytest.raises(VersionPendingError):
        await done(client.secrets.get(name="a_key", version=2))
    with pytest.raises(RotationPendingError):
        await done(client.secrets.rotate(name="a_key", value="three", stage=True))
    states = [version.state for version in (await done(client.secrets.versions("a_key"))).versions]
    assert states == ["pending", "enabled"]

    promoted = await done(client.secrets.promote("a_key", 2, grace_period=timedelta(hours=1)))
    assert (promoted.version, promoted.pending_version) == (2, None)
    assert (await done(client.secrets.get(name="a_key"))).value == "two"
    assert (await done(client.secrets.get(name="a_key", version=1))).value == "one"
    # Back to the older version.
    assert (await done(client.secrets.promote("a_key", 1))).version == 1
    assert (await done(client.secrets.get(name="a_key"))).value == "one"


async def test_a_pending_version_is_abandoned_by_its_destruction(client: Any) -> None:
    await done(client.secrets.create(name="a_key", value="one"))
    made = await done(
        client.secrets.rotate(name="a_key", generate=generate.password(40), return_value=True, stage=True)
    )
    assert len(made.value) == 40
    destroyed = await done(client.secrets.destroy_version("a_key", 2))
    assert (destroyed.version.state, destroyed.secret.pending_version) == ("destroyed", None)
    assert (await done(client.secrets.rotate(name="a_key", value="three", stage=True))).pending_version == 3


async def test_a_deleted_secret_is_brought_back(client: Any) -> None:
    await done(client.secrets.create(name="a_key", value="one"))
    deleted = await done(client.secrets.delete(name="a_key"))
    assert deleted.purge_at > deleted.deleted_at
    listed = await done(client.secrets.list(include_deleted=True))
    assert [(item.id, item.deleted_at) for item in listed.items] == [(deleted.id, deleted.deleted_at)]
    assert (await done(client.secrets.list())).items == []
    await done(client.secrets.create(name="a_key", value="other"))
    with pytest.raises(SecretAlreadyExistsError):
        await done(client.secrets.undelete(id=deleted.id))
    back = await done(client.secrets.undelete(id=deleted.id, new_name="b_key"))
    assert (back.id, back.name, back.deleted_at) == (deleted.id, "b_key", None)
    assert (await done(client.secrets.get(name="b_key"))).value == "one"
    with pytest.raises(SecretNotFoundError):
        await done(client.secrets.undelete(id=deleted.id))


async def test_several_secrets_are_read_at_one_moment(client: Any) -> None:
    await done(client.secrets.create(name="a_key", value="one"))
    await done(client.secrets.create(name="b_key", value=b"\x00\xff"))
    batch = await done(client.secrets.batch_get(names=["b_key", "absent", "a_key"]))
    assert [item.name for item in batch.items] == ["b_key", "absent", "a_key"]
    assert (batch["a_key"].value, batch["b_key"].value) == ("one", b"\x00\xff")
    refused = batch.items[1]
    assert refused.secret is None
    assert isinstance(refused.error, SecretNotFoundError)
    assert refused.error.reason == "SECRET_NOT_FOUND"
    with pytest.raises(SecretNotFoundError):
        batch["absent"]
    with pytest.raises(SecretNotFoundError, match="did not ask"):
        batch["c_key"]
    hidden = await done(client.secrets.batch_get(names=["a_key"], include_value=False))
    assert hidden["a_key"].redacted
    with pytest.raises(ValidationError):
        await done(client.secrets.batch_get(names=[]))


async def test_a_secret_has_an_expiry_and_a_policy_until_they_are_cleared(client: Any) -> None:
    policy = RotationPolicy(interval=timedelta(days=30), grace_period=timedelta(hours=24), window="02:00-04:00")
    made = await done(client.secrets.create(name="a_key", value="one", ttl=timedelta(days=1), rotation_policy=policy))
    assert made.rotation_policy == policy
    left = made.expires_at - datetime.now(timezone.utc)
    assert timedelta(hours=23) < left < timedelta(hours=25)
    later = datetime(2090, 1, 1, tzinfo=timezone.utc)
    assert (await done(client.secrets.update(name="a_key", expires_at=later))).expires_at == later
    cleared = await done(client.secrets.update(name="a_key", expires_at=None, rotation_policy=None))
    assert (cleared.expires_at, cleared.rotation_policy) == (None, None)


async def test_consumers_acknowledge_versions(client: Any) -> None:
    await done(client.secrets.create(name="a_key", value="one"))
    told = await done(client.secrets.acknowledge("a_key", 1, consumer="billing-2"))
    assert [consumer.consumer for consumer in told.version.consumers] == ["billing-2"]
    assert told.version.consumers[0].acknowledged_at is not None


async def test_claims_that_do_not_hold_are_refused(client: Any) -> None:
    await done(client.secrets.create(name="a_key", value="one"))
    with pytest.raises(NoRotationDueError):
        await done(client.secrets.claim_rotation(name_prefix="a_"))
    # In the form of the server: base64url of the ids of the namespace, of the secret and of the claim.
    nobody = "A" * 64
    with pytest.raises(ClaimLostError):
        await done(client.secrets.rotate(name="a_key", value="two", stage=True, claim_id=nobody))
    with pytest.raises(ClaimLostError):
        await done(client.secrets.release_rotation(claim_id=nobody, error="no answer"))


@pytest.mark.parametrize("server", ["fake"], indirect=True)
async def test_a_worker_claims_stages_and_promotes(client: Any) -> None:
    policy = RotationPolicy(interval=timedelta(days=30))
    await done(client.secrets.create(name="a_key", value="one", rotation_policy=policy))
    claim = await done(client.secrets.claim_rotation(lease=timedelta(minutes=10)))
    assert (claim.secret.name, claim.pending_version) == ("a_key", None)
    with pytest.raises(NoRotationDueError):
        await done(client.secrets.claim_rotation())
    await done(client.secrets.rotate(name="a_key", value="two", stage=True, claim_id=claim.claim_id))
    await done(client.secrets.release_rotation(claim_id=claim.claim_id, error="no answer"))
    again = await done(client.secrets.claim_rotation())
    assert again.pending_version == 2
    assert again.secret.rotation_failure.error == "no answer"
    promoted = await done(client.secrets.promote("a_key", 2, claim_id=again.claim_id))
    assert promoted.version == 2
