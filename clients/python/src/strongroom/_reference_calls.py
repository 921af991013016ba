"""The call behind `client.resolve`, sync and async."""

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
    timeout: float | None = None,
) -> Call[ResolvedDocument]:
    """Returns a document with every reference to a secret replaced by what it refers to: all of it, or an error.

    A string that begins with `$ ` is an expression, such as `$ secrets.db_host` or `$ f'Bearer {secrets.token}'`; every
    other string stays as it is. What `secret_name` beside `tool` names is returned under `credentials`. The secrets are
    those of one moment, and a value is never expanded again. The document given is not changed.

    `document` and `input` are what JSON can hold: dict with str keys, list, str, bool, None, finite float, and int from
    -2**53 to 2**53. Expressions see `input` as `input` and as `_`, and the other keys of `inputs` as `inputs.KEY`. Left
    out, the `input` is the one beside the expression in the document; None is an input too.

    `validate_only=True` reads no value, needs only the right `list`, and leaves `document` and `credentials` empty:
    `references` then tells which secrets the document names, which of them exist, and which the caller may read.

    Raises `SecretNotFoundError`, `InvalidReferenceError`, `ReferenceTooCostlyError`, each with the places in its
    `violations`, such as `document/steps/0/expression`; and `IntegrityError`.
    """
    request = reference_pb2.ResolveReferencesRequest(
        namespace=scope.namespace_for(namespace),
        validate_only=arguments.flag("validate_only", validate_only),
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
            raise TypeError("input is given twice: as `input` and as a key of `inputs`")
        writer.value(request.inputs.fields["input"], "input", input)
    return Call(
        lambda stubs: stubs.references.ResolveReferences,
        request,
        lambda reply: replies.resolved_document(reply, document),
        timeout_for(timeout),
    )
