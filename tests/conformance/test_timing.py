"""ForecastStore and RejectionStore: what is foreseen is said once, what was rejected is noted once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.kit import builders
from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import (
    AnyDatabase,
    claimed,
    event,
    history,
    next_generation,
    put_credential,
    put_grant,
    stored,
)
from tokenkeep.core.model import Grant, Rejections, State
from tokenkeep.services.ports import Forecast

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def foreseen(date: datetime, warn_at: datetime | None, **changes: Any) -> Any:
    return builders.standing(needs_person_at=date, warn_at=warn_at, **changes)


def forecast_of(grant: Grant) -> Forecast:
    assert grant.standing.needs_person_at is not None
    return Forecast(
        workspace_id=grant.workspace_id,
        credential_id=grant.credential_id,
        grant_id=grant.grant_id,
        provider=grant.provider,
        date=grant.standing.needs_person_at,
    )


def run(now: datetime, **changes: Any) -> Rejections:
    return Rejections(**{"count": 1, "since": now, "at": now, "version": 1, "life_before_s": None} | changes)


# --- the columns -------------------------------------------------------------------------------------------------------


async def test_what_is_known_of_the_times_comes_back_whole(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database)
    standing = foreseen(now + DAY, now, endless=True, learned_life_s=7200, expires_at=None)
    grant = builders.grant(standing=standing, rejections=run(now, count=3, version=7, life_before_s=60))
    await database.grants.connect(grant, event())
    assert await stored(database) == grant
    listed = await database.status.upcoming(WORKSPACE, limit=9)
    assert [line.standing for line in listed] == [standing]


async def test_a_new_generation_brings_its_own_times(database: AnyDatabase, now: datetime) -> None:
    lease = await claimed(database, await put_grant(database))
    newer = next_generation(lease, standing=foreseen(now + DAY, now, learned_life_s=99), rejections=run(now))
    assert await database.grants.store(lease, newer, event())
    after = await stored(database)
    assert (after.standing, after.rejections) == (newer.standing, run(now))


async def test_a_new_consent_forgets_what_was_rejected(database: AnyDatabase, now: datetime) -> None:
    await put_grant(database, rejections=run(now))
    await database.grants.connect(builders.grant(grant_id="grant-2"), event())
    assert (await stored(database)).rejections is None


# --- what is to be said ----------------------------------------------------------------------------------------------------


async def test_due_is_what_lives_and_was_not_said(database: AnyDatabase, now: datetime) -> None:
    date = now + DAY
    await put_grant(database, credential_id="second", standing=foreseen(date, now - MINUTE))
    failing = foreseen(date, now - 2 * MINUTE, state=State.FAILING, failure=builders.failure())
    first = await put_grant(database, credential_id="first", standing=failing, workspace_id=OTHER_WORKSPACE)
    await put_grant(database, credential_id="later", standing=foreseen(date, now + MINUTE))
    await put_grant(database, credential_id="said", standing=foreseen(date, None))
    for state in (State.REAUTHORIZATION_REQUIRED, State.QUARANTINED):
        await put_grant(database, credential_id=str(state), standing=foreseen(date, now - DAY, state=state))
    found = await database.forecasts.due(limit=9)
    assert [each.credential_id for each in found] == ["first", "second"]
    assert found[0] == forecast_of(first)
    assert len(await database.forecasts.due(limit=1)) == 1


async def test_a_date_is_said_once_whoever_says_it(another: Callable[[], AnyDatabase], now: datetime) -> None:
    databases = [another() for _ in range(4)]
    grant = await put_grant(databases[0], standing=foreseen(now + DAY, now - MINUTE))
    expected = event(kind="reauthorization_expected")
    told = [replace(expected, id=f"{expected.id} {number}") for number in range(12)]
    said = await asyncio.gather(
        *(databases[number % 4].forecasts.say(forecast_of(grant), told[number]) for number in range(12))
    )
    assert sum(said) == 1
    assert (await history(databases[0])).count("reauthorization_expected") == 1
    assert not await databases[0].forecasts.due(limit=9)
    assert (await stored(databases[0])).standing == replace(grant.standing, warn_at=None)


async def test_a_refresh_under_way_does_not_make_it_said_again(database: AnyDatabase, now: datetime) -> None:
    grant = await put_grant(database, standing=foreseen(now + DAY, now - MINUTE))
    lease = await claimed(database, grant)
    assert await database.forecasts.say(forecast_of(grant), event())
    assert await database.grants.settle(lease, lease.grant.standing, None), "saying it takes no lease away"
    assert (await stored(database)).standing.warn_at is not None, "put back as it was found"
    assert not await database.forecasts.due(limit=9)
    assert not await database.forecasts.say(forecast_of(grant), event(kind="twice"))
    assert "twice" not in await history(database)


async def test_another_date_is_said_anew(database: AnyDatabase, now: datetime) -> None:
    grant = await put_grant(database, standing=foreseen(now + DAY, now - MINUTE))
    assert await database.forecasts.say(forecast_of(grant), event())
    moved = foreseen(now + 2 * DAY, now - MINUTE)
    assert await database.grants.restand(grant, moved, None)
    assert [each.date for each in await database.forecasts.due(limit=9)] == [now + 2 * DAY]
    assert await database.forecasts.say(forecast_of(replace(grant, standing=moved)), event())


@pytest.mark.parametrize(
    "changes", [{"grant_id": "grant-2"}, {"workspace_id": OTHER_WORKSPACE}, {"credential_id": "x"}]
)
async def test_what_is_not_expected_any_more_is_not_said(
    database: AnyDatabase, now: datetime, changes: dict[str, Any]
) -> None:
    grant = await put_grant(database, standing=foreseen(now + DAY, now - MINUTE))
    told = event(kind="late")
    assert not await database.forecasts.say(replace(forecast_of(grant), **changes), told)
    assert not await database.forecasts.say(replace(forecast_of(grant), date=now + 2 * DAY), told)
    assert "late" not in await history(database)
    assert await stored(database) == grant


async def test_forecasts_list_what_lives_soonest_first(database: AnyDatabase, now: datetime) -> None:
    await put_grant(database, credential_id="second", standing=foreseen(now + 2 * DAY, None))
    await put_credential(database, id="first", name="My first one")
    await put_grant(database, credential_id="first", standing=foreseen(now + DAY, now))
    await put_grant(database, credential_id="no date")
    await put_grant(database, credential_id="dead", standing=foreseen(now, None, state=State.REAUTHORIZATION_REQUIRED))
    await put_grant(database, credential_id="theirs", standing=foreseen(now, None), workspace_id=OTHER_WORKSPACE)
    found = await database.status.forecasts(WORKSPACE, limit=9)
    assert [line.credential_id for line in found] == ["first", "second"]
    assert (found[0].name, found[0].standing.needs_person_at) == ("My first one", now + DAY)
    assert len(await database.status.forecasts(WORKSPACE, limit=1)) == 1


# --- what was rejected -------------------------------------------------------------------------------------------------------


async def test_a_rejection_is_noted_with_its_line(database: AnyDatabase, now: datetime) -> None:
    grant = await put_grant(database)
    assert await database.rejections.note(grant, run(now), learned_life_s=7200, event=event(kind="rejection_loop"))
    expected = replace(grant, rejections=run(now), standing=replace(grant.standing, learned_life_s=7200))
    assert await stored(database) == expected
    assert "rejection_loop" in await history(database)
    read = await database.reads.credential(WORKSPACE, "credential-1")
    assert read is not None
    assert read.grant == expected, "readers see it at once"


async def test_the_same_rejection_is_noted_once(another: Callable[[], AnyDatabase], now: datetime) -> None:
    databases = [another() for _ in range(4)]
    grant = await put_grant(databases[0])
    noted = await asyncio.gather(
        *(databases[n % 4].rejections.note(grant, run(now), learned_life_s=None, event=None) for n in range(12))
    )
    assert sum(noted) == 1
    again = await stored(databases[0])
    further = run(now, count=2, at=now + MINUTE)
    assert await databases[0].rejections.note(again, further, learned_life_s=None, event=None)
    assert not await databases[0].rejections.note(again, further, learned_life_s=None, event=None)


@pytest.mark.parametrize("changes", [{"version": 2}, {"grant_id": "grant-2"}, {"workspace_id": OTHER_WORKSPACE}])
async def test_a_grant_that_changed_takes_no_note(
    database: AnyDatabase, now: datetime, changes: dict[str, Any]
) -> None:
    grant = await put_grant(database)
    other = replace(grant, **changes)
    assert not await database.rejections.note(other, run(now), learned_life_s=1, event=event(kind="late"))
    assert await stored(database) == grant
    assert "late" not in await history(database)


async def test_a_token_that_is_being_replaced_takes_no_note(database: AnyDatabase, now: datetime) -> None:
    grant = await put_grant(database)
    await claimed(database, grant)
    assert not await database.rejections.note(grant, run(now), learned_life_s=1, event=None)
    await claimed(database, await put_grant(database, credential_id="crashed"), lease_s=0)
    crashed = await database.grants.get(WORKSPACE, "crashed")
    assert crashed is not None
    assert await database.rejections.note(crashed, run(now), learned_life_s=1, event=None)
