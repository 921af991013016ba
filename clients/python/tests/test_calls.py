"""How arguments become requests, and replies become results. These tests need no server."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from strongroom import ENCRYPTED, RotationPolicy, generate
from strongroom import _access_calls as access_calls
from strongroom import _list_calls as list_calls
from strongroom import _namespace_calls as namespace_calls
from strongroom import _reference_calls as reference_calls
from strongroom import _replies as replies
from strongroom import _rotation_calls as rotation_calls
from strongroom import _secret_calls as secret_calls
from strongroom import _version_calls as version_calls
from strongroom._call import Page, Scope, call_after
from strongroom.exceptions import InternalError, ValidationError
from strongroom.models import SecretPage
from strongroom.v1 import access_pb2, secret_pb2

SCOPE = Scope("home")
ID = "11111111-2222-4333-8444-555555555555"
CANARY = "canary-value"


def sent(call: Callable[..., Any], **arguments: Any) -> Any:
    return call(SCOPE, **arguments).request


def test_create() -> None:
    assert sent(
        secret_calls.create, name="n", value="v", description="d", metadata={"k": "w"}, request_id=ID
    ) == secret_pb2.CreateSecretRequest(
        namespace="home",
        name="n",
        value=secret_pb2.SecretValue(text="v"),
        description="d",
        metadata={"k": "w"},
        request_id=ID,
    )


def test_a_value_is_text_or_binary_as_its_type_says() -> None:
    assert sent(secret_calls.create, name="n", value="").value.WhichOneof("kind") == "text"
    assert sent(secret_calls.create, name="n", value=b"").value.WhichOneof("kind") == "binary"
    assert sent(secret_calls.rotate, name="n", value=b"\xff").value.binary == b"\xff"
    assert sent(secret_calls.update, name="n", value="").value.WhichOneof("kind") == "text"


def test_generators() -> None:
    request = sent(secret_calls.create, name="n", generate=generate.password(), return_value=True)
    assert request.generate.WhichOneof("kind") == "password"
    assert not request.generate.password.HasField("length")
    assert request.return_value
    request = sent(secret_calls.rotate, name="n", generate=generate.bytes_(16, encoding="hex"))
    assert request.generate.bytes == secret_pb2.BytesGenerator(length=16, encoding=secret_pb2.BYTES_ENCODING_HEX)
    assert sent(secret_calls.rotate, name="n", generate=generate.uuid()).generate.WhichOneof("kind") == "uuid"
    with pytest.raises(ValidationError, match="encoding"):
        generate.bytes_(encoding="base32")


def test_generators_of_classes_words_and_keys() -> None:
    made = generate.password(20, required=["lower", "symbol"]).message.password
    assert list(made.required) == [secret_pb2.CHARACTER_CLASS_LOWER, secret_pb2.CHARACTER_CLASS_SYMBOL]
    assert not generate.passphrase().message.passphrase.HasField("separator")
    words = generate.passphrase(6, separator="").message.passphrase
    assert (words.words, words.separator, words.HasField("separator")) == (6, "", True)
    pair = generate.key_pair("ecdsa-p256").message.key_pair
    assert pair.algorithm == secret_pb2.KEY_PAIR_ALGORITHM_ECDSA_P256
    with pytest.raises(ValidationError):
        generate.key_pair("rsa")
    with pytest.raises(ValidationError):
        generate.password(required=["vowel"])
    with pytest.raises(TypeError):
        generate.password(required="lower")


def test_a_cached_read_is_asked_for() -> None:
    reads: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (secret_calls.get, {"name": "n"}),
        (secret_calls.batch_get, {"names": ["n"]}),
        (list_calls.list_, {}),
        (list_calls.iterate, {}),
        (namespace_calls.list_namespaces, {}),
        (namespace_calls.iterate_namespaces, {}),
        (version_calls.versions, {"name": "n"}),
        (reference_calls.resolve, {"document": {}}),
    ]
    for read, arguments in reads:
        assert sent(read, **arguments).consistency == secret_pb2.CONSISTENCY_UNSPECIFIED
        assert sent(read, **arguments, cached=True).consistency == secret_pb2.CONSISTENCY_CACHED
        with pytest.raises(TypeError):
            sent(read, **arguments, cached=1)


def test_every_call_about_secrets_takes_a_revision() -> None:
    calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (secret_calls.create, {"name": "n", "value": "v"}),
        (secret_calls.get, {"name": "n"}),
        (secret_calls.batch_get, {"names": ["n"]}),
        (secret_calls.update, {"name": "n", "value": "v"}),
        (secret_calls.delete, {"name": "n"}),
        (secret_calls.undelete, {"id": "i"}),
        (secret_calls.rotate, {"name": "n", "value": "v"}),
        (list_calls.list_, {}),
        (list_calls.iterate, {}),
        (namespace_calls.list_namespaces, {}),
        (namespace_calls.iterate_namespaces, {}),
        (rotation_calls.promote, {"name": "n", "version": 1}),
        (rotation_calls.acknowledge, {"name": "n", "version": 1}),
        (rotation_calls.claim_rotation, {}),
        (rotation_calls.release_rotation, {"claim_id": "c"}),
        (version_calls.versions, {"name": "n"}),
        (version_calls.disable_version, {"name": "n", "version": 1}),
        (version_calls.enable_version, {"name": "n", "version": 1}),
        (version_calls.destroy_version, {"name": "n", "version": 1}),
    ]
    for call, arguments in calls:
        assert sent(call, **arguments).min_revision == 0
        assert sent(call, **arguments, min_revision=7).min_revision == 7
        with pytest.raises(ValidationError, match="min_revision"):
            sent(call, **arguments, min_revision=-1)


def test_a_rotation_policy_is_sent_and_comes_back() -> None:
    policy = RotationPolicy(
        interval=timedelta(days=30),
        generator=generate.password(40),
        grace_period=timedelta(hours=24),
        window="02:00-04:00",
        retire_when_unread=True,
    )
    request = sent(secret_calls.create, name="n", value="v", rotation_policy=policy, ttl=timedelta(days=90))
    assert (request.rotation_policy.interval.seconds, request.ttl.seconds) == (30 * 86400, 90 * 86400)
    assert replies.secret(secret_pb2.Secret(rotation_policy=request.rotation_policy)).rotation_policy == policy
    empty = sent(secret_calls.create, name="n", value="v", rotation_policy=RotationPolicy())
    assert empty.HasField("rotation_policy")


def test_the_parts_of_a_rotation_are_read() -> None:
    message = secret_pb2.Secret(name="n", pending_version=0)
    message.rotation_claim.principal = "key:a"
    message.rotation_failure.attempts = 2
    message.rotation_failure.error = "no answer"
    secret = replies.secret(message)
    assert secret.pending_version == 0
    assert secret.rotation_claim is not None
    assert (secret.rotation_claim.principal, secret.rotation_claim.lease_expires_at) == ("key:a", None)
    assert secret.rotation_failure is not None
    assert (secret.rotation_failure.attempts, secret.rotation_failure.error) == (2, "no answer")
    assert hash(secret) == hash(replies.secret(message))


def test_a_rotation_is_claimed_and_released_only_once() -> None:
    assert rotation_calls.claim_rotation(SCOPE, lease=timedelta(minutes=10)).repeatable is False
    assert rotation_calls.release_rotation(SCOPE, claim_id="c").repeatable is False
    assert "claim-1" not in repr(replies.claimed_rotation(secret_pb2.ClaimRotationResponse(claim_id="claim-1")))


def test_an_event_of_a_later_release() -> None:
    later = b"\x08\x63"  # the type 99
    assert replies.secret_event(secret_pb2.SecretEvent.FromString(later)).type == "type_99"


def test_every_change_has_a_request_id_of_its_own() -> None:
    changes: list[Callable[[], Any]] = [
        lambda: sent(secret_calls.create, name="n", value="v"),
        lambda: sent(secret_calls.update, name="n", value="v"),
        lambda: sent(secret_calls.rotate, name="n", value="v"),
        lambda: sent(secret_calls.delete, name="n"),
    ]
    ids = [change().request_id for change in changes for _ in range(2)]
    assert len(set(ids)) == 8
    assert all(uuid.UUID(found).version == 4 for found in ids)
    assert sent(secret_calls.delete, name="n", request_id=uuid.UUID(ID)).request_id == ID


def test_the_namespace_of_a_call() -> None:
    assert sent(secret_calls.get, name="n").namespace == "home"
    assert sent(secret_calls.get, name="n", namespace="other/inner").namespace == "other/inner"
    assert sent(secret_calls.get, name="n", namespace="").namespace == ""


def test_an_absent_limit_is_not_a_limit_of_0() -> None:
    absent, zero = sent(list_calls.list_), sent(list_calls.list_, limit=0, offset=0)
    assert not absent.HasField("limit")
    assert not absent.HasField("offset")
    assert zero.HasField("limit")
    assert zero.HasField("offset")


@pytest.mark.parametrize(
    ("arguments", "fields", "mask"),
    [
        ({}, [], []),
        ({"value": ""}, ["value"], []),
        ({"description": ""}, ["description"], []),
        ({"description": None, "new_name": "m"}, ["new_name", "description"], []),
        ({"metadata": {"k": "v"}}, ["metadata"], []),
        ({"metadata": {}}, [], ["metadata"]),
        ({"metadata": None, "description": "d"}, ["description"], ["description", "metadata"]),
        ({"expires_at": datetime(2030, 1, 1, tzinfo=timezone.utc)}, ["expires_at"], []),
        ({"expires_at": None}, [], ["expires_at"]),
        ({"rotation_policy": RotationPolicy(window="02:00-04:00")}, ["rotation_policy"], []),
        (
            {"rotation_policy": None, "expires_at": None, "value": ""},
            ["value"],
            ["value", "expires_at", "rotation_policy"],
        ),
    ],
)
def test_an_update_sends_what_is_given(arguments: dict[str, Any], fields: list[str], mask: list[str]) -> None:
    request = sent(secret_calls.update, name="n", **arguments)
    always = {"namespace", "name", "request_id", "update_mask"}
    assert [field.name for field, _ in request.ListFields() if field.name not in always] == fields
    assert list(request.update_mask.paths) == mask


def test_the_call_for_the_next_page() -> None:
    first = list_calls.iterate(SCOPE, page_size=2, name_prefix="p", timeout=3)
    first.request.offset = 4
    second = call_after(first, Page([], "token"))
    assert second is not None
    assert second.request == secret_pb2.ListSecretsRequest(
        namespace="home", limit=2, name_prefix="p", page_token="token"
    )
    assert second.timeout == 3
    assert first.request.offset == 4
    assert call_after(second, Page([], "")) is None
    with pytest.raises(InternalError):
        call_after(second, Page([], "token"))


def test_the_call_for_the_next_page_of_namespaces() -> None:
    first = namespace_calls.iterate_namespaces(SCOPE, below="team", page_size=2, timeout=3)
    second = call_after(first, Page([], "token"))
    assert second is not None
    assert second.request == secret_pb2.ListNamespacesRequest(below="team", limit=2, page_token="token")
    assert second.timeout == 3


def test_the_calls_of_access() -> None:
    end = datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    request = sent(access_calls.create_key, name="n", home_namespace="h", expires_at=end)
    assert request.expires_at.ToDatetime(tzinfo=timezone.utc) == end
    assert sent(access_calls.create_key, name="n") == access_pb2.CreateApiKeyRequest(name="n")
    assert sent(access_calls.create_key, name="n", ttl=timedelta(days=1)).ttl.seconds == 86400
    assert access_calls.create_key(SCOPE, name="n").repeatable is False
    with pytest.raises(ValidationError, match="time zone"):
        access_calls.create_key(SCOPE, name="n", expires_at=datetime(2030, 1, 1))


@pytest.mark.parametrize(
    ("call", "arguments", "argument"),
    [
        (secret_calls.create, {"name": "n", "value": [CANARY]}, "value"),
        (secret_calls.create, {"name": "n", "value": bytearray(CANARY.encode())}, "value"),
        (secret_calls.update, {"name": "n", "value": None}, "value"),
        (secret_calls.create, {"name": None, "value": CANARY}, "name"),
        (secret_calls.create, {"name": "n", "value": CANARY, "description": 1}, "description"),
        (secret_calls.create, {"name": "n", "value": CANARY, "metadata": [CANARY]}, "metadata"),
        (secret_calls.create, {"name": "n", "value": CANARY, "metadata": {"k": 1}}, "a value of metadata"),
        (secret_calls.create, {"name": "n", "value": CANARY, "metadata": {1: "v"}}, "a key of metadata"),
        (secret_calls.create, {"name": "n", "generate": "password"}, "generate"),
        (secret_calls.create, {"name": "n", "value": CANARY, "return_value": "no"}, "return_value"),
        (secret_calls.create, {"name": "n", "value": CANARY, "namespace": 1}, "namespace"),
        (secret_calls.create, {"name": "n", "value": CANARY, "request_id": 1}, "request_id"),
        (secret_calls.create, {"name": "n", "value": CANARY, "timeout": "1"}, "timeout"),
        (secret_calls.update, {"name": "n", "new_name": None}, "new_name"),
        (secret_calls.update, {"name": "n", "etag": None}, "etag"),
        (secret_calls.get, {"name": "n", "version": True}, "version"),
        (list_calls.list_, {"limit": "10"}, "limit"),
        (access_calls.create_key, {"name": "n", "ttl": 3600}, "ttl"),
        (secret_calls.create, {"name": "n", "value": CANARY, "ttl": 3600}, "ttl"),
        (secret_calls.update, {"name": "n", "rotation_policy": {"interval": 1}}, "rotation_policy"),
        (secret_calls.batch_get, {"names": "n"}, "names"),
        (rotation_calls.promote, {"name": "n", "version": 1, "grace_period": 60}, "grace_period"),
        (list_calls.list_, {"include_deleted": 1}, "include_deleted"),
    ],
)
def test_wrong_types(call: Callable[..., Any], arguments: dict[str, Any], argument: str) -> None:
    with pytest.raises(TypeError, match=f"^{argument} must be ") as caught:
        call(SCOPE, **arguments)
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("call", "arguments", "argument"),
    [
        (secret_calls.create, {"name": "n"}, "value"),
        (secret_calls.create, {"name": "n", "value": CANARY, "generate": generate.uuid()}, "value"),
        (secret_calls.rotate, {"name": "n", "value": CANARY, "generate": generate.uuid()}, "value"),
        (secret_calls.create, {"name": "n", "value": CANARY, "expires_at": datetime(2030, 1, 1)}, "expires_at"),
        (rotation_calls.promote, {"name": "n", "version": -1}, "version"),
        (secret_calls.create, {"name": "n", "value": f"{CANARY}\ud800"}, "value"),
        (secret_calls.create, {"name": "n", "value": CANARY, "metadata": {"k": "\ud800"}}, "a value of metadata"),
        (secret_calls.create, {"name": "n", "value": CANARY, "request_id": ""}, "request_id"),
        (secret_calls.get, {"name": "n\ud800"}, "name"),
        (secret_calls.get, {"name": "n", "version": -1}, "version"),
        (secret_calls.get, {"name": "n", "min_revision": 2**64}, "min_revision"),
        (list_calls.list_, {"limit": 2**31}, "limit"),
        (list_calls.list_, {"timeout": 0}, "timeout"),
    ],
)
def test_arguments_that_cannot_be_sent(call: Callable[..., Any], arguments: dict[str, Any], argument: str) -> None:
    with pytest.raises(ValidationError) as caught:
        call(SCOPE, **arguments)
    assert [violation.field for violation in caught.value.violations] == [argument]
    assert str(caught.value).startswith(f"{argument}: ")
    assert "\n" not in str(caught.value)
    assert CANARY not in repr(caught.value)
    # The error has no cause either: an error of protobuf or of a codec would hold the value.
    assert caught.value.__context__ is None


def test_a_call_does_not_show_its_request() -> None:
    assert CANARY not in repr(secret_calls.create(SCOPE, name="n", value=CANARY))


def test_a_secret_does_not_show_its_value() -> None:
    message = secret_pb2.Secret(name="n", value=secret_pb2.SecretValue(text=CANARY), description="d", version=3)
    secret = replies.secret(message)
    assert secret.value == CANARY
    assert CANARY not in f"{secret!r} {secret} {[secret]} {SecretPage([secret], '', 1, 1)}"
    assert hash(secret) == hash(replies.secret(message))


def test_a_secret_without_times_or_value() -> None:
    secret = replies.secret(secret_pb2.Secret(name="n"))
    assert (secret.value, secret.redacted) == (ENCRYPTED, True)
    assert secret.created_at is secret.updated_at is secret.rotated_at is secret.purge_at is None


def test_times_are_in_utc_to_the_microsecond() -> None:
    message = secret_pb2.Secret(name="n")
    message.created_at.FromNanoseconds(1_234_567_899)
    assert replies.secret(message).created_at == datetime(1970, 1, 1, 0, 0, 1, 234567, tzinfo=timezone.utc)


def test_a_right_of_a_later_release() -> None:
    later = b"\x18\x63"  # rights: 99
    known = access_pb2.WhoAmIResponse(rights=[access_pb2.RIGHT_LIST, access_pb2.RIGHT_MANAGE_ACCESS])
    me = replies.identity(access_pb2.WhoAmIResponse.FromString(known.SerializeToString() + later))
    assert me.rights == {"list", "manage_access", "right_99"}


def test_a_new_key_is_shown_only_as_its_credential() -> None:
    made = replies.created_api_key(access_pb2.CreateApiKeyResponse(credential=CANARY))
    assert made.credential == CANARY
    assert CANARY not in repr(made)


def test_errors_and_results_can_be_pickled() -> None:
    with pytest.raises(ValidationError) as caught:
        secret_calls.create(SCOPE, name="n")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.violations, str(again)) == (ValidationError, caught.value.violations, str(caught.value))
    secret = replies.secret(secret_pb2.Secret(name="n"))
    assert pickle.loads(pickle.dumps(secret)) == secret
