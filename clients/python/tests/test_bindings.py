"""Roles, bindings, explanations and rotated keys, through both clients."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from both import done
from servers import Server

from strongroom.exceptions import (
    ApiKeyNotFoundError,
    AuthenticationError,
    BindingNotFoundError,
    RoleAlreadyExistsError,
    RoleInUseError,
    RoleNotFoundError,
    ValidationError,
)


async def test_the_life_of_a_role(client: Any) -> None:
    name = f"role_{secrets.token_hex(8)}"
    role = await done(client.access.create_role(name=name, rights=["list", "manage_access"], description="a test"))
    assert (role.name, role.rights, role.description) == (name, frozenset({"list", "manage_access"}), "a test")
    assert not role.built_in
    assert role.created_at is not None
    roles = {role.name: role for role in await done(client.access.list_roles())}
    assert roles[name] == role
    assert (roles["reader"].built_in, roles["reader"].rights) == (True, frozenset({"list", "read"}))
    with pytest.raises(RoleAlreadyExistsError):
        await done(client.access.create_role(name=name, rights=["list"]))

    made = {"principal": f"group:test:{name}", "role": name, "namespace_pattern": name.replace("_", "-")}
    binding = await done(client.access.create_binding(**made))
    with pytest.raises(RoleInUseError) as caught:
        await done(client.access.delete_role(name=name))
    assert caught.value.reason == "ROLE_IN_USE"
    await done(client.access.delete_binding(id=binding.id))
    assert await done(client.access.delete_role(name=name)) is None
    with pytest.raises(RoleNotFoundError):
        await done(client.access.delete_role(name=name))
    with pytest.raises(RoleNotFoundError):
        await done(client.access.create_binding(**made))


async def test_the_life_of_bindings(client: Any, server: Server) -> None:
    principal, namespace = f"group:test:{server.namespace}", server.namespace
    expires_at = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=1)
    allow = await done(
        client.access.create_binding(
            principal=principal,
            role="reader",
            namespace_pattern=namespace,
            expires_at=expires_at,
            description="a test",
        )
    )
    assert (allow.principal, allow.role, allow.namespace_pattern) == (principal, "reader", namespace)
    assert (allow.name_pattern, allow.denies, allow.expires_at) == ("*", False, expires_at)
    assert allow.description == "a test"
    explained = await done(client.access.explain(right="read", namespace=namespace, principal=principal))
    assert (explained.allowed, explained.binding, explained.remedy) == (True, allow, "")
    assert explained.explanation

    deny = await done(
        client.access.create_binding(
            principal=principal, role="editor", namespace_pattern=namespace, name_pattern="db_*", deny=True
        )
    )
    assert (deny.name_pattern, deny.denies, deny.expires_at) == ("db_*", True, None)
    # The list follows the pages.
    assert await done(client.access.list_bindings(principal=principal)) == [allow, deny]
    assert await done(client.access.list_bindings(principal=principal, role="editor")) == [deny]
    assert await done(client.access.list_bindings(principal=principal, namespace="other")) == []

    for binding in (allow, deny):
        await done(client.access.delete_binding(id=binding.id))
    with pytest.raises(BindingNotFoundError):
        await done(client.access.delete_binding(id=allow.id))
    explained = await done(client.access.explain(right="read", namespace=namespace, principal=principal))
    assert (explained.allowed, explained.binding) == (False, None)
    assert explained.remedy == f"strongroom binding add --principal {principal} --role reader --on {namespace}"


async def test_the_repeat_of_a_binding_makes_no_second_one(client: Any, server: Server) -> None:
    request_id = "5b1f7c1e-0f4c-4c55-9f2b-" + secrets.token_hex(6)
    made = {"principal": f"group:test:{server.namespace}", "role": "reader", "namespace_pattern": server.namespace}
    first = await done(client.access.create_binding(**made, request_id=request_id))
    assert await done(client.access.create_binding(**made, request_id=request_id)) == first
    assert await done(client.access.list_bindings(principal=made["principal"])) == [first]
    await done(client.access.delete_binding(id=first.id))


async def test_a_rotated_key(client: Any, kind: Any, server: Server) -> None:
    made = await done(client.access.create_key(name="a service", home_namespace=server.namespace, role="reader"))
    rotated = await done(client.access.rotate_key(id=made.api_key.id))
    assert rotated.api_key.id == made.api_key.id
    assert rotated.api_key.rotated_at is not None
    assert rotated.credential not in repr(rotated)
    assert rotated.credential != made.credential
    for credential, works in ((made.credential, False), (rotated.credential, True)):
        theirs = kind(server=server.address, api_key=credential, ca_cert=server.ca_cert)
        if works:
            assert (await done(theirs.whoami())).api_key.id == made.api_key.id
        else:
            with pytest.raises(AuthenticationError):
                await done(theirs.whoami())
        await done(theirs.close())
    with pytest.raises(ApiKeyNotFoundError):
        await done(client.access.rotate_key(id="a" * 16, overlap=timedelta(hours=1)))


async def test_wrong_arguments_are_not_sent(kind: Any) -> None:
    client = kind("srk_k", server="127.0.0.1:1")
    with pytest.raises(ValidationError, match="right: must be one of list, read"):
        await done(client.access.explain(right="everything"))
    with pytest.raises(ValidationError):
        await done(client.access.create_role(name="r", rights=["READ"]))
    with pytest.raises(TypeError, match="rights must be a list of str"):
        await done(client.access.create_role(name="r", rights="read"))
    await done(client.close())
