"""The calls of `client.audit`. Each function here is one method there, sync and async.

`strongroom.client.Audit` describes the arguments and errors that all of them share.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._call import Call, Page, Scope, timeout_for
from strongroom._sending import Sending
from strongroom._stream import Progress
from strongroom.models import AuditNames, AuditPage, AuditRecord, Checkpoint, ConsistencyProof, InclusionProof
from strongroom.v1 import audit_pb2

__all__ = [
    "AuditProgress",
    "checkpoint",
    "consistency_proof",
    "find_names",
    "inclusion_proof",
    "iterate",
    "list_",
    "watch",
]


def list_(
    scope: Scope,
    *,
    principal: str = "",
    rpc: str = "",
    namespace: str = "",
    name: str = "",
    outcome: str = "",
    reason: str = "",
    request_id: str = "",
    after: datetime | None = None,
    before: datetime | None = None,
    limit: int | None = None,
    page_token: str = "",
    oldest_first: bool = False,
    timeout: float | None = None,
) -> Call[AuditPage]:
    """Returns one page of the records that match all filters. `iterate` returns all records.

    A page can have fewer records than `limit`, or none, and still a `next_page_token`: the server looks at a bounded
    part of the log for each page.

    Args:
        principal: The caller, for example `key:abcdefghijklmnop`. Empty: no filter.
        rpc: The RPC: its full name, or the name without the service, for example `GetSecret`. Empty: no filter.
        namespace: The namespace. Empty: no filter; the client's `namespace` does not count here.
        name: The name of the secret. The records of documents that refer to the secret match too. Empty: no filter.
        outcome: `ok`, or the name of the gRPC code, for example `PERMISSION_DENIED`. Empty: no filter.
        reason: The reason of an error, for example `ACCESS_DENIED`. Empty: no filter.
        request_id: The id of the request that the server made. Empty: no filter.
        after: The time at or after which the records were written: a datetime with a time zone. None: no filter.
        before: The time before which the records were written: a datetime with a time zone. None: no filter.
        limit: The largest number of records in the page, 1 to 1,000. None: 100.
        page_token: The `next_page_token` of the previous page. Pass the filters and the order as for that page.
        oldest_first: True: the oldest record comes first. False: the newest.
        timeout: See `Audit`.

    Returns:
        The page.
    """
    request = audit_pb2.ListAuditRecordsRequest(
        filter=_filter(principal, rpc, namespace, name, outcome, reason, request_id, after, before),
        page_token=arguments.text("page_token", page_token),
        order=audit_pb2.AUDIT_ORDER_OLDEST_FIRST
        if arguments.flag("oldest_first", oldest_first)
        else audit_pb2.AUDIT_ORDER_NEWEST_FIRST,
    )
    if limit is not None:
        request.limit = arguments.integer("limit", limit, -arguments.INT32, arguments.INT32)
    return Call(lambda stubs: stubs.audit.ListAuditRecords, request, replies.audit_page, timeout_for(timeout))


def iterate(
    scope: Scope,
    *,
    principal: str = "",
    rpc: str = "",
    namespace: str = "",
    name: str = "",
    outcome: str = "",
    reason: str = "",
    request_id: str = "",
    after: datetime | None = None,
    before: datetime | None = None,
    oldest_first: bool = False,
    page_size: int = 1000,
    timeout: float | None = None,
) -> Call[Page[AuditRecord]]:
    """Returns an iterator over all records that match all filters. It reads one page after the other.

    Args:
        principal: See `list`.
        rpc: See `list`.
        namespace: See `list`.
        name: See `list`.
        outcome: See `list`.
        reason: See `list`.
        request_id: See `list`.
        after: See `list`.
        before: See `list`.
        oldest_first: See `list`.
        page_size: The number of records to read at a time, 1 to 1,000.
        timeout: Seconds for each page with all its retries. None: the client's timeout.

    Returns:
        An iterator over the records. It raises the errors of `list`.
    """
    call = list_(
        scope,
        principal=principal,
        rpc=rpc,
        namespace=namespace,
        name=name,
        outcome=outcome,
        reason=reason,
        request_id=request_id,
        after=after,
        before=before,
        limit=page_size,
        oldest_first=oldest_first,
        timeout=timeout,
    )
    return Call(call.rpc, call.request, _items, call.timeout)


def watch(
    scope: Scope,
    *,
    principal: str = "",
    rpc: str = "",
    namespace: str = "",
    name: str = "",
    outcome: str = "",
    reason: str = "",
    from_index: int | None = None,
) -> Call[AuditRecord]:
    """Returns an iterator over the records that match all filters, as they are written.

    Where the connection breaks or the server restarts, the iterator continues by itself behind the last record that it
    returned. To leave out no record before the first one either, pass `from_index`.

    Args:
        principal: See `list`.
        rpc: See `list`.
        namespace: See `list`.
        name: See `list`.
        outcome: See `list`.
        reason: See `list`.
        from_index: The number of the first record to look at, for example the `log_size` of a page. None: the next
            record that is written.

    Returns:
        An iterator over `AuditRecord`.
    """
    request = audit_pb2.WatchAuditRecordsRequest(
        filter=_filter(principal, rpc, namespace, name, outcome, reason, "", None, None)
    )
    if from_index is not None:
        request.from_index = arguments.integer("from_index", from_index, 0, arguments.UINT64)
    return Call(_watch_rpc, request, replies.audit_record)


def checkpoint(scope: Scope, *, timeout: float | None = None) -> Call[Checkpoint]:
    """Returns the signed checkpoint of the log: its size and the root of its Merkle tree (RFC 6962).

    Keep checkpoints in another place. `strongroom audit verify --checkpoint FILE` proves with one that nothing before
    it was changed or removed.

    Args:
        timeout: See `Audit`.

    Returns:
        The checkpoint.
    """
    request = audit_pb2.GetCheckpointRequest()
    return Call(lambda stubs: stubs.audit.GetCheckpoint, request, replies.checkpoint, timeout_for(timeout))


def inclusion_proof(
    scope: Scope, *, index: int, size: int | None = None, timeout: float | None = None
) -> Call[InclusionProof]:
    """Returns the proof that a record is in the tree (RFC 6962, section 2.1.1).

    Args:
        index: The number of the record.
        size: The size of the tree. None: the size of the present tree.
        timeout: See `Audit`.

    Returns:
        The proof.
    """
    request = audit_pb2.GetInclusionProofRequest(index=arguments.integer("index", index, 0, arguments.UINT64))
    if size is not None:
        request.size = arguments.integer("size", size, 0, arguments.UINT64)
    return Call(lambda stubs: stubs.audit.GetInclusionProof, request, replies.inclusion_proof, timeout_for(timeout))


def consistency_proof(
    scope: Scope, *, older_size: int, size: int | None = None, timeout: float | None = None
) -> Call[ConsistencyProof]:
    """Returns the proof that a tree begins with all records of an older one (RFC 6962, section 2.1.2).

    Args:
        older_size: The size of the older tree.
        size: The size of the newer tree. None: the size of the present tree.
        timeout: See `Audit`.

    Returns:
        The proof.
    """
    older = arguments.integer("older_size", older_size, 0, arguments.UINT64)
    request = audit_pb2.GetConsistencyProofRequest(older_size=older)
    if size is not None:
        request.size = arguments.integer("size", size, 0, arguments.UINT64)
    return Call(lambda stubs: stubs.audit.GetConsistencyProof, request, replies.consistency_proof, timeout_for(timeout))


def find_names(scope: Scope, *, fingerprint: str, timeout: float | None = None) -> Call[AuditNames]:
    """Returns the names that a fingerprint stands for, where the server writes fingerprints into the log.

    It returns only names that the caller may list, of secrets and namespaces that exist now.

    Args:
        fingerprint: The fingerprint as records have it, for example `fp:1f2e3d4c5b6a7988`.
        timeout: See `Audit`.

    Returns:
        The names.
    """
    request = audit_pb2.FindAuditNamesRequest(fingerprint=arguments.text("fingerprint", fingerprint))
    return Call(lambda stubs: stubs.audit.FindAuditNames, request, replies.audit_names, timeout_for(timeout))


class AuditProgress(Progress[AuditRecord]):
    """How far a watch of the audit log has come."""

    bookmarks = False

    def __init__(self, call: Call[AuditRecord], sending: Sending) -> None:
        """Begins where the call says."""
        super().__init__(call, sending)
        self._next: int | None = call.request.from_index if call.request.HasField("from_index") else None

    @property
    def position(self) -> int | None:
        """The `from_index` with which another watch continues. None: nothing was received yet."""
        return self._next

    def request(self) -> audit_pb2.WatchAuditRecordsRequest:
        """Returns the request for the stream that continues the watch."""
        request = audit_pb2.WatchAuditRecordsRequest()
        request.CopyFrom(self.call.request)
        if self._next is not None:
            request.from_index = self._next
        return request

    def items(self, reply: Any) -> list[AuditRecord]:
        """Returns the record that a message brings."""
        record = self.call.read(reply.record)
        self._next = record.index + 1
        return [record]


def _filter(
    principal: str,
    rpc: str,
    namespace: str,
    name: str,
    outcome: str,
    reason: str,
    request_id: str,
    after: datetime | None,
    before: datetime | None,
) -> audit_pb2.AuditFilter:
    wanted = audit_pb2.AuditFilter(
        principal=arguments.text("principal", principal),
        rpc=arguments.text("rpc", rpc),
        namespace=arguments.text("namespace", namespace),
        name=arguments.text("name", name),
        outcome=arguments.text("outcome", outcome),
        reason=arguments.text("reason", reason),
        request_id=arguments.text("request_id", request_id),
    )
    if after is not None:
        wanted.after.CopyFrom(arguments.timestamp("after", after))
    if before is not None:
        wanted.before.CopyFrom(arguments.timestamp("before", before))
    return wanted


def _watch_rpc(stubs: Any) -> Any:
    return stubs.audit.WatchAuditRecords


def _items(reply: audit_pb2.ListAuditRecordsResponse) -> Page[AuditRecord]:
    return Page([replies.audit_record(item) for item in reply.items], reply.next_page_token)
