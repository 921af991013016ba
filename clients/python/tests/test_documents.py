"""How documents become protobuf messages, and come back. These tests need no server."""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any

import pytest
from google.protobuf import json_format

from strongroom import Credential, Reference, ResolvedDocument
from strongroom import _replies as replies
from strongroom._call import Scope
from strongroom._reference_calls import resolve
from strongroom.exceptions import LimitExceededError, ValidationError
from strongroom.v1 import reference_pb2, secret_pb2

SCOPE = Scope("home")
CANARY = "canary-value"
EXACT = 2**53


class Color(str, Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


def sent(document: Any, **arguments: Any) -> reference_pb2.ResolveReferencesRequest:
    request: reference_pb2.ResolveReferencesRequest = resolve(SCOPE, document, **arguments).request
    return request


def returned(document: dict[str, Any]) -> Any:
    """Returns the document after a trip through the bytes of a message, as from a server that changes nothing."""
    call = resolve(SCOPE, document)
    reply = reference_pb2.ResolveReferencesResponse(document=call.request.document)
    return call.read(reference_pb2.ResolveReferencesResponse.FromString(reply.SerializeToString())).document


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"": ""},
        {"a": None, "b": True, "c": False, "d": 0, "e": 1, "f": -1, "g": 0.5, "h": "text", "i": {}, "j": []},
        {"a": [[], [[]], {}, [{}], None, False]},
        {"a/b": {"m~n": ["$ secrets.x", "{braces}", "žluťoučký 🐎\0\n"]}},
        {"a": EXACT, "b": -EXACT, "c": EXACT - 1},
        {"a": 1e300, "b": -5e-324, "c": 1.5e16},
    ],
    ids=str,
)
def test_documents_come_back_as_they_were(document: dict[str, Any]) -> None:
    back = returned(document)
    assert back == document
    assert repr(back) == repr(document)


def test_types_that_json_does_not_tell_apart() -> None:
    back = returned({"a": 2.0, "b": 1e300, "c": Color.RED, "d": Level.HIGH, "e": OrderedDict(f=1)})
    assert back == {"a": 2, "b": 1e300, "c": "red", "d": 3, "e": {"f": 1}}
    assert [type(value) for value in back.values()] == [int, float, str, int, dict]


def test_keys_keep_the_order_they_were_given_in() -> None:
    names = [f"k{n * 7919 % 100}" for n in range(100)]
    document: dict[str, Any] = {name: [dict.fromkeys(reversed(names), 1)] for name in names}
    back = returned(document)
    assert list(back) == names
    assert all(list(back[name][0]) == names[::-1] for name in names)
    # Keys that the server adds come last, ordered by name.
    call = resolve(SCOPE, {"b": "$ {'z': 1, 'y': 2}", "a": []})
    reply = reference_pb2.ResolveReferencesResponse()
    reply.document.update({"a": [[]], "b": {"z": 1, "y": 2}, "d": 1, "c": 1})
    assert repr(call.read(reply).document) == "{'b': {'y': 2, 'z': 1}, 'a': [[]], 'c': 1, 'd': 1}"


def test_the_document_given_is_not_changed() -> None:
    document = {"a": [{"b": "$ secrets.x"}]}
    back = returned(document)
    back["a"][0]["b"] = "changed"
    assert document == {"a": [{"b": "$ secrets.x"}]}


def test_the_request() -> None:
    assert sent({"a": 1}) == reference_pb2.ResolveReferencesRequest(
        namespace="home", document=json_format.ParseDict({"a": 1}, reference_pb2.ResolveReferencesRequest().document)
    )
    assert sent({}, namespace="other", validate_only=True).validate_only
    assert sent({}, namespace="other").namespace == "other"
    assert resolve(SCOPE, {}, timeout=3).timeout == 3
    assert resolve(SCOPE, {}).repeatable


def test_inputs() -> None:
    assert not sent({}).HasField("inputs")
    inputs: list[Any] = ["q", None, 0, False, "", [], {}, ["a", {"b": None}]]
    for given in inputs:
        assert json_format.MessageToDict(sent({}, input=given).inputs) == {"input": given}
    request = sent({}, input="q", inputs=MappingProxyType({"region": "eu", "limits": [1, 2]}))
    assert json_format.MessageToDict(request.inputs) == {"input": "q", "region": "eu", "limits": [1, 2]}
    assert json_format.MessageToDict(sent({}, inputs={"input": "q"}).inputs) == {"input": "q"}
    for twice in ("q", None):
        with pytest.raises(TypeError, match=r"^input is given twice"):
            resolve(SCOPE, {}, input=twice, inputs={"input": CANARY})


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([CANARY], "document"),
        (CANARY, "document"),
        (None, "document"),
        ({"a": (CANARY,)}, "document/a"),
        ({"a": [0, {CANARY}]}, "document/a/1"),
        ({"a/b": {"m~n": CANARY.encode()}}, "document/a~1b/m~0n"),
        ({"": Decimal(7)}, "document/"),
        ({"a": {"b": object()}}, "document/a/b"),
        ({"a": MappingProxyType({"b": CANARY})}, "document/a"),
        ({1: CANARY}, "a key of document"),
        ({"a": [{None: CANARY}]}, "a key of document/a/0"),
        ({"a": {True: CANARY}}, "a key of document/a"),
    ],
)
def test_types_that_json_does_not_have(document: Any, place: str) -> None:
    with pytest.raises(TypeError, match=f"^{place} must be ") as caught:
        resolve(SCOPE, document)
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"input": {"a": CANARY.encode()}}, "input/a"),
        ({"input": object()}, "input"),
        ({"inputs": {"a": [CANARY.encode()]}}, "inputs/a/0"),
        ({"inputs": {1: CANARY}}, "a key of inputs"),
        ({"inputs": [CANARY]}, "inputs"),
        ({"validate_only": CANARY}, "validate_only"),
        ({"namespace": 1}, "namespace"),
    ],
)
def test_arguments_of_a_wrong_type(arguments: dict[str, Any], place: str) -> None:
    with pytest.raises(TypeError, match=f"^{place} must be ") as caught:
        resolve(SCOPE, {}, **arguments)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (EXACT + 1, "must be from -2**53 to 2**53"),
        (-EXACT - 1, "must be from -2**53 to 2**53"),
        (10**400, "must be from -2**53 to 2**53"),
        (math.nan, "must be a finite number"),
        (math.inf, "must be a finite number"),
        (-math.inf, "must be a finite number"),
        (f"{CANARY}\ud800", "contains a lone surrogate"),
    ],
)
def test_values_that_a_message_cannot_hold(value: Any, problem: str) -> None:
    for place, document, given in [
        ("document/a/1/b~1c", {"a": [0, {"b/c": value}]}, None),
        ("input/0", {}, [value]),
    ]:
        with pytest.raises(ValidationError) as caught:
            resolve(SCOPE, document, input=given)
        assert [violation.field for violation in caught.value.violations] == [place]
        assert str(caught.value).startswith(f"{place}: {problem}")
        assert CANARY not in repr(vars(caught.value))
        assert caught.value.__context__ is None


def test_a_key_that_cannot_be_sent() -> None:
    with pytest.raises(ValidationError) as caught:
        resolve(SCOPE, {"a": {"k\ud800": CANARY}})
    assert [violation.field for violation in caught.value.violations] == ["a key of document/a"]
    str(caught.value).encode()


@pytest.mark.parametrize(("step", "deepest"), [("dict", 33), ("list", 49)])
@pytest.mark.parametrize("innermost", [1, {}, []], ids=str)
def test_the_deepest_document_that_can_be_sent(step: str, deepest: int, innermost: Any) -> None:
    def nested(levels: int) -> dict[str, Any]:
        inner = innermost
        for _ in range(levels - 1):
            inner = {"a": inner} if step == "dict" else [inner]
        return {"a": inner}

    assert returned(nested(deepest)) == nested(deepest)
    with pytest.raises(ValidationError, match="is nested too deeply") as caught:
        resolve(SCOPE, nested(deepest + 1))
    assert caught.value.violations[0].field.startswith("document/a/")
    with pytest.raises(ValidationError, match="is nested too deeply"):
        resolve(SCOPE, {}, input=nested(deepest))


def test_a_document_without_an_end() -> None:
    itself: dict[str, Any] = {"a": []}
    itself["a"].append(itself)
    with pytest.raises(ValidationError, match="is nested too deeply"):
        resolve(SCOPE, itself)
    shared: Any = CANARY
    for _ in range(30):
        shared = [shared, shared]
    for document in ({"a": shared}, {"a": ["x" * 500_000] * 3}, {"x" * 500_000: {"y" * 600_000: 1}}):
        with pytest.raises(LimitExceededError) as caught:
            resolve(SCOPE, document)
        assert caught.value.reason == "MESSAGE_TOO_LARGE"


def test_a_result_shows_no_value() -> None:
    message = reference_pb2.ResolveReferencesResponse(
        credentials=[
            reference_pb2.Credential(path="/steps/0", secret_name="n", value=secret_pb2.SecretValue(text=CANARY))
        ],
        references=[reference_pb2.Reference(name="n", paths=["/a", "/b"], exists=True, readable=True)],
        revision=7,
    )
    message.document.update({"a": CANARY})
    resolved = replies.resolved_document(message, {})
    assert resolved.document == {"a": CANARY}
    assert resolved.credentials[0].value == CANARY
    assert resolved.references == [Reference("n", ("/a", "/b"), exists=True, readable=True)]
    assert repr(resolved) == (
        "ResolvedDocument(credentials=[Credential(path='/steps/0', secret_name='n')], "
        "references=[Reference(name='n', paths=('/a', '/b'), exists=True, readable=True)], revision=7)"
    )
    # A comparison ignores the values, because a failed assertion would print them.
    assert resolved == ResolvedDocument({}, [Credential("/steps/0", "n", "")], resolved.references, 7)
    assert pickle.loads(pickle.dumps(resolved)).document == resolved.document
    call = resolve(SCOPE, {"a": CANARY}, input=CANARY)
    assert CANARY not in repr(call)
