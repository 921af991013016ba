"""From documents of Python (what `json.loads` returns) to `google.protobuf.Struct`, and back.

Errors name the place as a JSON Pointer (RFC 6901) behind the argument, as the server does: `document/steps/0/tool`.
What stands there is never shown, for it may be a value.
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

# The wire's only number is a double, which holds every integer up to here.
_EXACT = 2**53

# How many messages within each other protobuf's parsers read, the server's and the one here alike. A dict within
# another is three more (the value, its struct, the entry of its map), a list two.
_DEEPEST = 100

# What the server accepts. A document that shares its parts can be endless while it takes up next to nothing here, so
# the writing has to end by itself.
_LARGEST = 1024 * 1024

# The argument, or what is around and the key or index in it. Made into text only when an error needs it.
_Place: TypeAlias = "str | tuple[_Place, str | int]"


class Writer:
    """Writes what one request has of documents."""

    def __init__(self) -> None:
        self._size = 0

    def struct(self, into: Struct, argument: str, given: Mapping[str, Any]) -> None:
        """A mapping, all of whose keys and values may be anything yet."""
        self._fields(into, argument, given, nesting=1)

    def value(self, into: Value, argument: str, given: Any) -> None:
        """A value of a struct that is an argument of its own."""
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
            problem = "is nested too deeply, or contains itself: 33 dicts or 49 lists within each other can be sent."
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
        """Adds what a thing takes at least on the wire."""
        self._size += size
        if self._size > _LARGEST:
            raise LimitExceededError(
                "The document and its inputs are larger than the 1 MiB that can be sent: resolve its parts one by one.",
                reason="MESSAGE_TOO_LARGE",
                code=grpc.StatusCode.RESOURCE_EXHAUSTED,
            )


def read(message: Struct, like: Any) -> dict[str, Any]:
    """A struct as a dict, the keys in the order that they have in `like`, and behind them the others by name.

    The wire keeps no order, and no difference between 2 and 2.0: what is integral, and exact, is an int.
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
        raise arguments.invalid(_pointer(place), "must be a finite number.")
    return float(given)


def _pointer(place: _Place) -> str:
    steps: list[str] = []
    while not isinstance(place, str):
        place, step = place
        steps.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "/".join([place, *reversed(steps)])
