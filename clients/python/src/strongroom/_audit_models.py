"""The results of the calls of `client.audit`. `strongroom.models` has them too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

__all__ = ["AuditNames", "AuditPage", "AuditRecord", "Checkpoint", "ConsistencyProof", "InclusionProof"]


@dataclass(frozen=True)
class AuditRecord:
    """A record of the audit log."""

    index: int
    """The number of the record, from 0."""
    line: bytes
    """The record: a JSON object, exactly as it was hashed. It never holds a value."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the record, as docs/format.md describes them."""
        fields: dict[str, Any] = json.loads(self.line)
        return fields


@dataclass(frozen=True)
class AuditPage:
    """One page of the audit log."""

    items: list[AuditRecord]
    """The records."""
    next_page_token: str
    """The `page_token` for the next page. Empty: this is the last page."""
    log_size: int
    """The number of records that the log has."""


@dataclass(frozen=True)
class Checkpoint:
    """A signed statement of the size and the root of the audit log."""

    checkpoint: str
    """The checkpoint: a signed note in the form of C2SP tlog-checkpoint."""
    verifier_key: str
    """The public key that verifies it, in the form of C2SP signed-note. Compare it with a copy from an earlier time."""
    size: int
    """The number of records in the tree."""
    root: bytes
    """The root of the tree, 32 bytes."""


@dataclass(frozen=True)
class InclusionProof:
    """The proof that a record is in the tree of the audit log."""

    leaf_hash: bytes
    """The hash of the record, 32 bytes."""
    hashes: tuple[bytes, ...]
    """The hashes of the proof, 32 bytes each, from the leaf to the root."""
    size: int
    """The size of the tree."""


@dataclass(frozen=True)
class ConsistencyProof:
    """The proof that a tree of the audit log begins with an older one."""

    hashes: tuple[bytes, ...]
    """The hashes of the proof, 32 bytes each. Empty: the sizes are equal, or the older tree is empty."""
    size: int
    """The size of the newer tree."""


@dataclass(frozen=True)
class AuditNames:
    """The names that a fingerprint of the audit log stands for."""

    namespaces: tuple[str, ...]
    """The namespaces. Empty: none that the caller may list."""
    secrets: tuple[tuple[str, str], ...]
    """The secrets as pairs of namespace and name, at most 1,000. Empty: none that the caller may list."""
