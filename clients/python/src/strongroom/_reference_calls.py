"""The call of `client.resolve`, sync and async."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._arguments import NOT_GIVEN, NotGiven
from strongroom._call import Call, Scope, timeout_for
from strongroom._documents import Writer
from strongroom.models import ResolvedDocument
from strongroom.v1 import reference_pb2

__all__ = ["resolve"]


def resolve(
    scope: Scope,
    document: dict[str, Any],
    *,
    input: Any = NOT_GIVEN,
    inputs: Mapping[str, Any] | None = None,
    namespace: str | None = None,
    validate_only: bool = False,
    cached: bool = False,
    timeout: float | None = None,
) -> Call[ResolvedDocument]:
    """Returns a copy of a document with the value of each reference in its place.

    A string that begins with `$ ` is an expression, for example `$ secrets.db_host` or `$ f'Bearer {secrets.token}'`,
    and its result replaces it. Every other string stays as it is. When a dict has the keys `tool` and `secret_name`,
    `credentials` returns the value of the secret that `secret_name` names. A result is never expanded again.

    The server reads all secrets at one moment. The call returns the whole resolved document, or it raises an error. The
    `violations` of the error give the places in the document, for example `document/steps/0/expression`.

    Args:
        document: The document. It can hold what JSON can hold: dict with str keys, list, str, bool, None, finite float,
            and int from -2**53 to 2**53. It is not changed.
        input: The input of the expressions, visible to them as `input` and as `_`. It can hold what the document can
            hold; None is an input too. When it is left out, the value of `input` beside the expression in the document
            takes its place.
        inputs: Further inputs: the key `KEY` is visible as `inputs.KEY`. A key `input` is the same as the argument
            `input`. None: no further inputs.
        namespace: The namespace of the secrets. None: the client's namespace.
        validate_only: True reads no value and only lists the references. The right `list` is then enough, and
            `document` and `credentials` of the result are empty.
        cached: True accepts an answer that can lack the changes of the last seconds: see `Secrets`.
        timeout: Seconds for the call with all its retries. None: the client's timeout.

    Returns:
        The resolved document, its credentials, and the secrets that it names.

    Raises:
        SecretNotFoundError: The document names a secret that does not exist.
        VersionDisabledError: The document names a secret whose current version is disabled.
        VersionDestroyedError: The document names a secret whose current version was destroyed.
        InvalidReferenceError: An expression cannot be resolved.
        ReferenceTooCostlyError: The document needs more than the server allows.
        LimitExceededError: The document and its inputs are larger than 1 MiB.
        IntegrityError: A stored record was altered or damaged.
    """
    request = reference_pb2.ResolveReferencesRequest(
        namespace=scope.namespace_for(namespace),
        validate_only=arguments.flag("validate_only", validate_only),
        consistency=arguments.consistency("cached", cached),
    )
    writer = Writer()
    if not isinstance(document, dict):
        raise TypeError(f"document must be dict, not {type(document).__name__}")
    writer.struct(request.document, "document", document)
    if inputs is not None:
        if not isinstance(inputs, Mapping):
            raise TypeError(f"inputs must be a mapping of str to JSON values, not {type(inputs).__name__}")
        writer.struct(request.inputs, "inputs", inputs)
    if not isinstance(input, NotGiven):
        if "input" in request.inputs.fields:
            raise TypeError("input is given twice, as `input` and as a key of `inputs`: pass one of the two")
        writer.value(request.inputs.fields["input"], "input", input)
    return Call(
        lambda stubs: stubs.references.ResolveReferences,
        request,
        lambda reply: replies.resolved_document(reply, document),
        timeout_for(timeout),
    )
