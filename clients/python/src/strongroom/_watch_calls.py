"""The call of `client.secrets.watch`, and how far such a watch has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._call import Call, Scope, Stubs
from strongroom._sending import Sending
from strongroom._stream import Progress
from strongroom.models import SecretEvent
from strongroom.v1 import secret_pb2

__all__ = ["SecretProgress", "watch"]


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


class SecretProgress(Progress[SecretEvent]):
    """How far a watch of secrets has come."""

    def __init__(self, call: Call[SecretEvent], sending: Sending) -> None:
        """Begins where the call says."""
        super().__init__(call, sending)
        self._resume_revision: int = call.request.after_revision
        self._revision = 0
        self._told: set[str] = set()
        self._snapshot: list[SecretEvent] | None = [] if call.request.snapshot else None

    @property
    def position(self) -> int:
        """The `after_revision` with which another watch continues. 0: nothing was received yet."""
        return self._resume_revision

    def synced(self, revision: int) -> None:
        """Is told when all that had happened up to this revision was returned."""

    def request(self) -> secret_pb2.WatchSecretsRequest:
        """Returns the request for the stream that continues the watch."""
        request = secret_pb2.WatchSecretsRequest()
        request.CopyFrom(self.call.request)
        if self._snapshot is not None:
            # A snapshot that broke begins again.
            self._snapshot = []
            self._revision = 0
            self._told.clear()
        elif self._resume_revision:
            request.snapshot = False
            request.after_revision = self._resume_revision
        return request

    def items(self, reply: Any) -> list[SecretEvent]:
        """Returns the events that a message brings: none for a bookmark, many at the end of a snapshot."""
        if reply.WhichOneof("step") == "bookmark":
            if self._snapshot is not None and not reply.bookmark.synced:
                return []
            self._resume_revision = reply.bookmark.revision
            if reply.bookmark.synced:
                self.synced(reply.bookmark.revision)
            complete, self._snapshot = self._snapshot, None
            return complete or []
        event = self.call.read(reply.event)
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
        self._resume_revision = event.resume_revision
        return [event]
