"""A spilled generation comes before the spent token: recovery may not ask the provider while the answer lies on the shelf."""

from __future__ import annotations

import asyncio

from tests.kit.house import make_house
from tokenkeep.core.errors import Unavailable
from tokenkeep.core.model import Rotation, State


class Away:
    """A database that takes no new generation for a while."""

    def __init__(self, grants) -> None:
        self._grants, self.away = grants, True

    async def store(self, *arguments):
        if self.away:
            raise Unavailable
        return await self._grants.store(*arguments)

    def __getattr__(self, name):
        return getattr(self._grants, name)


async def test_the_shelf_is_looked_at_before_a_spent_token_is_sent():
    house = await make_house(rotation=Rotation.FAMILY)
    view = await house.connect()
    credential_id = view.credential.id
    house.expire()
    away = Away(house.database.grants)
    house.database.grants = away  # ours is built anew over it
    house = house.replica()
    house.cases.refresher.wait_s = 0.05
    await house.cases.sweeper.sweep()
    await _until_spilled(house)
    house = await house.dies()  # with the new token set on the shelf only
    await house.cases.keeping.replay()  # the database is still away at the start
    away.away = False  # and comes back before the shelf is looked at again
    house.clock.advance(91)  # the lease is over
    await house.sweep()
    await house.cases.keeping.replay()
    assert house.state(credential_id) is State.CONNECTED
    assert house.server.accepts(await house.stored_refresh_token(credential_id))


async def _until_spilled(house) -> None:
    for _ in range(5000):
        if await house.spill.all():
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing was spilled")
