"""The second signal: what was answered and is not stored goes to the shelf, and the next start stores it."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.house import House, make_house, until
from tokenkeep.core.errors import Unavailable


class Stuck:
    """A store that neither stores nor answers, as of a database behind a dead line."""

    def __init__(self, house: House) -> None:
        self.entered = 0
        self.real = house.database.grants.store
        house.database.grants.store = self.store  # type: ignore[method-assign]

    async def store(self, *_: object, **__: object) -> bool:
        self.entered += 1
        await asyncio.Event().wait()
        return False


@pytest.fixture
async def house() -> House:
    return await make_house()


async def stuck(house: House, count: int) -> tuple[list[str], Stuck]:
    """So many refreshes, answered and not stored."""
    ids = await house.connect_many(count)
    line = Stuck(house)
    house.expire()
    await house.cases.sweeper.sweep()
    await until(lambda: line.entered == count)
    return ids, line


async def test_what_is_in_memory_only_goes_to_the_shelf_and_is_replayed(house: House) -> None:
    ids, line = await stuck(house, 3)
    assert house.spill.shelf == {}
    assert await house.cases.keeping.spill_held() == 0
    assert len(house.spill.shelf) == 3
    started = await house.dies()
    started.database.grants.store = line.real  # type: ignore[method-assign]
    started.clock.advance(1)
    assert await started.cases.keeping.replay() == 3
    assert started.spill.shelf == {}
    for id_ in ids:
        assert started.server.accepts(await started.stored_refresh_token(id_))


async def test_what_does_not_get_there_is_counted(house: House) -> None:
    _, _ = await stuck(house, 2)
    house.spill.full = True
    assert await house.cases.keeping.spill_held() == 2
    house.spill.full = False
    assert await house.cases.keeping.spill_held() == 0
    await house.dies()


async def test_what_is_stored_is_not_held(house: House) -> None:
    await house.connect()
    house.expire()
    await house.sweep()
    assert [entry.outcome for entry in house.server.refreshes()] == ["granted"]
    assert await house.cases.keeping.spill_held() == 0
    assert house.spill.shelf == {}


async def test_an_answer_that_cannot_be_sealed_is_counted_as_lost(house: House) -> None:
    await house.connect()
    house.expire()

    async def away(*_: object) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def seal_no_more() -> None:
        house.envelope.seal = away  # type: ignore[method-assign]

    house.wire.after_refresh.append(seal_no_more)
    await house.cases.sweeper.sweep()
    await until(lambda: house.server.refreshes() and house.cases.keeping._unsealed)
    assert await house.cases.keeping.spill_held() == 1
    await house.dies()


async def test_where_an_answer_could_not_be_sealed_the_provider_is_not_asked(house: House) -> None:
    await house.connect()
    house.expire()

    async def away(*_: object) -> bytes:
        raise Unavailable

    house.envelope.seal = away  # type: ignore[method-assign]
    await house.sweep()
    assert house.server.refreshes() == []
