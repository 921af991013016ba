"""A call that is ready to send. The sync and the async client share this module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import grpc

from strongroom import _arguments as arguments
from strongroom.exceptions import InternalError
from strongroom.v1.access_pb2_grpc import AccessServiceStub
from strongroom.v1.audit_pb2_grpc import AuditServiceStub
from strongroom.v1.reference_pb2_grpc import ReferenceServiceStub
from strongroom.v1.secret_pb2_grpc import SecretServiceStub

__all__ = ["Call", "Page", "Scope", "Stubs", "call_after", "timeout_for"]

Result = TypeVar("Result")
Item = TypeVar("Item")


class Stubs:
    """The generated stubs over one channel, sync or async."""

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        """The caller closes the channel."""
        self.secrets = SecretServiceStub(channel)
        self.access = AccessServiceStub(channel)
        self.audit = AuditServiceStub(channel)
        self.references = ReferenceServiceStub(channel)


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A request, the RPC to send it to, and how to read the reply.

    The `repr` does not show the request, which may hold a value.
    """

    rpc: Callable[[Stubs], grpc.UnaryUnaryMultiCallable[Any, Any]]
    """Picks the RPC from the stubs."""
    request: Any = field(repr=False)
    """The protobuf message to send."""
    read: Callable[[Any], Result]
    """Converts the reply to the result."""
    timeout: float | None = None
    """Seconds for all attempts together. None: the client's timeout."""
    repeatable: bool = True
    """Whether the call can be sent twice with the same effect as once."""

    @property
    def request_id(self) -> str | None:
        """The `request_id` of the request. None: the request has none."""
        return getattr(self.request, "request_id", None) or None


@dataclass(frozen=True)
class Page(Generic[Item]):
    """A page of a list that the client reads to its end."""

    items: list[Item]
    """The items of this page."""
    next_page_token: str
    """The token of the next page. Empty: this page is the last."""


def call_after(call: Call[Page[Item]], page: Page[Item]) -> Call[Page[Item]] | None:
    """Returns the call for the page after this one. None: this page is the last."""
    if not page.next_page_token:
        return None
    if page.next_page_token == call.request.page_token:
        raise InternalError("The server returned the same page twice: report this defect of the server.")
    request = type(call.request)()
    request.CopyFrom(call.request)
    if "offset" in request.DESCRIPTOR.fields_by_name:
        request.ClearField("offset")
    request.page_token = page.next_page_token
    return Call(call.rpc, request, call.read, call.timeout)


@dataclass(frozen=True)
class Scope:
    """The defaults of a client for arguments that a call leaves out."""

    namespace: str = ""
    """Empty: the API key's home namespace."""

    def namespace_for(self, given: str | None) -> str:
        """Returns the namespace of one call, checked. None: the client's namespace."""
        return self.namespace if given is None else arguments.text("namespace", given)


def timeout_for(given: float | None) -> float | None:
    """Returns the timeout of one call, checked. None: the client's timeout."""
    return None if given is None else arguments.seconds("timeout", given)
