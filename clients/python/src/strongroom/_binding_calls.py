"""The calls of `client.access` about roles and bindings. Each function here is one method there, sync and async.

`strongroom.client.Access` describes the arguments and errors that all of them share.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._arguments import RequestId
from strongroom._call import Call, Page, Scope, timeout_for
from strongroom.models import Binding, Explanation, Role
from strongroom.v1 import access_pb2

__all__ = [
    "create_binding",
    "create_role",
    "delete_binding",
    "delete_role",
    "explain",
    "list_bindings",
    "list_roles",
]


def create_role(
    scope: Scope, *, name: str, rights: Iterable[str], description: str = "", timeout: float | None = None
) -> Call[Role]:
    """Creates a role. It never changes. Needs the right `manage_access` on everything.

    The client never retries this call, because it has no `request_id`.

    Args:
        name: 1 to 64 characters of `[a-z0-9_-]`, the first of them a letter.
        rights: The rights: some of `list`, `read`, `write`, `rotate`, `delete`, `manage_access`, `audit` and `operate`.
        description: What the role is for: at most 1 KiB.
        timeout: See `Access`.

    Returns:
        The new role.

    Raises:
        RoleAlreadyExistsError: The name is taken.
        ConflictError: The reason is `CONTENDED`: other writers changed the same data each time. Try again.
        IntegrityError: The stored data that the change needs was altered or damaged.
    """
    if isinstance(rights, str):
        raise TypeError("rights must be a list of str, not str")
    request = access_pb2.CreateRoleRequest(
        name=arguments.text("name", name),
        rights=[arguments.right("rights", right) for right in rights],
        description=arguments.text("description", description),
    )
    return Call(lambda stubs: stubs.access.CreateRole, request, _role_of, timeout_for(timeout), repeatable=False)


def list_roles(scope: Scope, *, timeout: float | None = None) -> Call[list[Role]]:
    """Returns all roles: first the built-in ones, then the others by name. Needs the right `manage_access`.

    Args:
        timeout: See `Access`.

    Returns:
        The roles.
    """
    return Call(lambda stubs: stubs.access.ListRoles, access_pb2.ListRolesRequest(), _roles_of, timeout_for(timeout))


def delete_role(scope: Scope, *, name: str, timeout: float | None = None) -> Call[None]:
    """Deletes a role that no binding has. Needs the right `manage_access` on everything.

    The client never retries this call, because it has no `request_id`.

    Args:
        name: The name of the role.
        timeout: See `Access`.

    Returns:
        None.

    Raises:
        RoleNotFoundError: There is no role of this name.
        RoleInUseError: Bindings have the role.
        ConflictError: The reason is `CONTENDED`: other writers changed the same data each time. Try again.
        IntegrityError: The stored data that the change needs was altered or damaged.
    """
    request = access_pb2.DeleteRoleRequest(name=arguments.text("name", name))
    return Call(lambda stubs: stubs.access.DeleteRole, request, _nothing, timeout_for(timeout), repeatable=False)


def create_binding(
    scope: Scope,
    *,
    principal: str,
    role: str,
    namespace_pattern: str,
    name_pattern: str = "",
    deny: bool = False,
    expires_at: datetime | None = None,
    description: str = "",
    request_id: RequestId | None = None,
    timeout: float | None = None,
) -> Call[Binding]:
    """Creates a binding. It counts at once.

    Needs the right `manage_access` on the whole of its patterns and, unless it denies, all rights of its role there.

    Args:
        principal: Whom the binding is for: `key:ID`, `cert:SAN`, `jwt:ISSUER:SUBJECT` or `group:ISSUER:NAME`.
        role: The name of the role.
        namespace_pattern: The namespaces: one (`team/ci`), one and everything below it (`team/**`), or all (`**`).
        name_pattern: The names of secrets. Each `*` stands for any characters. Empty: all names.
        deny: True: the binding denies the rights, whatever other bindings give.
        expires_at: From when on the binding does not count any more: a datetime with a time zone, in the future. None:
            it never expires.
        description: What the binding is for: at most 1 KiB.
        request_id: See `Secrets`.
        timeout: See `Access`.

    Returns:
        The new binding.

    Raises:
        RoleNotFoundError: There is no role of this name.
        ApiKeyNotFoundError: The principal is an API key that does not exist or was revoked.
        LastAdministratorError: The binding denies something to the last principal with every right on everything.
        RequestIdReusedError: The `request_id` was used for another request.
        ConflictError: The reason is `CONTENDED`: other writers changed the same data each time. Try again.
        IntegrityError: The stored data that the change needs was altered or damaged.
    """
    request = access_pb2.CreateBindingRequest(
        principal=arguments.text("principal", principal),
        role=arguments.text("role", role),
        namespace_pattern=arguments.text("namespace_pattern", namespace_pattern),
        name_pattern=arguments.text("name_pattern", name_pattern),
        effect=access_pb2.EFFECT_DENY if arguments.flag("deny", deny) else access_pb2.EFFECT_ALLOW,
        description=arguments.text("description", description),
        request_id=arguments.request_id("request_id", request_id),
    )
    if expires_at is not None:
        request.expires_at.CopyFrom(arguments.timestamp("expires_at", expires_at))
    return Call(lambda stubs: stubs.access.CreateBinding, request, _binding_of, timeout_for(timeout))


def list_bindings(
    scope: Scope, *, principal: str = "", role: str = "", namespace: str = "", timeout: float | None = None
) -> Call[Page[Binding]]:
    """Returns the bindings on secrets that the caller manages access to, oldest first.

    Args:
        principal: Only bindings of this principal. Empty: of every principal.
        role: Only bindings of this role. Empty: of every role.
        namespace: Only bindings whose namespace pattern matches this namespace. Empty: all bindings; the client's
            `namespace` does not count here.
        timeout: Seconds for each page of the list with all its retries. None: the client's timeout.

    Returns:
        The bindings.
    """
    request = access_pb2.ListBindingsRequest(
        principal=arguments.text("principal", principal),
        role=arguments.text("role", role),
        namespace=arguments.text("namespace", namespace),
        limit=1000,
    )
    return Call(lambda stubs: stubs.access.ListBindings, request, _bindings_of, timeout_for(timeout))


def delete_binding(scope: Scope, *, id: str, timeout: float | None = None) -> Call[None]:
    """Deletes a binding. Requests that are under way and need it end within a second.

    Needs the right `manage_access` on the whole of its patterns and, when it denies, all rights of its role there. The
    client never retries this call, because it has no `request_id`.

    Args:
        id: The id of the binding.
        timeout: See `Access`.

    Returns:
        None.

    Raises:
        BindingNotFoundError: There is no binding of this id, or the caller does not manage it.
        LastAdministratorError: Nobody else has every right on everything.
        ConflictError: The reason is `CONTENDED`: other writers changed the same data each time. Try again.
        IntegrityError: The stored data that the change needs was altered or damaged.
    """
    request = access_pb2.DeleteBindingRequest(id=arguments.text("id", id))
    return Call(lambda stubs: stubs.access.DeleteBinding, request, _nothing, timeout_for(timeout), repeatable=False)


def explain(
    scope: Scope,
    *,
    right: str,
    namespace: str = "",
    name: str = "",
    principal: str = "",
    timeout: float | None = None,
) -> Call[Explanation]:
    """Says whether a principal has a right, and why.

    The caller needs no right to ask about itself. To ask about another principal, it needs the right `manage_access` on
    the namespace and name in question, or on everything if the question names no namespace.

    Args:
        right: The right, for example `read`.
        namespace: The namespace. Empty: the service as a whole; the client's `namespace` does not count here.
        name: The name of a secret, which need not exist. Empty: at least one possible name in the namespace.
        principal: The principal. Empty: the caller.
        timeout: See `Access`.

    Returns:
        The decision, its reason, and the command that would give the right.
    """
    request = access_pb2.ExplainAccessRequest(
        principal=arguments.text("principal", principal),
        right=arguments.right("right", right),
        namespace=arguments.text("namespace", namespace),
        name=arguments.text("name", name),
    )
    return Call(lambda stubs: stubs.access.ExplainAccess, request, replies.explanation, timeout_for(timeout))


def _role_of(reply: access_pb2.CreateRoleResponse) -> Role:
    return replies.role(reply.role)


def _roles_of(reply: access_pb2.ListRolesResponse) -> list[Role]:
    return [replies.role(item) for item in reply.items]


def _binding_of(reply: access_pb2.CreateBindingResponse) -> Binding:
    return replies.binding(reply.binding)


def _bindings_of(reply: access_pb2.ListBindingsResponse) -> Page[Binding]:
    return Page([replies.binding(item) for item in reply.items], reply.next_page_token)


def _nothing(reply: access_pb2.DeleteRoleResponse | access_pb2.DeleteBindingResponse) -> None:
    """The deletion needs no answer but its success."""
