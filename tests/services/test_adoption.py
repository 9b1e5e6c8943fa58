"""A database that was restored or copied is not refreshed until somebody adopts it; every ordinary start asks nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.kit.builders import NOON
from tests.kit.house import House, make_house
from tests.kit.memory_instance import MemoryMemento
from tokenkeep.services.adoption import ALONE, COPIED, OLDER, difference
from tokenkeep.services.ports import Mark

LATER = NOON + timedelta(minutes=1)


def mark(home: str = "f/m", at=NOON) -> Mark:
    return Mark(home=home, at=at)


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize(
    ("stored", "seen", "here"),
    [
        (None, None, "f/m"),  # the first start ever, or the first of a version that marks
        (mark(), mark(), "f/m"),  # a restart
        (mark(at=LATER), mark(), "f/m"),  # killed between the row and the memento; or another replica went on
        (mark("f/"), mark("f/"), "f/"),  # in a container, which has no machine of its own
        (mark("f/"), mark("f/"), "f/m"),  # moved out of a container
        (mark("/m"), mark("/m"), "/m"),  # on a file system whose numbers do not last
        (mark("/"), mark("f/m"), "f/m"),
    ],
)
def test_what_is_ours(stored, seen, here, beside):
    assert difference(stored, seen, here=here, beside=beside) == ""


@pytest.mark.parametrize(
    ("stored", "seen", "here", "beside", "why"),
    [
        (mark(), mark(), "f2/m", True, COPIED),  # the whole directory was copied
        (mark(), mark(), "f/m2", True, COPIED),  # the whole disk was
        (mark(), None, "f2/m", True, COPIED),
        (mark("s/1"), None, "s/2", False, COPIED),  # a dump was restored into another database
        (mark("s/1"), mark("s/1"), "s2/1", False, COPIED),
        (mark(), mark(at=LATER), "f/m", True, OLDER),  # a backup was copied over the file
        (mark("s/1"), mark("s/1", LATER), "s/1", False, OLDER),  # recovered to a point in time
        (None, mark(), "f/m", True, OLDER),  # a backup from before marks
        (None, mark("s/1"), "s/1", False, OLDER),
        (mark(), None, "f/m", True, ALONE),  # a backup of the file alone, at a number that was taken again
    ],
)
def test_what_must_be_adopted(stored, seen, here, beside, why):
    assert difference(stored, seen, here=here, beside=beside) == why


def test_a_replica_on_a_new_machine_is_no_copy():
    assert difference(mark("s/1"), None, here="s/1", beside=False) == ""


def test_another_database_was_used_from_here_before():
    assert difference(None, mark("s/1"), here="s/2", beside=False) == ""
    assert difference(mark("s/2"), mark("s/1", LATER), here="s/2", beside=False) == ""


# --- in a house -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def house() -> House:
    house = await make_house()
    await house.connect()
    assert await house.cases.adoption.mark()
    return house


async def pausing(house: House) -> list[str]:
    return [each.code for each in await house.cases.storage.look()]


async def test_restarting_asks_nobody(house: House) -> None:
    for _ in range(3):
        house.clock.advance(60)
        house = await house.dies()
        assert await pausing(house) == []
        assert await house.cases.adoption.mark()


@pytest.mark.parametrize("step", ["instance.put_mark", "instance.put_mark, answer"])
async def test_an_end_in_the_middle_of_the_first_mark_asks_nobody(step: str) -> None:
    """At the first start of a version that marks, on a database that holds grants."""
    house = await make_house()
    await house.connect()
    house.database.broken.add(step)
    with pytest.raises(ConnectionError):
        await house.cases.adoption.mark()
    house.database.broken.clear()
    house = await house.dies()
    assert await pausing(house) == []
    assert await house.cases.adoption.mark()
    assert await house.parts.memento.read() == house.database.instance.stored


async def test_a_copy_waits_until_it_is_adopted_and_then_refreshes(house: House) -> None:
    (id_,) = [credential_id for _, credential_id in house.database.rows.grants]
    house.database.instance.here = "file-2/machine-1"
    house.expire()
    await house.sweep()
    assert house.server.refreshes() == []
    assert await pausing(house) == ["not_adopted"]
    assert not await house.cases.adoption.mark()  # a tick must not adopt it in passing
    assert await pausing(house) == ["not_adopted"]
    assert "tokenkeep adopt" in house.cases.storage.obstacles[0].fix
    await house.cases.adoption.adopt()
    assert await pausing(house) == []
    await house.sweep()
    assert [entry.outcome for entry in house.server.refreshes()] == ["granted"]
    assert house.server.accepts(await house.stored_refresh_token(id_))
    assert {"refreshing_paused", "database_adopted", "refreshing_resumed"} <= set(house.journal.actions)


async def test_an_older_state_is_noticed_while_the_service_runs(house: House) -> None:
    backup = house.database.instance.stored
    house.clock.advance(60)
    assert await house.cases.adoption.mark()
    house.database.instance.stored = backup
    assert await pausing(house) == ["not_adopted"]
    await house.cases.adoption.adopt()
    assert await pausing(house) == []


async def test_an_uncertain_refresh_is_recovered_after_adopting(house: House) -> None:
    house.server.switches.rotation = "none"
    house.hold_answers()
    house.expire()
    await house.cases.sweeper.sweep()
    await house.server.entered.wait()
    copy = await house.dies()  # in the middle of it; the copy is made of what lies there
    copy.database.instance.here = "file-2/machine-1"
    house.server.gate.set()
    copy.clock.advance(120)
    await copy.sweep()
    assert len(copy.server.refreshes()) == 1
    await copy.cases.adoption.adopt()
    await copy.cases.storage.look()
    await copy.sweep()
    assert len(copy.server.refreshes()) == 2


async def test_adopting_in_one_place_is_enough_for_all_replicas(house: House) -> None:
    other = replace(house, parts=replace(house.parts, memento=MemoryMemento(beside=False)))
    other = other.replica()
    assert await other.cases.adoption.mark()
    house.database.instance.here = "server-2/machine-1"
    assert await pausing(house) == await pausing(other) == ["not_adopted"]
    house.clock.advance(1)
    await house.cases.adoption.adopt()
    assert await pausing(house) == await pausing(other) == []


async def test_without_a_grant_nobody_is_asked() -> None:
    house = await make_house()
    assert await house.cases.adoption.mark()
    house.database.instance.here = "file-2/machine-1"
    assert await pausing(house) == []
