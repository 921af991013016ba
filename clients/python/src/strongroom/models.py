"""What calls return: frozen, typed, and silent about values in their `repr`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Union

__all__ = [
    "ENCRYPTED",
    "ApiKey",
    "ChangedVersion",
    "CreatedApiKey",
    "Credential",
    "DeletedSecret",
    "DestroyedVersion",
    "DestructionReceipt",
    "Identity",
    "Reference",
    "ResolvedDocument",
    "Secret",
    "SecretPage",
    "SecretVersion",
    "SecretVersions",
    "Value",
]

Value = Union[str, bytes]
"""A secret's value: text, or bytes."""

ENCRYPTED = "ENCRYPTED"
"""What `Secret.value` is where a reply does not return the value."""


@dataclass(frozen=True, repr=False)
class Secret:
    """A secret as it was at `revision`.

    Times are in UTC, cut to microseconds; None where there is none. Comparing leaves the value out, shown or not: `id`
    and `etag` tell two states apart, and a comparison that fails then has no value to print.
    """

    namespace: str
    name: str
    id: str
    """Stays the same for the secret's life, through renames too."""
    value: Value = field(compare=False)
    """The value as it was stored, str or bytes; `"ENCRYPTED"` where the reply does not return it (see `redacted`)."""
    redacted: bool = field(compare=False)
    """Whether `value` is only the word `ENCRYPTED`, and not a value that happens to be that word."""
    description: str
    """Empty: none."""
    metadata: dict[str, str] = field(hash=False)
    """Empty: none. A copy: changing it changes nothing on the server."""
    version: int
    """The number of the current version: 1 after create, one more with each new value."""
    created_at: datetime | None
    updated_at: datetime | None
    """When anything of the secret last changed."""
    rotated_at: datetime | None
    """When the value last changed. None while version 1 is the current one."""
    expires_at: datetime | None
    next_rotation_at: datetime | None
    deleted_at: datetime | None
    purge_at: datetime | None
    etag: str
    """Another one after every change: pass it as `etag` to change the secret only if nobody else has."""
    revision: int
    """The store's revision at which the secret last changed."""

    def __repr__(self) -> str:
        """Which secret it is; nothing of what is in it."""
        return f"Secret(namespace={self.namespace!r}, name={self.name!r}, id={self.id!r}, version={self.version})"


@dataclass(frozen=True)
class SecretPage:
    """One page of a list. Deliberately not iterable itself: `items` is this page, `iterate()` is all of them."""

    items: list[Secret]
    """The secrets, their values `"ENCRYPTED"`."""
    next_page_token: str
    """The `page_token` of the next page. Empty: this is the last."""
    total_size: int
    """How many secrets match in all."""
    revision: int
    """The store's revision that the page was read at."""
    damaged_size: int = 0
    """How many secrets of the namespace are in no list, since their records were altered or damaged."""


@dataclass(frozen=True)
class DeletedSecret:
    """What a delete has done."""

    id: str
    deleted_at: datetime | None
    purge_at: datetime | None
    """When the secret is removed for good; the same as `deleted_at` where the server does not keep it."""
    revision: int


@dataclass(frozen=True)
class SecretVersion:
    """A version of a secret, without its value."""

    number: int
    state: str
    """`enabled`, `disabled` or `destroyed`; `pending` from a later server."""
    created_at: datetime | None
    """None: an earlier release of the server made it, and did not note that."""
    state_changed_at: datetime | None
    """When it was last disabled, enabled or destroyed. None: it never was."""
    current: bool


@dataclass(frozen=True)
class SecretVersions:
    """The versions of a secret."""

    versions: list[SecretVersion]
    """Those that are kept, at most 100, newest first."""
    revision: int
    """The store's revision that they were read at."""


@dataclass(frozen=True)
class ChangedVersion:
    """A version that was disabled or enabled."""

    version: SecretVersion
    secret: Secret
    """The secret, its value `"ENCRYPTED"`."""
    revision: int


@dataclass(frozen=True)
class DestructionReceipt:
    """The server's signed statement that it destroyed a version."""

    namespace: str
    name: str
    secret_id: str
    version: int
    destroyed_at: datetime | None
    data_key_sha256: str
    """The SHA-256 digest of the wrapped data key that was removed, in hexadecimal; empty where it was not there."""
    statement: bytes
    """What is signed, exactly: the fields above as lines of text."""
    signature: bytes
    """The Ed25519 signature of `statement`."""
    public_key: bytes
    """The key that verifies it: compare it with one that is known from elsewhere."""
    key_id: str


@dataclass(frozen=True)
class DestroyedVersion:
    """A version that was destroyed."""

    version: SecretVersion
    secret: Secret
    """The secret, its value `"ENCRYPTED"`."""
    receipt: DestructionReceipt
    revision: int


@dataclass(frozen=True)
class ApiKey:
    """An API key, without the key itself."""

    id: str
    """The public half, which also stands in the key: `srk_<id>_…`."""
    name: str
    home_namespace: str
    """The namespace whose secrets it opens, and which a call without a namespace means."""
    root: bool
    """Whether it may do everything in every namespace."""
    created_at: datetime | None
    expires_at: datetime | None
    """None: never."""
    revoked_at: datetime | None
    """None: it is not revoked."""


@dataclass(frozen=True)
class CreatedApiKey:
    """A new API key. The only place where the key itself is ever shown."""

    api_key: ApiKey
    credential: str = field(repr=False, compare=False)
    """The key, to hand to the caller it is for. It can not be shown again."""
    revision: int


@dataclass(frozen=True)
class Identity:
    """Who the caller is."""

    principal: str
    """As the audit log names it, for example `key:4f2a…`."""
    api_key: ApiKey
    rights: frozenset[str]
    """What it may do in its home namespace: `list`, `read`, `write`, `rotate`, `manage_access`, `audit`, `operate`."""
    revision: int


@dataclass(frozen=True)
class Credential:
    """A secret that a step of a document names with `secret_name`. Comparing leaves the value out."""

    path: str
    """Where the step stands: a JSON Pointer, for example `/steps/0`."""
    secret_name: str
    value: str | bytes = field(repr=False, compare=False)
    """As it was given: a str, or bytes."""


@dataclass(frozen=True)
class Reference:
    """A secret that a document names."""

    name: str
    paths: tuple[str, ...]
    """The places that name it, as JSON Pointers, for example `/steps/0/expression`."""
    exists: bool
    """Whether there is such a secret. False too where the caller may not know."""
    readable: bool
    """Whether the caller may read its value, and there is one: its current version is enabled."""


@dataclass(frozen=True)
class ResolvedDocument:
    """A document with its references resolved. Comparing leaves the values out."""

    document: dict[str, Any] = field(repr=False, compare=False)
    """As JSON has it, the keys in the order in which they were given; a number that is integral is an int. It holds
    values: do not log it. With `validate_only`, empty."""
    credentials: list[Credential]
    """In the order in which they stand in the document. With `validate_only`, empty."""
    references: list[Reference]
    """The secrets that the document names, each once, ordered by name."""
    revision: int
    """The store's revision that the secrets were read at."""
