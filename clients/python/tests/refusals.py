"""The errors of the fake: like the server, it sends a status with details."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

Code = grpc.StatusCode


class Refusal(Exception):
    """An error that the fake answers with."""

    def __init__(self, code: grpc.StatusCode, reason: str | None, message: str, *details: Message) -> None:
        super().__init__(message)
        self.code = code
        self.status = status_pb2.Status(code=code.value[0], message=message)
        if reason is not None:
            details = (error_details_pb2.ErrorInfo(reason=reason, domain="strongroom"), *details)
        for detail in (*details, error_details_pb2.RequestInfo(request_id="request-7")):
            packed = Packed()
            packed.Pack(detail)
            self.status.details.append(packed)


def invalid(**violations: str) -> Refusal:
    found = [error_details_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in violations.items()]
    message = f"{len(found)} of the request's fields are not valid."
    return Refusal(
        Code.INVALID_ARGUMENT, "VALIDATION_FAILED", message, error_details_pb2.BadRequest(field_violations=found)
    )


def not_found(name: str) -> Refusal:
    resource = error_details_pb2.ResourceInfo(resource_type="secret", resource_name=name)
    return Refusal(Code.NOT_FOUND, "SECRET_NOT_FOUND", f"There is no secret {name}.", resource)
