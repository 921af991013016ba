"""References in documents, through both clients."""

from __future__ import annotations

import base64
import traceback
from typing import Any

import pytest
from both import done
from servers import Server

from strongroom import Credential, Reference
from strongroom.exceptions import (
    InvalidReferenceError,
    PermissionDeniedError,
    ReferenceTooCostlyError,
    SecretNotFoundError,
    ValidationError,
)

CANARY = "canary-value"

# The three task definitions of the guide.
TOOL_CALL: dict[str, Any] = {
    "steps": [
        {
            "kind": "tool_call",
            "tool": "openai",
            "operation": "chat",
            "arguments": {
                "model": "gpt-4",
                "messages": [{"role": "user", "content": "What's the weather like?"}],
            },
            "secret_name": "openai_api_key",
        }
    ]
}
TRANSFORM: dict[str, Any] = {
    "steps": [
        {
            "kind": "transform",
            "expression": "$ f'https://api.example.com/v1?api_key={secrets.api_key}&query={input}'",
            "input": "search query",
            "output": "api_url",
        }
    ]
}
CONNECTION: dict[str, Any] = {
    "steps": [
        {
            "kind": "tool_call",
            "tool": "database",
            "operation": "query",
            "arguments": {
                "query": "SELECT * FROM users",
                "connection": {
                    "host": "$ secrets.db_host",
                    "user": "$ secrets.db_username",
                    "password": "$ secrets.db_password",
                    "database": "$ secrets.db_name",
                },
            },
        }
    ]
}


async def create(client: Any, **values: str | bytes) -> None:
    for name, value in values.items():
        await done(client.secrets.create(name=name, value=value))


async def test_the_guides_secret_name_beside_a_tool(client: Any) -> None:
    await create(client, openai_api_key="sk-test", another="not asked for")
    resolved = await done(client.resolve(TOOL_CALL))
    assert resolved.document == TOOL_CALL
    assert resolved.credentials == [Credential("/steps/0", "openai_api_key", "")]
    assert resolved.credentials[0].value == "sk-test"
    assert resolved.references == [Reference("openai_api_key", ("/steps/0/secret_name",), exists=True, readable=True)]
    assert resolved.revision > 0


async def test_the_guides_expression(client: Any) -> None:
    await create(client, api_key="k-1")
    # The input in the step counts when the call passes none.
    resolved = await done(client.resolve(TRANSFORM))
    [step] = resolved.document["steps"]
    assert step.pop("expression") == "https://api.example.com/v1?api_key=k-1&query=search query"
    assert step == {"kind": "transform", "input": "search query", "output": "api_url"}
    [step] = (await done(client.resolve(TRANSFORM, input="another"))).document["steps"]
    assert step["expression"] == "https://api.example.com/v1?api_key=k-1&query=another"
    assert step["input"] == "search query"
    assert resolved.references == [Reference("api_key", ("/steps/0/expression",), exists=True, readable=True)]
    assert resolved.credentials == []


async def test_the_guides_connection(client: Any) -> None:
    await create(client, db_host="db.example", db_username="app", db_password="{p}'\"\\ $ 1", db_name="users")
    resolved = await done(client.resolve(CONNECTION))
    arguments = resolved.document["steps"][0]["arguments"]
    assert arguments["query"] == "SELECT * FROM users"
    connection = arguments["connection"]
    assert connection == {"host": "db.example", "user": "app", "password": "{p}'\"\\ $ 1", "database": "users"}
    assert list(connection) == ["host", "user", "password", "database"]
    around = "/steps/0/arguments/connection"
    assert [(reference.name, reference.paths) for reference in resolved.references] == [
        ("db_host", (f"{around}/host",)),
        ("db_name", (f"{around}/database",)),
        ("db_password", (f"{around}/password",)),
        ("db_username", (f"{around}/user",)),
    ]


async def test_inputs(client: Any) -> None:
    document = {
        "a": "$ input",
        "b": "$ _",
        "c": "$ f'{_[1]}-{inputs.region}'",
        "d": "$ inputs['region']",
        "e": "$ 2",
    }
    resolved = await done(client.resolve(document, input=["x", 7, 0.5], inputs={"region": "eu"}))
    expected = {"a": ["x", 7, 0.5], "b": ["x", 7, 0.5], "c": "7-eu", "d": "eu", "e": 2}
    assert repr(resolved.document) == repr(expected)


async def test_no_input_is_not_an_input_of_none(client: Any) -> None:
    assert (await done(client.resolve({"a": "$ input"}, input=None))).document == {"a": None}
    assert (await done(client.resolve({"a": "$ _"}, inputs={"input": 7}))).document == {"a": 7}
    with pytest.raises(InvalidReferenceError):
        await done(client.resolve({"a": "$ input"}))


async def test_everything_else_stays_as_it_is(client: Any) -> None:
    document: dict[str, Any] = {
        "braces": "{x} {{ secrets.a_key }} {secrets.a_key}",
        "no reference": ["$secrets.a_key", " $ secrets.a_key", "$", "$$ secrets.a_key", "", "secrets.a_key"],
        "$ secrets.a_key": [None, True, False, 0, -1, 0.5, 2**53, {}, []],
        "secret_name": "of no tool",
        "žluťoučký 🐎": {"deep": [[{"deeper": "nul\0"}]]},
    }
    resolved = await done(client.resolve(document))
    assert repr(resolved.document) == repr(document)
    assert (resolved.credentials, resolved.references) == ([], [])
    assert (await done(client.resolve({}))).document == {}


async def test_a_value_is_not_expanded_again(client: Any) -> None:
    await create(client, outer="$ secrets.inner", inner=CANARY, braces="{input} {secrets.inner}")
    resolved = await done(client.resolve({"a": "$ secrets.outer", "b": "$ f'{secrets.braces}{input}'"}, input="$ _"))
    assert resolved.document == {"a": "$ secrets.inner", "b": "{input} {secrets.inner}$ _"}
    assert [reference.name for reference in resolved.references] == ["braces", "outer"]


async def test_every_legal_name_can_be_referenced(client: Any) -> None:
    names = ["items", "get", "keys", "format", "__class__", "_", "input", "A1"]
    await create(client, **{name: f"v-{name}" for name in names})
    document = {name: f"$ secrets.{name}" for name in names}
    assert (await done(client.resolve(document))).document == {name: f"v-{name}" for name in names}


async def test_bytes_are_base64_in_documents_and_bytes_in_credentials(client: Any) -> None:
    await create(client, blob=b"\x00\xff\xfe")
    steps = [{"tool": "t", "secret_name": "blob"}]
    resolved = await done(client.resolve({"a": "$ base64(secrets.blob)", "b": steps}))
    encoded = base64.b64encode(b"\x00\xff\xfe").decode()
    assert (resolved.document["a"], resolved.credentials[0].value) == (encoded, b"\x00\xff\xfe")
    assert resolved.references[0].paths == ("/a", "/b/0/secret_name")
    with pytest.raises(InvalidReferenceError):
        await done(client.resolve({"a": "$ secrets.blob"}))


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"good": "$ secrets.a_key", "a/b": [{"m~n": "$ secrets.missing"}]}, "document/a~1b/0/m~0n"),
        ({"good": "$ secrets.a_key", "step": {"tool": "t", "secret_name": "missing"}}, "document/step/secret_name"),
        ({"good": "$ secrets.a_key", "bad": "$ f'{secrets.a_key}{secrets.missing}'"}, "document/bad"),
    ],
)
async def test_a_missing_secret(client: Any, server: Server, document: dict[str, Any], place: str) -> None:
    await create(client, a_key=CANARY)
    with pytest.raises(SecretNotFoundError) as caught:
        await done(client.resolve(document))
    error = caught.value
    assert (error.reason, error.resource) == ("SECRET_NOT_FOUND", f"{server.namespace}/missing")
    assert [violation.field for violation in error.violations] == [place]
    assert "missing" in str(error)
    shows_no_value(error)


@pytest.mark.parametrize(
    "expression",
    [
        "$ secrets",
        "$ f'{secrets}'",
        "$ [secrets]",
        "$ secrets.",
        "$ ",
        "$ unknown",
        "$ f'{secrets.a_key",
        "$ (lambda: 1)()",
        "$ __import__('os')",
        "$ open('/etc/passwd')",
    ],
)
async def test_strings_that_are_not_valid_expressions(client: Any, expression: str) -> None:
    await create(client, a_key=CANARY)
    with pytest.raises(InvalidReferenceError) as caught:
        await done(client.resolve({"good": "$ secrets.a_key", "steps": [{"bad": expression}]}))
    error = caught.value
    assert isinstance(error, ValidationError)
    assert error.reason == "REFERENCE_INVALID"
    assert [violation.field for violation in error.violations] == ["document/steps/0/bad"]
    shows_no_value(error)


async def test_a_document_that_costs_too_much(client: Any) -> None:
    with pytest.raises(ReferenceTooCostlyError) as caught:
        await done(client.resolve({"a": ["$ '" + 20_000 * "x" + "'"]}))
    assert isinstance(caught.value, ValidationError)
    assert caught.value.reason == "REFERENCE_TOO_COSTLY"
    assert [violation.field for violation in caught.value.violations] == ["document/a/0"]


async def test_validate_only_reads_no_value_and_accepts_missing_secrets(client: Any) -> None:
    await create(client, api_key=CANARY, openai_api_key=CANARY)
    steps = [*TOOL_CALL["steps"], *TRANSFORM["steps"], {"also": "$ secrets.api_key + secrets.missing"}]
    found = await done(client.resolve({"steps": steps}, validate_only=True))
    assert (found.document, found.credentials) == ({}, [])
    assert found.references == [
        Reference("api_key", ("/steps/1/expression", "/steps/2/also"), exists=True, readable=True),
        Reference("missing", ("/steps/2/also",), exists=False, readable=False),
        Reference("openai_api_key", ("/steps/0/secret_name",), exists=True, readable=True),
    ]
    assert CANARY not in repr(vars(found))
    with pytest.raises(InvalidReferenceError):
        await done(client.resolve({"bad": "$ secrets"}, validate_only=True))


async def test_the_namespace_of_a_call(client: Any, kind: Any, server: Server) -> None:
    await create(client, a_key="v-1")
    with pytest.raises(SecretNotFoundError):
        await done(client.resolve({"a": "$ secrets.a_key"}, namespace=f"{server.namespace}/inner"))
    made = await done(client.access.create_key(name="a service", home_namespace=server.namespace))
    theirs = kind(server=server.address, api_key=made.credential, ca_cert=server.ca_cert)
    assert (await done(theirs.resolve({"a": "$ secrets.a_key"}))).document == {"a": "v-1"}
    for validate_only in (False, True):
        with pytest.raises(PermissionDeniedError):
            await done(theirs.resolve({"a": "$ secrets.a_key"}, namespace="other", validate_only=validate_only))
    await done(theirs.close())


@pytest.mark.parametrize(("levels", "step"), [(32, "dict"), (32, "list")])
async def test_a_deep_document(client: Any, levels: int, step: str) -> None:
    await create(client, a_key="v-1")
    inner: Any = "$ secrets.a_key"
    expected: Any = "v-1"
    for _ in range(levels - 1):
        inner, expected = ({"a": inner}, {"a": expected}) if step == "dict" else ([inner], [expected])
    assert (await done(client.resolve({"a": inner}))).document == {"a": expected}


def shows_no_value(error: BaseException) -> None:
    assert error.__context__ is None
    assert CANARY not in "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert CANARY not in repr(vars(error))
