"""How the fake rotates, deletes and watches secrets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
from refusals import Refusal, invalid, not_found

from strongroom.v1 import secret_pb2

Code = grpc.StatusCode

Event = secret_pb2.SecretEvent


class Feed:
    """The events of all secrets, and the deleted secrets.

    A stream of a watch ends after the events that there are. With `live`, it stays open, until `cut` ends it.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.compacted = 0
        self.cut_after: list[int] = []
        self.live = False
        self.changed = threading.Condition()
        self.cuts: list[Refusal] = []

    def tell(
        self, kind: secret_pb2.SecretEventType.ValueType, secret: secret_pb2.Secret, former_name: str | None = None
    ) -> None:
        event = Event(type=kind, secret=secret, revision=secret.revision, resume_revision=secret.revision)
        event.secret.value.redacted = secret_pb2.REDACTION_ENCRYPTED
        if former_name is not None:
            event.former_name = former_name
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def cut(self, refusal: Refusal) -> None:
        """Ends all streams that are open."""
        with self.changed:
            self.cuts.append(refusal)
            self.changed.notify_all()

    def stream(self, request: Any, present: list[secret_pb2.Secret], revision: int, context: Any) -> Iterator[Any]:
        """Yields what a stream brings. `cut_after` holds, for each stream, the number of messages before it breaks."""
        if request.after_revision and request.after_revision < self.compacted:
            raise Refusal(Code.OUT_OF_RANGE, "REVISION_COMPACTED", "The changes after it are not kept.")
        cut = self.cut_after.pop(0) if self.cut_after else None
        told, cuts = len(self.events), len(self.cuts)
        for number, step in enumerate(self.steps(request, present, revision)):
            if number == cut:
                raise Refusal(Code.UNAVAILABLE, "WATCH_LAGGED", "The events were not read in time.")
            yield step
        while self.live and context.is_active():
            with self.changed:
                if len(self.events) == told and len(self.cuts) == cuts:
                    # The time is for a look at whether the caller is still there.
                    self.changed.wait(0.05)
                fresh, ended = self.events[told:], self.cuts[cuts:]
            if ended:
                raise ended[0]
            told += len(fresh)
            for event in fresh:
                if event.secret.namespace == request.namespace:
                    yield secret_pb2.WatchSecretsResponse(event=event)

    def steps(self, request: Any, present: list[secret_pb2.Secret], revision: int) -> Iterator[Any]:
        def matches(secret: secret_pb2.Secret) -> bool:
            wanted = request.metadata.items()
            return secret.name.startswith(request.name_prefix) and all(secret.metadata.get(k) == v for k, v in wanted)

        if request.snapshot:
            for secret in filter(matches, present):
                event = Event(type=secret_pb2.SECRET_EVENT_TYPE_SNAPSHOT, secret=secret, revision=revision)
                event.secret.value.redacted = secret_pb2.REDACTION_ENCRYPTED
                yield secret_pb2.WatchSecretsResponse(event=event)
        after = request.after_revision or revision
        for event in list(self.events):
            same_namespace = event.secret.namespace == request.namespace
            if event.revision > after and same_namespace and matches(event.secret):
                yield secret_pb2.WatchSecretsResponse(event=event)
        bookmark = secret_pb2.WatchBookmark(revision=revision, synced=True)
        yield secret_pb2.WatchSecretsResponse(bookmark=bookmark)


class Rotation:
    """The part of the fake that stages, promotes, claims and brings back. It works on the fake's own state."""

    def __init__(self, fake: Any) -> None:
        self.fake = fake
        self.deleted: dict[str, secret_pb2.Secret] = {}
        self.claims: dict[str, tuple[str, str]] = {}

    def batch_get_secrets(self, request: Any) -> Any:
        if not 1 <= len(request.names) <= 100 or len(set(request.names)) < len(request.names):
            raise invalid(names="must be 1 to 100 names, each once.")
        reply = secret_pb2.BatchGetSecretsResponse(revision=self.fake.revision)
        for name in request.names:
            item = reply.items.add(name=name)
            one = secret_pb2.GetSecretRequest(namespace=request.namespace, name=name, view=request.view)
            try:
                item.secret.CopyFrom(self.fake.get_secret(one).secret)
            except Refusal as refusal:
                item.error.MergeFromString(refusal.status.SerializeToString())
        return reply

    def delete(self, secret: secret_pb2.Secret) -> None:
        secret.deleted_at.CopyFrom(secret.updated_at)
        secret.purge_at.FromSeconds(secret.updated_at.seconds + 7 * 86400)
        self.deleted[secret.id] = secret

    def undelete_secret(self, request: Any) -> Any:
        secret = self.deleted.get(request.id)
        if secret is None or secret.namespace != request.namespace:
            raise not_found(request.id)
        name = request.new_name or secret.name
        if (secret.namespace, name) in self.fake.secrets:
            raise Refusal(Code.ALREADY_EXISTS, "SECRET_ALREADY_EXISTS", "The name is taken.")
        del self.deleted[request.id]
        secret.name = name
        secret.ClearField("deleted_at")
        secret.ClearField("purge_at")
        self.fake.secrets[secret.namespace, name] = secret
        self.fake.next_revision(secret)
        self.fake.feed.tell(secret_pb2.SECRET_EVENT_TYPE_UNDELETED, secret)
        return secret_pb2.UndeleteSecretResponse(secret=self.fake.shown(secret), revision=self.fake.revision)

    def must_hold(self, request: Any, secret: secret_pb2.Secret) -> None:
        if request.claim_id and self.claims.get(request.claim_id) != (secret.namespace, secret.name):
            raise Refusal(Code.FAILED_PRECONDITION, "CLAIM_LOST", "The claim does not hold.")

    def promote_version(self, request: Any) -> Any:
        secret = self.fake.find(request)
        self.must_hold(request, secret)
        version = self.fake.versions.find(secret, request.version)
        if secret.version != request.version:
            if version.state != secret_pb2.VERSION_STATE_PENDING:
                self.fake.versions.value(secret, request.version)
            self.fake.versions.promote(secret, request.version)
            secret.version = request.version
            secret.ClearField("pending_version")
            secret.rotated_at.CopyFrom(secret.updated_at)
            self.fake.next_revision(secret)
            self.fake.feed.tell(secret_pb2.SECRET_EVENT_TYPE_ROTATED, secret)
        self.claims.pop(request.claim_id, None)
        return secret_pb2.PromoteVersionResponse(secret=self.fake.shown(secret), revision=self.fake.revision)

    def acknowledge_version(self, request: Any) -> Any:
        secret = self.fake.find(request)
        self.fake.versions.value(secret, request.version)
        version = self.fake.versions.find(secret, request.version)
        consumer = version.consumers.add(principal="key:" + "0" * 16, consumer=request.consumer)
        consumer.acknowledged_at.GetCurrentTime()
        return secret_pb2.AcknowledgeVersionResponse(version=version, revision=self.fake.revision)

    def claim_rotation(self, request: Any) -> Any:
        """Claims the first secret that has a policy without a generator: in the fake, each of these is always due."""
        held = set(self.claims.values())
        for key, secret in self.fake.secrets.items():
            by_worker = secret.HasField("rotation_policy") and not secret.rotation_policy.HasField("generator")
            if key[0] == request.namespace and by_worker and key not in held:
                claim_id = f"claim-{len(self.claims)}-{secret.id}"
                self.claims[claim_id] = key
                reply = secret_pb2.ClaimRotationResponse(claim_id=claim_id, secret=self.fake.shown(secret))
                reply.lease_expires_at.GetCurrentTime()
                reply.lease_expires_at.seconds += request.lease.seconds or 300
                if secret.HasField("pending_version"):
                    reply.pending_version = secret.pending_version
                return reply
        raise Refusal(Code.NOT_FOUND, "NO_ROTATION_DUE", "No rotation is due.")

    def release_rotation(self, request: Any) -> Any:
        key = self.claims.pop(request.claim_id, None)
        if key is None:
            raise Refusal(Code.FAILED_PRECONDITION, "CLAIM_LOST", "The claim does not hold.")
        secret = self.fake.secrets[key]
        if request.error:
            secret.rotation_failure.attempts += 1
            secret.rotation_failure.error = request.error
        return secret_pb2.ReleaseRotationResponse(secret=self.fake.shown(secret), revision=self.fake.revision)
