"""Compares reads through the client with reads through the bare stub.

    gets.py [--check]

It needs STRONGROOM_SERVER (plaintext) and STRONGROOM_API_KEY. It prints how long 10,000 reads take with each, for the
sync and the async client: the time that passed and the time of the processor in this process, and the ratios of the
medians. It also prints how long a read of the cache takes. With `--check` it fails over a ratio of 1.3.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc

from strongroom import AsyncStrongroom, Strongroom
from strongroom.v1 import secret_pb2, secret_pb2_grpc

READS, TURN = 10_000, 100
LARGEST_RATIO = 1.3

NAMESPACE = f"bench-python-{uuid.uuid4().hex[:16]}"
SERVER, KEY = os.environ["STRONGROOM_SERVER"], os.environ["STRONGROOM_API_KEY"]
# What a careful user of the stub does: a deadline, and the API key.
METADATA = (("authorization", f"Bearer {KEY}"),)


def bare(stub: Any) -> Callable[[], Any]:
    """Returns a read with the bare stub."""

    def read() -> Any:
        request = secret_pb2.GetSecretRequest(namespace=NAMESPACE, name="bench")
        return stub.GetSecret(request, timeout=30, metadata=METADATA)

    return read


async def turn(read: Callable[[], Any], count: int = TURN) -> tuple[float, float]:
    """Makes some reads, one after the other. Returns the microseconds of each: that passed, and of the processor."""
    begin, processor = time.perf_counter(), time.process_time()
    for _ in range(count):
        found = read()
        if inspect.isawaitable(found):
            await found
    each = 1e6 / count
    return (time.perf_counter() - begin) * each, (time.process_time() - processor) * each


async def ratio(name: str, of_stub: Callable[[], Any], of_client: Callable[[], Any]) -> float:
    """Makes all reads in turns, so that both meet the same load of the machine. Returns the ratio of the medians."""
    for read in (of_stub, of_client):
        await turn(read)
    stub, client = [], []
    for _ in range(READS // TURN):
        stub.append(await turn(of_stub))
        client.append(await turn(of_client))
    (stub_us, stub_cpu), (client_us, client_cpu) = medians(stub), medians(client)
    print(
        f"{name}: {READS:,} reads with the stub {stub_us:.1f} µs each (processor {stub_cpu:.1f}), with the client "
        f"{client_us:.1f} µs each (processor {client_cpu:.1f}): ratio {client_us / stub_us:.3f} (processor "
        f"{client_cpu / stub_cpu:.3f}), at most {LARGEST_RATIO}"
    )
    return client_us / stub_us


def medians(turns: list[tuple[float, float]]) -> tuple[float, float]:
    """Returns the median of each of the two times: some turns take much longer where the machine does other work."""
    passed, processor = zip(*turns)
    return statistics.median(passed), statistics.median(processor)


async def main() -> int:
    """Makes the reads. Returns the exit status."""
    with Strongroom(KEY, server=SERVER, namespace=NAMESPACE) as client:
        client.secrets.create(name="bench", value="a value of some thirty-two bytes")
        with grpc.insecure_channel(SERVER) as channel:
            stub = secret_pb2_grpc.SecretServiceStub(channel)
            ratios = [await ratio("sync", bare(stub), lambda: client.secrets.get(name="bench"))]
        with client.cached() as cache:
            cache.get("bench")
            turns = [await turn(lambda: cache.get("bench"), 1000) for _ in range(100)]
            print(f"sync: a read of the cache {medians(turns)[0]:.2f} µs")
    async with AsyncStrongroom(KEY, server=SERVER, namespace=NAMESPACE) as aio:
        async with grpc.aio.insecure_channel(SERVER) as aio_channel:
            aio_stub = secret_pb2_grpc.SecretServiceStub(aio_channel)
            ratios.append(await ratio("async", bare(aio_stub), lambda: aio.secrets.get(name="bench")))
        async with aio.cached() as aio_cache:
            await aio_cache.get("bench")
            turns = [await turn(lambda: aio_cache.get("bench"), 1000) for _ in range(100)]
            print(f"async: a read of the cache {medians(turns)[0]:.2f} µs")
    return 1 if "--check" in sys.argv[1:] and max(ratios) > LARGEST_RATIO else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
