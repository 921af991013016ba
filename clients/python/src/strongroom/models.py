"""The results of the calls. They are frozen dataclasses, and their `repr` shows no value.

All times are in UTC, cut to microseconds. `revision` is the store's revision of the change, or the revision that the
answer was read at. Pass it as `min_revision` to a later call that must show the effects of this one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Union

from strongroom._audit_models import AuditNames, AuditPage, AuditRecord, Checkpoint, ConsistencyProof, InclusionProof
from strongroom.exceptions import SecretNotFoundError, StrongroomError
from strongroom.generate import Generator

__all__ = [
    "ENCRYPTED",
    "AcknowledgedVersion",
    "ApiKey",
    "AuditNames",
    "AuditPage",
    "AuditRecord",
    "BatchItem",
    "Binding",
    "CachedSecret",
    "ChangedVersion",
    "Checkpoint",
    "ClaimedRotation",
    "ConsistencyProof",
    "Consumer",
    "CreatedApiKey",
    "Credential",
    "DeletedSecret",
    "DestroyedVersion",
    "DestructionReceipt",
    "Explanation",
    "Identity",
    "InclusionProof",
    "Namespace",
    "NamespacePage",
    "Reference",
    "ResolvedDocument",
    "Role",
    "RotationClaim",
    "RotationFailure",
    "RotationPolicy",
    "Secret",
    "SecretBatch",
    "SecretEvent",
    "SecretPage",
    "SecretVersion",
    "SecretVersions",
    "Value",
]

Value = Union[str, bytes]
"""A secret's value: text, or bytes."""

ENCRYPTED = "ENCRYPTED"
"""The `value` of a `Secret` when the reply does not return the value."""


@dataclass(frozen=True)
class RotationPolicy:
    """When and how a secret is rotated. It is an argument of `create` and `update`, and a part of a `Secret`."""

    interval: timedelta | None = None
    """The time between two rotations, 1 second to 10 years. None: the secret is rotated only on request."""
    generator: Generator | None = field(default=None, hash=False)
    """How the server generates new values, to rotate the secret by itself: the result of a function in
    `strongroom.generate`. None: the server tells that a rotation is due, and a worker makes it (`claim_rotation`)."""
    grace_period: timedelta | None = None
    """How long the former version stays readable by its number, 0 to 10 years. None: as long as the server keeps it and
    it is enabled."""
    window: str = ""
    """The time of day (UTC) within which rotations are made, for example `02:00-04:00`. Empty: at any time."""
    paused: bool = False
    """True: no rotations are made until the policy is changed."""
    retire_when_unread: bool = False
    """True: the former version is disabled before its grace period ends, once each of its consumers uses a newer one.
    Needs `grace_period`."""


@dataclass(frozen=True)
class RotationClaim:
    """The claim of a worker on a rotation."""

    principal: str
    """The principal that holds the rotation, for example `key:abcdefghijklmnop`."""
    lease_expires_at: datetime | None
    """When the lease runs out."""


@dataclass(frozen=True)
class RotationFailure:
    """Attempts to rotate a secret that failed, since the last success."""

    attempts: int
    """How many there were."""
    failed_at: datetime | None
    """When the last one failed."""
    error: str
    """Why it failed, in the words of the worker."""
    retry_at: datetime | None
    """When the rotation is due again."""


@dataclass(frozen=True, repr=False)
class Secret:
    """A secret as it was at `revision`.

    A comparison of two secrets ignores the value: `id` and `etag` already tell two states apart, and a failed assertion
    then has no value to print.
    """

    namespace: str
    """The namespace of the secret. Never empty."""
    name: str
    """The name, unique in its namespace."""
    id: str
    """A UUID that stays the same for the life of the secret. A rename does not change it."""
    value: Value = field(compare=False)
    """The value as it was stored, str or bytes. `"ENCRYPTED"` when the reply does not return it: see `redacted`."""
    redacted: bool = field(compare=False)
    """True when the reply does not return the value. It tells the mark `"ENCRYPTED"` from a value with that text."""
    description: str
    """A description of the secret. Empty: it has none."""
    metadata: dict[str, str] = field(hash=False)
    """The pairs of the secret. Empty: it has none. This is a copy: a change of it changes nothing on the server."""
    version: int
    """The number of the current version. It is 1 after the creation, and each new value adds 1."""
    created_at: datetime | None
    """When the secret was created."""
    updated_at: datetime | None
    """When the secret last changed."""
    rotated_at: datetime | None
    """When the secret last got a new value. None: version 1 is the current version."""
    expires_at: datetime | None
    """When the secret expires. None: it never expires."""
    next_rotation_at: datetime | None
    """When the next rotation is due. None: no rotation is planned."""
    deleted_at: datetime | None
    """When the secret was deleted. None: it is not deleted."""
    purge_at: datetime | None
    """When the server removes a deleted or expired secret for good. None: it is neither deleted nor expired."""
    etag: str
    """The tag of this state. Pass it as `etag` with a change: the change is made only if the secret has not changed."""
    revision: int
    """The store's revision of the last change of the secret."""
    rotation_policy: RotationPolicy | None = None
    """When and how the secret is rotated. None: only on request."""
    pending_version: int | None = None
    """The number of the version that is the new value of a staged rotation. None: none is pending."""
    rotation_claim: RotationClaim | None = None
    """The claim of a worker on the rotation that is due. None: nobody holds it."""
    rotation_failure: RotationFailure | None = None
    """The attempts to rotate the secret, where they failed. None: the last one succeeded, or there was none."""
    value_version: int | None = field(default=None, compare=False)
    """The number of the version whose value it is. None: the secret does not come from `get`. A comparison ignores it,
    as it ignores the value."""

    def __repr__(self) -> str:
        """Names the secret, without its value, description and metadata."""
        return f"Secret(namespace={self.namespace!r}, name={self.name!r}, id={self.id!r}, version={self.version})"


@dataclass(frozen=True, repr=False)
class CachedSecret(Secret):
    """A secret of a cache."""

    stale: bool = False
    """True: the connection to the server is lost, so the secret may have changed since."""
    stale_since: datetime | None = None
    """When the connection was lost. None: it is not."""

    def __repr__(self) -> str:
        """Names the secret and says whether it is stale, without its value, description and metadata."""
        return f"Cached{super().__repr__()[:-1]}, stale={self.stale})"


@dataclass(frozen=True)
class SecretPage:
    """One page of secrets. It is not iterable itself: `items` holds this page, and `iterate()` returns all secrets."""

    items: list[Secret]
    """The secrets. Each `value` is `"ENCRYPTED"`."""
    next_page_token: str
    """The `page_token` for the next page. Empty: this is the last page."""
    total_size: int
    """The number of secrets that match, on all pages."""
    revision: int
    """The store's revision that the page was read at."""
    damaged_size: int = 0
    """The number of secrets in the namespace that no list can show, because their records were altered or damaged."""


@dataclass(frozen=True)
class Namespace:
    """A namespace in which the caller may list secrets."""

    name: str
    """The name of the namespace, such as `team/billing`."""
    secrets: int
    """The number of its secrets that the caller may list, without deleted ones."""
    deleted_secrets: int
    """The number of its deleted secrets that the caller may list and that `undelete` can bring back."""


@dataclass(frozen=True)
class NamespacePage:
    """One page of namespaces. It is not iterable itself: `items` holds this page, and `iterate_namespaces()` all."""

    items: list[Namespace]
    """The namespaces, ordered by the bytes of their names."""
    next_page_token: str
    """The `page_token` for the next page. Empty: this is the last page."""
    revision: int
    """The store's revision that the page was read at."""
    damaged_size: int = 0
    """The number of namespaces that no list can show, because their records were altered or damaged. 0 also when the
    caller may not list everything."""


@dataclass(frozen=True)
class BatchItem:
    """One of several requested secrets: the secret, or the error that `get` would raise."""

    name: str
    """The name that was asked for."""
    secret: Secret | None
    """The secret. None: it cannot be returned."""
    error: StrongroomError | None
    """Why the secret is not returned. None: it is returned."""


@dataclass(frozen=True)
class SecretBatch:
    """Several secrets as they were at one revision."""

    items: list[BatchItem]
    """One item for each name, in the order of the names."""
    revision: int
    """The store's revision that all items were read at."""

    def __getitem__(self, name: str) -> Secret:
        """Returns the secret of this name, or raises its error."""
        for item in self.items:
            if item.name == name:
                if item.error is not None:
                    raise item.error
                if item.secret is not None:
                    return item.secret
        raise SecretNotFoundError(f"The batch did not ask for {name!r}.")


@dataclass(frozen=True)
class SecretEvent:
    """A change of one secret."""

    type: str
    """`snapshot`, `created`, `updated`, `renamed`, `staged`, `rotated`, `version_changed`, `deleted`, `undeleted`,
    `purged`, `rotation_due`, `rotation_failed`, `expiring`, `expired` or `removed` (it does not match any more). A type
    that this package does not know is `type_<number>`."""
    secret: Secret
    """The secret after the change. Its `value` is `"ENCRYPTED"`."""
    revision: int
    """The store's revision of the change. `get` with this `min_revision` shows it."""
    former_name: str | None
    """The name before a `renamed`, when the caller may list that name. None: no other name is known."""
    resume_revision: int
    """The `after_revision` with which a watch continues after this event."""
    occurred_at: datetime | None
    """When it happened, by the clock of the server. None: a `snapshot`, which is no change."""


@dataclass(frozen=True)
class AcknowledgedVersion:
    """A version that a consumer has acknowledged."""

    version: SecretVersion
    """The version with its consumers."""
    revision: int
    """The store's revision of the change."""


@dataclass(frozen=True)
class ClaimedRotation:
    """A rotation that the caller holds."""

    claim_id: str = field(repr=False)
    """Identifies the claim in `rotate`, `promote` and `release_rotation`."""
    secret: Secret
    """The secret to rotate. Its `value` is `"ENCRYPTED"`."""
    lease_expires_at: datetime | None
    """When the lease runs out."""
    pending_version: int | None
    """The version that another worker has left pending. None: none is pending."""
    revision: int
    """The store's revision of the change."""


@dataclass(frozen=True)
class DeletedSecret:
    """A deleted secret."""

    id: str
    """The id of the secret."""
    deleted_at: datetime | None
    """When the secret was deleted."""
    purge_at: datetime | None
    """When the server removes the secret for good. Until then `undelete` brings it back."""
    revision: int
    """The store's revision of the deletion."""


@dataclass(frozen=True)
class Consumer:
    """A consumer of a version: who reads its value, or says that it uses it."""

    principal: str
    """The principal, for example `key:abcdefghijklmnop`."""
    last_read_at: datetime | None
    """When the principal last read the value: the beginning of the minute. None: no read is known."""
    acknowledged_at: datetime | None = None
    """When the consumer acknowledged the version. None: it did not."""
    consumer: str = ""
    """The name that the consumer gave itself in `acknowledge`. Empty: none."""


@dataclass(frozen=True)
class SecretVersion:
    """A version of a secret, without its value."""

    number: int
    """The number of the version. The first is 1."""
    state: str
    """`pending`, `enabled`, `disabled` or `destroyed`. A state that this package does not know is `state_<number>`."""
    created_at: datetime | None
    """When the version was created. None: an earlier release of the server created it and did not store the time."""
    state_changed_at: datetime | None
    """When the version was last disabled, enabled or destroyed. None: never."""
    current: bool
    """Whether it is the current version of its secret."""
    last_read_at: datetime | None = None
    """When its value was last read: the beginning of the minute. None: no read is known, or this is not from a list of
    versions."""
    consumers: tuple[Consumer, ...] = ()
    """Who read or acknowledged it, the latest first: at most 64."""
    retires_at: datetime | None = None
    """When its grace period ends, and it is disabled. None: it has no grace period."""


@dataclass(frozen=True)
class SecretVersions:
    """The versions of a secret."""

    versions: list[SecretVersion]
    """The versions that the server keeps, at most 100, newest first."""
    revision: int
    """The store's revision that the versions were read at."""


@dataclass(frozen=True)
class ChangedVersion:
    """A version that was disabled or enabled."""

    version: SecretVersion
    """The version in its new state."""
    secret: Secret
    """The secret in its new state. Its `value` is `"ENCRYPTED"`."""
    revision: int
    """The store's revision of the change. When nothing had to be changed: a revision at which this was already so."""


@dataclass(frozen=True)
class DestructionReceipt:
    """A destruction receipt: the server's signed statement that it destroyed a version."""

    namespace: str
    """The namespace of the secret."""
    name: str
    """The name of the secret."""
    secret_id: str
    """The id of the secret."""
    version: int
    """The number of the version."""
    destroyed_at: datetime | None
    """When the version was destroyed."""
    data_key_sha256: str
    """The SHA-256 digest of the deleted wrapped data key, in hexadecimal. Empty: the store had no readable data key."""
    statement: bytes
    """The exact bytes that are signed: the fields above as lines of text."""
    signature: bytes
    """The Ed25519 signature (RFC 8032, 64 bytes) of `statement`."""
    public_key: bytes
    """The Ed25519 public key (32 bytes) that verifies the signature. Compare it with a copy that you trust."""
    key_id: str
    """A short id of the public key: the first 8 bytes of its SHA-256 digest, in hexadecimal."""


@dataclass(frozen=True)
class DestroyedVersion:
    """A destroyed version."""

    version: SecretVersion
    """The version in its new state."""
    secret: Secret
    """The secret in its new state. Its `value` is `"ENCRYPTED"`."""
    receipt: DestructionReceipt
    """The signed statement that the version was destroyed."""
    revision: int
    """The store's revision of the change. When nothing had to be changed: a revision at which this was already so."""


@dataclass(frozen=True)
class ApiKey:
    """An API key, without the key itself."""

    id: str
    """The public part of the key, which is also part of the key itself: `srk_<id>_…`."""
    name: str
    """The name that the key was given. Several keys can have the same name."""
    home_namespace: str
    """The home namespace. A call of this key without a namespace means this one."""
    root: bool
    """True for the key that was made with the store. It gives no right: bindings do."""
    created_at: datetime | None
    """When the key was created."""
    expires_at: datetime | None
    """When the key expires. None: it never expires."""
    revoked_at: datetime | None
    """When the key was revoked. None: it is not revoked."""
    rotated_at: datetime | None = None
    """When the key last got a new secret. None: it never did."""
    last_used_at: datetime | None = None
    """When the key last authenticated a call: the beginning of the minute. None: no use is known."""


@dataclass(frozen=True)
class CreatedApiKey:
    """An API key with its new secret. Only this result shows the key itself."""

    api_key: ApiKey
    """The key as the server keeps it."""
    credential: str = field(repr=False, compare=False)
    """The key itself. Give it to the caller that it is for. It cannot be shown again."""
    revision: int
    """The store's revision of the change."""


@dataclass(frozen=True)
class Identity:
    """The identity of the caller."""

    principal: str
    """The caller as the audit log names it, for example `key:4f2a…`."""
    api_key: ApiKey | None
    """The API key of the caller. None: the caller presented another kind of credential."""
    rights: frozenset[str]
    """The rights of the caller on some secret of its home namespace at least, and on the service as a whole: `list`,
    `read`, `write`, `rotate`, `delete`, `manage_access`, `audit`, `operate`. A right that this package does not know is
    `right_<number>`."""
    revision: int
    """The store's revision that the answer was read at."""
    groups: tuple[str, ...] = ()
    """The groups of the caller, for example `group:corp:ops`. An API key has none."""
    home_namespace: str = ""
    """The namespace that a call without a namespace means."""


@dataclass(frozen=True)
class Role:
    """A named set of rights."""

    name: str
    """The name."""
    rights: frozenset[str]
    """The rights, for example `list` and `read`."""
    description: str
    """What the role is for. Empty: it has no description."""
    built_in: bool
    """True for a role that every store has."""
    created_at: datetime | None
    """When the role was created. None: it is built in."""


@dataclass(frozen=True)
class Binding:
    """A binding: it gives a principal the rights of a role, or denies them."""

    id: str
    """The id: 16 characters."""
    principal: str
    """Whom the binding is for, for example `key:abcdefghijklmnop` or `group:corp:ops`."""
    role: str
    """The name of the role."""
    namespace_pattern: str
    """The namespaces: one (`team/ci`), one and everything below it (`team/**`), or all (`**`)."""
    name_pattern: str
    """The names of secrets. Each `*` stands for any characters."""
    denies: bool
    """True: the binding denies the rights, whatever other bindings give."""
    created_at: datetime | None
    """When the binding was created."""
    expires_at: datetime | None
    """From when on the binding does not count any more. None: it never expires."""
    description: str
    """What the binding is for. Empty: it has no description."""
    last_used_at: datetime | None = None
    """When the binding last gave or denied a right, to the minute. None: no use is known."""


@dataclass(frozen=True)
class Explanation:
    """Whether a principal has a right, and why."""

    allowed: bool
    """Whether the principal has the right."""
    binding: Binding | None
    """The binding that decides. None: no binding gives the right."""
    explanation: str
    """The reason in words."""
    remedy: str
    """The command that would give the right. Empty: the principal has it."""
    revision: int
    """The store's revision that the answer was read at."""


@dataclass(frozen=True)
class Credential:
    """A secret that a step of a document names with `secret_name`. A comparison ignores the value."""

    path: str
    """The place of the step: a JSON Pointer (RFC 6901), for example `/steps/0`."""
    secret_name: str
    """The name of the secret."""
    value: str | bytes = field(repr=False, compare=False)
    """The value as it was stored, str or bytes."""


@dataclass(frozen=True)
class Reference:
    """A secret that a document names."""

    name: str
    """The name of the secret."""
    paths: tuple[str, ...]
    """The places that name the secret: JSON Pointers (RFC 6901), for example `/steps/0/expression`."""
    exists: bool
    """Whether the secret exists. Always False when the caller may not know this."""
    readable: bool
    """Whether the caller can read the value: it has the right `read`, and the current version is enabled."""


@dataclass(frozen=True)
class ResolvedDocument:
    """A document with its references resolved. A comparison ignores the values."""

    document: dict[str, Any] = field(repr=False, compare=False)
    """The resolved document. Its keys have the order of the given document, and integral numbers are int. It holds
    values of secrets: do not log it. Empty with `validate_only`."""
    credentials: list[Credential]
    """The secrets that `secret_name` beside `tool` names, in the order of the document. Empty with `validate_only`."""
    references: list[Reference]
    """The secrets that the document names, each once, ordered by name."""
    revision: int
    """The store's revision that the secrets were read at."""
