"""The audit log of the fake: some records, and streams that break."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc

from strongroom.v1 import audit_pb2, audit_pb2_grpc

__all__ = ["FakeAudit"]


class FakeAudit(audit_pb2_grpc.AuditServiceServicer):
    """The servicer. Each stream ends after `per_stream` records, as a connection that breaks does."""

    def __init__(self, count: int, per_stream: int = 2) -> None:
        self.records = [
            audit_pb2.AuditRecord(index=index, line=json.dumps({"rpc": f"Call{index}"}).encode())
            for index in range(count)
        ]
        self.per_stream = per_stream
        self.requests: list[Any] = []

    def ListAuditRecords(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        begin = int(request.page_token or 0)
        page = self.records[begin : begin + request.limit]
        more = begin + request.limit < len(self.records)
        return audit_pb2.ListAuditRecordsResponse(
            items=page, next_page_token=str(begin + request.limit) if more else "", log_size=len(self.records)
        )

    def GetCheckpoint(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "The fake has no tree.")

    GetInclusionProof = GetConsistencyProof = FindAuditNames = GetCheckpoint

    def WatchAuditRecords(self, request: Any, context: Any) -> Iterator[Any]:
        self.requests.append(request)
        for record in self.records[request.from_index :][: self.per_stream]:
            yield audit_pb2.WatchAuditRecordsResponse(record=record)
        context.abort(grpc.StatusCode.UNAVAILABLE, "The connection breaks.")
