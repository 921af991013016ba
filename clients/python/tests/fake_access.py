"""The roles and bindings of the fake server. It knows who has which binding, and grants nothing by them."""

from __future__ import annotations

import secrets
from typing import Any

import grpc
from refusals import Refusal, invalid

from strongroom.v1 import access_pb2

Code = grpc.StatusCode


class Access:
    """All roles, and all bindings in the order of their creation. The fake guards them with its lock."""

    def __init__(self) -> None:
        every = access_pb2.Right.values()[1:]
        of_service = (access_pb2.RIGHT_MANAGE_ACCESS, access_pb2.RIGHT_AUDIT, access_pb2.RIGHT_OPERATE)
        names = {"reader": every[:2], "editor": [right for right in every if right not in of_service], "admin": every}
        self.roles = {name: access_pb2.Role(name=name, rights=rights, built_in=True) for name, rights in names.items()}
        self.bindings: dict[str, access_pb2.Binding] = {}

    def create_role(self, request: Any) -> access_pb2.CreateRoleResponse:
        if request.name in self.roles:
            raise Refusal(Code.ALREADY_EXISTS, "ROLE_ALREADY_EXISTS", "The name is taken.")
        if not request.rights:
            raise invalid(rights="must have at least one right.")
        role = access_pb2.Role(name=request.name, rights=request.rights, description=request.description)
        role.created_at.GetCurrentTime()
        self.roles[role.name] = role
        return access_pb2.CreateRoleResponse(role=role)

    def list_roles(self, request: Any) -> access_pb2.ListRolesResponse:
        return access_pb2.ListRolesResponse(items=self.roles.values())

    def delete_role(self, request: Any) -> access_pb2.DeleteRoleResponse:
        self.role(request.name)
        if any(binding.role == request.name for binding in self.bindings.values()):
            raise Refusal(Code.FAILED_PRECONDITION, "ROLE_IN_USE", "Bindings have the role.")
        del self.roles[request.name]
        return access_pb2.DeleteRoleResponse()

    def create_binding(self, request: Any) -> access_pb2.CreateBindingResponse:
        self.role(request.role)
        binding = access_pb2.Binding(
            id=secrets.token_hex(8),
            principal=request.principal,
            role=request.role,
            namespace_pattern=request.namespace_pattern,
            name_pattern=request.name_pattern or "*",
            effect=request.effect or access_pb2.EFFECT_ALLOW,
            description=request.description,
        )
        binding.created_at.GetCurrentTime()
        if request.HasField("expires_at"):
            binding.expires_at.CopyFrom(request.expires_at)
        self.bindings[binding.id] = binding
        return access_pb2.CreateBindingResponse(binding=binding)

    def list_bindings(self, request: Any) -> access_pb2.ListBindingsResponse:
        """Returns one binding a page, so that the client must follow the pages."""
        matches = [
            binding
            for binding in self.bindings.values()
            if request.principal in ("", binding.principal)
            and request.role in ("", binding.role)
            and request.namespace in ("", binding.namespace_pattern)
        ]
        first = int(request.page_token or 0)
        following = str(first + 1) if first + 1 < len(matches) else ""
        return access_pb2.ListBindingsResponse(items=matches[first : first + 1], next_page_token=following)

    def delete_binding(self, request: Any) -> access_pb2.DeleteBindingResponse:
        if self.bindings.pop(request.id, None) is None:
            raise Refusal(Code.NOT_FOUND, "BINDING_NOT_FOUND", "There is no binding of this id.")
        return access_pb2.DeleteBindingResponse()

    def explain(self, request: Any) -> access_pb2.ExplainAccessResponse:
        for binding in self.bindings.values():
            of = (binding.principal, binding.namespace_pattern) == (request.principal, request.namespace)
            if of and request.right in self.roles[binding.role].rights:
                return access_pb2.ExplainAccessResponse(
                    allowed=True, binding=binding, explanation="The binding gives it."
                )
        remedy = f"strongroom binding add --principal {request.principal} --role reader --on {request.namespace}"
        return access_pb2.ExplainAccessResponse(explanation="No binding gives it.", remedy=remedy)

    def role(self, name: str) -> access_pb2.Role:
        if name not in self.roles:
            raise Refusal(Code.NOT_FOUND, "ROLE_NOT_FOUND", "There is no role of this name.")
        return self.roles[name]
