"""GrantStore: one refresh at a time, and never an older generation over a newer one."""

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
    at_once,
    claimed,
    event,
    history,
    next_generation,
    put_grant,
    stored,
)
from tokenkeep.core.model import State
from tokenkeep.services.ports import Lease

SECOND = timedelta(seconds=1)


# --- claim ---------------------------------------------------------------------------------------------------------


async def test_a_claim_takes_the_lease_and_leaves_a_trace(database: AnyDatabase, now: datetime) -> None:
    before = await put_grant(database, due=now - SECOND)
    lease = await claimed(database, before)
    after = await stored(database)
    assert after.lease_owner == "me"
    assert after.lease_until is not None
    assert timedelta(0) <= after.lease_until - now - 90 * SECOND < 30 * SECOND
    assert at_once(after.standing.next_refresh_at, after.lease_until)
    assert after.fence == before.fence + 1
    assert after.intent_at is not None
    assert after.intent_fingerprint == "of me"
    assert (lease.previous_intent_at, lease.previous_intent_fingerprint) == (None, "")
    assert lease.grant == replace(after, standing=before.standing), "as it stood when claimed, with the new fence"


async def test_a_live_lease_is_not_taken(database: AnyDatabase) -> None:
    grant = await put_grant(database)
    await claimed(database, grant)
    assert await database.grants.claim(grant, owner="you", lease_s=90, intent_fingerprint="g") is None
    assert (await stored(database)).lease_owner == "me"


async def test_what_was_read_before_another_lease_is_not_claimed(database: AnyDatabase, now: datetime) -> None:
    read = await put_grant(database)
    lease = await claimed(database, read, owner="other")
    await database.grants.settle(lease, lease.grant.standing, None)
    assert await database.grants.claim(read, owner="me", lease_s=90, intent_fingerprint="") is None
    assert await claimed(database, read, owner="me")


async def test_what_came_to_rest_is_not_claimed_by_who_read_it_under_the_lease(
    database: AnyDatabase, now: datetime
) -> None:
    """Nobody would try it, nor look for a lease there."""
    lease = await claimed(database, await put_grant(database), owner="other")
    read = await stored(database)
    assert await database.grants.settle(lease, builders.standing(state=State.REAUTHORIZATION_REQUIRED), None)
    assert await database.grants.claim(read, owner="me", lease_s=90, intent_fingerprint="") is None
    assert (await stored(database)).lease_owner == ""


async def test_a_lease_that_ended_over_a_grant_at_rest_is_purged(database: AnyDatabase) -> None:
    """Its owner wanted to put a late answer in place, and died."""
    lease = await claimed(database, await put_grant(database))
    assert await database.grants.settle(lease, builders.standing(state=State.REAUTHORIZATION_REQUIRED), None)
    await claimed(database, await stored(database), owner="adopting", lease_s=0)
    await put_grant(database, credential_id="credential-2")
    living = await claimed(database, await put_grant(database, credential_id="credential-2"), lease_s=0)
    await database.grants.purge()
    after = await stored(database)
    assert (after.lease_owner, after.lease_until, after.intent_at) == ("", None, None)
    assert after.standing.next_refresh_at is None
    assert (await database.grants.get(WORKSPACE, "credential-2")).lease_owner == living.grant.lease_owner


async def test_a_lease_is_settled_once(database: AnyDatabase, now: datetime) -> None:
    lease = await claimed(database, await put_grant(database))
    assert await database.grants.settle(lease, lease.grant.standing, None)
    assert not await database.grants.settle(lease, builders.standing(state=State.QUARANTINED), None)
    assert (await database.grants.get(WORKSPACE, "credential-1")).standing.state is not State.QUARANTINED


async def test_a_lease_that_ended_is_taken_with_the_trace_it_left(database: AnyDatabase) -> None:
    grant = await put_grant(database)
    crashed = await claimed(database, grant, lease_s=0)
    lease = await claimed(database, grant, owner="you")
    assert lease.previous_intent_at == crashed.grant.intent_at
    assert lease.previous_intent_fingerprint == "of me"
    assert lease.grant.fence == crashed.grant.fence + 1
    assert lease.grant.intent_fingerprint == "of you"


@pytest.mark.parametrize(
    "changes", [{"version": 2}, {"grant_id": "grant-2"}, {"workspace_id": OTHER_WORKSPACE}, {"credential_id": "x"}]
)
async def test_a_grant_that_changed_is_not_claimed(database: AnyDatabase, changes: dict[str, Any]) -> None:
    grant = await put_grant(database)
    wrong = replace(grant, **changes)
    assert await database.grants.claim(wrong, owner="me", lease_s=90, intent_fingerprint="f") is None
    assert await stored(database) == grant


async def test_of_many_claims_at_once_one_wins(another: Callable[[], AnyDatabase]) -> None:
    databases = [another() for _ in range(4)]
    grant = await put_grant(databases[0])
    leases = await asyncio.gather(
        *(
            databases[number % 4].grants.claim(grant, owner=str(number), lease_s=90, intent_fingerprint="f")
            for number in range(20)
        )
    )
    assert len([lease for lease in leases if lease is not None]) == 1


@pytest.mark.slow
async def test_a_thousand_rows_claimed_from_four_connections_are_claimed_once_each(
    another: Callable[[], AnyDatabase], now: datetime
) -> None:
    databases = [another() for _ in range(4)]
    grants = [await put_grant(databases[0], credential_id=f"c{n}", due=now - SECOND) for n in range(250)]

    async def claim_all(number: int) -> list[str]:
        won = []
        for grant in grants:
            lease = await databases[number].grants.claim(grant, owner=str(number), lease_s=90, intent_fingerprint="f")
            won += [grant.credential_id] if lease is not None else []
        return won

    won = await asyncio.gather(*(claim_all(number) for number in range(4)))
    assert sorted(name for names in won for name in names) == sorted(grant.credential_id for grant in grants)
    assert not await databases[0].grants.due(limit=10)


# --- extend --------------------------------------------------------------------------------------------------------


async def test_a_lease_is_extended_while_it_is_ours(database: AnyDatabase) -> None:
    lease = await claimed(database, await put_grant(database), lease_s=10)
    assert await database.grants.extend(lease, lease_s=300)
    after = await stored(database)
    assert lease.grant.lease_until is not None
    assert after.lease_until is not None
    assert after.lease_until > lease.grant.lease_until + 200 * SECOND
    assert at_once(after.standing.next_refresh_at, after.lease_until)


async def test_a_lease_taken_over_is_not_extended(database: AnyDatabase) -> None:
    grant = await put_grant(database)
    lost = await claimed(database, grant, lease_s=0)
    await claimed(database, grant, owner="you")
    before = await stored(database)
    assert not await database.grants.extend(lost, lease_s=300)
    assert await stored(database) == before


async def test_a_released_lease_is_not_extended(database: AnyDatabase) -> None:
    lease = await claimed(database, await put_grant(database))
    assert await database.grants.settle(lease, lease.grant.standing, None)
    assert not await database.grants.extend(lease, lease_s=300)


# --- store and settle ------------------------------------------------------------------------------------------------


async def test_a_new_generation_is_stored_and_the_lease_released(database: AnyDatabase, now: datetime) -> None:
    lease = await claimed(database, await put_grant(database))
    standing = builders.standing(expires_at=now + builders.HOUR, last_refresh_at=now)
    new = next_generation(lease, standing=standing, prev_until=now, account_sealed=b"account", scopes_granted=None)
    assert await database.grants.store(lease, new, event(kind="refreshed"))
    assert await stored(database) == replace(
        new, lease_owner="", lease_until=None, intent_at=None, intent_fingerprint="", fence=lease.grant.fence
    )
    assert "refreshed" in await history(database)
    following = await claimed(database, await stored(database))
    assert following.previous_intent_at is None


async def test_settling_writes_the_standing_and_no_token(database: AnyDatabase, now: datetime) -> None:
    before = await put_grant(database)
    lease = await claimed(database, before)
    failing = builders.standing(state=State.FAILING, failure=builders.failure(since=now), next_refresh_at=now)
    assert await database.grants.settle(lease, failing, event(kind="refresh_failed"))
    assert await stored(database) == replace(before, standing=failing, fence=lease.grant.fence)
    assert "refresh_failed" in await history(database)


async def test_an_uncertain_outcome_keeps_the_trace_for_the_next_claim(database: AnyDatabase) -> None:
    grant = await put_grant(database)
    lease = await claimed(database, grant)
    assert await database.grants.settle(lease, grant.standing, None, keep_intent=True)
    after = await stored(database)
    assert (after.lease_owner, after.intent_at) == ("", lease.grant.intent_at)
    again = await claimed(database, grant, owner="you")
    assert again.previous_intent_at == lease.grant.intent_at
    assert again.previous_intent_fingerprint == "of me"


async def outrun(database: AnyDatabase, lease: Lease) -> None:
    await claimed(database, lease.grant, owner="you")


async def stored_before(database: AnyDatabase, lease: Lease) -> None:
    assert await database.grants.store(lease, next_generation(lease), event())


async def reconnected(database: AnyDatabase, lease: Lease) -> None:
    await database.grants.connect(builders.grant(grant_id="grant-2", sealed=b"newer"), event())


async def disconnected_and_connected(database: AnyDatabase, lease: Lease) -> None:
    await database.grants.disconnect(WORKSPACE, "credential-1", event())
    await database.grants.connect(builders.grant(grant_id="grant-2", fence=lease.grant.fence), event())


async def deleted_and_made_again(database: AnyDatabase, lease: Lease) -> None:
    await database.credentials.delete(WORKSPACE, "credential-1")
    await put_grant(database)


LOSSES = [outrun, stored_before, reconnected, disconnected_and_connected, deleted_and_made_again]


@pytest.mark.parametrize("lose", LOSSES)
async def test_who_lost_the_lease_writes_nothing(database: AnyDatabase, lose: Callable[..., Any]) -> None:
    lease = await claimed(database, await put_grant(database), lease_s=0)
    await lose(database, lease)
    before = await stored(database)
    assert not await database.grants.store(lease, next_generation(lease), event(kind="late"))
    assert not await database.grants.settle(lease, builders.standing(state=State.QUARANTINED), event(kind="late"))
    assert await stored(database) == before
    assert "late" not in await history(database)


async def test_a_lease_of_another_workspace_writes_nothing(database: AnyDatabase) -> None:
    lease = await claimed(database, await put_grant(database))
    theirs = replace(lease, grant=replace(lease.grant, workspace_id=OTHER_WORKSPACE))
    before = await stored(database)
    assert not await database.grants.store(theirs, next_generation(theirs), event())
    assert not await database.grants.settle(theirs, lease.grant.standing, None)
    assert not await database.grants.extend(theirs, lease_s=900)
    assert await stored(database) == before


async def test_a_lease_that_ended_but_was_not_taken_may_still_store(database: AnyDatabase) -> None:
    lease = await claimed(database, await put_grant(database), lease_s=0)
    assert await database.grants.store(lease, next_generation(lease), event())
    assert (await stored(database)).sealed == b"new"


@pytest.mark.parametrize("ends", ["settle", "store", "restand", "connect"])
async def test_what_was_refused_is_known_to_the_next_owner_until_the_grant_is_settled(
    database: AnyDatabase, ends: str
) -> None:
    lease = await claimed(database, await put_grant(database))
    assert lease.grant.refused == ()
    assert await database.grants.settle(lease, lease.grant.standing, None, keep_intent=True, refused=("a", "b"))
    again = await claimed(database, await stored(database))
    assert again.grant.refused == ("a", "b")
    if ends == "settle":
        assert await database.grants.settle(again, lease.grant.standing, None)
    elif ends == "store":
        assert await database.grants.store(again, next_generation(again), event())
    elif ends == "restand":
        assert await database.grants.settle(again, lease.grant.standing, None, refused=("a",))
        assert await database.grants.restand(await stored(database), lease.grant.standing, None)
    else:
        await reconnected(database, again)
    assert (await stored(database)).refused == ()


@pytest.mark.parametrize("uncertain", [True, False])
async def test_what_others_left_unfinished_stays_where_an_older_answer_is_put_in_place(
    database: AnyDatabase, uncertain: bool
) -> None:
    lease = await claimed(database, await put_grant(database))
    await database.grants.settle(lease, lease.grant.standing, None, keep_intent=uncertain, refused=("a",))
    adopting = await claimed(database, await stored(database))
    assert await database.grants.store(adopting, next_generation(adopting), event(), unsettled=True)
    after = await stored(database)
    assert (after.sealed, after.lease_owner, after.refused) == (b"new", "", ("a",))
    assert (after.intent_at is not None) == uncertain
    following = await claimed(database, after)
    assert (following.previous_intent_at is not None) == uncertain


async def test_a_users_edit_does_not_disturb_a_refresh(database: AnyDatabase) -> None:
    lease = await claimed(database, await put_grant(database))
    edited = builders.credential(name="Renamed")
    assert await database.credentials.update(edited, expected_version=1, event=event())
    assert await database.grants.store(lease, next_generation(lease), event())
    credential = await database.credentials.get(WORKSPACE, "credential-1")
    assert credential is not None
    assert credential.name == "Renamed"
    assert credential.version == 2
