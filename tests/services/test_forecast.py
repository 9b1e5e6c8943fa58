"""Grants kept alive, and people told in time where that is not in our power."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from tests.kit import builders
from tests.kit.house import House, make_house
from tokenkeep.core.model import Expiry, State
from tokenkeep.services.spilling import plain, revived

DAY = timedelta(days=1)
IDLE_S = 7 * 86_400


async def connected(**switches: object) -> tuple[House, str]:
    house = await make_house(**switches)
    return house, (await house.connect()).credential.id


def answered(**members: object) -> object:
    return builders.answer(json.dumps({"access_token": "at", "refresh_token": "rt", **members}))


# --- keep-alive --------------------------------------------------------------------------------------------------------


async def test_a_token_that_nobody_uses_is_kept_alive():
    house, id_ = await connected(omits_expires_in=True, provider={"refresh_idle_ttl_s": IDLE_S})
    used, latest = [house.clock.now()], 0.80 * IDLE_S
    for _ in range(5):
        await house.next_try(id_)
        used.append(house.clock.now())
    gaps = [(after - before).total_seconds() for before, after in pairwise(used)]
    assert len(house.server.refreshes()) == 5
    assert all(0.75 * IDLE_S <= gap <= latest + 1 for gap in gaps)
    assert house.grant(id_).standing.needs_person_at is None, "kept alive, it needs nobody"
    token = await house.cases.tokens.token(house.node, id_)
    assert (token.access_token.reveal(), token.facts.expires_at) == ("at-1-6", None)


async def test_without_a_window_nothing_is_planned_for_an_unknown_end():
    house, id_ = await connected(omits_expires_in=True)
    assert house.grant(id_).standing.next_refresh_at is None


async def test_where_a_blind_refresh_does_harm_a_grant_is_kept_alive_all_the_same():
    quirky = {"quirks": frozenset({"never_refresh_blindly"}), "refresh_idle_ttl_s": IDLE_S}
    house, id_ = await connected(provider=quirky)
    planned = house.grant(id_).standing.next_refresh_at
    assert 0.75 * IDLE_S <= (planned - house.clock.now()).total_seconds() <= 0.80 * IDLE_S
    await house.next_try(id_)
    assert len(house.server.refreshes()) == 1


# --- the forecast --------------------------------------------------------------------------------------------------------


async def test_the_date_is_stored_with_consent_and_each_refresh():
    house, id_ = await connected(provider={"grant_ttl_s": 30 * 86_400})
    date = house.grant(id_).connected_at + 30 * DAY
    assert house.grant(id_).standing.needs_person_at == date
    await house.next_try(id_)
    await house.next_try(id_)
    assert house.grant(id_).standing.needs_person_at == date


async def test_it_is_said_once_seven_days_before():
    house, id_ = await connected(provider={"grant_ttl_s": 90 * 86_400})
    date = house.grant(id_).standing.needs_person_at
    house.wait_until(date - 7.1 * DAY)
    assert await house.cases.forecaster.warn() == 0
    house.wait_until(date - 7 * DAY)
    assert await house.cases.forecaster.warn() == 1
    for _ in range(3):
        assert await house.cases.forecaster.warn() == 0
        await house.refresh_now(id_)
    assert house.events(id_).count("reauthorization_expected") == 1
    said = date.strftime("%Y-%m-%dT%H:%M:%SZ")
    facts = {"provider": "acme", "credential": id_, "needs_person_at": said}
    assert house.journal.facts("reauthorization_expected") == [facts]
    told = next(event for event in house.database.rows.events if event.kind == "reauthorization_expected")
    assert (told.actor, told.detail, told.workspace_id) == (
        "system",
        {"needs_person_at": said},
        house.owner.workspace_id,
    )


async def test_several_processes_say_it_once():
    house, id_ = await connected(provider={"grant_ttl_s": 86_400})
    house.clock.advance(0.9 * 86_400)
    replicas = [house, house.replica(), house.replica()]
    said = await asyncio.gather(*(each.cases.forecaster.warn() for each in replicas))
    assert sum(said) == 1
    assert house.events(id_).count("reauthorization_expected") == 1


async def test_a_token_without_a_refresh_token_is_foreseen_by_its_own_end():
    house = await make_house()
    house.wire.instead = [builders.answer('{"access_token": "at", "expires_in": 3600}')]
    id_ = (await house.connect()).credential.id
    standing = house.grant(id_).standing
    assert standing.needs_person_at == standing.expires_at == standing.next_refresh_at
    house.clock.advance(2880)
    assert await house.cases.forecaster.warn() == 1
    await house.next_try(id_)
    assert house.state(id_) is State.REAUTHORIZATION_REQUIRED
    assert [kind for kind in house.events(id_) if "reauthorization" in kind] == [
        "reauthorization_expected",
        "reauthorization_required",
    ]


async def test_what_needs_a_person_already_is_not_foreseen():
    house, id_ = await connected(provider={"grant_ttl_s": 86_400})
    house.server.revoke_all()
    await house.next_try(id_)
    house.clock.advance(86_400)
    assert await house.cases.forecaster.warn() == 0
    assert (await house.cases.status.overview(house.person)).forecasts == []


async def test_a_new_consent_has_a_new_date():
    house, id_ = await connected(provider={"grant_ttl_s": 86_400})
    house.clock.advance(0.9 * 86_400)
    assert await house.cases.forecaster.warn() == 1
    await house.connect(credential_id=id_)
    assert house.grant(id_).standing.needs_person_at == house.clock.now() + DAY
    assert await house.cases.forecaster.warn() == 0
    house.clock.advance(0.9 * 86_400)
    assert await house.cases.forecaster.warn() == 1


async def test_the_end_of_the_consent_that_the_answers_tell():
    house = await make_house()
    house.wire.instead = [answered(expires_in=3600, authorization_expires_in=30 * 86_400)]
    id_ = (await house.connect()).credential.id
    date = house.grant(id_).standing.needs_person_at
    assert abs(date - (house.clock.now() + 30 * DAY)) < timedelta(minutes=1)
    house.wire.instead = [answered(expires_in=3600)]
    await house.refresh_now(id_)
    assert house.grant(id_).standing.needs_person_at == date, "an answer that does not tell it takes nothing back"


async def test_what_spilled_keeps_its_date():
    house, id_ = await connected(provider={"grant_ttl_s": 30 * 86_400}, omits_expires_in=True)
    before = house.grant(id_).standing
    house.database.broken.add("grants.store")
    refresh = asyncio.create_task(house.refresh_now(id_))
    while not house.spill.shelf:
        await asyncio.sleep(0)
    after = await house.dies()
    await asyncio.gather(refresh, return_exceptions=True)
    house.database.broken.clear()
    assert await after.cases.keeping.replay() == 1
    standing = house.grant(id_).standing
    assert house.grant(id_).version == 2
    assert (standing.needs_person_at, standing.warn_at) == (before.needs_person_at, before.warn_at)
    assert standing.expiry is Expiry.UNKNOWN


def test_what_the_version_before_spilled_can_be_stored():
    row = builders.grant(standing=builders.standing(learned_life_s=7200))
    spilled = {
        name: value for name, value in plain(row).items() if name not in {"endless", "needs_person_at", "warn_at"}
    }
    stored = revived(row, json.loads(json.dumps(spilled)), version=2)
    assert (stored.version, stored.sealed, stored.standing.expires_at) == (2, row.sealed, row.standing.expires_at)
    assert (stored.standing.needs_person_at, stored.standing.learned_life_s) == (None, 7200)


async def test_the_status_lists_dates_soonest_first():
    house = await make_house(provider={"grant_ttl_s": 30 * 86_400})
    first, second = await house.connect_many(2)
    rows, key = house.database.rows, (house.owner.workspace_id, second)
    sooner = replace(rows.grants[key].standing, needs_person_at=house.clock.now() + DAY)
    rows.grants[key] = replace(rows.grants[key], standing=sooner)
    view = await house.cases.status.overview(house.person)
    assert [each.credential_id for each in view.forecasts] == [second, first]
