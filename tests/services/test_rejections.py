"""What nodes report as rejected: an unknown end is learned, and a loop is stopped."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.house import House, make_house
from tokenkeep.core.errors import RefreshFailing
from tokenkeep.core.model import Expiry

TWO_HOURS = 7200


async def connected(**switches: object) -> tuple[House, str]:
    house = await make_house(**switches)
    return house, (await house.connect()).credential.id


async def reject(house: House, id_: str) -> None:
    """A node reports the token it has just read."""
    token = await house.cases.tokens.token(house.node, id_)
    await house.cases.tokens.refresh(house.node, id_, rejected=token.facts.fingerprint)


async def looped(house: House, id_: str) -> RefreshFailing:
    """Three rejections that cause refreshes, and the one that does not any more."""
    for _ in range(3):
        house.clock.advance(60)
        await reject(house, id_)
    house.clock.advance(60)
    with pytest.raises(RefreshFailing) as told:
        await reject(house, id_)
    return told.value


# --- learning --------------------------------------------------------------------------------------------------------


async def test_an_unknown_end_is_learned_from_a_rejection_and_planned_by():
    house, id_ = await connected(omits_expires_in=True)
    assert house.grant(id_).standing.expiry is Expiry.UNKNOWN
    house.clock.advance(TWO_HOURS)
    await reject(house, id_)
    standing = house.grant(id_).standing
    assert (standing.expiry, standing.learned_life_s, standing.expires_at) == (Expiry.LEARNED, TWO_HOURS, None)
    wait = (standing.next_refresh_at - house.clock.now()).total_seconds()
    assert 0.75 * TWO_HOURS <= wait <= 0.80 * TWO_HOURS
    for _ in range(3):
        await house.next_try(id_)
    assert len(house.server.refreshes()) == 4
    assert house.grant(id_).standing.learned_life_s == TWO_HOURS


async def test_a_learned_end_expires_nothing():
    house, id_ = await connected(omits_expires_in=True)
    house.clock.advance(TWO_HOURS)
    await reject(house, id_)
    house.clock.advance(10 * TWO_HOURS)
    house.server.switches.down = True
    assert (await house.cases.tokens.token(house.node, id_)).access_token.reveal() == "at-1-2"
    assert len(house.server.refreshes()) == 1


async def test_the_shortest_life_counts():
    house, id_ = await connected(omits_expires_in=True)
    for age, learned in ((TWO_HOURS, TWO_HOURS), (3000, 3000)):
        house.clock.advance(age)
        await reject(house, id_)
        assert house.grant(id_).standing.learned_life_s == learned


async def test_a_rejection_of_a_known_end_teaches_nothing():
    house, id_ = await connected()
    house.clock.advance(600)
    await reject(house, id_)
    assert (house.grant(id_).standing.expiry, house.grant(id_).standing.learned_life_s) == (Expiry.KNOWN, None)


async def test_what_was_learned_outlives_a_new_consent():
    house, id_ = await connected(omits_expires_in=True)
    house.clock.advance(TWO_HOURS)
    await reject(house, id_)
    await house.connect(credential_id=id_)
    assert house.grant(id_).standing.learned_life_s == TWO_HOURS
    assert house.grant(id_).rejections is None
    assert house.grant(id_).standing.next_refresh_at is not None


async def test_many_who_report_one_rejection_are_one():
    house, id_ = await connected(omits_expires_in=True)
    house.clock.advance(TWO_HOURS)
    await asyncio.gather(*(reject(house, id_) for _ in range(50)))
    assert len(house.server.refreshes()) == 1
    assert house.grant(id_).rejections.count == 1


async def test_a_run_of_rejections_unlearns_what_its_first_one_taught():
    house, id_ = await connected(omits_expires_in=True)
    house.clock.advance(TWO_HOURS)
    await reject(house, id_)
    house.clock.advance(60)
    await reject(house, id_)
    assert house.grant(id_).standing.expiry is Expiry.UNKNOWN
    assert house.grant(id_).standing.next_refresh_at is None


# --- the loop ----------------------------------------------------------------------------------------------------------


async def test_a_loop_stops_and_says_why():
    house, id_ = await connected(omits_expires_in=True)
    told = await looped(house, id_)
    assert "scopes or account" in told.message
    assert told.retry_after == 3600
    assert len(house.server.refreshes()) == 3
    assert house.events(id_).count("rejection_loop") == 1
    assert house.journal.facts("rejection_loop") == [{"provider": "acme", "credential": id_}]
    token = await house.cases.tokens.token(house.node, id_)
    assert token.access_token.reveal() == "at-1-4", "whoever wants the token gets it: perhaps it serves others"


async def test_a_stopped_loop_stays_stopped_for_everybody_and_after_a_restart():
    house, id_ = await connected(omits_expires_in=True)
    await looped(house, id_)
    after = await house.dies()
    for _ in range(5):
        house.clock.advance(600)
        with pytest.raises(RefreshFailing) as told:
            await asyncio.gather(*(reject(after, id_) for _ in range(9)))
    assert told.value.retry_after == 600
    assert len(house.server.refreshes()) == 3
    assert house.events(id_).count("rejection_loop") == 1


async def test_after_an_hour_it_is_tried_again():
    house, id_ = await connected(omits_expires_in=True)
    await looped(house, id_)
    house.clock.advance(3600)
    await reject(house, id_)
    assert len(house.server.refreshes()) == 4
    assert house.grant(id_).rejections.count == 1


async def test_planned_refreshes_go_on_and_end_the_stop():
    house, id_ = await connected(expires_in=1000)
    told = await looped(house, id_)
    planned = house.grant(id_).standing.next_refresh_at
    assert told.retry_after == round((planned - house.clock.now()).total_seconds())
    await house.next_try(id_)
    assert len(house.server.refreshes()) == 4
    house.clock.advance(60)
    await reject(house, id_)
    assert len(house.server.refreshes()) == 5


async def test_rejections_far_apart_are_no_loop():
    house, id_ = await connected(omits_expires_in=True)
    for _ in range(6):
        house.clock.advance(1300)
        await reject(house, id_)
    assert "rejection_loop" not in house.events(id_)


async def test_a_provider_that_is_down_makes_no_loop():
    house, id_ = await connected(omits_expires_in=True)
    house.clock.advance(TWO_HOURS)
    house.server.switches.down = True
    for _ in range(6):
        with pytest.raises(RefreshFailing):
            await reject(house, id_)
        house.clock.advance(600)
    assert house.grant(id_).rejections.count == 1
    house.server.switches.down = False
    await reject(house, id_)
    assert house.grant(id_).version == 2


async def test_a_new_consent_ends_the_stop():
    house, id_ = await connected(omits_expires_in=True)
    await looped(house, id_)
    await house.connect(credential_id=id_)
    house.clock.advance(60)
    await reject(house, id_)
    assert house.grant(id_).version == 2
