"""What whoever watches is shown, and the beat that wakes the live page."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.kit import builders
from tests.kit.house import make_house
from tests.kit.journal import ListJournal
from tokenkeep.core.errors import ScopeMissing
from tokenkeep.core.model import State
from tokenkeep.services.pulse import KEPT_LATENCIES, Pulse


async def test_all_six_states_are_counted():
    house = await make_house()
    for type_, values in (("acmeApi", {"apiKey": "ak-1"}), ("acmeApi", {"apiKey": "ak-2"}), ("acmeOAuth2", {})):
        await house.cases.credentials.create(house.person, type=type_, name="one", values=values)
    good, dead, bad = await house.connect_many(3)
    grant = house.grant(dead)
    house.server.revoke_all()
    house.expire()
    house.database.rows.grants[house.owner.workspace_id, bad] = replace(house.grant(bad), sealed=b"spoiled")
    await house.refresh_now(dead)
    await house.refresh_now(bad)
    view = await house.cases.status.overview(house.person)
    assert view.by_state == {
        "stored": 2,
        "unconnected": 1,
        "connected": 1,
        "failing": 0,
        "reauthorization_required": 1,
        "quarantined": 1,
    }
    assert set(view.by_state) == {state.value for state in State}
    assert {each.credential_id for each in view.attention} == {dead, bad}
    assert [each.credential_id for each in view.upcoming] == [good]
    assert view.now == house.clock.now()
    assert grant.version == 1


async def test_the_overview_opens_nothing():
    house = await make_house()
    await house.connect_many(2)
    house.envelope.broken = True
    view = await house.cases.status.overview(house.person)
    assert view.by_state["connected"] == 2


async def test_the_overview_tells_of_sweeps_latencies_and_history():
    house = await make_house()
    view = await house.cases.status.overview(house.person)
    assert (view.last_sweep, view.last_sweep_at, view.latency_ms) == (None, None, {})
    id_ = (await house.connect()).credential.id
    await house.next_try(id_)
    view = await house.cases.status.overview(house.person)
    assert (view.last_sweep.due, view.last_sweep_at) == (1, view.last_sweep.at)
    assert set(view.latency_ms) == {"p50", "p95", "p99"}
    assert [event.kind for event in view.recent][:2] == ["refreshed", "connected"]


async def test_the_overview_keeps_to_its_workspace_and_scope():
    house = await make_house()
    await house.connect()
    stranger = await house.cases.status.overview(builders.caller(workspace_id="workspace-2"))
    assert (sum(stranger.by_state.values()), stranger.recent, stranger.clients_paused) == (0, [], [])
    with pytest.raises(ScopeMissing):
        await house.cases.status.overview(house.node)


async def test_what_is_ready_and_what_is_not():
    house = await make_house()
    assert await house.cases.status.ready() == {"database": "ok", "key": "ok", "scheduler": "ok", "refreshing": "ok"}
    house.watch.put("disk_full")
    await house.cases.storage.look()
    house.database.broken.add("status.ping")
    house.envelope.broken = True
    house.heart.beating = False
    house.cases.status.draining = True
    parts = await house.cases.status.ready()
    assert set(parts) == {"database", "key", "scheduler", "refreshing", "service"}
    assert "ok" not in parts.values()


# --- the pulse -------------------------------------------------------------------------------------------------------


async def test_whoever_waits_is_woken_by_the_next_report():
    pulse = Pulse(ListJournal())
    waiting = [asyncio.create_task(pulse.changed(0)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    pulse.record("refreshed", duration_ms=12.0)
    assert await asyncio.gather(*waiting) == [1, 1, 1]


async def test_whoever_missed_a_beat_is_answered_at_once():
    pulse = Pulse(ListJournal())
    pulse.record("connected")
    assert await asyncio.wait_for(pulse.changed(0), 1) == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pulse.changed(1), 0.01)


async def test_whoever_waits_is_let_go_at_the_end():
    house = await make_house()
    waiting = asyncio.create_task(house.cases.status.changed(house.cases.pulse.beats))
    await asyncio.sleep(0)
    house.cases.pulse.stop()
    assert await waiting == -1
    assert await house.cases.status.changed(0) == -1


def test_reports_are_passed_on_and_only_refreshes_have_latencies():
    journal = ListJournal()
    pulse = Pulse(journal)
    pulse.record("refreshed", duration_ms=12.5)
    pulse.record("connected", duration_ms=99.0)
    pulse.record("refreshed")
    assert journal.records == [
        ("refreshed", {"duration_ms": 12.5}),
        ("connected", {"duration_ms": 99.0}),
        ("refreshed", {}),
    ]
    assert list(pulse.latencies_ms) == [12.5]
    for number in range(KEPT_LATENCIES + 10):
        pulse.record("refreshed", duration_ms=float(number))
    assert len(pulse.latencies_ms) == KEPT_LATENCIES


def test_percentiles():
    from tokenkeep.services.status import _percentiles

    assert _percentiles([]) == {}
    assert _percentiles([5.0]) == {"p50": 5.0, "p95": 5.0, "p99": 5.0}
    assert _percentiles([float(number) for number in range(100, 0, -1)]) == {"p50": 51.0, "p95": 96.0, "p99": 100.0}
