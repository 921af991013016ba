"""API keys, the identity of the caller, and the errors of callers without the right, through both clients."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from both import done
from servers import Server, fresh_namespace

from strongroom import ApiKey
from strongroom.exceptions import (
    AuthenticationError,
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
)


async def test_whoami_of_the_root_key(client: Any) -> None:
    me = await done(client.whoami())
    assert me.api_key.root
    assert me.principal.startswith("key:")
    assert {"list", "read", "write", "rotate", "manage_access"} <= me.rights


async def test_the_life_of_a_key(client: Any, kind: Any, server: Server) -> None:
    made = await done(client.access.create_key(name="a service", home_namespace=server.namespace))
    assert isinstance(made.api_key, ApiKey)
    assert (made.api_key.name, made.api_key.home_namespace) == ("a service", server.namespace)
    assert not made.api_key.root
    assert made.credential.startswith(f"srk_{made.api_key.id}_")
    assert made.credential not in repr(made)
    assert made.api_key.id in {key.id for key in await done(client.access.list_keys())}

    # A key needs no namespace in its calls for its home, and has no rights in another namespace.
    theirs = kind(server=server.address, api_key=made.credential, ca_cert=server.ca_cert)
    me = await done(theirs.whoami())
    assert (me.api_key.id, me.rights) == (made.api_key.id, frozenset({"list", "read", "write", "rotate", "delete"}))
    secret = await done(theirs.secrets.create(name="a_key", value="v-1"))
    assert secret.namespace == server.namespace
    refusals: list[Callable[[], Any]] = [
        lambda: theirs.secrets.get(name="a_key", namespace=fresh_namespace()),
        lambda: theirs.access.list_keys(),
        lambda: theirs.access.create_key(name="another"),
    ]
    for refused in refusals:
        with pytest.raises(PermissionDeniedError) as denied:
            await done(refused())
        assert denied.value.reason == "ACCESS_DENIED"

    revoked = await done(client.access.revoke_key(id=made.api_key.id))
    assert revoked.revoked_at is not None
    assert await done(client.access.revoke_key(id=made.api_key.id)) == revoked
    with pytest.raises(AuthenticationError) as caught:
        await done(theirs.secrets.get(name="a_key"))
    assert caught.value.reason == "CREDENTIAL_INVALID"
    await done(theirs.close())


async def test_a_key_that_ends(client: Any, server: Server) -> None:
    made = await done(client.access.create_key(name="short", home_namespace=server.namespace, ttl=timedelta(hours=1)))
    assert made.api_key.expires_at - made.api_key.created_at == timedelta(hours=1)


async def test_no_such_key(client: Any) -> None:
    with pytest.raises(NotFoundError) as caught:
        await done(client.access.revoke_key(id="a" * 16))
    assert caught.value.reason == "API_KEY_NOT_FOUND"


async def test_the_root_key_does_not_revoke_itself(client: Any) -> None:
    me = await done(client.whoami())
    with pytest.raises(FailedPreconditionError) as caught:
        await done(client.access.revoke_key(id=me.api_key.id))
    assert caught.value.reason == "LAST_ADMINISTRATOR"


async def test_a_key_that_is_none(kind: Any, server: Server) -> None:
    stranger = kind(**server.arguments(api_key="srk_nonsense"))
    with pytest.raises(AuthenticationError) as caught:
        await done(stranger.secrets.list())
    assert caught.value.reason == "CREDENTIAL_INVALID"
    assert "nonsense" not in str(caught.value)
    await done(stranger.close())
