"""The namespaces of the fake server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from refusals import invalid

from strongroom.v1 import secret_pb2

__all__ = ["listed"]


def listed(
    request: Any, secrets: Iterable[secret_pb2.Secret], deleted: Iterable[secret_pb2.Secret], revision: int
) -> secret_pb2.ListNamespacesResponse:
    """Returns a page of the namespaces of these secrets. A page token is `below` and the last name of its page."""
    limit = request.limit if request.HasField("limit") else 100
    below, _, after = request.page_token.rpartition(" ")
    wrong = {}
    if re.fullmatch(r"[A-Za-z0-9_./-]*", request.below) is None:
        wrong["below"] = "must be a namespace."
    if not 1 <= limit <= 1000:
        wrong["limit"] = "must be from 1 to 1,000."
    if request.page_token and not (after and below == request.below):
        wrong["page_token"] = "is not of this query."
    if wrong:
        raise invalid(**wrong)

    found: dict[str, secret_pb2.Namespace] = {}
    for field, group in (("secrets", secrets), ("deleted_secrets", deleted)):
        for secret in group:
            one = found.setdefault(secret.namespace, secret_pb2.Namespace(name=secret.namespace))
            setattr(one, field, getattr(one, field) + 1)
    names = sorted(
        name
        for name in found
        if name > after and (not request.below or name == request.below or name.startswith(f"{request.below}/"))
    )
    return secret_pb2.ListNamespacesResponse(
        items=[found[name] for name in names[:limit]],
        next_page_token=f"{request.below} {names[limit - 1]}" if len(names) > limit else "",
        revision=revision,
    )
