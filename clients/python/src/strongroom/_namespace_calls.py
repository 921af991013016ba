"""The calls of `client.secrets` that list namespaces. Each function here is one method there.

`strongroom.client.Secrets` describes the arguments and errors that all of them share.
"""

from __future__ import annotations

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._call import Call, Page, Scope, timeout_for
from strongroom.models import Namespace, NamespacePage
from strongroom.v1 import secret_pb2

__all__ = ["iterate_namespaces", "list_namespaces"]


def list_namespaces(
    scope: Scope,
    *,
    below: str = "",
    limit: int | None = None,
    page_token: str = "",
    min_revision: int = 0,
    cached: bool = False,
    timeout: float | None = None,
) -> Call[NamespacePage]:
    """Returns one page of the namespaces in which the caller may list secrets. `iterate_namespaces` returns all.

    The caller sees a namespace where it may list all names, and otherwise where it may list at least one secret. The
    namespace of the client does not matter.

    Args:
        below: Return only this namespace and those below it: with `team`, also `team/billing`. Empty: all.
        limit: The largest number of namespaces in the page, 1 to 1,000. None: 100.
        page_token: The `next_page_token` of the previous page. Pass `below` as for that page. Empty: the first page.
        min_revision: See `Secrets`.
        cached: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The page. Its namespaces are ordered by the bytes of their names.

    Raises:
        ValidationError: An argument is not valid, or the page token belongs to another query.
    """
    request = secret_pb2.ListNamespacesRequest(
        below=arguments.text("below", below),
        page_token=arguments.text("page_token", page_token),
        min_revision=arguments.revision("min_revision", min_revision),
        consistency=arguments.consistency("cached", cached),
    )
    if limit is not None:
        request.limit = arguments.integer("limit", limit, -arguments.INT32, arguments.INT32)
    return Call(lambda stubs: stubs.secrets.ListNamespaces, request, replies.namespace_page, timeout_for(timeout))


def iterate_namespaces(
    scope: Scope,
    *,
    below: str = "",
    page_size: int = 1000,
    min_revision: int = 0,
    cached: bool = False,
    timeout: float | None = None,
) -> Call[Page[Namespace]]:
    """Returns an iterator over the namespaces in which the caller may list secrets. It reads one page after the other.

    The result is not a snapshot: it may or may not show the changes that others make during the iteration. No namespace
    comes twice.

    Args:
        below: See `list_namespaces`.
        page_size: The number of namespaces to read at a time, 1 to 1,000.
        min_revision: See `Secrets`.
        cached: See `Secrets`.
        timeout: Seconds for each page with all its retries. None: the client's timeout.

    Returns:
        An iterator over the namespaces, ordered by the bytes of their names. The iterator raises the errors of
        `list_namespaces`.
    """
    call = list_namespaces(
        scope, below=below, limit=page_size, min_revision=min_revision, cached=cached, timeout=timeout
    )
    return Call(call.rpc, call.request, _items, call.timeout)


def _items(reply: secret_pb2.ListNamespacesResponse) -> Page[Namespace]:
    return Page([replies.namespace(item) for item in reply.items], reply.next_page_token)
