"""One pass over what is due: bounded, and never stopped by somebody else's trouble."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.kit.clock import FakeClock
from tests.kit.house import House, make_house
from tests.kit.journal import ListJournal
from tokenkeep.adapters.tasks import ServiceTasks
from tokenkeep.core.model import State
from tokenkeep.services import gate, pace
from tokenkeep.services import sweep as module
from tokenkeep.services.pace import Pace
from tokenkeep.services.ports import Due
from tokenkeep.services.storage import Storage


async def turns(count: int = 300) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def with_due(count: int) -> tuple[House, list[str]]:
    house = await make_house()
    ids = await house.connect_many(count)
    house.expire()
    house.server.journal.clear()
    return house, ids


async def test_where_nothing_is_due_nobody_is_called():
    house = await make_house()
    await house.connect_many(2)
    swept = await house.cases.sweeper.sweep()
    await house.tasks.drain(5)
    assert (swept.due, swept.started) == (0, 0)
    assert house.wire.refreshed == []
    assert "swept" not in house.journal.actions
    assert house.cases.sweeper.last == swept


async def test_what_is_due_is_refreshed_once():
    house, ids = await with_due(5)
    await house.sweep()
    await house.sweep()
    assert len(house.server.refreshes()) == 5
    assert {house.state(id_) for id_ in ids} == {State.CONNECTED}
    assert house.journal.facts("swept") == [{"due": 5, "started": 5}]


async def test_only_what_is_due_is_refreshed():
    house = await make_house()
    first = (await house.connect()).credential.id
    house.clock.advance(1800)
    second = (await house.connect()).credential.id
    house.wait_until(house.grant(first).standing.next_refresh_at)
    await house.sweep()
    assert (house.grant(first).version, house.grant(second).version) == (2, 1)


async def test_one_sweep_has_a_bounded_number_of_calls_under_way():
    house, _ = await with_due(20)
    house.hold_answers()
    await house.cases.sweeper.sweep()
    await turns()
    assert len(house.server.journal) == gate.CALLS_PER_LANE
    await house.cases.sweeper.sweep()
    await turns()
    assert len(house.server.journal) == gate.CALLS_PER_LANE, "another sweep adds nothing"
    house.server.gate.set()
    await house.tasks.drain(20)
    assert len(house.server.refreshes()) == 20


async def test_one_workspace_does_not_take_every_place():
    house, ids = await with_due(40)
    for number, id_ in enumerate(ids):  # ten providers, as far as their names go
        key = house.owner.workspace_id, id_
        house.database.rows.grants[key] = replace(house.database.rows.grants[key], provider=f"acme-{number % 10}")
    house.hold_answers()
    await house.cases.sweeper.sweep()
    await turns(800)
    assert len(house.server.journal) == gate.CALLS_PER_WORKSPACE == 24
    house.server.gate.set()
    await house.tasks.drain(20)


async def test_a_provider_that_hangs_does_not_stop_the_next_sweep_nor_other_providers():
    house, ids = await with_due(130)
    hanging, healthy = ids[:120], ids[120:]
    for id_ in healthy:
        key = house.owner.workspace_id, id_
        grant = replace(house.database.rows.grants[key], provider="other")
        # Last in the queue: everything of the hanging provider is due before.
        standing = replace(grant.standing, next_refresh_at=house.clock.now())
        house.database.rows.grants[key] = replace(grant, standing=standing)
    never, refresh = asyncio.Event(), house.wire.inner.refresh
    slow = {f"rt-{number}-1" for number in range(1, 121)}

    async def hang(registration, *, refresh_token, scopes):
        if refresh_token.reveal() in slow:
            await never.wait()
        return await refresh(registration, refresh_token=refresh_token, scopes=scopes)

    house.wire.inner.refresh = hang
    for _ in range(2):
        await house.cases.sweeper.sweep()
        await turns(1500)
    assert {house.grant(id_).version for id_ in healthy} == {2}
    assert {house.grant(id_).version for id_ in hanging} == {1}
    await house.dies()


async def test_a_refresh_that_fails_does_not_stop_the_others():
    house, ids = await with_due(3)
    key = house.owner.workspace_id, ids[0]
    house.database.rows.grants[key] = replace(house.database.rows.grants[key], sealed=b"spoiled")
    await house.sweep()
    assert [house.state(id_) for id_ in ids] == [State.QUARANTINED, State.CONNECTED, State.CONNECTED]


async def test_a_database_that_takes_no_claim_is_noted_and_tried_again():
    house, ids = await with_due(2)
    house.database.broken.add("grants.claim")
    await house.sweep()
    assert house.wire.refreshed == []
    assert house.journal.actions.count("sweep_left") == 2
    house.database.broken.clear()
    await house.sweep()
    assert {house.grant(id_).version for id_ in ids} == {2}


async def test_a_database_that_does_not_answer_is_the_timers_matter():
    house, _ = await with_due(1)

    async def away(**_):
        raise ConnectionError

    house.database.grants.due = away
    with pytest.raises(ConnectionError):
        await house.cases.sweeper.sweep()


async def test_a_credential_deleted_between_choosing_and_claiming_is_no_trouble():
    house, ids = await with_due(1)
    await house.cases.sweeper.sweep()
    await house.database.credentials.delete(house.owner.workspace_id, ids[0])
    await house.tasks.drain(5)
    assert house.wire.refreshed == []


async def test_a_crashed_owners_grant_comes_back_by_itself():
    house, ids = await with_due(1)
    lease = await house.database.grants.claim(house.grant(ids[0]), owner="gone", lease_s=90, intent_fingerprint="")
    assert lease is not None
    await house.sweep()
    assert house.wire.refreshed == [], "not while its lease stands"
    house.clock.advance(91)
    await house.sweep()
    assert house.state(ids[0]) is State.CONNECTED
    assert house.grant(ids[0]).version == 2


async def test_a_reader_and_a_sweep_share_one_refresh():
    house, ids = await with_due(1)
    house.hold_answers()
    await house.cases.sweeper.sweep()
    reader = asyncio.create_task(house.cases.tokens.token(house.node, ids[0]))
    await turns(100)
    house.server.gate.set()
    assert (await reader).access_token.reveal() == "at-1-2"
    await house.tasks.drain(5)
    assert len(house.server.refreshes()) == 1


# --- whose turn it is ------------------------------------------------------------------------------------------------


class Backlog:
    """Due grants as a list, and refreshes that last until they are let go."""

    def __init__(self, *lanes: tuple[str, str, int]) -> None:
        self.due_now = [
            Due(ws, f"{ws}-{provider}-{n}", provider) for ws, provider, count in lanes for n in range(count)
        ]
        self.begun: list[Due] = []
        self.selections = 0
        self._held: dict[str, asyncio.Event] = {}
        self.clock, self.tasks = FakeClock(), ServiceTasks()
        self.answered = 0
        self.storage = Storage(watches=(), clock=self.clock, journal=ListJournal())
        self.pace = Pace(clock=self.clock, answered=lambda: self.answered)
        self.sweeper = module.Sweeper(
            grants=self, refresher=self, tasks=self.tasks, clock=self.clock, journal=ListJournal(), pace=self.pace
        )

    async def due(self, *, limit, beside=()):
        self.selections += 1
        return [each for each in self.due_now if (each.workspace_id, each.provider) not in beside][:limit]

    async def refresh(self, workspace_id, credential_id, wanted):
        due = next(each for each in self.due_now if each.credential_id == credential_id)
        self.begun.append(due)
        await self._held.setdefault(due.provider, asyncio.Event()).wait()
        self.due_now.remove(due)

    def let_go(self, *providers: str) -> None:
        for provider in providers:
            self._held.setdefault(provider, asyncio.Event()).set()

    def begun_of(self, **wanted: str) -> int:
        return sum(all(getattr(due, name) == value for name, value in wanted.items()) for due in self.begun)

    async def swept(self) -> None:
        await self.sweeper.sweep()
        await turns()


async def test_the_bounds_hold_in_all_and_for_each():
    backlog = Backlog(*[(f"w{n}", f"p{m}", 20) for n in range(3) for m in range(5)])
    await backlog.swept()
    assert len(backlog.begun) == gate.CALLS * module.AHEAD
    lanes = [(f"w{n}", f"p{m}") for n in range(3) for m in range(5)]
    assert max(backlog.begun_of(workspace_id=ws, provider=p) for ws, p in lanes) <= gate.CALLS_PER_LANE * module.AHEAD
    assert max(backlog.begun_of(workspace_id=f"w{n}") for n in range(3)) <= gate.CALLS_PER_WORKSPACE * module.AHEAD
    assert max(backlog.begun_of(provider=f"p{m}") for m in range(5)) <= gate.CALLS_PER_PROVIDER * module.AHEAD
    backlog.begun.clear()
    backlog.let_go("p0")
    await backlog.swept()
    assert backlog.begun_of(workspace_id="w2"), "who had nothing comes first when places get free"
    backlog.let_go(*[f"p{m}" for m in range(5)])
    await backlog.tasks.drain(5)
    assert backlog.due_now == []


async def test_a_long_queue_of_one_lane_hides_nothing_behind_it():
    backlog = Backlog(("big", "slow", 5000), ("small", "quick", 3))
    backlog.let_go("quick")
    await backlog.swept()
    assert backlog.begun_of(provider="quick") == 3
    assert len(backlog.sweeper._known) <= 2 * module.SELECTED
    backlog.let_go("slow")
    await backlog.tasks.drain(5)


async def test_a_backlog_does_not_wait_for_the_next_tick():
    backlog = Backlog(("w", "p", 450))
    backlog.let_go("p")
    await backlog.swept()
    await backlog.tasks.drain(5)
    assert backlog.due_now == []
    assert backlog.selections < 20, "and does not ask all the time"


async def test_after_the_clock_was_set_refreshes_are_few():
    backlog = Backlog(("w", "p", 300))
    backlog.let_go("p")
    backlog.pace.calm_down()
    for second in range(1, 60):
        await backlog.swept()
        assert second - 1 <= len(backlog.begun) <= second + 1
        backlog.clock.advance(1)
    backlog.clock.advance(pace.CALM_S)
    await backlog.swept()
    await backlog.tasks.drain(5)
    assert backlog.due_now == []


@pytest.mark.parametrize(
    ("requests_per_s", "minutes", "starts"),
    [(0, 0, 1000), (400, 0, 1000), (600, 0, 5), (20_000, 0, 5), (20_000, 1, 10), (20_000, 3, 40)],
)
def test_refreshes_give_way_to_many_requests(requests_per_s: int, minutes: int, starts: int):
    clock, answered = FakeClock(), 0.0
    gives_way = Pace(clock=clock, answered=lambda: int(answered))
    permitted: list[int] = []
    for _ in range(minutes * 60 + 3):
        second = 0
        for _ in range(1000):
            clock.advance(0.001)
            answered += requests_per_s / 1000
            second += gives_way.permits()
        permitted.append(second)
    assert abs(permitted[-1] - starts) <= max(1, starts * 0.05)
    assert gives_way.gives_way == (starts < 1000)


@pytest.mark.parametrize(("requests_per_s", "spread"), [(0, True), (20_000, False)])
async def test_what_starts_together_is_spread_except_while_giving_way(requests_per_s: int, spread: bool):
    """Each start apart from the next costs readers a commit more."""
    backlog = Backlog(("w", "p", 100))
    backlog.let_go("p")
    backlog.pace.permits()
    backlog.clock.advance(1)
    backlog.answered += requests_per_s
    await backlog.swept()
    assert len(backlog.begun) > 1
    assert bool(backlog.clock.slept) == spread
    backlog.clock.advance(2)  # nobody reads any more
    await backlog.swept()
    await backlog.tasks.drain(5)
    assert backlog.due_now == []
