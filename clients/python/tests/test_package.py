"""The installed package."""

from __future__ import annotations

import asyncio
import inspect
from importlib import metadata, resources
from typing import Any

import pytest
from fake import ROOT_KEY, Fake, serving

import strongroom
from strongroom import AsyncStrongroom, Strongroom
from strongroom import _access_calls as access_calls
from strongroom import _audit_calls as audit_calls
from strongroom import _binding_calls as binding_calls
from strongroom import _list_calls as list_calls
from strongroom import _namespace_calls as namespace_calls
from strongroom import _reference_calls as reference_calls
from strongroom import _rotation_calls as rotation_calls
from strongroom import _secret_calls as secret_calls
from strongroom import _version_calls as version_calls
from strongroom import _watch_calls as watch_calls
from strongroom._call import Call, Scope, Stubs
from strongroom.v1 import access_pb2, audit_pb2, reference_pb2, secret_pb2


def test_it_is_typed_and_has_its_version() -> None:
    assert resources.files("strongroom").joinpath("py.typed").is_file()
    assert metadata.version("strongroom") == strongroom.__version__


def test_every_public_name_is_there() -> None:
    assert all(hasattr(strongroom, name) for name in strongroom.__all__)


def test_every_rpc_has_its_method(monkeypatch: pytest.MonkeyPatch) -> None:
    class Names:
        def __getattr__(self, name: str) -> str:
            return name

    stubs = Stubs.__new__(Stubs)
    monkeypatch.setattr(stubs, "secrets", Names(), raising=False)
    monkeypatch.setattr(stubs, "access", Names(), raising=False)
    monkeypatch.setattr(stubs, "audit", Names(), raising=False)
    monkeypatch.setattr(stubs, "references", Names(), raising=False)
    scope = Scope()
    called: list[Call[Any]] = [
        secret_calls.create(scope, name="n", value="v"),
        secret_calls.get(scope, name="n"),
        list_calls.list_(scope),
        namespace_calls.list_namespaces(scope),
        secret_calls.update(scope, name="n"),
        secret_calls.delete(scope, name="n"),
        secret_calls.batch_get(scope, names=["n"]),
        secret_calls.undelete(scope, id="i"),
        rotation_calls.promote(scope, "n", 1),
        rotation_calls.acknowledge(scope, "n", 1),
        rotation_calls.claim_rotation(scope),
        rotation_calls.release_rotation(scope, claim_id="c"),
        watch_calls.watch(scope),
        secret_calls.rotate(scope, name="n", value="v"),
        version_calls.versions(scope, "n"),
        version_calls.disable_version(scope, "n", 1),
        version_calls.enable_version(scope, "n", 1),
        version_calls.destroy_version(scope, "n", 1),
        access_calls.create_key(scope, name="n"),
        access_calls.list_keys(scope),
        access_calls.revoke_key(scope, id="i"),
        access_calls.rotate_key(scope, id="i"),
        binding_calls.create_role(scope, name="r", rights=["list"]),
        binding_calls.list_roles(scope),
        binding_calls.delete_role(scope, name="r"),
        binding_calls.create_binding(scope, principal="key:i", role="r", namespace_pattern="**"),
        binding_calls.list_bindings(scope),
        binding_calls.delete_binding(scope, id="i"),
        binding_calls.explain(scope, right="list"),
        access_calls.whoami(scope),
        reference_calls.resolve(scope, {}),
        audit_calls.list_(scope),
        audit_calls.watch(scope),
        audit_calls.checkpoint(scope),
        audit_calls.inclusion_proof(scope, index=1),
        audit_calls.consistency_proof(scope, older_size=1),
        audit_calls.find_names(scope, fingerprint="fp:1"),
    ]
    services = [
        secret_pb2.DESCRIPTOR.services_by_name["SecretService"],
        access_pb2.DESCRIPTOR.services_by_name["AccessService"],
        reference_pb2.DESCRIPTOR.services_by_name["ReferenceService"],
        audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
    ]
    rpcs = [(rpc.name, rpc.input_type.name) for service in services for rpc in service.methods]
    assert sorted((str(call.rpc(stubs)), type(call.request).__name__) for call in called) == sorted(rpcs)


def test_the_methods_show_their_arguments() -> None:
    for client in (Strongroom("srk_k"), AsyncStrongroom("srk_k")):
        create = inspect.signature(client.secrets.create)
        assert list(create.parameters)[:4] == ["name", "value", "description", "metadata"]
        assert create.return_annotation == "Secret"
        assert client.secrets.list.__name__ == "list"
        assert "65,536" in (client.secrets.create.__doc__ or "")
        assert inspect.signature(client.access.list_keys).return_annotation == "list[ApiKey]"
        assert inspect.signature(client.access.list_bindings).return_annotation == "list[Binding]"
        resolve = inspect.signature(client.resolve)
        assert list(resolve.parameters)[:3] == ["document", "input", "inputs"]
        assert resolve.return_annotation == "ResolvedDocument"
    assert inspect.iscoroutinefunction(AsyncStrongroom("srk_k").secrets.create)


@pytest.mark.parametrize("client", [Strongroom, AsyncStrongroom])
def test_every_method_describes_its_arguments_and_its_result(client: Any) -> None:
    made = client("srk_k")
    parts = [made.secrets, made.access, made.audit]
    methods = [getattr(part, name) for part in parts for name in dir(part) if not name.startswith("_")]
    for method in [*methods, made.resolve]:
        text = inspect.getdoc(method) or ""
        described = [name for name in inspect.signature(method).parameters if f"\n    {name}: " in text]
        assert described == list(inspect.signature(method).parameters), method.__name__
        assert "\nReturns:\n" in text, method.__name__


def test_an_async_client_may_be_made_before_its_loop_runs() -> None:
    with serving(Fake()) as port:
        client = AsyncStrongroom(ROOT_KEY, server=f"127.0.0.1:{port}")

        async def ask() -> bool:
            async with client:
                return (await client.whoami()).principal.startswith("key:")

        assert asyncio.run(ask())
