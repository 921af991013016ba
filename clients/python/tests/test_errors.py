"""How the errors of gRPC become exceptions: the reason decides, then the code, never the text."""

from __future__ import annotations

import socket
import traceback
from typing import Any

import grpc
import pytest
from both import done
from fake import Fake
from google.protobuf.any_pb2 import Any as Packed
from google.rpc import error_details_pb2
from refusals import Refusal, invalid
from servers import Server

from strongroom import RetryPolicy, exceptions
from strongroom._errors import BY_CODE, BY_REASON, exception_from
from strongroom.v1 import error_pb2

Code = grpc.StatusCode
CANARY = "canary-value"


class WireError(grpc.RpcError):
    """An error of gRPC with a status, as its sync and its async library raise it."""

    def __init__(self, refusal: Refusal, details: bytes | None = None) -> None:
        super().__init__()
        self.refusal = refusal
        self.packed = refusal.status.SerializeToString() if details is None else details

    def code(self) -> grpc.StatusCode:
        return self.refusal.code

    def details(self) -> str:
        return str(self.refusal)

    def trailing_metadata(self) -> Any:
        return (("content-type", "application/grpc"), ("grpc-status-details-bin", self.packed))


def mapped(refusal: Refusal, details: bytes | None = None) -> exceptions.StrongroomError:
    return exception_from(WireError(refusal, details))


def test_every_reason_of_the_contract_has_its_exception() -> None:
    names = [value.name for value in error_pb2.ErrorReason.DESCRIPTOR.values if value.number != 0]
    reasons = {name[len("ERROR_REASON_") :] for name in names}
    assert set(BY_REASON) == reasons


@pytest.mark.parametrize("reason", BY_REASON)
def test_the_reason_decides(reason: str) -> None:
    error = mapped(Refusal(Code.UNKNOWN, reason, "Some text."))
    assert type(error) is BY_REASON[reason]
    assert (error.reason, error.code, str(error)) == (reason, Code.UNKNOWN, "Some text.")


def test_the_names_the_contract_gives() -> None:
    given = {
        "VALIDATION_FAILED": exceptions.ValidationError,
        "SECRET_NOT_FOUND": exceptions.SecretNotFoundError,
        "SECRET_ALREADY_EXISTS": exceptions.SecretAlreadyExistsError,
    }
    assert {reason: BY_REASON[reason] for reason in given} == given
    classes = [getattr(exceptions, name) for name in exceptions.__all__ if name.endswith("Error")]
    assert all(issubclass(one, exceptions.StrongroomError) for one in classes)


@pytest.mark.parametrize("code", Code)
def test_without_a_reason_the_code_decides(code: grpc.StatusCode) -> None:
    expected = BY_CODE.get(code, exceptions.StrongroomError)
    for error in (
        mapped(Refusal(code, None, "SECRET_NOT_FOUND, says the text")),
        mapped(Refusal(code, "A_LATER_REASON", "Some text.")),
        mapped(Refusal(code, None, "Some text."), details=b""),
        mapped(Refusal(code, None, "Some text."), details=b"\xff not a status"),
    ):
        assert type(error) is expected
        assert error.code is code
    assert mapped(Refusal(code, "A_LATER_REASON", "Some text.")).reason == "A_LATER_REASON"


def test_the_reason_of_another_domain_is_not_ours() -> None:
    info = error_details_pb2.ErrorInfo(reason="SECRET_NOT_FOUND", domain="proxy.example")
    error = mapped(Refusal(Code.PERMISSION_DENIED, None, "Some text.", info))
    assert (type(error), error.reason) == (exceptions.PermissionDeniedError, None)


def test_a_broken_detail_is_left_out() -> None:
    refusal = Refusal(Code.NOT_FOUND, "SECRET_NOT_FOUND", "Some text.")
    broken = Packed(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff")
    refusal.status.details.insert(0, broken)
    error = mapped(refusal)
    assert (type(error), error.violations) == (exceptions.SecretNotFoundError, ())


def test_all_details_of_an_error() -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    resource = error_details_pb2.ResourceInfo(resource_type="secret", resource_name="a_key")
    refusal = Refusal(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "The disk is full.", retry, resource)
    error = exception_from(WireError(refusal), sent_request_id="mine")
    assert (error.retry_after, error.resource, error.request_id) == (1.5, "a_key", "request-7")
    assert error.sent_request_id == "mine"


def test_an_error_lists_all_violations() -> None:
    error = mapped(invalid(name="is not legal.", value="is too long."))
    assert isinstance(error, exceptions.ValidationError)
    assert error.violations == (
        exceptions.Violation("name", "is not legal."),
        exceptions.Violation("value", "is too long."),
    )
    assert str(error).splitlines()[1:] == ["  name: is not legal.", "  value: is too long."]


async def test_over_the_wire(kind: Any, fake_server: Server, fake: Fake) -> None:
    client = kind(**fake_server.arguments())
    fake.refusals = [Refusal(Code.DATA_LOSS, "INTEGRITY_FAILURE", "This record was altered.")]
    with pytest.raises(exceptions.IntegrityError) as caught:
        await done(client.secrets.get(name="a_key"))
    assert (caught.value.code, caught.value.request_id) == (Code.DATA_LOSS, "request-7")
    await done(client.close())


async def test_a_call_that_is_not_served(kind: Any, fake_server: Server, fake: Fake) -> None:
    client = kind(**fake_server.arguments())
    fake.refusals = [Refusal(Code.UNIMPLEMENTED, "NOT_SERVED", "This release does not serve that.")]
    with pytest.raises(exceptions.NotServedError):
        await done(client.secrets.get(name="a_key", version=7))
    await done(client.close())


async def test_an_error_holds_nothing_of_the_request(kind: Any, fake_server: Server) -> None:
    client = kind(**fake_server.arguments())
    with pytest.raises(exceptions.ValidationError) as caught:
        await done(client.secrets.create(name="not legal", value=CANARY))
    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    assert CANARY not in "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert CANARY not in repr(vars(error))
    await done(client.close())


async def test_a_server_that_is_not_there(kind: Any) -> None:
    with socket.socket() as taken:
        # The socket is bound, so nobody else can listen on the port, but it does not listen itself.
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        client = kind(api_key="srk_k", server=address, retry=RetryPolicy(attempts=1))
        with pytest.raises(exceptions.UnavailableError, match=f"{address} cannot be reached") as caught:
            await done(client.whoami())
        assert (caught.value.reason, caught.value.code) == (None, Code.UNAVAILABLE)
        await done(client.close())


async def test_a_server_that_does_not_answer(kind: Any, fake_server: Server, fake: Fake) -> None:
    client = kind(**fake_server.arguments())
    with fake.lock:
        with pytest.raises(exceptions.DeadlineExceededError, match="did not answer in time") as caught:
            await done(client.secrets.create(name="a_key", value=CANARY, timeout=0.05))
        assert caught.value.sent_request_id
    await done(client.close())


async def test_a_closed_client(kind: Any, fake_server: Server) -> None:
    client = kind(**fake_server.arguments())
    await done(client.whoami())
    await done(client.close())
    await done(client.close())
    with pytest.raises(exceptions.StrongroomError, match="closed"):
        await done(client.whoami())
