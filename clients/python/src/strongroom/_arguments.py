"""From arguments to the messages of the wire: everything that a message could choke on is refused here.

A wrong type is a `TypeError`, a value that can not be sent a `ValidationError`. Both name the argument and never show
what it was; nor do their causes, for they have none: protobuf's own errors quote what they were given. What is
merely not acceptable (a name with a space, a value that is too long) is the server's to refuse.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Union

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from strongroom.exceptions import ValidationError, Violation
from strongroom.v1 import secret_pb2

__all__ = [
    "NOT_GIVEN",
    "NOT_UTF8",
    "NotGiven",
    "RequestId",
    "duration",
    "flag",
    "integer",
    "invalid",
    "is_utf8",
    "metadata",
    "request_id",
    "seconds",
    "secret_value",
    "text",
    "timestamp",
]

RequestId = Union[str, uuid.UUID]

INT32 = 2**31 - 1
UINT32 = 2**32 - 1
UINT64 = 2**64 - 1

NOT_UTF8 = "contains a lone surrogate, which UTF-8 can not hold; pass well-formed text."


class NotGiven:
    """The type of `NOT_GIVEN`, the default of an argument that was left out where None would mean something."""

    def __repr__(self) -> str:
        """As it is written."""
        return "NOT_GIVEN"

    def __bool__(self) -> bool:
        """False, as nothing is."""
        return False


NOT_GIVEN = NotGiven()


def invalid(argument: str, problem: str) -> ValidationError:
    """The error for an argument that can not be sent."""
    return ValidationError(
        f"{argument}: {problem}",
        reason="VALIDATION_FAILED",
        code=grpc.StatusCode.INVALID_ARGUMENT,
        violations=[Violation(argument, problem)],
    )


def text(argument: str, given: Any) -> str:
    """A str that is UTF-8, as all text on the wire is."""
    if not isinstance(given, str):
        raise _wrong_type(argument, "str", given)
    if not is_utf8(given):
        raise invalid(argument, NOT_UTF8)
    return given


def is_utf8(given: str) -> bool:
    """Whether UTF-8 can hold it: whether it has no lone surrogates."""
    try:
        given.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def secret_value(argument: str, given: Any) -> secret_pb2.SecretValue:
    """A str as `text`, bytes as `binary`."""
    if isinstance(given, bytes):
        return secret_pb2.SecretValue(binary=given)
    if not isinstance(given, str):
        raise _wrong_type(argument, "str or bytes", given)
    return secret_pb2.SecretValue(text=text(argument, given))


def metadata(argument: str, given: Any) -> Mapping[str, str]:
    """A mapping of str to str."""
    if not isinstance(given, Mapping):
        raise _wrong_type(argument, "a mapping of str to str", given)
    return {text(f"a key of {argument}", k): text(f"a value of {argument}", v) for k, v in given.items()}


def integer(argument: str, given: Any, low: int, high: int) -> int:
    """An int within what its field can hold; the server says which of these it accepts."""
    if isinstance(given, bool) or not isinstance(given, int):
        raise _wrong_type(argument, "int", given)
    if not low <= given <= high:
        raise invalid(argument, f"must be from {low} to {high}.")
    return given


def flag(argument: str, given: Any) -> bool:
    """A bool, and nothing that is merely true or false."""
    if not isinstance(given, bool):
        raise _wrong_type(argument, "bool", given)
    return given


def request_id(argument: str, given: RequestId | None) -> str:
    """The id given, or a new one. Never an empty one: such a change could not be repeated."""
    if given is None:
        return str(uuid.uuid4())
    if given == "":
        raise invalid(argument, "must be a UUID; leave it out to have one made.")
    return str(given) if isinstance(given, uuid.UUID) else text(argument, given)


def seconds(argument: str, given: Any) -> float:
    """A time span of more than 0, and an end."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise _wrong_type(argument, "a number of seconds", given)
    if not (math.isfinite(given) and given > 0):
        raise invalid(argument, "must be a number of seconds greater than 0, and finite.")
    return float(given)


def timestamp(argument: str, given: Any) -> Timestamp:
    """A datetime with a time zone, so that it is one moment."""
    if not isinstance(given, datetime):
        raise _wrong_type(argument, "datetime", given)
    if given.utcoffset() is None:
        raise invalid(argument, "has no time zone: pass, for example, datetime.now(timezone.utc) + timedelta(days=30).")
    message = Timestamp()
    message.FromDatetime(given)
    return message


def duration(argument: str, given: Any) -> Duration:
    """A timedelta."""
    if not isinstance(given, timedelta):
        raise _wrong_type(argument, "timedelta", given)
    message = Duration()
    message.FromTimedelta(given)
    return message


def _wrong_type(argument: str, wanted: str, given: Any) -> TypeError:
    return TypeError(f"{argument} must be {wanted}, not {type(given).__name__}")
