"""Converts documents (as `json.loads` returns them) to `google.protobuf.Struct` and back.

Errors name a place as the server does: the argument, then a JSON Pointer (RFC 6901), for example
`document/steps/0/tool`. They never show the content of the place, because it may be a secret.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from typing_extensions import TypeAlias

from strongroom import _arguments as arguments
from strongroom.exceptions import LimitExceededError

__all__ = ["Writer", "read"]

# The only number in a Struct is a double, which holds every integer up to here exactly.
_EXACT = 2**53

# The depth of nested messages that protobuf parsers accept, both here and in the server. A dict inside another adds
# three messages (a Value, its Struct, the entry of its map), and a list adds two.
_DEEPEST = 100

# The largest message that the server accepts, in bytes. A document that holds the same object many times is small in
# memory and can still be huge on the wire, so the writer counts and stops by itself.
_LARGEST = 1024 * 1024

# A place in a document: the name of the argument, or the place around it with a key or index. It becomes text only when
# an error needs it.
_Place: TypeAlias = "str | tuple[_Place, str | int]"


class Writer:
    """Writes the documents of one request and counts their size together."""

    def __init__(self) -> None:
        self._size = 0

    def struct(self, into: Struct, argument: str, given: Mapping[str, Any]) -> None:
        """Writes a mapping. Its keys and values are not yet checked."""
        self._fields(into, argument, given, nesting=1)

    def value(self, into: Value, argument: str, given: Any) -> None:
        """Writes one value of a struct. The value is an argument of its own."""
        self._value(into, argument, given, nesting=3)

    def _fields(self, into: Struct, place: _Place, given: Mapping[Any, Any], nesting: int) -> None:
        for key, item in given.items():
            if not isinstance(key, str):
                raise TypeError(f"a key of {_pointer(place)} must be str, not {type(key).__name__}")
            if not arguments.is_utf8(key):
                raise arguments.invalid(f"a key of {_pointer(place)}", arguments.NOT_UTF8)
            self._count(len(key))
            self._value(into.fields[key], (place, key), item, nesting + 2)

    def _value(self, into: Value, place: _Place, given: Any, nesting: int) -> None:
        self._count(4)
        if nesting > _DEEPEST:
            problem = "is nested too deeply, or contains itself: nest at most 33 dicts or 49 lists."
            raise arguments.invalid(_pointer(place), problem)
        if given is None:
            into.null_value = NULL_VALUE
        elif isinstance(given, bool):
            into.bool_value = given
        elif isinstance(given, str):
            if not arguments.is_utf8(given):
                raise arguments.invalid(_pointer(place), arguments.NOT_UTF8)
            self._count(len(given))
            into.string_value = given
        elif isinstance(given, (int, float)):
            into.number_value = _double(place, given)
        elif isinstance(given, list):
            into.list_value.SetInParent()
            for index, item in enumerate(given):
                self._value(into.list_value.values.add(), (place, index), item, nesting + 2)
        elif isinstance(given, dict):
            into.struct_value.SetInParent()
            self._fields(into.struct_value, place, given, nesting + 1)
        else:
            wanted = "dict, list, str, int, float, bool or None"
            raise TypeError(f"{_pointer(place)} must be {wanted}, not {type(given).__name__}")

    def _count(self, size: int) -> None:
        """Adds the smallest number of bytes that an item takes on the wire."""
        self._size += size
        if self._size > _LARGEST:
            raise LimitExceededError(
                "The document and its inputs are larger than 1 MiB: split it, and resolve the parts one by one.",
                reason="MESSAGE_TOO_LARGE",
                code=grpc.StatusCode.RESOURCE_EXHAUSTED,
            )


def read(message: Struct, like: Any) -> dict[str, Any]:
    """Converts a struct to a dict. The keys have the order of `like`; other keys come last, ordered by name.

    A Struct keeps no order, and does not tell 2 from 2.0. A number that is an exact integer becomes an int.
    """
    known = like if isinstance(like, dict) else {}
    ranks = {key: rank for rank, key in enumerate(list(known))}
    keys = sorted(message.fields, key=lambda key: (ranks.get(key, len(ranks)), key))
    return {key: _read(message.fields[key], known.get(key)) for key in keys}


def _read(message: Value, like: Any) -> Any:
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return read(message.struct_value, like)
    if kind == "list_value":
        known = like if isinstance(like, list) else []
        items = message.list_value.values
        return [_read(item, known[index] if index < len(known) else None) for index, item in enumerate(items)]
    if kind == "number_value":
        number = message.number_value
        return int(number) if number.is_integer() and abs(number) <= _EXACT else number
    if kind == "string_value":
        return message.string_value
    return message.bool_value if kind == "bool_value" else None


def _double(place: _Place, given: float) -> float:
    if isinstance(given, int):
        if not -_EXACT <= given <= _EXACT:
            raise arguments.invalid(_pointer(place), "must be from -2**53 to 2**53 to stay exact; pass it as a str.")
    elif not math.isfinite(given):
        raise arguments.invalid(_pointer(place), "must be a finite number; pass None or a str.")
    return float(given)


def _pointer(place: _Place) -> str:
    steps: list[str] = []
    while not isinstance(place, str):
        place, step = place
        steps.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "/".join([place, *reversed(steps)])
