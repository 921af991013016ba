"""Converts the replies of the server to the results of the calls."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from strongroom import _documents as documents
from strongroom import models
from strongroom._errors import exception_of_item
from strongroom.generate import Generator
from strongroom.v1 import access_pb2, audit_pb2, reference_pb2, secret_pb2

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

__all__ = [
    "acknowledged_version",
    "api_key",
    "audit_names",
    "audit_page",
    "audit_record",
    "binding",
    "changed_version",
    "checkpoint",
    "claimed_rotation",
    "consistency_proof",
    "created_api_key",
    "deleted_secret",
    "destroyed_version",
    "explanation",
    "identity",
    "inclusion_proof",
    "namespace",
    "namespace_page",
    "resolved_document",
    "role",
    "secret",
    "secret_batch",
    "secret_event",
    "secret_page",
    "secret_versions",
]


def secret(message: secret_pb2.Secret, value_version: int | None = None) -> models.Secret:
    """Converts a secret. A value that the reply does not hold becomes `ENCRYPTED`."""
    given = _value(message.value)
    return models.Secret(
        namespace=message.namespace,
        name=message.name,
        id=message.id,
        value=models.ENCRYPTED if given is None else given,
        redacted=given is None,
        description=message.description,
        metadata=dict(message.metadata),
        version=message.version,
        created_at=_time(message, "created_at"),
        updated_at=_time(message, "updated_at"),
        rotated_at=_time(message, "rotated_at"),
        expires_at=_time(message, "expires_at"),
        next_rotation_at=_time(message, "next_rotation_at"),
        deleted_at=_time(message, "deleted_at"),
        purge_at=_time(message, "purge_at"),
        etag=message.etag,
        revision=message.revision,
        rotation_policy=_policy(message.rotation_policy) if message.HasField("rotation_policy") else None,
        pending_version=message.pending_version if message.HasField("pending_version") else None,
        rotation_claim=_claim(message.rotation_claim) if message.HasField("rotation_claim") else None,
        rotation_failure=_failure(message.rotation_failure) if message.HasField("rotation_failure") else None,
        value_version=value_version,
    )


def secret_batch(message: secret_pb2.BatchGetSecretsResponse) -> models.SecretBatch:
    """Converts several secrets."""
    return models.SecretBatch([_item(item) for item in message.items], message.revision)


def secret_event(message: secret_pb2.SecretEvent) -> models.SecretEvent:
    """Converts an event of a watch."""
    known = secret_pb2.SecretEventType.DESCRIPTOR.values_by_number.get(message.type)
    return models.SecretEvent(
        type=known.name[len("SECRET_EVENT_TYPE_") :].lower() if known else f"type_{message.type}",
        secret=secret(message.secret),
        revision=message.revision,
        former_name=message.former_name if message.HasField("former_name") else None,
        resume_revision=message.resume_revision,
        occurred_at=_time(message, "occurred_at"),
    )


def acknowledged_version(message: secret_pb2.AcknowledgeVersionResponse) -> models.AcknowledgedVersion:
    """Converts an acknowledged version."""
    return models.AcknowledgedVersion(_version(message.version), message.revision)


def claimed_rotation(message: secret_pb2.ClaimRotationResponse) -> models.ClaimedRotation:
    """Converts a rotation that the caller holds."""
    return models.ClaimedRotation(
        claim_id=message.claim_id,
        secret=secret(message.secret),
        lease_expires_at=_time(message, "lease_expires_at"),
        pending_version=message.pending_version if message.HasField("pending_version") else None,
        revision=message.revision,
    )


def secret_page(message: secret_pb2.ListSecretsResponse) -> models.SecretPage:
    """Converts a page of a list."""
    return models.SecretPage(
        items=[secret(item) for item in message.items],
        next_page_token=message.next_page_token,
        total_size=message.total_size,
        revision=message.revision,
        damaged_size=message.damaged_size,
    )


def namespace(message: secret_pb2.Namespace) -> models.Namespace:
    """Converts a namespace of a list."""
    return models.Namespace(message.name, message.secrets, message.deleted_secrets)


def namespace_page(message: secret_pb2.ListNamespacesResponse) -> models.NamespacePage:
    """Converts a page of a list of namespaces."""
    return models.NamespacePage(
        items=[namespace(item) for item in message.items],
        next_page_token=message.next_page_token,
        revision=message.revision,
        damaged_size=message.damaged_size,
    )


def deleted_secret(message: secret_pb2.DeleteSecretResponse) -> models.DeletedSecret:
    """Converts the result of a deletion."""
    return models.DeletedSecret(
        id=message.id,
        deleted_at=_time(message, "deleted_at"),
        purge_at=_time(message, "purge_at"),
        revision=message.revision,
    )


def secret_versions(message: secret_pb2.ListSecretVersionsResponse) -> models.SecretVersions:
    """Converts the versions of a secret."""
    return models.SecretVersions([_version(version) for version in message.versions], message.revision)


def changed_version(
    message: secret_pb2.DisableVersionResponse | secret_pb2.EnableVersionResponse,
) -> models.ChangedVersion:
    """Converts a version that was disabled or enabled."""
    return models.ChangedVersion(_version(message.version), secret(message.secret), message.revision)


def destroyed_version(message: secret_pb2.DestroyVersionResponse) -> models.DestroyedVersion:
    """Converts a destroyed version and its destruction receipt."""
    receipt = message.receipt
    return models.DestroyedVersion(
        version=_version(message.version),
        secret=secret(message.secret),
        receipt=models.DestructionReceipt(
            namespace=receipt.namespace,
            name=receipt.name,
            secret_id=receipt.secret_id,
            version=receipt.version,
            destroyed_at=_time(receipt, "destroyed_at"),
            data_key_sha256=receipt.data_key_sha256,
            statement=receipt.statement,
            signature=receipt.signature,
            public_key=receipt.public_key,
            key_id=receipt.key_id,
        ),
        revision=message.revision,
    )


def _version(message: secret_pb2.SecretVersion) -> models.SecretVersion:
    known = secret_pb2.VersionState.DESCRIPTOR.values_by_number.get(message.state)
    return models.SecretVersion(
        number=message.number,
        state=known.name[len("VERSION_STATE_") :].lower() if known else f"state_{message.state}",
        created_at=_time(message, "created_at"),
        state_changed_at=_time(message, "state_changed_at"),
        current=message.current,
        last_read_at=_time(message, "last_read_at"),
        consumers=tuple(
            models.Consumer(
                principal=consumer.principal,
                last_read_at=_time(consumer, "last_read_at"),
                acknowledged_at=_time(consumer, "acknowledged_at"),
                consumer=consumer.consumer,
            )
            for consumer in message.consumers
        ),
        retires_at=_time(message, "retires_at"),
    )


def _item(message: secret_pb2.BatchGetSecretsItem) -> models.BatchItem:
    if message.WhichOneof("result") == "secret":
        return models.BatchItem(message.name, secret(message.secret), None)
    return models.BatchItem(message.name, None, exception_of_item(message.error))


def _policy(message: secret_pb2.RotationPolicy) -> models.RotationPolicy:
    return models.RotationPolicy(
        interval=_span(message.interval, message.HasField("interval")),
        generator=Generator(message.generator) if message.HasField("generator") else None,
        grace_period=_span(message.grace_period, message.HasField("grace_period")),
        window=message.window,
        paused=message.paused,
        retire_when_unread=message.retire_when_unread,
    )


def _claim(message: secret_pb2.RotationClaim) -> models.RotationClaim:
    return models.RotationClaim(message.principal, _time(message, "lease_expires_at"))


def _failure(message: secret_pb2.RotationFailure) -> models.RotationFailure:
    return models.RotationFailure(
        attempts=message.attempts,
        failed_at=_time(message, "failed_at"),
        error=message.error,
        retry_at=_time(message, "retry_at"),
    )


def api_key(message: access_pb2.ApiKey) -> models.ApiKey:
    """Converts an API key, without the key itself."""
    return models.ApiKey(
        id=message.id,
        name=message.name,
        home_namespace=message.home_namespace,
        root=message.root,
        created_at=_time(message, "created_at"),
        expires_at=_time(message, "expires_at"),
        revoked_at=_time(message, "revoked_at"),
        rotated_at=_time(message, "rotated_at"),
        last_used_at=_time(message, "last_used_at"),
    )


def created_api_key(
    message: access_pb2.CreateApiKeyResponse | access_pb2.RotateApiKeyResponse,
) -> models.CreatedApiKey:
    """Converts an API key with a new secret, with the key itself."""
    return models.CreatedApiKey(
        api_key=api_key(message.api_key), credential=message.credential, revision=message.revision
    )


def identity(message: access_pb2.WhoAmIResponse) -> models.Identity:
    """Converts the identity of the caller."""
    return models.Identity(
        principal=message.principal,
        api_key=api_key(message.api_key) if message.HasField("api_key") else None,
        rights=frozenset(_right(number) for number in message.rights),
        revision=message.revision,
        groups=tuple(message.groups),
        home_namespace=message.home_namespace,
    )


def role(message: access_pb2.Role) -> models.Role:
    """Converts a role."""
    return models.Role(
        name=message.name,
        rights=frozenset(_right(number) for number in message.rights),
        description=message.description,
        built_in=message.built_in,
        created_at=_time(message, "created_at"),
    )


def binding(message: access_pb2.Binding) -> models.Binding:
    """Converts a binding."""
    return models.Binding(
        id=message.id,
        principal=message.principal,
        role=message.role,
        namespace_pattern=message.namespace_pattern,
        name_pattern=message.name_pattern,
        denies=message.effect == access_pb2.EFFECT_DENY,
        created_at=_time(message, "created_at"),
        expires_at=_time(message, "expires_at"),
        description=message.description,
        last_used_at=_time(message, "last_used_at"),
    )


def explanation(message: access_pb2.ExplainAccessResponse) -> models.Explanation:
    """Converts an explanation."""
    return models.Explanation(
        allowed=message.allowed,
        binding=binding(message.binding) if message.HasField("binding") else None,
        explanation=message.explanation,
        remedy=message.remedy,
        revision=message.revision,
    )


def resolved_document(
    message: reference_pb2.ResolveReferencesResponse, given: dict[str, Any]
) -> models.ResolvedDocument:
    """Converts a resolved document. Its keys have the order of the given document."""
    return models.ResolvedDocument(
        document=documents.read(message.document, like=given),
        credentials=[models.Credential(c.path, c.secret_name, _credential_value(c.value)) for c in message.credentials],
        references=[models.Reference(r.name, tuple(r.paths), r.exists, r.readable) for r in message.references],
        revision=message.revision,
    )


def audit_record(message: audit_pb2.AuditRecord) -> models.AuditRecord:
    """Converts a record of the audit log."""
    return models.AuditRecord(message.index, message.line)


def audit_page(message: audit_pb2.ListAuditRecordsResponse) -> models.AuditPage:
    """Converts a page of the audit log."""
    return models.AuditPage([audit_record(item) for item in message.items], message.next_page_token, message.log_size)


def checkpoint(message: audit_pb2.GetCheckpointResponse) -> models.Checkpoint:
    """Converts a checkpoint of the audit log."""
    return models.Checkpoint(message.checkpoint, message.verifier_key, message.size, message.root)


def inclusion_proof(message: audit_pb2.GetInclusionProofResponse) -> models.InclusionProof:
    """Converts the proof that a record is in the audit log."""
    return models.InclusionProof(message.leaf_hash, tuple(message.hashes), message.size)


def consistency_proof(message: audit_pb2.GetConsistencyProofResponse) -> models.ConsistencyProof:
    """Converts the proof that the audit log begins with an older one."""
    return models.ConsistencyProof(tuple(message.hashes), message.size)


def audit_names(message: audit_pb2.FindAuditNamesResponse) -> models.AuditNames:
    """Converts the names of a fingerprint."""
    return models.AuditNames(
        tuple(message.namespaces), tuple((secret.namespace, secret.name) for secret in message.secrets)
    )


def _right(number: access_pb2.Right.ValueType) -> str:
    """Returns `manage_access` for `RIGHT_MANAGE_ACCESS`, and `right_<number>` for a right that is not known here."""
    known = access_pb2.Right.DESCRIPTOR.values_by_number.get(number)
    return known.name[len("RIGHT_") :].lower() if known else f"right_{number}"


def _value(value: secret_pb2.SecretValue) -> str | bytes | None:
    """Returns text or bytes as they were stored. None: the reply does not hold the value."""
    kind = value.WhichOneof("kind")
    if kind == "text":
        return value.text
    return value.binary if kind == "binary" else None


def _credential_value(value: secret_pb2.SecretValue) -> str | bytes:
    given = _value(value)
    return "" if given is None else given


def _span(duration: Duration, present: bool) -> timedelta | None:
    return duration.ToTimedelta() if present else None


def _time(message: Any, field: str) -> datetime | None:
    """Returns a time of a message, cut to microseconds. None: the message does not have it."""
    if not message.HasField(field):
        return None
    timestamp: Timestamp = getattr(message, field)
    return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000)
