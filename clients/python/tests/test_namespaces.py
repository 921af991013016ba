"""Listing namespaces, through both clients."""

from __future__ import annotations

from typing import Any

import pytest
from both import all_of, done
from servers import Server

from strongroom.exceptions import ValidationError
from strongroom.models import Namespace


async def make(client: Any, *namespaces: str) -> None:
    for namespace in namespaces:
        await done(client.secrets.create(name="a", value="v", namespace=namespace))


def names(namespaces: list[Namespace]) -> list[str]:
    return [namespace.name for namespace in namespaces]


async def test_namespaces_are_listed_with_their_counts(client: Any, server: Server) -> None:
    top = server.namespace
    await make(client, f"{top}/b", top, f"{top}/a/c", f"{top}-beside")
    await done(client.secrets.create(name="b", value="v"))
    await done(client.secrets.delete(name="a", namespace=f"{top}/b"))
    page = await done(client.secrets.list_namespaces(below=top))
    assert page.items == [Namespace(top, 2, 0), Namespace(f"{top}/a/c", 1, 0), Namespace(f"{top}/b", 0, 1)]
    assert (page.next_page_token, page.damaged_size) == ("", 0)
    assert page.revision > 0
    found = await all_of(client.secrets.iterate_namespaces())
    assert {top, f"{top}/a/c", f"{top}/b", f"{top}-beside"} <= set(names(found))
    assert await all_of(client.secrets.iterate_namespaces(below=f"{top}/nothing")) == []


async def test_iterate_namespaces_gives_all_pages(client: Any, server: Server) -> None:
    everything = [f"{server.namespace}/n{n}" for n in range(7)]
    await make(client, *reversed(everything))
    found = await all_of(client.secrets.iterate_namespaces(below=server.namespace, page_size=3))
    assert names(found) == everything
    page = await done(client.secrets.list_namespaces(below=server.namespace, limit=3))
    assert names(page.items) == everything[:3]
    following = {"below": server.namespace, "limit": 3, "page_token": page.next_page_token}
    assert names((await done(client.secrets.list_namespaces(**following))).items) == everything[3:6]
    with pytest.raises(ValidationError):
        await done(client.secrets.list_namespaces(**{**following, "below": ""}))


async def test_a_caller_sees_only_the_namespaces_in_which_it_may_list(client: Any, kind: Any, server: Server) -> None:
    top = server.namespace
    await make(client, top, f"{top}/below", f"{top}-beside")
    created = await done(client.access.create_key(name="reader", home_namespace=top, role="reader"))
    reader = kind(**server.arguments(api_key=created.credential))
    assert await all_of(reader.secrets.iterate_namespaces()) == [Namespace(top, 1, 0)]
    await done(reader.close())


@pytest.mark.parametrize(
    "arguments", [{"limit": 0}, {"limit": 1001}, {"page_token": "made up"}, {"below": "not a namespace"}], ids=str
)
async def test_bad_arguments_are_refused(client: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        await done(client.secrets.list_namespaces(**arguments))
    assert [v.field for v in caught.value.violations] == list(arguments)
