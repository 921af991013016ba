"""Reads a secret through a cache, which a watch keeps fresh.

The address and the API key come from STRONGROOM_SERVER and STRONGROOM_API_KEY.
"""

import asyncio

from strongroom import AsyncStrongroom


async def main() -> None:
    """Waits until the new value has reached the cache."""
    async with AsyncStrongroom() as client:
        await client.secrets.create(name="cache_example", value="the first value")
        async with client.cached(serve_stale=600) as cache:
            print((await cache.get("cache_example")).version)  # 1, from the server
            print((await cache.get("cache_example")).version)  # 1, without I/O
            await client.secrets.rotate(name="cache_example", value="the second value")
            while (await cache.get("cache_example")).version == 1:
                await asyncio.sleep(0.01)
            secret = await cache.get("cache_example")
            print(secret.version, "stale" if secret.stale else "fresh")  # 2 fresh
        await client.secrets.delete(name="cache_example")


asyncio.run(main())
