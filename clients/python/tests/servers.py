"""The server of a test."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Server:
    """The address of a server, its root key, and a namespace that only one test uses."""

    address: str
    root_key: str
    namespace: str
    ca_cert: str | None = None

    def arguments(self, **others: Any) -> dict[str, Any]:
        given = {"server": self.address, "api_key": self.root_key, "namespace": self.namespace}
        return {**given, "ca_cert": self.ca_cert, **others}


def fresh_namespace() -> str:
    return f"t-{uuid.uuid4().hex[:16]}"
