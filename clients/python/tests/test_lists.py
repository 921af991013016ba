"""Listing secrets, through both clients."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from both import all_of, done

from strongroom.exceptions import ValidationError


async def make(client: Any, *names: str, **metadata: str) -> None:
    for name in names:
        await done(client.secrets.create(name=name, value=f"value of {name}", metadata=metadata))


def names(page: Any) -> list[str]:
    return [secret.name for secret in page.items]


async def test_an_empty_namespace_has_an_empty_page(client: Any) -> None:
    page = await done(client.secrets.list())
    assert (page.items, page.next_page_token, page.total_size) == ([], "", 0)


async def test_values_are_never_listed(client: Any) -> None:
    await make(client, "a", "b")
    page = await done(client.secrets.list())
    assert [secret.value for secret in page.items] == ["ENCRYPTED", "ENCRYPTED"]
    assert all(secret.redacted for secret in page.items)


async def test_twenty_five_by_ten(client: Any) -> None:
    everything = [f"secret_{n:02}" for n in range(25)]
    await make(client, *reversed(everything))
    pages = [await done(client.secrets.list(limit=10, offset=offset)) for offset in (0, 10, 20, 30)]
    assert [len(page.items) for page in pages] == [10, 10, 5, 0]
    assert [page.total_size for page in pages] == [25] * 4
    assert [name for page in pages for name in names(page)] == everything
    assert names(await done(client.secrets.list())) == everything


async def test_pages_by_token_stay_disjoint_while_others_write(client: Any) -> None:
    everything = [f"secret_{n:02}" for n in range(20, 30)]
    await make(client, *everything)
    page = await done(client.secrets.list(limit=4))
    seen = names(page)
    await make(client, "secret_00")
    await done(client.secrets.delete(name="secret_20"))
    while page.next_page_token:
        page = await done(client.secrets.list(limit=4, page_token=page.next_page_token))
        seen += names(page)
    assert seen == everything


async def test_iterate_gives_all_pages(client: Any) -> None:
    everything = [f"secret_{n}" for n in range(7)]
    await make(client, *everything, owner="me")
    await make(client, "secret_x")
    found = await all_of(client.secrets.iterate(metadata={"owner": "me"}, name_prefix="secret_", page_size=3))
    assert [secret.name for secret in found] == everything
    assert await all_of(client.secrets.iterate(name_prefix="nothing")) == []


async def test_filters_are_exact_and_all_must_match(client: Any) -> None:
    await make(client, "a", environment="production", owner="payments")
    await make(client, "b", environment="production", owner="search")
    await make(client, "c", environment="Production")
    await make(client, "d")

    async def found(**metadata: str) -> list[str]:
        return names(await done(client.secrets.list(metadata=metadata)))

    assert await found(environment="production") == ["a", "b"]
    assert await found(environment="production", owner="payments") == ["a"]
    assert await found(environment="prod") == []
    assert await found(Environment="production") == []
    assert await found() == ["a", "b", "c", "d"]
    page = await done(client.secrets.list(metadata={"environment": "production"}, limit=1, offset=1))
    assert (names(page), page.total_size) == (["b"], 2)


async def test_prefix_and_order(client: Any) -> None:
    await make(client, "b_2", "a_1", "B_3", "b_1")
    assert names(await done(client.secrets.list())) == ["B_3", "a_1", "b_1", "b_2"]
    assert names(await done(client.secrets.list(name_prefix="b_"))) == ["b_1", "b_2"]
    assert names(await done(client.secrets.list(order_by="name desc"))) == ["b_2", "b_1", "a_1", "B_3"]
    assert names(await done(client.secrets.list(order_by="created_at"))) == ["b_2", "a_1", "B_3", "b_1"]
    await done(client.secrets.update(name="a_1", description="touched"))
    assert names(await done(client.secrets.list(order_by="updated_at desc")))[0] == "a_1"


@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": 0},
        {"limit": -1},
        {"limit": 1001},
        {"offset": -1},
        {"order_by": "value"},
        {"page_token": "made up"},
    ],
    ids=str,
)
async def test_bad_arguments_are_refused(client: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        await done(client.secrets.list(**arguments))
    assert [v.field for v in caught.value.violations] == list(arguments)


async def test_a_page_token_is_bound_to_its_query(client: Any) -> None:
    await make(client, "a", "b", "c")
    page = await done(client.secrets.list(limit=1))
    with pytest.raises(ValidationError):
        await done(client.secrets.list(limit=1, page_token=page.next_page_token, name_prefix="a"))


async def test_the_page_after_an_offset(client: Any) -> None:
    await make(client, "a", "b", "c", "d")
    page = await done(client.secrets.list(limit=1, offset=1))
    following = await done(client.secrets.list(limit=2, page_token=page.next_page_token))
    assert (names(page), names(following)) == (["b"], ["c", "d"])


async def test_secrets_that_nobody_read_since_a_time(client: Any) -> None:
    await make(client, "a", "b", "c")
    now = datetime.now(timezone.utc)
    before, after = now - timedelta(days=1), now + timedelta(days=1)
    assert names(await done(client.secrets.list(unused_since=before))) == []
    unused = await all_of(client.secrets.iterate(unused_since=after, page_size=2))
    assert [secret.name for secret in unused] == ["a", "b", "c"]
    page = await done(client.secrets.list(unused_since=after, limit=1))
    with pytest.raises(ValidationError):
        await done(client.secrets.list(page_token=page.next_page_token))
    with pytest.raises(ValidationError):
        await done(client.secrets.list(unused_since=datetime(2026, 1, 1)))


@pytest.mark.parametrize("server", ["live"], indirect=True)
async def test_pages_fit_into_the_usual_limits_of_grpc(client: Any) -> None:
    # 4.4 MB in all: more than the 4 MiB that a gRPC client takes in one message.
    metadata = {f"{n:02}" + "k" * 126: "v" * 512 for n in range(64)}
    everything = [f"secret_{n:03}" for n in range(108)]
    for name in everything:
        await done(client.secrets.create(name=name, value="v", metadata=metadata))
    page = await done(client.secrets.list(limit=1000))
    assert len(page.items) < len(everything)
    assert [secret.name for secret in await all_of(client.secrets.iterate())] == everything
