"""What keeps refreshes from starting: the provider is not asked, living tokens are read on, and it heals by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.kit.house import House, make_house
from tokenkeep.core.errors import RefreshFailing
from tokenkeep.services import sweep
from tokenkeep.services.storage import GOOD_FOR_S


@pytest.fixture
async def house() -> House:
    return await make_house()


async def connected(house: House) -> str:
    return (await house.connect()).credential.id


async def test_nothing_is_refreshed_while_something_is_in_the_way(house: House) -> None:
    id_ = await connected(house)
    house.watch.put("disk_full")
    house.expire()
    with pytest.raises(RefreshFailing, match="disk_full") as caught:
        await house.cases.tokens.token(house.node, id_)
    assert caught.value.retry_after == 30
    await house.sweep()
    assert house.server.refreshes() == []
    assert house.grant(id_).standing.failure is None  # nobody asked, so nobody refused
    assert house.grant(id_).intent_at is None


async def test_a_living_token_is_read_on_although_it_is_due(house: House) -> None:
    id_ = await connected(house)
    house.watch.put("not_adopted")
    house.wait_until(house.grant(id_).standing.next_refresh_at)
    live = await house.cases.tokens.token(house.node, id_)
    assert house.server.is_alive(live.access_token.reveal())
    assert house.server.refreshes() == []


async def test_it_goes_on_by_itself(house: House) -> None:
    id_ = await connected(house)
    house.watch.put("disk_full")
    house.expire()
    with pytest.raises(RefreshFailing):
        await house.cases.tokens.token(house.node, id_)
    house.watch.found.clear()
    house.clock.advance(GOOD_FOR_S)
    live = await house.cases.tokens.token(house.node, id_)
    assert house.server.is_alive(live.access_token.reveal())


async def test_every_change_is_told_once(house: House) -> None:
    storage = house.cases.storage
    for _ in range(3):
        await storage.look()
    house.watch.put("disk_full")
    for _ in range(3):
        await storage.look()
    house.watch.put("read_only")
    for _ in range(3):
        await storage.look()
    house.watch.found.pop(0)
    await storage.look()
    told = [(action, facts["cause"]) for action, facts in house.journal.records if action.startswith("refreshing_")]
    assert told == [
        ("refreshing_paused", "disk_full"),
        ("refreshing_paused", "read_only"),
        ("refreshing_resumed", "disk_full"),
    ]


async def test_one_look_serves_all_who_claim_at_once(house: House) -> None:
    looks = 0
    watch = house.watch.obstacles

    async def counted() -> object:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return await watch()

    house.watch.obstacles = counted  # type: ignore[method-assign,assignment]
    house.clock.advance(GOOD_FOR_S)
    await asyncio.gather(*(house.cases.storage.check() for _ in range(50)))
    assert looks == 1


async def test_what_cannot_be_found_out_is_not_taken_for_well(house: House) -> None:
    house.watch.put("disk_full")
    await house.cases.storage.look()
    house.database.broken.add("instance.mark")
    house.watch.found.clear()
    with pytest.raises(ConnectionError):
        await house.cases.storage.look()
    assert [each.code for each in house.cases.storage.obstacles] == ["disk_full"]


async def test_it_is_said_wherever_one_looks(house: House) -> None:
    assert (await house.cases.status.ready())["refreshing"] == "ok"
    house.watch.put("disk_full")
    await house.cases.storage.look()
    assert (await house.cases.status.ready())["refreshing"] == "paused, disk_full: Mend it."
    view = await house.cases.status.overview(house.person)
    assert [each.code for each in view.obstacles] == ["disk_full"]


async def test_a_backlog_does_not_run_in_circles(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that may not start stay due: the end of one must not be the reason to look for the next."""
    monkeypatch.setattr(sweep, "SELECTED", 4)
    monkeypatch.setattr(sweep, "SELECTIONS", 1)
    await house.connect_many(8)
    house.expire()
    house.watch.put("disk_full")
    looks = 0
    due = house.database.grants.due

    async def counted(**bounds: Any) -> Any:
        nonlocal looks
        looks += 1
        assert looks < 20
        return await due(**bounds)

    house.database.grants.due = counted  # type: ignore[method-assign]
    await house.sweep()
    await house.tasks.drain(5)
    assert looks < 20
    assert house.server.refreshes() == []
