"""A spilled generation comes before the spent token: recovery may not ask the provider while the answer lies on the shelf."""

from __future__ import annotations

from tests.kit.house import House, make_house, until
from tokenkeep.core.errors import Unavailable
from tokenkeep.core.model import Rotation, State


class Away:
    """A database that takes no new generation for a while."""

    def __init__(self, grants) -> None:
        self._grants, self.away = grants, True

    async def store(self, *arguments, **named):
        if self.away:
            raise Unavailable
        return await self._grants.store(*arguments, **named)

    def __getattr__(self, name):
        return getattr(self._grants, name)


async def spilled() -> tuple[House, Away, str]:
    """A house that died with the new token set on its shelf only; the database is still away when it starts again."""
    house = await make_house(rotation=Rotation.FAMILY)
    view = await house.connect()
    house.expire()
    away = Away(house.database.grants)
    house.database.grants = away  # ours is built anew over it
    house = house.replica()
    house.cases.refresher.wait_s = 0.05
    await house.cases.sweeper.sweep()
    await until(lambda: house.spill.shelf)
    house = await house.dies()
    await house.cases.keeping.replay()
    house.clock.advance(91)  # the lease is over
    return house, away, view.credential.id


async def test_the_shelf_is_looked_at_before_a_spent_token_is_sent():
    house, away, credential_id = await spilled()
    away.away = False  # it comes back before the shelf is looked at again
    await house.sweep()
    await house.cases.keeping.replay()
    assert house.state(credential_id) is State.CONNECTED
    assert house.grant(credential_id).intent_at is None
    assert house.server.accepts(await house.stored_refresh_token(credential_id))


async def test_a_shelf_that_cannot_be_read_is_no_fault_of_the_grant():
    house, away, credential_id = await spilled()
    away.away, read = False, house.spill.all

    async def unreadable():
        raise OSError(5, "input/output error")

    house.spill.all = unreadable
    for _ in range(4):
        await house.next_try(credential_id)
        assert house.failure_code(credential_id) == "unavailable"
    assert len(house.wire.refreshed) == 1, "nothing is sent while the answer may lie there"
    house.spill.all = read
    await house.next_try(credential_id)
    assert house.state(credential_id) is State.CONNECTED
