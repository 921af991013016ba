"""What a cache knows of one namespace. The sync and the async cache share this module: everything except the waiting.

An entry is served only while a watch follows the namespace: from the first bookmark of the watch on, and then, as
stale, for a time after its connection was lost. An entry is stored only if no event of its secret came while it was
read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import grpc

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom import _secret_calls as secret_calls
from strongroom import _watch_calls as watch_calls
from strongroom import exceptions as e
from strongroom._call import Call, Scope
from strongroom._sending import Sending
from strongroom._stream import passes
from strongroom.models import CachedSecret, Secret, SecretEvent
from strongroom.v1 import secret_pb2

__all__ = [
    "DEFAULT_SERVE_STALE",
    "DEFAULT_SIZE",
    "UNREACHABLE",
    "WATCH_AGAIN_AFTER",
    "CacheProgress",
    "Read",
    "Space",
    "late",
    "limits",
    "read",
]

DEFAULT_SERVE_STALE = 600.0
DEFAULT_SIZE = 1000

WATCH_AGAIN_AFTER = 5.0
"""After a watch was refused, the next one begins at a read, and not before these seconds have passed."""

UNREACHABLE = (e.UnavailableError, e.DeadlineExceededError)
"""The errors after which the last known value is served."""

# The errors with which the server says that this caller gets no such value.
_SAYS_NO = (
    e.PermissionDeniedError,
    e.NotFoundError,
    e.FailedPreconditionError,
    e.IntegrityError,
    e.ValidationError,
)

# The events that change neither the value that can be read nor whether there is one.
_HARMLESS = ("staged", "rotation_due", "rotation_failed", "expiring", "created", "undeleted", "snapshot")


class Entry:
    """A secret that is kept."""

    __slots__ = ("expires_at", "fields", "id", "outdated", "used")

    def __init__(self, secret: Secret) -> None:
        """Keeps the fields of the secret."""
        self.fields: dict[str, Any] = {**vars(secret), "stale": False, "stale_since": None}
        self.id = secret.id
        self.expires_at = secret.expires_at
        self.used = False
        """Lets the entries that are read survive those that are not."""
        self.outdated = False
        """An event tells of a newer version, which is not read yet."""

    def shown(self, stale_since: datetime | None) -> CachedSecret:
        """Returns the secret for a caller, who may change its metadata."""
        # A read of the cache is quick because it does not go through the constructor of a frozen dataclass.
        found = object.__new__(CachedSecret)
        fields = vars(found)
        fields.update(self.fields)
        fields["metadata"] = dict(fields["metadata"])
        if stale_since is not None:
            fields["stale"], fields["stale_since"] = True, stale_since
        return found


class Read:
    """One read from the server that all who ask for the name wait for."""

    def __init__(self, waiter: Any, streams: int = 0) -> None:
        """`waiter` is what the others wait on. `streams` is how many streams of the watch had ended when it began."""
        self.waiter = waiter
        self.streams = streams
        self.changed_at = 0
        """The revision of the last event of the secret since the read began."""
        self.secret: Secret | None = None
        self.error: e.StrongroomError | None = None

    def result(self) -> CachedSecret:
        """Returns what was read, or raises the error."""
        if self.secret is None:
            raise self.error or e.InternalError("A read of the cache has ended without a result.")
        return Entry(self.secret).shown(None)


class Space:
    """The entries of one namespace, and whether a watch follows it. The caller holds the lock of the cache.

    Only `look_up` needs no lock.
    """

    def __init__(
        self,
        namespace: str,
        serve_stale: float,
        size: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        """Tests replace `clock` and `now`."""
        self.namespace = namespace
        self.entries: dict[str, Entry] = {}
        self.reads: dict[str, Read] = {}
        self.watching: Any = None
        """Is set when the watch follows the namespace, or cannot. None: no watch runs."""
        self.seen = 0
        """The latest revision that the watch has told of: what is read must not be older."""
        self._serve_stale = serve_stale
        self._size = size
        self._clock = clock
        self._now = now
        self._follows = False
        self._streams = 0
        self._lost: tuple[float, datetime] | None = None
        self._refused_at = float("-inf")

    def look_up(self, name: str) -> CachedSecret | None:
        """Returns the secret if it may be served without asking the server."""
        entry, lost = self.entries.get(name), self._lost
        if entry is None or (entry.outdated and lost is None):
            return None
        return self._serve(entry, lost)

    def last_known(self, name: str) -> CachedSecret | None:
        """Returns the secret after a read of it failed because the server cannot be reached.

        The watch may not know that yet.
        """
        entry = self.entries.get(name)
        return None if entry is None else self._serve(entry, self._lost or (self._clock(), self._now()))

    def may_watch(self) -> bool:
        """Whether the last refusal of a watch is long enough ago."""
        return self._clock() - self._refused_at >= WATCH_AGAIN_AFTER

    def begin(self, name: str, waiter: Any) -> Read:
        """Begins a read."""
        read = self.reads[name] = Read(waiter, self._streams)
        return read

    def finish(self, name: str, read: Read, found: tuple[Secret, int] | None, error: e.StrongroomError | None) -> bool:
        """Ends a read. False: the secret has changed meanwhile, so it must be read again."""
        if found is not None and read.changed_at > found[1]:
            read.streams = self._streams
            return False
        if self.reads.get(name) is read:
            del self.reads[name]
        if found is not None:
            read.secret = found[0]
            # A read that began before a stream ended may have seen what the caller may not see any more.
            if self._follows and self._lost is None and read.streams == self._streams:
                self._store(name, found[0])
        else:
            read.error = error
            if isinstance(error, _SAYS_NO):
                self.entries.pop(name, None)
        return True

    def apply(self, event: SecretEvent) -> str | None:
        """Does what an event asks for. Returns the name of a secret to read again. None: there is none."""
        self.seen = max(self.seen, event.revision)
        name = event.secret.name
        for of in (name, event.former_name):
            under_way = self.reads.get(of) if of is not None else None
            if under_way is not None:
                under_way.changed_at = max(under_way.changed_at, event.revision)
        if event.type in ("rotated", "updated"):
            entry = self.entries.get(name)
            if entry is not None:
                entry.outdated = True
                return name
        elif event.type not in _HARMLESS:
            for kept, entry in list(self.entries.items()):
                if entry.id == event.secret.id:
                    del self.entries[kept]
        return None

    def sync(self, revision: int) -> list[str]:
        """Notes that all changes up to this revision are known. Returns the names of secrets to read again."""
        self._follows, self._lost = True, None
        self.seen = max(self.seen, revision)
        return [name for name, entry in self.entries.items() if entry.outdated]

    def lose(self, error: e.StrongroomError | None) -> None:
        """Notes that a stream has ended. None: it ended as if all were told.

        When its connection was lost, the entries become stale. When the server has ended it for a reason, they may be
        what the caller may not know any more. So it says CONTENDED when what the caller may do was changed.
        """
        if error is not None and (error.reason == "CONTENDED" or not passes(error)):
            self.entries.clear()
        self._streams += 1
        if self._lost is None:
            self._lost = (self._clock(), self._now())

    def end(self) -> None:
        """Notes that the watch has ended for good, and forgets everything."""
        self.watching, self._follows, self._lost = None, False, None
        self._streams += 1
        self._refused_at = self._clock()
        self.entries.clear()

    def _serve(self, entry: Entry, lost: tuple[float, datetime] | None) -> CachedSecret | None:
        """Returns the secret of an entry. None: it is stale for too long, or has expired."""
        if lost is not None and self._clock() - lost[0] >= self._serve_stale:
            return None
        if entry.expires_at is not None and self._now() >= entry.expires_at:
            return None
        entry.used = True
        return entry.shown(None if lost is None else lost[1])

    def _store(self, name: str, secret: Secret) -> None:
        """Keeps the secret. A full cache drops the oldest entry that was not read since it was last looked at."""
        self.entries.pop(name, None)
        while len(self.entries) >= self._size:
            oldest = next(iter(self.entries))
            entry = self.entries.pop(oldest)
            if entry.used:
                entry.used = False
                self.entries[oldest] = entry
        self.entries[name] = Entry(secret)


class CacheProgress(watch_calls.SecretProgress):
    """The progress of the watch of one namespace, which tells the cache when it is up to date and when it is not."""

    def __init__(
        self,
        namespace: str,
        sending: Sending,
        synced: Callable[[int], None],
        lost: Callable[[e.StrongroomError | None], None],
    ) -> None:
        """`synced` gets the revision up to which all is told, `lost` why a stream has ended."""
        super().__init__(watch_calls.watch(Scope(namespace)), sending)
        self._synced = synced
        self._lost = lost

    def synced(self, revision: int) -> None:
        """Tells the cache."""
        self._synced(revision)

    def lost(self, error: e.StrongroomError | None) -> None:
        """Tells the cache."""
        self._lost(error)


def read(namespace: str, name: str, seen: int, end: float | None) -> Call[tuple[Secret, int]]:
    """Returns the call that reads a secret at the revision `seen` or a later one. It also returns that revision.

    `end` is when the caller has no more time, on the clock `time.monotonic`. None: the client's timeout.
    """
    timeout = None if end is None else max(end - time.monotonic(), 0.001)
    call = secret_calls.get(Scope(namespace), name=name, min_revision=seen, timeout=timeout)
    return Call(call.rpc, call.request, _found, call.timeout)


def late() -> e.DeadlineExceededError:
    """Returns the error for a caller who has waited for as long as it has time."""
    return e.DeadlineExceededError(
        "The cache did not get the secret in time: check that the server is not overloaded, or raise `timeout`.",
        code=grpc.StatusCode.DEADLINE_EXCEEDED,
    )


def limits(serve_stale: float, size: int) -> tuple[float, int]:
    """Checks the settings of a cache."""
    stale = 0.0 if serve_stale == 0 else arguments.seconds("serve_stale", serve_stale)
    return stale, arguments.integer("size", size, 1, arguments.INT32)


def _found(reply: secret_pb2.GetSecretResponse) -> tuple[Secret, int]:
    return replies.secret(reply.secret, reply.version), reply.revision
