"""The calls of `client.secrets` that list secrets. Each function here is one method there.

`strongroom.client.Secrets` describes the arguments and errors that all of them share.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from strongroom import _arguments as arguments
from strongroom import _replies as replies
from strongroom._call import Call, Page, Scope, timeout_for
from strongroom.models import Secret, SecretPage
from strongroom.v1 import secret_pb2

__all__ = ["iterate", "list_"]


def list_(
    scope: Scope,
    *,
    limit: int | None = None,
    offset: int | None = None,
    page_token: str = "",
    metadata: Mapping[str, str] | None = None,
    name_prefix: str = "",
    order_by: str = "",
    unused_since: datetime | None = None,
    include_deleted: bool = False,
    namespace: str | None = None,
    min_revision: int = 0,
    cached: bool = False,
    timeout: float | None = None,
) -> Call[SecretPage]:
    """Returns one page of secrets. `iterate` returns all secrets.

    Args:
        limit: The largest number of secrets in the page, 1 to 1,000. None: 100.
        offset: The number of secrets to skip from the start. Must not be passed together with `page_token`. None: 0.
        page_token: The `next_page_token` of the previous page. Pass `metadata`, `name_prefix`, `order_by`,
            `unused_since`, `include_deleted` and `namespace` as for that page. The pages stay disjoint while others
            create and delete secrets.
        metadata: Return only secrets whose metadata holds all these pairs exactly, case-sensitive. None: no filter.
        name_prefix: Return only secrets whose name begins with this text, case-sensitive. Empty: no filter.
        order_by: `name`, `created_at` or `updated_at`. Add ` desc` for the reverse order. Empty: `name`.
        unused_since: Return only secrets that were created before this time, a datetime with a time zone, and of which
            no value was read since. A read is known within 60 seconds. None: no filter.
        include_deleted: True: also return deleted secrets that `undelete` can bring back: those with `deleted_at`.
        namespace: See `Secrets`.
        min_revision: See `Secrets`.
        cached: See `Secrets`.
        timeout: See `Secrets`.

    Returns:
        The page. The `value` of every secret in it is `"ENCRYPTED"`.

    Raises:
        ValidationError: An argument is not valid, or the page token belongs to another query.
        IntegrityError: The stored record of the namespace was altered or damaged.
    """
    request = secret_pb2.ListSecretsRequest(
        namespace=scope.namespace_for(namespace),
        page_token=arguments.text("page_token", page_token),
        name_prefix=arguments.text("name_prefix", name_prefix),
        order_by=arguments.text("order_by", order_by),
        include_deleted=arguments.flag("include_deleted", include_deleted),
        min_revision=arguments.revision("min_revision", min_revision),
        consistency=arguments.consistency("cached", cached),
    )
    if limit is not None:
        request.limit = arguments.integer("limit", limit, -arguments.INT32, arguments.INT32)
    if offset is not None:
        request.offset = arguments.integer("offset", offset, -arguments.INT32, arguments.INT32)
    if metadata is not None:
        request.metadata.update(arguments.metadata("metadata", metadata))
    if unused_since is not None:
        request.unused_since.CopyFrom(arguments.timestamp("unused_since", unused_since))
    return Call(lambda stubs: stubs.secrets.ListSecrets, request, replies.secret_page, timeout_for(timeout))


def iterate(
    scope: Scope,
    *,
    metadata: Mapping[str, str] | None = None,
    name_prefix: str = "",
    order_by: str = "",
    unused_since: datetime | None = None,
    include_deleted: bool = False,
    page_size: int = 1000,
    namespace: str | None = None,
    min_revision: int = 0,
    cached: bool = False,
    timeout: float | None = None,
) -> Call[Page[Secret]]:
    """Returns an iterator over all secrets that match. It reads one page after the other.

    The result is not a snapshot: it may or may not show the changes that others make during the iteration. While others
    only create and delete secrets, no secret comes twice.

    Args:
        metadata: See `list`.
        name_prefix: See `list`.
        order_by: See `list`.
        unused_since: See `list`.
        include_deleted: See `list`.
        page_size: The number of secrets to read at a time, 1 to 1,000.
        namespace: See `Secrets`.
        min_revision: See `Secrets`.
        cached: See `Secrets`.
        timeout: Seconds for each page with all its retries. None: the client's timeout.

    Returns:
        An iterator over the secrets. The `value` of every secret is `"ENCRYPTED"`. The iterator raises the errors of
        `list`.
    """
    call = list_(
        scope,
        limit=page_size,
        metadata=metadata,
        name_prefix=name_prefix,
        order_by=order_by,
        unused_since=unused_since,
        include_deleted=include_deleted,
        namespace=namespace,
        min_revision=min_revision,
        cached=cached,
        timeout=timeout,
    )
    return Call(call.rpc, call.request, _items, call.timeout)


def _items(reply: secret_pb2.ListSecretsResponse) -> Page[Secret]:
    return Page([replies.secret(item) for item in reply.items], reply.next_page_token)
