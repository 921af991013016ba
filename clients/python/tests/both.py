"""Lets one test speak to the sync and the async client alike: what only one of them needs to await, is awaited."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


async def done(result: Any) -> Any:
    """The result, of either client."""
    return await result if inspect.isawaitable(result) else result


async def all_of(iterator: Any) -> list[Any]:
    """What either client's iterator gives."""
    if hasattr(iterator, "__aiter__"):
        return [item async for item in iterator]
    return list(iterator)


async def together(call: Callable[[int], Any], times: int) -> list[Any]:
    """The results, or errors, of calls made at the same time; each is told its number."""
    if inspect.iscoroutinefunction(call):
        return await asyncio.gather(*(call(n) for n in range(times)), return_exceptions=True)
    with ThreadPoolExecutor(times) as pool:
        futures = [pool.submit(call, n) for n in range(times)]
        return [future.exception() or future.result() for future in futures]
