"""The calls of the conformance scenario: from the arguments of a step to a call, and from its result to the reply."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from strongroom import Namespace, RotationPolicy, Secret, SecretVersion, StrongroomError, generate
from strongroom import exceptions as e
from strongroom.v1 import access_pb2

__all__ = ["Arguments", "UnsupportedError", "call", "failure", "secret"]

Read = Callable[[Any], Any]

_RIGHTS = [value.name[len("RIGHT_") :].lower() for value in access_pb2.Right.DESCRIPTOR.values]


class UnsupportedError(Exception):
    """This runner does not know the action, or an argument of it."""


# The first class that the error is an instance of counts, so the more special ones come first.
CLASSES: list[tuple[type[Exception], str]] = [
    (e.ConfigurationError, "configuration"),
    (e.ClosedError, "closed"),
    (e.ValidationError, "validation"),
    (e.NotFoundError, "not_found"),
    (e.AlreadyExistsError, "already_exists"),
    (e.AuthenticationError, "authentication"),
    (e.PermissionDeniedError, "permission_denied"),
    (e.ConflictError, "conflict"),
    (e.FailedPreconditionError, "failed_precondition"),
    (e.RevisionCompactedError, "revision_compacted"),
    (e.IntegrityError, "integrity"),
    (e.LimitExceededError, "limit_exceeded"),
    (e.UnavailableError, "unavailable"),
    (e.DeadlineExceededError, "deadline_exceeded"),
    (e.NotServedError, "not_served"),
    (e.InternalError, "internal"),
    (UnsupportedError, "unsupported"),
]


class Arguments:
    """The arguments of a step. Each is taken once; one that nobody takes is not supported."""

    def __init__(self, given: dict[str, Any]) -> None:
        """Takes nothing yet."""
        self._left = dict(given)

    def take(self, name: str, *default: Any) -> Any:
        """Returns an argument."""
        return self._left.pop(name, *default)

    def has(self, name: str) -> bool:
        """Whether the argument is there."""
        return name in self._left

    def must_be_empty(self) -> None:
        """Raises `UnsupportedError` where an argument is left."""
        if self._left:
            raise UnsupportedError(f"this runner does not know the arguments {', '.join(self._left)}")

    def named(self, *names: str, **renamed: str) -> dict[str, Any]:
        """Returns the arguments that are there, under their names for Python, and no others may be left."""
        wanted = {**{name: name for name in names}, **renamed}
        found = {name: self._left.pop(sent) for name, sent in wanted.items() if sent in self._left}
        for name in ("grace_period", "lease", "retry_after"):
            if name in found:
                found[name] = timedelta(seconds=found[name])
        self.must_be_empty()
        return found


def call(action: str, client: Any, given: Arguments) -> tuple[Any, Read]:
    """Begins a call. Returns what to wait for, or to iterate over, and how to read its result."""
    if action not in _CALLS:
        raise UnsupportedError(f"this runner does not know the action {action}")
    find, names, renamed, read = _CALLS[action]
    arguments: dict[str, Any] = {}
    if action in ("create", "update", "rotate", "stage"):
        arguments = _value_arguments(given)
    if action == "stage":
        arguments["stage"] = True
    if given.has("metadata_only"):
        arguments["include_value"] = not given.take("metadata_only")
    arguments.update(given.named(*names, "namespace", timeout="timeout_seconds", **renamed))
    return find(client)(**arguments), read


def _value_arguments(given: Arguments) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if given.has("value"):
        value = given.take("value")
        found["value"] = value["text"] if "text" in value else base64.b64decode(value["binary"])
    if given.has("generate"):
        found["generate"] = generate.password(given.take("generate")["password_length"])
    if given.has("rotation_interval_seconds"):
        interval = timedelta(seconds=given.take("rotation_interval_seconds"))
        found["rotation_policy"] = RotationPolicy(interval=interval)
    return found


def failure(error: Exception) -> dict[str, Any]:
    """Returns an error for the driver. Its class comes from its type."""
    name = next((name for kind, name in CLASSES if isinstance(error, kind)), type(error).__name__)
    found: dict[str, Any] = {"class": name, "message": str(error)}
    if isinstance(error, StrongroomError):
        code = None if error.code is None else error.code.name
        found.update(reason=error.reason, code=code, request_id=error.request_id)
    return found


def secret(found: Secret) -> dict[str, Any]:
    """Returns a secret for the driver."""
    return {
        "namespace": found.namespace,
        "name": found.name,
        "id": found.id,
        "value": None if found.redacted else _value(found.value),
        "description": found.description,
        "metadata": dict(found.metadata),
        "version": found.version,
        "value_version": found.value_version,
        "pending_version": found.pending_version,
        "etag": found.etag,
        "revision": found.revision,
    }


def _value(value: str | bytes) -> dict[str, str]:
    return {"binary": base64.b64encode(value).decode()} if isinstance(value, bytes) else {"text": value}


def _version(found: SecretVersion) -> dict[str, Any]:
    return {"number": found.number, "state": found.state, "current": found.current}


def _namespace(found: Namespace) -> dict[str, Any]:
    return {"name": found.name, "secrets": found.secrets, "deleted_secrets": found.deleted_secrets}


def _batch(found: Any) -> dict[str, Any]:
    return {"items": [_item(item.name, item.secret, item.error) for item in found.items]}


def _item(name: str, found: Secret | None, error: StrongroomError | None) -> dict[str, Any]:
    if error is not None:
        return {"name": name, "error": failure(error)}
    return {"name": name, "secret": None if found is None else secret(found)}


def _resolved(found: Any) -> dict[str, Any]:
    return {
        "document": found.document or None,
        "credentials": [
            {"path": one.path, "secret_name": one.secret_name, "value": _value(one.value)} for one in found.credentials
        ],
        "references": [{"name": one.name, "exists": one.exists, "readable": one.readable} for one in found.references],
    }


def _identity(found: Any) -> dict[str, Any]:
    return {
        "principal": found.principal,
        "home_namespace": found.home_namespace,
        # The package returns a set. The server sends the rights in the order of their numbers.
        "rights": [right for right in _RIGHTS if right in found.rights],
    }


def _claim(found: Any) -> dict[str, Any]:
    return {"claim_id": found.claim_id, "name": found.secret.name, "pending_version": found.pending_version}


def _explanation(found: Any) -> dict[str, Any]:
    return {"allowed": found.allowed, "explanation": found.explanation, "remedy": found.remedy}


def _changed(found: Any) -> dict[str, Any]:
    return _version(found.version)


# For each action: its method, its arguments, those with another name in Python, and how to read the result.
_CALLS: dict[str, tuple[Callable[[Any], Any], tuple[str, ...], dict[str, str], Read]] = {
    "create": (
        lambda c: c.secrets.create,
        ("name", "description", "metadata", "return_value", "request_id"),
        {},
        secret,
    ),
    "get": (lambda c: c.secrets.get, ("name", "version", "cached"), {}, secret),
    "batch_get": (lambda c: c.secrets.batch_get, ("names",), {}, _batch),
    "list": (
        lambda c: c.secrets.iterate,
        ("page_size", "name_prefix", "metadata"),
        {},
        lambda found: {"names": [one.name for one in found]},
    ),
    "list_namespaces": (
        lambda c: c.secrets.iterate_namespaces,
        ("below", "page_size"),
        {},
        lambda found: {"namespaces": [_namespace(one) for one in found]},
    ),
    "update": (
        lambda c: c.secrets.update,
        ("name", "new_name", "description", "metadata", "etag", "min_revision"),
        {},
        secret,
    ),
    "delete": (lambda c: c.secrets.delete, ("name", "etag"), {}, lambda found: {"id": found.id}),
    "undelete": (lambda c: c.secrets.undelete, ("id", "new_name"), {}, secret),
    "rotate": (lambda c: c.secrets.rotate, ("name", "request_id"), {"grace_period": "grace_period_seconds"}, secret),
    "stage": (lambda c: c.secrets.rotate, ("name",), {}, lambda found: {"version": found.pending_version}),
    "promote": (lambda c: c.secrets.promote, ("name", "version"), {}, secret),
    "versions": (
        lambda c: c.secrets.versions,
        ("name",),
        {},
        lambda found: {"versions": [_version(one) for one in found.versions]},
    ),
    "disable_version": (lambda c: c.secrets.disable_version, ("name", "version"), {}, _changed),
    "enable_version": (lambda c: c.secrets.enable_version, ("name", "version"), {}, _changed),
    "destroy_version": (lambda c: c.secrets.destroy_version, ("name", "version"), {}, _changed),
    "acknowledge": (lambda c: c.secrets.acknowledge, ("name", "version", "consumer"), {}, _changed),
    "claim": (lambda c: c.secrets.claim_rotation, ("name_prefix",), {"lease": "lease_seconds"}, _claim),
    "release": (
        lambda c: c.secrets.release_rotation,
        ("claim_id", "error"),
        {"retry_after": "retry_after_seconds"},
        lambda found: {"name": found.name},
    ),
    "resolve": (lambda c: c.resolve, ("document", "inputs", "validate_only"), {}, _resolved),
    "whoami": (lambda c: c.whoami, (), {}, _identity),
    "explain": (lambda c: c.access.explain, ("right", "name"), {}, _explanation),
}
