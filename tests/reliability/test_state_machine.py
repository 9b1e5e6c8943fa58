"""The life of credentials as hypothesis imagines it, at a model provider of every class, judged after each step.

`HYPOTHESIS_PROFILE=deep` plays some thousand lives more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.kit.builders import WORKSPACE
from tests.reliability.checker import during, violations
from tests.reliability.provider import MANNERS, TROUBLES
from tests.reliability.replica import Died, Fate, Replica
from tests.reliability.virtual_time import VirtualLoop, _end, _quiet
from tests.reliability.world import World
from tokenkeep.core.errors import Unavailable

CREDENTIALS = ("one", "two")
ids = st.sampled_from(CREDENTIALS)


class Outage(Fate):
    """A database that is there or not."""

    def __init__(self) -> None:
        self.away = False

    async def meet(self, replica: Replica, point: str) -> None:
        if self.away and not point.startswith(("clock.", "wire.", "spill.", "envelope.")):
            raise Unavailable


class Life(RuleBasedStateMachine):
    """One process that is killed and started again, over two credentials of one provider."""

    manner = "strict"

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.fate = Outage()
        self.world: World = self._do(self._begin())
        self.provider = self.world.providers["provider0"]

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        with _quiet():
            return self.loop.run_until_complete(work)

    async def _begin(self) -> World:
        world = World([self.manner])
        await world.furnish()
        for credential_id in CREDENTIALS:
            await world.connect(credential_id, "provider0")
        await self._start(world)
        return world

    async def _start(self, world: World) -> None:
        replica = world.start("a", fate=self.fate)
        with suppress(Died, Unavailable):
            await world.boot(replica, alone=True)
        world.tick(replica)

    @property
    def replica(self) -> Replica:
        return self.world.replicas["a"]

    # --- time ------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 20.0, 95.0, 600.0, 2900.0]))
    def time_passes(self, seconds: float) -> None:
        self._do(asyncio.sleep(seconds))

    @rule(credential_id=ids)
    def it_comes_due_and_the_process_dies(self, credential_id: str) -> None:
        self._do(self._die_while_refreshing(credential_id, 0.07))

    @rule(credential_id=ids, after=st.floats(0.0, 0.3))
    def the_process_dies(self, credential_id: str, after: float) -> None:
        self._do(self._die_while_refreshing(credential_id, after))

    async def _die_while_refreshing(self, credential_id: str, after: float) -> None:
        grant = await self.world.grant(credential_id)
        if grant is not None and grant.standing.expires_at is not None:
            left = (grant.standing.expires_at - self.world.clock.now()).total_seconds()
            await asyncio.sleep(max(min(left, 3600.0), 0.0))
        self.replica.spawn(self.world.read(self.replica, credential_id))
        await asyncio.sleep(after)
        self.replica.kill()
        await asyncio.sleep(5)
        await self._start(self.world)

    # --- people ----------------------------------------------------------------------------------------------------

    @rule(credential_id=ids, readers=st.integers(1, 5))
    def nodes_read(self, credential_id: str, readers: int) -> None:
        self._do(self._read(credential_id, readers))

    async def _read(self, credential_id: str, readers: int) -> None:
        asked = [self.replica.spawn(self.world.read(self.replica, credential_id)) for _ in range(readers)]
        await asyncio.wait(asked)

    @rule(credential_id=ids)
    def connect_again(self, credential_id: str) -> None:
        self._do(self.world.connect(credential_id, "provider0"))

    @rule(credential_id=ids)
    def withdraw_at_the_provider(self, credential_id: str) -> None:
        if (family := self.world.family(credential_id)) is not None:
            self.provider.withdraw(family)

    @rule(credential_id=ids)
    def disconnect(self, credential_id: str) -> None:
        told = self.world._event(credential_id, "disconnected")
        self._do(self.world.database.grants.disconnect(WORKSPACE, credential_id, told))

    @rule(credential_id=ids)
    def delete(self, credential_id: str) -> None:
        self._do(self.world.database.credentials.delete(WORKSPACE, credential_id))

    # --- bad days --------------------------------------------------------------------------------------------------

    @rule(trouble=st.sampled_from(TROUBLES), times=st.integers(1, 3))
    def the_next_requests_go_wrong(self, trouble: str, times: int) -> None:
        left = [trouble] * times
        self.provider.trouble = lambda: left.pop() if left else ""

    @rule()
    def the_clients_secret_is_refused_or_mended(self) -> None:
        self.provider.switches.invalid_client = not self.provider.switches.invalid_client

    @rule()
    def the_shelf_is_full_or_emptied(self) -> None:
        self.world.shelves["a"].full = not self.world.shelves["a"].full

    @precondition(lambda self: not self.fate.away)
    @rule(seconds=st.sampled_from([0.1, 30.0, 200.0]))
    def the_database_is_away(self, seconds: float) -> None:
        self.fate.away = True
        self._do(asyncio.sleep(seconds))
        self.fate.away = False

    # --- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_broken(self) -> None:
        assert list(during(self.world)) == []

    def teardown(self) -> None:
        """All troubles end; then every credential is well, or says truly why it is not."""
        self.provider.trouble = lambda: ""
        self.provider.switches.invalid_client = self.world.shelves["a"].full = False
        try:
            self._do(asyncio.sleep(5000))
            assert list(self._do(violations(self.world))) == []
        finally:
            _end(self.loop)


@pytest.mark.parametrize("manner", MANNERS)
def test_whatever_happens_in_a_life(manner: str) -> None:
    life = type("Life", (Life,), {"manner": manner})
    few = settings(stateful_step_count=20, max_examples=settings.default.max_examples // 3)
    run_state_machine_as_test(life, settings=few)
