"""The smallest test of each fault that the harnesses found. All are mended; they stay, so that none comes back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.kit.stored import claimed
from tests.reliability.crash_points import Case, Strike, judged, play
from tests.reliability.provider import MANNERS, Manner
from tests.reliability.virtual_time import run
from tests.reliability.world import World
from tokenkeep.core.model import Rotation, TokenSet
from tokenkeep.core.secret import Secret
from tokenkeep.services.sealing import seal_tokens


def test_what_reuse_has_revoked_is_not_put_in_place() -> None:
    """An owner stands still with the answer; the recovery of another replica makes the provider revoke the family; then
    the owner goes on and puts its dead generation in place of `reauthorization_required`."""
    strike = Strike(point="wire.refresh:after", nth=1, fault="stall")
    outcome = judged(Case(manner="family-kills", trigger="sweep", strikes=(strike,)))
    assert outcome.faults == []
    assert outcome.code == "lost_response"


def test_a_refusal_that_was_written_is_not_overwritten() -> None:
    """The answer is lost, the recovery refused; that is written, but the commit reports an error."""
    strikes = (
        Strike(point="wire.refresh:after", nth=1, fault="error"),
        Strike(point="grants.settle:after", nth=2, fault="error"),
    )
    outcome = run(lambda: play(Case(manner="strict", trigger="sweep", strikes=strikes), record_s=60.0))
    assert not outcome.missed
    assert outcome.code == "lost_response"
    assert outcome.faults == []


def test_an_orphan_that_lives_is_not_forgotten() -> None:
    """An owner stands still with the answer, another replica is refused, and the owner dies between shelving and adopting."""
    strikes = (
        Strike(point="wire.refresh:after", nth=1, fault="stall"),
        Strike(point="grants.shelve:after", nth=1, fault="exit"),
    )
    outcome = run(lambda: play(Case(manner="strict", trigger="sweep", strikes=strikes), record_s=200.0))
    assert not outcome.missed
    assert outcome.faults == []


def test_no_fallback_is_sent_twice() -> None:
    """An orphan of an older generation stays on its shelf for a day and is tried as well as the previous token."""

    async def a_day() -> list[str]:
        world = World(["strict"])
        await world.furnish()
        await world.connect("main", "provider0")
        world.tick(world.start("a"))
        await asyncio.sleep(4000)
        await _shelve_the_first(world)
        family = world.family("main")
        assert family is not None
        world.providers["provider0"].withdraw(family)
        await asyncio.sleep(4000)
        return [sent.token for sent in world.record.sent if sent.refused]

    sent = run(a_day)
    assert len(sent) > 1
    assert len(sent) == len(set(sent)), sent


async def _shelve_the_first(world: World) -> None:
    """As if generation 1 had once lost its fence; and the grant is uncertain, so that fallbacks are tried."""
    grants, grant = world.database.grants, await world.grant("main")
    assert grant is not None
    assert grant.version == 2
    lease = await claimed(world.database, grant)
    first = await seal_tokens(
        world.envelope, replace(grant, version=1), TokenSet(access_token=Secret("old"), refresh_token=Secret("rt-1-1"))
    )
    await grants.shelve(lease, first.sealed, version=1, until=world.clock.now() + timedelta(days=1))
    await grants.settle(lease, grant.standing, None, keep_intent=True)


def test_a_short_grace_is_reached_although_its_owner_died(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start ends the leases of its forerunner: alone all of them, beside others those of its own data directory."""
    monkeypatch.setitem(MANNERS, "grace-30", Manner(name="grace-30", rotation=Rotation.GRACE, grace_s=30))
    strike = Strike(point="wire.refresh:after", nth=1, fault="exit")
    alone = judged(Case(manner="grace-30", trigger="sweep", strikes=(strike,)))
    assert alone.faults == []
    shared = judged(Case(manner="grace-30", trigger="sweep", strikes=(strike,), beside=True))
    assert shared.faults == []
