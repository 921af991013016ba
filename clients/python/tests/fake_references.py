"""How the fake resolves references: Python evaluates the expressions, because their language is a subset of Python.

The fake has no limits and refuses few expressions. The expressions that it resolves give the result of the contract.
"""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2
from refusals import Refusal

from strongroom.v1 import reference_pb2, secret_pb2

Find = Callable[[str], "secret_pb2.Secret | None"]


class Resolution:
    """The resolution of one request. `find` returns a secret by its name."""

    def __init__(self, request: reference_pb2.ResolveReferencesRequest, find: Find) -> None:
        self.find = find
        self.validate_only = request.validate_only
        self.namespace = request.namespace
        self.inputs = plain(request.inputs)
        self.paths: dict[str, list[str]] = {}
        self.credentials: list[reference_pb2.Credential] = []

    def resolved(self, given: Any, path: str = "", beside: dict[str, Any] | None = None) -> Any:
        """Resolves one value. `beside` is the dict around it: its `input` counts when the request has none."""
        if isinstance(given, dict):
            if "tool" in given and "secret_name" in given:
                name = given["secret_name"]
                value = self.look_up(name, f"{path}/secret_name")
                wire = (
                    secret_pb2.SecretValue(text=value)
                    if isinstance(value, str)
                    else secret_pb2.SecretValue(binary=value)
                )
                self.credentials.append(reference_pb2.Credential(path=path, secret_name=name, value=wire))
            steps = {key: key.replace("~", "~0").replace("/", "~1") for key in given}
            return {key: self.resolved(item, f"{path}/{steps[key]}", given) for key, item in sorted(given.items())}
        if isinstance(given, list):
            return [self.resolved(item, f"{path}/{index}") for index, item in enumerate(given)]
        if not (isinstance(given, str) and given.startswith("$ ")):
            return given
        inputs = {**{key: beside[key] for key in ("input",) if beside and key in beside}, **self.inputs}
        return self.evaluated(given[2:], path, inputs)

    def evaluated(self, expression: str, path: str, inputs: dict[str, Any]) -> Any:
        if len(expression) > 16 * 1024:
            raise unresolved("REFERENCE_TOO_COSTLY", path, "the expression is too long.")
        names = {"inputs": inputs, "base64": base64_of}
        if "input" in inputs:
            names.update(input=inputs["input"], _=inputs["input"])
        try:
            tree = ast.parse(expression.strip(), mode="eval")
        except SyntaxError:
            raise unresolved("REFERENCE_INVALID", path, "is not an expression.") from None
        tree = ast.fix_missing_locations(LookUps(self, path, names).visit(tree))
        if self.validate_only:
            return None
        result = eval(compile(tree, path, "eval"), {"__builtins__": {}}, names)
        if isinstance(result, bytes):
            raise unresolved("REFERENCE_INVALID", path, "the secret is binary.")
        return result

    def look_up(self, name: str, path: str) -> str | bytes:
        """Returns the value of a secret, and notes the path. Empty: there is none; `answer` reports missing secrets."""
        self.paths.setdefault(name, []).append(path)
        secret = None if self.validate_only else self.find(name)
        if secret is None:
            return ""
        return secret.value.text or secret.value.binary

    def answer(self, document: Struct, revision: int) -> reference_pb2.ResolveReferencesResponse:
        resolved = self.resolved(plain(document))
        found = {name: self.find(name) is not None for name in sorted(self.paths)}
        reply = reference_pb2.ResolveReferencesResponse(
            references=[
                reference_pb2.Reference(name=name, paths=self.paths[name], exists=exists, readable=exists)
                for name, exists in found.items()
            ],
            revision=revision,
        )
        if self.validate_only:
            return reply
        if not all(found.values()):
            raise missing(self.namespace, {name: self.paths[name] for name, exists in found.items() if not exists})
        reply.document.update(resolved)
        reply.credentials.extend(self.credentials)
        return reply


class LookUps(ast.NodeTransformer):
    """Replaces `secrets.NAME` by the value. There is no object `secrets`."""

    def __init__(self, resolution: Resolution, path: str, names: dict[str, Any]) -> None:
        self.resolution = resolution
        self.path = path
        self.names = names

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "secrets":
            return ast.Constant(self.resolution.look_up(node.attr, self.path))
        return ast.Subscript(self.visit(node.value), ast.Constant(node.attr), ast.Load())

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        raise unresolved("REFERENCE_INVALID", self.path, "a lambda cannot be used here.")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self.names:
            raise unresolved("REFERENCE_INVALID", self.path, f"the name {node.id} cannot be used here.")
        return node


def plain(struct: Struct) -> dict[str, Any]:
    """Converts a struct to a dict. An integral number becomes an int."""

    def number(text: str) -> float:
        return int(float(text)) if float(text).is_integer() else float(text)

    found: dict[str, Any] = json.loads(json_format.MessageToJson(struct), parse_float=number)
    return found


def base64_of(value: bytes) -> str:
    return base64.b64encode(value).decode()


def unresolved(reason: str, path: str, problem: str) -> Refusal:
    violation = error_details_pb2.BadRequest.FieldViolation(field=f"document{path}", description=problem)
    details = error_details_pb2.BadRequest(field_violations=[violation])
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason, "An expression cannot be resolved.", details)


def missing(namespace: str, paths: dict[str, list[str]]) -> Refusal:
    name = next(iter(paths))
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=f"document{path}", description=f"there is no secret {name}.")
        for name, places in paths.items()
        for path in places
    ]
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "SECRET_NOT_FOUND",
        f"There is no secret {name}; document{paths[name][0]} names it.",
        error_details_pb2.ResourceInfo(resource_type="strongroom.v1.Secret", resource_name=f"{namespace}/{name}"),
        error_details_pb2.BadRequest(field_violations=violations),
    )
