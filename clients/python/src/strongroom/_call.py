"""One call, ready to be sent: all that the sync and the async client have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import grpc

from strongroom import _arguments as arguments
from strongroom.v1.access_pb2_grpc import AccessServiceStub
from strongroom.v1.reference_pb2_grpc import ReferenceServiceStub
from strongroom.v1.secret_pb2_grpc import SecretServiceStub

__all__ = ["Call", "Scope", "Stubs", "timeout_for"]

Result = TypeVar("Result")


class Stubs:
    """The generated stubs over one channel, sync or async."""

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        """The channel stays the caller's to close."""
        self.secrets = SecretServiceStub(channel)
        self.access = AccessServiceStub(channel)
        self.references = ReferenceServiceStub(channel)


@dataclass(frozen=True)
class Call(Generic[Result]):
    """What to send, where to, and what to make of the reply.

    Its `repr` does not show the request, which may hold a value.
    """

    rpc: Callable[[Stubs], grpc.UnaryUnaryMultiCallable[Any, Any]]
    request: Any = field(repr=False)
    read: Callable[[Any], Result]
    timeout: float | None = None
    """Seconds for all attempts together. None: the client's."""
    repeatable: bool = True
    """Whether sending it twice does the same as sending it once."""

    @property
    def request_id(self) -> str | None:
        """The id that makes a change repeatable. None: the request has none."""
        return getattr(self.request, "request_id", None) or None


@dataclass(frozen=True)
class Scope:
    """What a client fills in where a call leaves it out."""

    namespace: str = ""
    """Empty: the API key's home namespace."""

    def namespace_for(self, given: str | None) -> str:
        """The namespace of one call."""
        return self.namespace if given is None else arguments.text("namespace", given)


def timeout_for(given: float | None) -> float | None:
    """The timeout of one call, checked. None: the client's."""
    return None if given is None else arguments.seconds("timeout", given)
