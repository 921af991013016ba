"""The runner of the conformance scenario for this package: clients/conformance/README.md describes the protocol.

runner.py           makes the calls with `Strongroom`
runner.py --async   makes them with `AsyncStrongroom`
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from typing import Any

# gRPC would tell of each handshake that the scenario makes fail.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import actions

from strongroom import AsyncStrongroom, RetryPolicy, Strongroom, StrongroomError


class Runner:
    """Makes the calls of one run, with one kind of client."""

    def __init__(self, kind: type[Strongroom] | type[AsyncStrongroom]) -> None:
        """Has no client yet."""
        self._kind = kind
        self._clients: dict[str, Any] = {}
        self._watches: dict[str, Any] = {}
        self._caches: dict[str, Any] = {}

    async def reply(self, step: dict[str, Any]) -> dict[str, Any]:
        """Makes one step, and returns the line for the driver."""
        shown: Any
        try:
            result, shown = await self._perform(step["action"], actions.Arguments(step["args"]))
            reply = {"step": step["step"], "ok": result}
        except (StrongroomError, actions.UnsupportedError) as error:
            reply, shown = {"step": step["step"], "error": actions.failure(error)}, error
        reply["dump"] = f"{shown!r} {shown} {[shown]}"
        return reply

    async def _perform(self, action: str, given: actions.Arguments) -> Any:
        """Makes one call. Returns the result for the driver, and the result of the package, to be dumped."""
        name = given.take("client", "main")
        if action == "connect":
            client = self._clients[name] = self._connect(given)
            return {}, client
        client = self._clients[name]
        for table, make in ((self._watches, self._watch), (self._caches, self._cached)):
            made = await make(action, client, table, given)
            if made is not None:
                return made
        if action == "close":
            given.must_be_empty()
            await done(client.close())
            return {}, client
        call, read = actions.call(action, client, given)
        if hasattr(call, "__aiter__"):
            found: Any = [item async for item in call]
        elif hasattr(call, "__next__"):
            found = list(call)
        else:
            found = await done(call)
        return read(found), found

    def _connect(self, given: actions.Arguments) -> Any:
        settings = {"server": given.take("servers")}
        for name in ("ca_cert", "api_key", "api_key_file", "token_file", "client_cert", "client_key", "namespace"):
            settings[name] = given.take(name, None)
        attempts = given.take("attempts", None)
        if attempts is not None:
            settings["retry"] = RetryPolicy(attempts=attempts, longest_delay=2.0)
        given.must_be_empty()
        return self._kind(**settings)

    async def _watch(self, action: str, client: Any, table: dict[str, Any], given: actions.Arguments) -> Any:
        if not action.startswith("watch_"):
            return None
        name = given.take("watch")
        if action == "watch_open":
            options = given.named("name_prefix", "snapshot", "namespace")
            table[name] = client.secrets.watch(**options)
            return {}, table[name]
        given.must_be_empty()
        watch = table[name]
        if action == "watch_close":
            await done(watch.close())
            return {}, watch
        event = await watch.__anext__() if hasattr(watch, "__anext__") else next(watch)
        secret = actions.secret(event.secret)
        return {
            "type": event.type,
            "name": secret["name"],
            "former_name": event.former_name,
            "version": secret["version"],
            "value": secret["value"],
        }, event

    async def _cached(self, action: str, client: Any, table: dict[str, Any], given: actions.Arguments) -> Any:
        if not action.startswith("cached_"):
            return None
        name = given.take("cache")
        if action == "cached_open":
            serve_stale = given.take("serve_stale_seconds")
            given.must_be_empty()
            table[name] = client.cached(serve_stale=serve_stale)
            return {}, table[name]
        if action == "cached_close":
            given.must_be_empty()
            await done(table[name].close())
            return {}, table[name]
        found = await done(table[name].get(**given.named("name", "namespace", timeout="timeout_seconds")))
        return {**actions.secret(found), "stale": found.stale}, found


async def done(result: Any) -> Any:
    """Returns the result of a call of either client."""
    return await result if inspect.isawaitable(result) else result


async def main() -> None:
    """Makes the steps of the standard input, one after the other."""
    runner = Runner(AsyncStrongroom if "--async" in sys.argv[1:] else Strongroom)
    loop = asyncio.get_running_loop()
    # The loop runs while it waits for the next step, as it does in a program: watches and caches go on.
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await runner.reply(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
