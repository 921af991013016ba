"""What a fake server says of its health (`grpc.health.v1`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc

__all__ = ["Health"]

# A HealthCheckResponse with the status SERVING, and one with NOT_SERVING.
_ANSWERS = {True: b"\x08\x01", False: b"\x08\x02"}


class Health:
    """The service, with one answer for all services of the server."""

    def __init__(self, serving: bool = True) -> None:
        self._changed = threading.Condition()
        self._serving = serving
        self.told: list[bool] = []

    def say(self, serving: bool) -> None:
        """Tells all who watch."""
        with self._changed:
            self._serving = serving
            self._changed.notify_all()

    def handler(self) -> grpc.GenericRpcHandler:
        watch: Any = grpc.unary_stream_rpc_method_handler(self._watch)
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Watch": watch})

    def _watch(self, request: bytes, context: Any) -> Iterator[bytes]:
        told: bool | None = None
        while context.is_active():
            with self._changed:
                if self._serving is told:
                    # The time is for a look at whether the caller is still there.
                    self._changed.wait(0.05)
                    continue
                told = self._serving
            self.told.append(told)
            yield _ANSWERS[told]
