"""The audit log, through both clients."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
import pytest
from both import all_of, done
from fake_audit import FakeAudit
from servers import Server

from strongroom.exceptions import PermissionDeniedError, ValidationError
from strongroom.v1 import audit_pb2, audit_pb2_grpc

live = pytest.mark.parametrize("server", ["live"], indirect=True)


async def following(watch: Any) -> Any:
    return await watch.__anext__() if hasattr(watch, "__anext__") else next(watch)


async def recorded(client: Any, server: Server) -> Any:
    """Makes a call, and returns its record: a watch waits for it."""
    size = (await done(client.audit.list(limit=1))).log_size
    await done(client.secrets.create(name="a_key", value="v"))
    watch = client.audit.watch(rpc="CreateSecret", namespace=server.namespace, from_index=size)
    record = await following(watch)
    await done(watch.close())
    assert watch.resume_revision == record.index + 1
    return record


@live
async def test_the_record_of_a_call(client: Any, server: Server) -> None:
    record = await recorded(client, server)
    assert record.fields["rpc"].endswith("/CreateSecret")
    assert (record.fields["namespace"], record.fields["name"], record.fields["outcome"]) == (
        server.namespace,
        "a_key",
        "ok",
    )
    page = await done(client.audit.list(namespace=server.namespace, name="a_key"))
    assert record in page.items
    assert page.log_size > record.index
    assert (await done(client.audit.list(request_id=record.fields["request_id"]))).items == [record]
    hour = timedelta(hours=1)
    now = datetime.now(timezone.utc)
    within = client.audit.iterate(namespace=server.namespace, after=now - hour, before=now + hour, page_size=1)
    assert record in await all_of(within)
    assert await all_of(client.audit.iterate(namespace=server.namespace, before=now - hour)) == []
    nobody = client.audit.iterate(namespace=server.namespace, principal="key:nobody", outcome="ok", reason="")
    assert await all_of(nobody) == []


@live
async def test_the_order_of_the_records(client: Any, server: Server) -> None:
    await recorded(client, server)
    await done(client.secrets.rotate(name="a_key", value="w"))
    last = client.audit.watch(rpc="RotateSecret", namespace=server.namespace, from_index=0)
    await following(last)
    await done(last.close())
    oldest = await all_of(client.audit.iterate(namespace=server.namespace, oldest_first=True, page_size=1))
    newest = await all_of(client.audit.iterate(namespace=server.namespace))
    assert oldest == newest[::-1]
    assert len(oldest) >= 2


@live
async def test_the_proofs(client: Any, server: Server) -> None:
    record = await recorded(client, server)
    checkpoint = await done(client.audit.checkpoint())
    assert checkpoint.size > record.index
    assert str(checkpoint.size) in checkpoint.checkpoint.splitlines()
    assert len(checkpoint.root) == 32
    assert checkpoint.verifier_key
    proof = await done(client.audit.inclusion_proof(index=record.index, size=checkpoint.size))
    # The leaf of a Merkle tree of RFC 6962 is the hash of a zero byte and the record.
    assert proof.leaf_hash == hashlib.sha256(b"\x00" + record.line).digest()
    assert root_of(proof, record.index) == checkpoint.root
    consistency = await done(client.audit.consistency_proof(older_size=checkpoint.size, size=checkpoint.size))
    assert (consistency.hashes, consistency.size) == ((), checkpoint.size)
    names = await done(client.audit.find_names(fingerprint="fp:0123456789abcdef"))
    assert (names.namespaces, names.secrets) == ((), ())


def root_of(proof: Any, index: int) -> bytes:
    """Computes the root from an inclusion proof (RFC 9162, section 2.1.3.2)."""
    node, last, found = index, proof.size - 1, proof.leaf_hash
    for sibling in proof.hashes:
        if node & 1 or node == last:
            found = hashlib.sha256(b"\x01" + sibling + found).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\x01" + found + sibling).digest()
        node, last = node >> 1, last >> 1
    return bytes(found)


@live
async def test_it_needs_the_right_audit(client: Any, kind: Any, server: Server) -> None:
    made = await done(client.access.create_key(name="a service", home_namespace=server.namespace))
    theirs = kind(**server.arguments(api_key=made.credential))
    with pytest.raises(PermissionDeniedError):
        await done(theirs.audit.list())
    with pytest.raises(PermissionDeniedError):
        await following(theirs.audit.watch())
    await done(theirs.close())


async def test_a_watch_continues_behind_its_last_record(kind: Any) -> None:
    log = FakeAudit(5)
    server = grpc.server(ThreadPoolExecutor(2))
    audit_pb2_grpc.add_AuditServiceServicer_to_server(log, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    client = kind("srk_k", server=f"127.0.0.1:{port}")
    # The server sends no bookmarks here: a log in which nothing happens is no dead stream.
    client._transport.longest_silence = 0
    watch = client.audit.watch(from_index=1)
    assert [(await following(watch)).index for _ in range(4)] == [1, 2, 3, 4]
    await done(watch.close())
    assert [request.from_index for request in log.requests] == [1, 3]
    assert [record.index for record in await all_of(client.audit.iterate(page_size=2))] == [0, 1, 2, 3, 4]
    assert [request.order for request in log.requests[2:]] == [audit_pb2.AUDIT_ORDER_NEWEST_FIRST] * 3
    await done(client.close())
    server.stop(None).wait()


def test_arguments_that_cannot_be_sent(kind: Any) -> None:
    client = kind("srk_k")
    with pytest.raises(ValidationError, match="from_index"):
        client.audit.watch(from_index=-1)
    with pytest.raises(TypeError, match="name must be str"):
        client.audit.iterate(name=1)
    with pytest.raises(ValidationError, match="time zone"):
        client.audit.iterate(after=datetime(2030, 1, 1))
