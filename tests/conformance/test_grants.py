"""GrantStore: grants come, go, fall due and change their standing."""

from __future__ import annotations

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
from tokenkeep.core.errors import NotFound
from tokenkeep.core.model import FailureKind, State

SECOND = timedelta(seconds=1)


# --- connect and disconnect ------------------------------------------------------------------------------------


async def test_a_grant_comes_back_whole(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database)
    grant = builders.grant(
        standing=builders.standing(
            state=State.FAILING, failure=builders.failure(count=3), refresh_expires_at=now, last_refresh_at=now
        ),
        prev_sealed=b"previous",
        prev_until=now,
        account_sealed=b"account",
        scopes_granted=("read", "write"),
    )
    await database.grants.connect(grant, event())
    assert await stored(database) == grant


async def test_connecting_a_credential_that_is_gone_is_not_found(database: AnyDatabase) -> None:
    await put_credential(database)
    for changes in ({"credential_id": "nobody"}, {"workspace_id": OTHER_WORKSPACE}):
        with pytest.raises(NotFound):
            await database.grants.connect(builders.grant(**changes), event())
    assert await database.grants.get(WORKSPACE, "credential-1") is None


async def test_a_newer_consent_replaces_grant_lease_and_trace(database: AnyDatabase) -> None:
    lease = await claimed(database, await put_grant(database))
    newer = builders.grant(grant_id="grant-2", sealed=b"newer", client="client-2", provider="other")
    await database.grants.connect(newer, event(kind="reconnected"))
    assert await stored(database) == replace(newer, fence=lease.grant.fence + 1)
    assert "reconnected" in await history(database)


async def test_disconnecting_answers_what_was_removed(database: AnyDatabase) -> None:
    grant = await put_grant(database)
    assert await database.grants.disconnect(WORKSPACE, "credential-1", event(kind="disconnected")) == grant
    assert await database.grants.get(WORKSPACE, "credential-1") is None
    assert await database.credentials.get(WORKSPACE, "credential-1") is not None
    assert await database.grants.disconnect(WORKSPACE, "credential-1", event(kind="twice")) is None
    assert "disconnected" in await history(database)
    assert "twice" not in await history(database)


# --- due -----------------------------------------------------------------------------------------------------------


async def test_due_are_those_whose_time_has_come_oldest_first(database: AnyDatabase, now: datetime) -> None:
    for name, age in (("late", 60), ("later", 90), ("soon", -60)):
        await put_grant(database, credential_id=name, due=now - age * SECOND)
    unplanned = await put_grant(database, credential_id="unplanned")
    await database.grants.restand(unplanned, replace(unplanned.standing, next_refresh_at=None), None)
    await put_grant(database, credential_id="theirs", workspace_id=OTHER_WORKSPACE, due=now - 75 * SECOND)
    oldest_first = [(WORKSPACE, "later"), (OTHER_WORKSPACE, "theirs"), (WORKSPACE, "late")]
    assert [due[:2] for due in await database.grants.due(limit=10)] == oldest_first
    assert [due[:2] for due in await database.grants.due(limit=2)] == oldest_first[:2]
    assert {due.provider for due in await database.grants.due(limit=2)} == {"acme"}
    assert [due[:2] for due in await database.grants.due(limit=2, beside=[(WORKSPACE, "acme")])] == oldest_first[1:2]
    assert not await database.grants.due(limit=2, beside=[(WORKSPACE, "acme"), (OTHER_WORKSPACE, "acme")])


async def test_what_was_refreshed_in_the_future_is_made_due(database: AnyDatabase, now: datetime) -> None:
    for name, refreshed in (("ahead", now + 86400 * SECOND), ("well", now), ("never", None)):
        standing = builders.standing(last_refresh_at=refreshed, next_refresh_at=now + 90000 * SECOND)
        await put_grant(database, credential_id=name, standing=standing)
    assert await database.grants.hasten_future() == 1
    assert [due.credential_id for due in await database.grants.due(limit=10)] == ["ahead"]


async def test_a_claimed_grant_is_due_again_only_when_its_lease_ends(database: AnyDatabase, now: datetime) -> None:
    grant = await put_grant(database, due=now - SECOND)
    await claimed(database, grant, lease_s=0)
    assert await database.grants.due(limit=10)
    await claimed(database, grant, lease_s=90)
    assert not await database.grants.due(limit=10)


async def test_what_may_not_be_tried_any_more_is_forgotten(database: AnyDatabase, now: datetime) -> None:
    for name, until in (("over", now - SECOND), ("good", now + 60 * SECOND)):
        grant = await put_grant(database, credential_id=name, prev_sealed=b"spent", prev_until=until)
        lease = await claimed(database, grant)
        await database.grants.shelve(lease, b"sealed", version=2, until=until)
    assert await database.grants.purge() == 2
    over, good = [await database.grants.get(WORKSPACE, name) for name in ("over", "good")]
    assert (over.prev_sealed, over.prev_until, good.prev_sealed) == (None, None, b"spent")
    assert len(await database.grants.orphans(WORKSPACE, "good", "grant-1")) == 1
    assert await database.grants.purge() == 0


# --- the orphan shelf ------------------------------------------------------------------------------------------------


async def test_the_shelf_answers_newest_first_until_the_end(database: AnyDatabase, now: datetime) -> None:
    lease = await claimed(database, await put_grant(database))
    for version, until in ((2, now + builders.HOUR), (3, now + builders.HOUR), (4, now - SECOND)):
        await database.grants.shelve(lease, b"orphan %d" % version, version=version, until=until)
    await database.grants.shelve(lease, b"orphan 3 again", version=3, until=now + builders.HOUR)
    found = await database.grants.orphans(WORKSPACE, "credential-1", "grant-1")
    assert list(found) == [(3, b"orphan 3 again"), (2, b"orphan 2")]
    assert not await database.grants.orphans(WORKSPACE, "credential-1", "grant-2")
    assert not await database.grants.orphans(OTHER_WORKSPACE, "credential-1", "grant-1")


async def test_nothing_is_shelved_for_a_credential_that_is_gone(database: AnyDatabase, now: datetime) -> None:
    lease = await claimed(database, await put_grant(database))
    await database.credentials.delete(WORKSPACE, "credential-1")
    await database.grants.shelve(lease, b"orphan", version=2, until=now + builders.HOUR)
    assert not await database.grants.orphans(WORKSPACE, "credential-1", "grant-1")


# --- restand, hasten, release ------------------------------------------------------------------------------------------


async def test_restanding_changes_the_standing_alone(database: AnyDatabase) -> None:
    grant = await put_grant(database)
    quarantined = builders.standing(state=State.QUARANTINED, next_refresh_at=None)
    assert await database.grants.restand(grant, quarantined, event(kind="quarantined"))
    assert await stored(database) == replace(grant, standing=quarantined)
    assert "quarantined" in await history(database)


@pytest.mark.parametrize("changes", [{"version": 2}, {"grant_id": "grant-2"}, {"workspace_id": OTHER_WORKSPACE}])
async def test_a_grant_that_changed_is_not_restood(database: AnyDatabase, changes: dict[str, Any]) -> None:
    grant = await put_grant(database)
    changed = replace(grant, **changes)
    assert not await database.grants.restand(changed, builders.standing(state=State.QUARANTINED), event(kind="late"))
    assert await stored(database) == grant
    assert "late" not in await history(database)


async def test_a_leased_grant_is_not_restood(database: AnyDatabase) -> None:
    grant = await put_grant(database)
    await claimed(database, grant)
    assert not await database.grants.restand(grant, builders.standing(state=State.QUARANTINED), None)


async def test_hastening_makes_the_client_failed_grants_of_one_client_due(database: AnyDatabase) -> None:
    paused = builders.standing(state=State.FAILING, failure=builders.failure(kind=FailureKind.CLIENT))
    transient = builders.standing(state=State.FAILING, failure=builders.failure())
    await put_grant(database, credential_id="paused", standing=paused)
    await put_grant(database, credential_id="transient", standing=transient)
    await put_grant(database, credential_id="well")
    await put_grant(database, credential_id="of another client", standing=paused, client="client-2")
    await put_grant(database, credential_id="theirs", standing=paused, workspace_id=OTHER_WORKSPACE)
    await claimed(database, await put_grant(database, credential_id="leased", standing=paused))
    assert await database.grants.hasten(WORKSPACE, "client-1") == 1
    assert [due[:2] for due in await database.grants.due(limit=10)] == [(WORKSPACE, "paused")]


async def test_hastening_takes_along_what_was_merely_postponed(database: AnyDatabase) -> None:
    now = await database.grants.now()
    for name, minutes in {"soon": 10, "later": 30}.items():
        await put_grant(database, credential_id=name, due=now + timedelta(minutes=minutes))
    assert await database.grants.hasten(WORKSPACE, "client-1", within_s=15 * 60) == 1
    assert [due[:2] for due in await database.grants.due(limit=10)] == [(WORKSPACE, "soon")]


async def test_releasing_ends_every_lease_and_keeps_the_traces(database: AnyDatabase) -> None:
    grant = await put_grant(database)
    crashed = await claimed(database, grant)
    await put_grant(database, credential_id="free")
    assert await database.grants.release_all(owners="") == 1
    after = await stored(database)
    assert (after.lease_owner, after.lease_until) == ("", None)
    assert (after.fence, after.intent_at) == (crashed.grant.fence, crashed.grant.intent_at)
    assert [due[:2] for due in await database.grants.due(limit=10)] == [(WORKSPACE, "credential-1")]
    assert (await claimed(database, grant)).previous_intent_fingerprint == "of me"


async def test_leases_of_other_processes_are_not_released(database: AnyDatabase) -> None:
    await claimed(database, await put_grant(database), owner="service/1")
    await claimed(database, await put_grant(database, credential_id="other"), owner="command/1")
    assert await database.grants.release_all(owners="service") == 1
    assert [due[:2] for due in await database.grants.due(limit=10)] == [(WORKSPACE, "credential-1")]


async def test_a_spilled_answer_is_stored_after_the_leases_were_released(database: AnyDatabase) -> None:
    lease = await claimed(database, await put_grant(database))
    await database.grants.release_all(owners="")
    assert await database.grants.store(lease, next_generation(lease), event())
