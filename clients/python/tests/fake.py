"""A fake server in this process. It follows the contract as far as the tests of the package need.

It encrypts nothing, stores nothing, and guards all its state with one lock. The same tests run against the real server.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import fake_namespaces
import grpc
from fake_access import Access
from fake_references import Resolution
from fake_rotation import Feed, Rotation
from fake_versions import Versions
from health import Health
from refusals import Refusal, invalid, not_found

from strongroom.v1 import access_pb2, access_pb2_grpc, reference_pb2, reference_pb2_grpc, secret_pb2, secret_pb2_grpc

ROOT_KEY = "srk_0000000000000000_root"

Code = grpc.StatusCode


class Fake(
    secret_pb2_grpc.SecretServiceServicer,
    access_pb2_grpc.AccessServiceServicer,
    reference_pb2_grpc.ReferenceServiceServicer,
):
    """The servicer. Each request takes the next of the `refusals` as its answer, while there are any.

    With `down`, each request gets this answer. `requests` holds all requests with their headers.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.revision = 0
        self.last_change = 0
        self.secrets: dict[tuple[str, str], secret_pb2.Secret] = {}
        self.versions = Versions()
        self.access = Access()
        self.feed = Feed()
        self.rotation = Rotation(self)
        self.idempotency_records: dict[str, tuple[bytes, Any]] = {}
        self.pages: dict[str, tuple[bytes, Any]] = {}
        self.keys = {ROOT_KEY: access_pb2.ApiKey(id="0" * 16, name="root", home_namespace="default", root=True)}
        self.refusals: list[Refusal] = []
        self.down: Refusal | None = None
        self.requests: list[tuple[Any, dict[str, Any]]] = []

    def next_revision(self, secret: secret_pb2.Secret) -> secret_pb2.Secret:
        self.revision += 1
        secret.revision = self.revision
        secret.etag = f"e{self.revision}"
        self.last_change = max(time.time_ns(), self.last_change + 1_000)
        secret.updated_at.FromNanoseconds(self.last_change)
        return secret

    def find(self, request: Any) -> secret_pb2.Secret:
        name_must_be_legal(request.name)
        secret = self.secrets.get((request.namespace, request.name))
        if secret is None:
            raise not_found(request.name)
        if getattr(request, "etag", "") not in ("", secret.etag):
            raise Refusal(Code.ABORTED, "ETAG_MISMATCH", "The etag is not the current one.")
        return secret

    def create_secret(self, request: Any) -> secret_pb2.CreateSecretResponse:
        name_must_be_legal(request.name)
        if (request.namespace, request.name) in self.secrets:
            raise Refusal(Code.ALREADY_EXISTS, "SECRET_ALREADY_EXISTS", "The name is taken.")
        secret = secret_pb2.Secret(
            namespace=request.namespace,
            name=request.name,
            id=f"id-{secrets.token_hex(8)}",
            value=new_value(request),
            description=request.description,
            metadata=request.metadata,
            version=1,
        )
        if request.HasField("rotation_policy"):
            secret.rotation_policy.CopyFrom(request.rotation_policy)
        if request.HasField("expires_at"):
            secret.expires_at.CopyFrom(request.expires_at)
        if request.HasField("ttl"):
            secret.expires_at.FromNanoseconds(time.time_ns() + request.ttl.ToNanoseconds())
        self.next_revision(secret)
        secret.created_at.CopyFrom(secret.updated_at)
        self.secrets[request.namespace, request.name] = secret
        self.versions.add(secret)
        self.feed.tell(secret_pb2.SECRET_EVENT_TYPE_CREATED, secret)
        shown = secret if request.return_value else redacted(secret)
        return secret_pb2.CreateSecretResponse(secret=shown, revision=self.revision)

    def get_secret(self, request: Any) -> secret_pb2.GetSecretResponse:
        secret = self.find(request)
        number = request.version if request.HasField("version") else secret.version
        shown = redacted(secret)
        if request.view == secret_pb2.VIEW_METADATA:
            self.versions.find(secret, number)
        else:
            shown.value.CopyFrom(self.versions.value(secret, number))
        return secret_pb2.GetSecretResponse(secret=shown, revision=self.revision, version=number)

    def list_secrets(self, request: Any) -> secret_pb2.ListSecretsResponse:
        limit = request.limit if request.HasField("limit") else 100
        wrong = {}
        if not 1 <= limit <= 1000:
            wrong["limit"] = "must be from 1 to 1,000."
        if request.offset < 0:
            wrong["offset"] = "must be 0 or more."
        match = re.fullmatch(r"(name|created_at|updated_at)?( desc)?", request.order_by)
        if match is None:
            wrong["order_by"] = "is not an order."
        query = secret_pb2.ListSecretsRequest()
        query.CopyFrom(request)
        query.ClearField("limit")
        query.ClearField("page_token")
        bound = query.SerializeToString(deterministic=True)
        after = None
        if request.page_token:
            token_query, after = self.pages.get(request.page_token, (b"?", None))
            # The first page may have had an offset; the next pages must not have one.
            if token_query != bound or request.HasField("offset"):
                wrong["page_token"] = "is not of this query."
        if wrong or match is None:
            raise invalid(**wrong)

        def key(secret: secret_pb2.Secret) -> tuple[Any, ...]:
            times = {"created_at": secret.created_at, "updated_at": secret.updated_at}
            column = match[1] if match else None
            return (times[column].ToNanoseconds(), secret.name) if column in times else (secret.name,)

        found = [
            secret
            for secret in [*self.secrets.values(), *(self.rotation.deleted.values() if request.include_deleted else ())]
            if secret.namespace == request.namespace
            and secret.name.startswith(request.name_prefix)
            and all(secret.metadata.get(k) == v for k, v in request.metadata.items())
            # The fake notes no reads.
            and (
                not request.HasField("unused_since")
                or secret.created_at.ToNanoseconds() < request.unused_since.ToNanoseconds()
            )
        ]
        found.sort(key=key, reverse=match[2] is not None)
        total = len(found)
        if after is not None:
            found = [s for s in found if (key(s) < after if match[2] else key(s) > after)]
        found = found[request.offset :]
        page = found[:limit]
        token = ""
        if len(found) > limit:
            token = secrets.token_hex(8)
            query.ClearField("offset")
            self.pages[token] = (query.SerializeToString(deterministic=True), key(page[-1]))
        return secret_pb2.ListSecretsResponse(
            items=[redacted(s) for s in page], next_page_token=token, total_size=total, revision=self.revision
        )

    def update_secret(self, request: Any) -> secret_pb2.UpdateSecretResponse:
        secret = self.find(request)
        optional = ("new_name", "value", "description", "expires_at", "rotation_policy")
        fields = [f for f in optional if request.HasField(f)]
        if request.metadata or "metadata" in request.update_mask.paths:
            fields.append("metadata")
        cleared = [f for f in ("expires_at", "rotation_policy") if f in request.update_mask.paths and f not in fields]
        fields += cleared
        if not fields:
            raise invalid(update_mask="name something to change.")
        if "new_name" in fields:
            name_must_be_legal(request.new_name, "new_name")
            if (request.namespace, request.new_name) in self.secrets:
                raise Refusal(Code.ALREADY_EXISTS, "SECRET_ALREADY_EXISTS", "The new name is taken.")
            secret = self.secrets.pop((request.namespace, request.name))
            secret.name = request.new_name
            self.secrets[request.namespace, request.new_name] = secret
        if "value" in fields:
            self.set_value(secret, request.value)
            self.versions.add(secret)
        if "description" in fields:
            secret.description = request.description
        if "metadata" in fields:
            secret.metadata.clear()
            secret.metadata.update(request.metadata)
        for field in ("expires_at", "rotation_policy"):
            if field in cleared:
                secret.ClearField(field)
            elif field in fields:
                getattr(secret, field).CopyFrom(getattr(request, field))
        self.next_revision(secret)
        if "new_name" in fields:
            self.feed.tell(secret_pb2.SECRET_EVENT_TYPE_RENAMED, secret, former_name=request.name)
        elif "value" in fields:
            self.feed.tell(secret_pb2.SECRET_EVENT_TYPE_ROTATED, secret)
        else:
            self.feed.tell(secret_pb2.SECRET_EVENT_TYPE_UPDATED, secret)
        return secret_pb2.UpdateSecretResponse(secret=redacted(secret), revision=self.revision)

    def set_value(self, secret: secret_pb2.Secret, value: secret_pb2.SecretValue) -> None:
        secret.value.CopyFrom(value)
        secret.version += 1
        secret.rotated_at.CopyFrom(secret.updated_at)

    def delete_secret(self, request: Any) -> secret_pb2.DeleteSecretResponse:
        secret = self.find(request)
        del self.secrets[request.namespace, request.name]
        self.next_revision(secret)
        self.rotation.delete(secret)
        self.feed.tell(secret_pb2.SECRET_EVENT_TYPE_DELETED, secret)
        return secret_pb2.DeleteSecretResponse(
            id=secret.id, deleted_at=secret.deleted_at, purge_at=secret.purge_at, revision=self.revision
        )

    def rotate_secret(self, request: Any) -> secret_pb2.RotateSecretResponse:
        secret = self.find(request)
        self.rotation.must_hold(request, secret)
        if request.stage:
            if secret.HasField("pending_version"):
                raise Refusal(Code.FAILED_PRECONDITION, "ROTATION_PENDING", "A version is pending already.")
            value = new_value(request)
            secret.pending_version = self.versions.stage(secret, value)
            self.next_revision(secret)
            self.feed.tell(secret_pb2.SECRET_EVENT_TYPE_STAGED, secret)
            shown = redacted(secret)
            if request.return_value:
                shown.value.CopyFrom(value)
            version = secret.pending_version
            return secret_pb2.RotateSecretResponse(secret=shown, version=version, revision=self.revision)
        self.set_value(secret, new_value(request))
        self.next_revision(secret)
        self.versions.add(secret)
        self.feed.tell(secret_pb2.SECRET_EVENT_TYPE_ROTATED, secret)
        shown = secret if request.return_value else redacted(secret)
        return secret_pb2.RotateSecretResponse(secret=shown, version=secret.version, revision=self.revision)

    def shown(self, secret: secret_pb2.Secret) -> secret_pb2.Secret:
        return redacted(secret)

    def list_secret_versions(self, request: Any) -> secret_pb2.ListSecretVersionsResponse:
        return self.versions.listed(self.find(request), self.revision)

    def change_version(self, request: Any) -> Any:
        secret = self.find(request)
        if self.versions.must_change(secret, request):
            if secret.HasField("pending_version") and secret.pending_version == request.version:
                secret.ClearField("pending_version")
            self.next_revision(secret)
            self.feed.tell(secret_pb2.SECRET_EVENT_TYPE_VERSION_CHANGED, secret)
        return self.versions.changed(secret, request, self.revision, redacted(secret))

    def resolve_references(self, request: Any) -> reference_pb2.ResolveReferencesResponse:
        resolution = Resolution(request, lambda name: self.secrets.get((request.namespace, name)))
        return resolution.answer(request.document, self.revision)

    def create_api_key(self, request: Any) -> access_pb2.CreateApiKeyResponse:
        key = access_pb2.ApiKey(
            id=secrets.token_hex(8), name=request.name, home_namespace=request.home_namespace or "default"
        )
        key.created_at.GetCurrentTime()
        if request.HasField("ttl"):
            key.expires_at.FromNanoseconds(key.created_at.ToNanoseconds() + request.ttl.ToNanoseconds())
        credential = f"srk_{key.id}_{secrets.token_hex(16)}"
        self.keys[credential] = key
        return access_pb2.CreateApiKeyResponse(api_key=key, credential=credential, revision=self.revision)

    def list_api_keys(self, request: Any) -> access_pb2.ListApiKeysResponse:
        return access_pb2.ListApiKeysResponse(items=self.keys.values(), revision=self.revision)

    def revoke_api_key(self, request: Any) -> access_pb2.RevokeApiKeyResponse:
        key = next((key for key in self.keys.values() if key.id == request.id), None)
        if key is None:
            raise Refusal(Code.NOT_FOUND, "API_KEY_NOT_FOUND", "There is no API key of this id.")
        if key.root:
            raise Refusal(Code.FAILED_PRECONDITION, "LAST_ADMINISTRATOR", "Nobody could manage the service then.")
        if not key.HasField("revoked_at"):
            key.revoked_at.GetCurrentTime()
        return access_pb2.RevokeApiKeyResponse(api_key=key, revision=self.revision)

    def rotate_api_key(self, request: Any) -> access_pb2.RotateApiKeyResponse:
        found = next((old for old, key in self.keys.items() if key.id == request.id), None)
        if found is None:
            raise Refusal(Code.NOT_FOUND, "API_KEY_NOT_FOUND", "There is no API key of this id.")
        key = self.keys.pop(found)
        key.rotated_at.GetCurrentTime()
        credential = f"srk_{key.id}_{secrets.token_hex(16)}"
        self.keys[credential] = key
        return access_pb2.RotateApiKeyResponse(api_key=key, credential=credential, revision=self.revision)

    def who_am_i(self, key: access_pb2.ApiKey) -> access_pb2.WhoAmIResponse:
        rights = access_pb2.Right.values()[1:] if key.root else self.access.roles["editor"].rights
        return access_pb2.WhoAmIResponse(
            principal=f"key:{key.id}",
            api_key=key,
            rights=rights,
            revision=self.revision,
            home_namespace=key.home_namespace,
        )

    def CreateSecret(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.create_secret)

    def GetSecret(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.get_secret)

    def ListSecrets(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.list_secrets)

    def ListNamespaces(self, request: Any, context: Any) -> Any:
        def listed(request: Any) -> secret_pb2.ListNamespacesResponse:
            key = self.authenticate(dict(context.invocation_metadata()))
            present, deleted = (
                [secret for secret in group if key.root or secret.namespace == key.home_namespace]
                for group in (self.secrets.values(), self.rotation.deleted.values())
            )
            return fake_namespaces.listed(request, present, deleted, self.revision)

        return self.answer(request, context, listed)

    def UpdateSecret(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.update_secret)

    def DeleteSecret(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.delete_secret)

    def RotateSecret(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.rotate_secret)

    def ListSecretVersions(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.list_secret_versions)

    def DisableVersion(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.change_version)

    def EnableVersion(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.change_version)

    def DestroyVersion(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.change_version)

    def BatchGetSecrets(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.rotation.batch_get_secrets)

    def UndeleteSecret(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.rotation.undelete_secret)

    def PromoteVersion(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.rotation.promote_version)

    def AcknowledgeVersion(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.rotation.acknowledge_version)

    def ClaimRotation(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.rotation.claim_rotation)

    def ReleaseRotation(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.rotation.release_rotation)

    def WatchSecrets(self, request: Any, context: Any) -> Iterator[Any]:
        present: list[secret_pb2.Secret] = []

        def steps(request: Any) -> list[Any]:
            present.extend(redacted(s) for s in self.secrets.values() if s.namespace == request.namespace)
            return [self.revision]

        (revision,) = self.answer(request, context, steps)
        try:
            yield from self.feed.stream(request, present, revision, context)
        except Refusal as refusal:
            context.set_trailing_metadata((("grpc-status-details-bin", refusal.status.SerializeToString()),))
            context.abort(refusal.code, str(refusal))

    def CreateApiKey(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.create_api_key, administrator=True)

    def ListApiKeys(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.list_api_keys, administrator=True)

    def RevokeApiKey(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.revoke_api_key, administrator=True)

    def RotateApiKey(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.rotate_api_key, administrator=True)

    def CreateRole(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.access.create_role, administrator=True)

    def ListRoles(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.access.list_roles, administrator=True)

    def DeleteRole(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.access.delete_role, administrator=True)

    def CreateBinding(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.access.create_binding, administrator=True)

    def ListBindings(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.access.list_bindings, administrator=True)

    def DeleteBinding(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.access.delete_binding, administrator=True)

    def ExplainAccess(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.access.explain, administrator=True)

    def ResolveReferences(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, self.resolve_references)

    def WhoAmI(self, request: Any, context: Any) -> Any:
        return self.answer(request, context, None)

    def answer(self, request: Any, context: Any, do: Callable[[Any], Any] | None, administrator: bool = False) -> Any:
        headers = dict(context.invocation_metadata())
        with self.lock:
            self.requests.append((request, headers))
            try:
                if self.refusals:
                    raise self.refusals.pop(0)
                if self.down is not None:
                    raise self.down
                key = self.authenticate(headers)
                if administrator and not key.root:
                    raise Refusal(Code.PERMISSION_DENIED, "ACCESS_DENIED", "It needs the right manage_access.")
                if do is None:
                    return self.who_am_i(key)
                if administrator:
                    return self.once(request, do)
                if hasattr(request, "namespace"):
                    request.namespace = request.namespace or key.home_namespace
                    if not key.root and request.namespace != key.home_namespace:
                        raise Refusal(Code.PERMISSION_DENIED, "ACCESS_DENIED", "It needs a right in that namespace.")
                return self.once(request, do)
            except Refusal as refusal:
                context.set_trailing_metadata((("grpc-status-details-bin", refusal.status.SerializeToString()),))
                context.abort(refusal.code, str(refusal))

    def authenticate(self, headers: dict[str, Any]) -> access_pb2.ApiKey:
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        key = self.keys.get(credential)
        if scheme != "Bearer" or key is None or key.HasField("revoked_at"):
            raise Refusal(Code.UNAUTHENTICATED, "CREDENTIAL_INVALID", "The credential is not valid.")
        return key

    def once(self, request: Any, do: Callable[[Any], Any]) -> Any:
        """Returns the stored outcome of a request id, with its value redacted, or makes the change."""
        request_id = getattr(request, "request_id", "")
        body = type(request).__name__.encode() + request.SerializeToString(deterministic=True)
        if request_id in self.idempotency_records:
            first_body, reply = self.idempotency_records[request_id]
            if first_body != body:
                raise Refusal(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED", "The id belongs to another request.")
            return reply
        reply = do(request)
        if request_id:
            kept = type(reply)()
            kept.CopyFrom(reply)
            if hasattr(kept, "secret"):
                kept.secret.CopyFrom(redacted(kept.secret))
            self.idempotency_records[request_id] = (body, kept)
        return reply


def redacted(secret: secret_pb2.Secret) -> secret_pb2.Secret:
    copy = secret_pb2.Secret()
    copy.CopyFrom(secret)
    copy.value.redacted = secret_pb2.REDACTION_ENCRYPTED
    return copy


def name_must_be_legal(name: str, field: str = "name") -> None:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name) is None:
        raise invalid(**{field: "must be letters, digits and underscores, no digit first."})


def new_value(request: Any) -> secret_pb2.SecretValue:
    kind = request.generate.WhichOneof("kind")
    if kind is None:
        value: secret_pb2.SecretValue = request.value
        if len(value.binary or value.text.encode()) > 65536:
            raise invalid(value="must be at most 65,536 bytes.")
        return value
    if kind == "password":
        return secret_pb2.SecretValue(text="x" * (request.generate.password.length or 32))
    if kind == "uuid":
        return secret_pb2.SecretValue(text="00000000-0000-4000-8000-000000000000")
    return secret_pb2.SecretValue(binary=bytes(request.generate.bytes.length or 32))


@contextmanager
def serving(
    fake: Fake, credentials: grpc.ServerCredentials | None = None, *, health: Health | None = None
) -> Iterator[int]:
    """Serves the fake on a free port of 127.0.0.1. `health`: what it says of its health. None: nothing."""
    server = grpc.server(ThreadPoolExecutor(max_workers=16), options=[("grpc.so_reuseport", 0)])
    secret_pb2_grpc.add_SecretServiceServicer_to_server(fake, server)
    access_pb2_grpc.add_AccessServiceServicer_to_server(fake, server)
    reference_pb2_grpc.add_ReferenceServiceServicer_to_server(fake, server)
    if health is not None:
        server.add_generic_rpc_handlers((health.handler(),))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
