"""Lets one test use the sync and the async client: it awaits the results that must be awaited."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


async def done(result: Any) -> Any:
    """Returns the result of a call of either client."""
    return await result if inspect.isawaitable(result) else result


async def all_of(iterator: Any) -> list[Any]:
    """Returns all items of an iterator of either client."""
    if hasattr(iterator, "__aiter__"):
        return [item async for item in iterator]
    return list(iterator)


async def together(call: Callable[[int], Any], times: int) -> list[Any]:
    """Makes calls at the same time and returns their results or errors. Each call gets its number."""
    if inspect.iscoroutinefunction(call):
        return await asyncio.gather(*(call(n) for n in range(times)), return_exceptions=True)
    with ThreadPoolExecutor(times) as pool:
        futures = [pool.submit(call, n) for n in range(times)]
        return [future.exception() or future.result() for future in futures]


async def until(met: Callable[[], Any]) -> None:
    """Asks again and again until the answer is true: for what reaches a client a little later. Ten seconds at most."""
    end = time.monotonic() + 10
    while not await done(met()):
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)
