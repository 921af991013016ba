"""How the fake keeps the versions of its secrets."""

from __future__ import annotations

from typing import Any

import grpc
from refusals import Refusal, invalid

from strongroom.v1 import secret_pb2

Code = grpc.StatusCode

STATES = {
    secret_pb2.DisableVersionRequest: secret_pb2.VERSION_STATE_DISABLED,
    secret_pb2.EnableVersionRequest: secret_pb2.VERSION_STATE_ENABLED,
    secret_pb2.DestroyVersionRequest: secret_pb2.VERSION_STATE_DESTROYED,
}


class Versions:
    """The versions of all secrets, with their values, by the id of the secret."""

    def __init__(self) -> None:
        self.kept: dict[str, list[tuple[secret_pb2.SecretVersion, secret_pb2.SecretValue]]] = {}

    def add(self, secret: secret_pb2.Secret) -> None:
        version = secret_pb2.SecretVersion(
            number=secret.version, state=secret_pb2.VERSION_STATE_ENABLED, created_at=secret.updated_at, current=True
        )
        value = secret_pb2.SecretValue()
        value.CopyFrom(secret.value)
        older = self.kept.setdefault(secret.id, [])
        for before, _ in older:
            before.current = False
        older.append((version, value))

    def stage(self, secret: secret_pb2.Secret, value: secret_pb2.SecretValue) -> int:
        number = max(version.number for version, _ in self.kept[secret.id]) + 1
        version = secret_pb2.SecretVersion(
            number=number, state=secret_pb2.VERSION_STATE_PENDING, created_at=secret.updated_at
        )
        copy = secret_pb2.SecretValue()
        copy.CopyFrom(value)
        self.kept[secret.id].append((version, copy))
        return number

    def promote(self, secret: secret_pb2.Secret, number: int) -> None:
        for version, _ in self.kept[secret.id]:
            version.current = version.number == number
        self.find(secret, number).state = secret_pb2.VERSION_STATE_ENABLED

    def find(self, secret: secret_pb2.Secret, number: int) -> secret_pb2.SecretVersion:
        if number < 1:
            raise invalid(version="must be 1 or more.")
        for version, _ in self.kept[secret.id]:
            if version.number == number:
                return version
        raise Refusal(Code.NOT_FOUND, "VERSION_NOT_FOUND", "There is no such version.")

    def value(self, secret: secret_pb2.Secret, number: int) -> secret_pb2.SecretValue:
        state = self.find(secret, number).state
        if state == secret_pb2.VERSION_STATE_PENDING:
            raise Refusal(Code.FAILED_PRECONDITION, "VERSION_PENDING", "The version is pending.")
        if state == secret_pb2.VERSION_STATE_DISABLED:
            raise Refusal(Code.FAILED_PRECONDITION, "VERSION_DISABLED", "The version is disabled.")
        if state == secret_pb2.VERSION_STATE_DESTROYED:
            raise Refusal(Code.FAILED_PRECONDITION, "VERSION_DESTROYED", "The version was destroyed.")
        return next(value for version, value in self.kept[secret.id] if version.number == number)

    def listed(self, secret: secret_pb2.Secret, revision: int) -> secret_pb2.ListSecretVersionsResponse:
        newest_first = [version for version, _ in reversed(self.kept[secret.id])]
        return secret_pb2.ListSecretVersionsResponse(versions=newest_first, revision=revision)

    def must_change(self, secret: secret_pb2.Secret, request: Any) -> bool:
        state = self.find(secret, request.version).state
        wanted = STATES[type(request)]
        if state == secret_pb2.VERSION_STATE_DESTROYED and wanted != state:
            raise Refusal(Code.FAILED_PRECONDITION, "VERSION_DESTROYED", "The version was destroyed.")
        return state != wanted

    def changed(self, secret: secret_pb2.Secret, request: Any, revision: int, shown: secret_pb2.Secret) -> Any:
        version = self.find(secret, request.version)
        if version.state != STATES[type(request)]:
            version.state = STATES[type(request)]
            version.state_changed_at.CopyFrom(secret.updated_at)
        if isinstance(request, secret_pb2.DisableVersionRequest):
            return secret_pb2.DisableVersionResponse(version=version, secret=shown, revision=revision)
        if isinstance(request, secret_pb2.EnableVersionRequest):
            return secret_pb2.EnableVersionResponse(version=version, secret=shown, revision=revision)
        receipt = secret_pb2.DestructionReceipt(
            namespace=secret.namespace,
            name=secret.name,
            secret_id=secret.id,
            version=version.number,
            destroyed_at=version.state_changed_at,
            data_key_sha256="0" * 64,
            statement=f"version: {version.number}\nsecret id: {secret.id}\n".encode(),
            signature=bytes(64),
            public_key=bytes(32),
            key_id="0" * 16,
        )
        return secret_pb2.DestroyVersionResponse(version=version, secret=shown, revision=revision, receipt=receipt)
