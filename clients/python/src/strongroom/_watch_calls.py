"""The call of `client.secrets.watch`, and what the sync and the async watch share: everything except the waiting."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._call import Call, Scope, Stubs
from strongroom._retry import RetryPolicy
from strongroom.exceptions import StrongroomError
from strongroom.models import SecretEvent
from strongroom.v1 import secret_pb2

__all__ = ["STREAM_SECONDS", "Progress", "watch"]

# How many attempts a watch has to begin with: it has no timeout that would end them.
_FIRST_ATTEMPTS = 5
STREAM_SECONDS = 600.0
"""How long one stream lasts at most. The watch then continues with another one, so that it notices a connection that is
dead without a sign."""

_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}


def watch(
    scope: Scope,
    *,
    name_prefix: str = "",
    metadata: Mapping[str, str] | None = None,
    include_children: bool = False,
    after_revision: int = 0,
    snapshot: bool = False,
    namespace: str | None = None,
) -> Call[SecretEvent]:
    """Returns an iterator over the changes of a namespace's secrets, as they are made.

    The events come in the order of their revisions. Where the connection breaks or the server restarts, the iterator
    continues by itself behind the last event, for as long as that takes: no event is left out, and none comes twice.
    An error that does not pass by itself is raised. The iterator waits while nothing happens; its `close` ends it.

    Args:
        name_prefix: Tell only of secrets whose name begins with this text, case-sensitive. Empty: no filter.
        metadata: Tell only of secrets whose metadata holds all these pairs exactly, case-sensitive. None: no filter.
        include_children: Also watch the namespaces below this one.
        after_revision: Tell the changes after this revision: the `resume_revision` of an earlier event or watch. 0: the
            changes from now on.
        snapshot: First return the secrets that match now, each as an event `snapshot`, then the changes since. The
            snapshot is returned when it is complete. Must not be passed together with `after_revision`.
        namespace: See `Secrets`.

    Returns:
        An iterator over `SecretEvent`. Its `resume_revision` tells how far it has come.

    Raises:
        RevisionCompactedError: The server does not keep the changes after this revision any more. Watch again with
            `snapshot`.
        IntegrityError: A stored record was altered or damaged.
    """
    request = secret_pb2.WatchSecretsRequest(
        namespace=scope.namespace_for(namespace),
        name_prefix=arguments.text("name_prefix", name_prefix),
        include_children=arguments.flag("include_children", include_children),
        after_revision=arguments.integer("after_revision", after_revision, 0, arguments.UINT64),
        snapshot=arguments.flag("snapshot", snapshot),
    )
    if metadata is not None:
        request.metadata.update(arguments.metadata("metadata", metadata))
    return Call(_rpc, request, replies.secret_event)


def _rpc(stubs: Stubs) -> Any:
    return stubs.secrets.WatchSecrets


class Progress:
    """How far a watch has come: what to ask for next, and which events were returned."""

    def __init__(
        self, call: Call[SecretEvent], retry: RetryPolicy, jitter: Callable[[], float] = random.random
    ) -> None:
        """Tests replace `jitter`."""
        self.resume_revision: int = call.request.after_revision
        self._call = call
        self._retry = retry
        self._jitter = jitter
        self._revision = 0
        self._told: set[str] = set()
        self._snapshot: list[SecretEvent] | None = [] if call.request.snapshot else None
        self._received = False
        self._failures = 0

    def request(self) -> secret_pb2.WatchSecretsRequest:
        """Returns the request for the stream that continues the watch."""
        request = secret_pb2.WatchSecretsRequest()
        request.CopyFrom(self._call.request)
        if self._snapshot is not None:
            # A snapshot that broke begins again.
            self._snapshot = []
        elif self.resume_revision:
            request.snapshot = False
            request.after_revision = self.resume_revision
        return request

    def read(self, reply: Any) -> list[SecretEvent]:
        """Returns the events that a message brings: none for a bookmark, many at the end of a snapshot."""
        self._received = True
        self._failures = 0
        if reply.WhichOneof("step") == "bookmark":
            if self._snapshot is None or reply.bookmark.synced:
                self.resume_revision = reply.bookmark.revision
                complete, self._snapshot = self._snapshot, None
                return complete or []
            return []
        event = self._call.read(reply.event)
        if event.type == "snapshot":
            if self._snapshot is not None:
                self._snapshot.append(event)
            return []
        if event.revision < self._revision or (event.revision == self._revision and event.secret.id in self._told):
            return []
        if event.revision > self._revision:
            self._revision = event.revision
            self._told.clear()
        self._told.add(event.secret.id)
        if self._snapshot is not None:
            self._snapshot.append(event)
            return []
        self.resume_revision = event.resume_revision
        return [event]

    def pause_after(self, error: StrongroomError | None) -> float | None:
        """Returns the seconds to wait before the next stream. None: raise the error. `error` is None at a plain end."""
        self._failures += 1
        if error is not None:
            refused = error.reason is not None and error.reason != "DEADLINE_EXCEEDED"
            if error.retry_after is None and (error.code not in _PASSING or (refused and not _unavailable(error))):
                return None
            # A server that never answered may not be there at all.
            if not self._received and self._failures >= min(self._retry.attempts, _FIRST_ATTEMPTS):
                return None
        backoff = self._retry.first_delay * self._retry.factor ** min(self._failures - 1, 32)
        pause = min(backoff, self._retry.longest_delay) * (0.5 + self._jitter() / 2)
        return pause + (error.retry_after or 0.0 if error is not None else 0.0)


def _unavailable(error: StrongroomError) -> bool:
    return error.code is grpc.StatusCode.UNAVAILABLE
