"""Checks arguments and converts them to the fields of protobuf messages.

A wrong Python type raises `TypeError`, and a value that protobuf cannot hold raises `ValidationError`. Both name the
argument and never show its value. They have no cause, because an error of protobuf would quote the value. All other
limits (a name with a space, a value that is too long) are left to the server.
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

from strongroom.exceptions import ConfigurationError, ValidationError, Violation
from strongroom.v1 import access_pb2, secret_pb2

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
    "misconfigured",
    "request_id",
    "revision",
    "right",
    "seconds",
    "secret_value",
    "text",
    "timestamp",
]

RequestId = Union[str, uuid.UUID]

INT32 = 2**31 - 1
UINT32 = 2**32 - 1
UINT64 = 2**64 - 1

NOT_UTF8 = "contains a lone surrogate, which UTF-8 cannot hold; pass well-formed text."


class NotGiven:
    """The type of `NOT_GIVEN`: the default of an argument for which None has a meaning of its own."""

    def __repr__(self) -> str:
        """The name of the constant."""
        return "NOT_GIVEN"

    def __bool__(self) -> bool:
        """Always False."""
        return False


NOT_GIVEN = NotGiven()


def invalid(argument: str, problem: str) -> ValidationError:
    """Returns the error for an argument that cannot be sent. `problem` says what to do and shows no value."""
    return ValidationError(
        f"{argument}: {problem}",
        reason="VALIDATION_FAILED",
        code=grpc.StatusCode.INVALID_ARGUMENT,
        violations=[Violation(argument, problem)],
    )


def misconfigured(argument: str, problem: str) -> ConfigurationError:
    """Returns the error for a setting of a client that cannot be used. `problem` says what to do."""
    return ConfigurationError(f"{argument}: {problem}", violations=[Violation(argument, problem)])


def text(argument: str, given: Any) -> str:
    """Checks for a str that UTF-8 can hold."""
    if not isinstance(given, str):
        raise _wrong_type(argument, "str", given)
    if not is_utf8(given):
        raise invalid(argument, NOT_UTF8)
    return given


def is_utf8(given: str) -> bool:
    """Whether UTF-8 can hold the text: it has no lone surrogate."""
    try:
        given.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def secret_value(argument: str, given: Any) -> secret_pb2.SecretValue:
    """Converts a str to `text` and bytes to `binary`."""
    if isinstance(given, bytes):
        return secret_pb2.SecretValue(binary=given)
    if not isinstance(given, str):
        raise _wrong_type(argument, "str or bytes", given)
    return secret_pb2.SecretValue(text=text(argument, given))


def metadata(argument: str, given: Any) -> Mapping[str, str]:
    """Checks for a mapping of str to str."""
    if not isinstance(given, Mapping):
        raise _wrong_type(argument, "a mapping of str to str", given)
    return {text(f"a key of {argument}", k): text(f"a value of {argument}", v) for k, v in given.items()}


def integer(argument: str, given: Any, low: int, high: int) -> int:
    """Checks for an int that the field can hold. The server checks its own limits."""
    if isinstance(given, bool) or not isinstance(given, int):
        raise _wrong_type(argument, "int", given)
    if not low <= given <= high:
        raise invalid(argument, f"must be from {low} to {high}.")
    return given


def revision(argument: str, given: Any) -> int:
    """Checks for a revision of the store."""
    return integer(argument, given, 0, UINT64)


def flag(argument: str, given: Any) -> bool:
    """Checks for a bool; other true or false values are refused."""
    if not isinstance(given, bool):
        raise _wrong_type(argument, "bool", given)
    return given


def consistency(argument: str, cached: Any) -> secret_pb2.Consistency.ValueType:
    """Converts the argument `cached` of a read."""
    return secret_pb2.CONSISTENCY_CACHED if flag(argument, cached) else secret_pb2.CONSISTENCY_UNSPECIFIED


def request_id(argument: str, given: RequestId | None) -> str:
    """Returns the given id, or a new one. An empty id is refused: a change without an id cannot be retried safely."""
    if given is None:
        return str(uuid.uuid4())
    if given == "":
        raise invalid(argument, "must be a UUID; leave it out, and the client makes one.")
    return str(given) if isinstance(given, uuid.UUID) else text(argument, given)


def right(argument: str, given: Any) -> access_pb2.Right.ValueType:
    """Converts `manage_access` to `RIGHT_MANAGE_ACCESS`."""
    name = text(argument, given)
    known = access_pb2.Right.DESCRIPTOR.values[1:]
    for value in known:
        if value.name == f"RIGHT_{name.upper()}" and name.islower():
            return access_pb2.Right.ValueType(value.number)
    raise invalid(argument, f"must be one of {', '.join(value.name[len('RIGHT_') :].lower() for value in known)}.")


def seconds(argument: str, given: Any) -> float:
    """Checks for a finite number of seconds greater than 0."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise _wrong_type(argument, "a number of seconds", given)
    if not (math.isfinite(given) and given > 0):
        raise invalid(argument, "must be a finite number of seconds greater than 0.")
    return float(given)


def timestamp(argument: str, given: Any) -> Timestamp:
    """Converts a datetime. It must have a time zone: without one it is not a single moment."""
    if not isinstance(given, datetime):
        raise _wrong_type(argument, "datetime", given)
    if given.utcoffset() is None:
        raise invalid(argument, "has no time zone: pass, for example, datetime.now(timezone.utc) + timedelta(days=30).")
    message = Timestamp()
    message.FromDatetime(given)
    return message


def duration(argument: str, given: Any) -> Duration:
    """Converts a timedelta."""
    if not isinstance(given, timedelta):
        raise _wrong_type(argument, "timedelta", given)
    message = Duration()
    message.FromTimedelta(given)
    return message


def _wrong_type(argument: str, wanted: str, given: Any) -> TypeError:
    return TypeError(f"{argument} must be {wanted}, not {type(given).__name__}")
