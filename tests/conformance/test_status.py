"""StatusStore: the numbers and lists of the status page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.kit import builders
from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase, put_credential, put_grant
from tokenkeep.core.model import FailureKind, State

MINUTE = timedelta(minutes=1)


def failing(state: State = State.FAILING, **changes: Any) -> Any:
    return builders.standing(state=state, failure=builders.failure(**changes))


async def test_an_empty_workspace_counts_nothing(database: AnyDatabase, now: datetime) -> None:
    counts = await database.status.counts(WORKSPACE, now)
    assert (counts.by_state, counts.by_provider, counts.without_grant, counts.by_failure) == ({}, {}, {}, {})
    assert (counts.due, counts.overdue, counts.oldest_overdue, counts.uncertain) == (0, 0, None, 0)


async def test_counts(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database, id="static 1", type="acmeApi")
    await put_credential(database, id="static 2", type="acmeApi")
    await put_credential(database, id="unconnected")
    await put_grant(database, credential_id="well")
    await put_grant(database, credential_id="soon", due=now + 4 * MINUTE)
    await put_grant(database, credential_id="just due", due=now)
    await put_grant(database, credential_id="late", due=now - 2 * MINUTE, standing=failing())
    await put_grant(database, credential_id="later", due=now - 9 * MINUTE, provider="other", standing=failing())
    dead = failing(State.REAUTHORIZATION_REQUIRED, kind=FailureKind.GRANT)
    await put_grant(database, credential_id="dead", standing=dead)
    await put_grant(database, credential_id="theirs", due=now - 99 * MINUTE, workspace_id=OTHER_WORKSPACE)
    counts = await database.status.counts(WORKSPACE, now)
    assert counts.by_state == {"connected": 3, "failing": 2, "reauthorization_required": 1}
    assert counts.by_provider == {
        "acme": {"connected": 3, "failing": 1, "reauthorization_required": 1},
        "other": {"failing": 1},
    }
    assert counts.without_grant == {"acmeApi": 2, "acmeOAuth2": 1}
    assert (counts.due, counts.overdue, counts.oldest_overdue) == (2, 2, now - 9 * MINUTE)
    assert counts.by_failure == {"transient": 2, "grant": 1}
    assert counts.uncertain == 0


async def test_a_trace_without_a_live_lease_is_uncertain(database: AnyDatabase, now: datetime) -> None:
    for name, lease_s in (("refreshing", 90), ("crashed", 0)):
        grant = await put_grant(database, credential_id=name)
        assert await database.grants.claim(grant, owner="me", lease_s=lease_s, intent_fingerprint="f")
    assert (await database.status.counts(WORKSPACE, now)).uncertain == 1


async def test_attention_lists_what_failed_the_longest_first(database: AnyDatabase, now: datetime) -> None:
    await put_grant(database, credential_id="well")
    await put_grant(database, credential_id="young", standing=failing(since=now - MINUTE))
    old = failing(State.REAUTHORIZATION_REQUIRED, since=now - 9 * MINUTE, kind=FailureKind.GRANT, code="invalid_grant")
    await put_credential(database, id="old", name="My old one")
    stored = await put_grant(database, credential_id="old", standing=old)
    poisoned = builders.standing(state=State.QUARANTINED)
    await put_grant(database, credential_id="poisoned", standing=poisoned, connected_at=now - 5 * MINUTE)
    await put_grant(database, credential_id="theirs", standing=failing(), workspace_id=OTHER_WORKSPACE)
    found = await database.status.attention(WORKSPACE, limit=9)
    assert [line.credential_id for line in found] == ["old", "poisoned", "young"]
    assert (found[0].name, found[0].type, found[0].provider) == ("My old one", "acmeOAuth2", "acme")
    assert found[0].standing == stored.standing
    assert len(await database.status.attention(WORKSPACE, limit=2)) == 2


async def test_upcoming_lists_the_connected_by_next_refresh(database: AnyDatabase, now: datetime) -> None:
    await put_grant(database, credential_id="second", due=now + 2 * MINUTE)
    await put_grant(database, credential_id="first", due=now + MINUTE)
    await put_grant(database, credential_id="failing", due=now, standing=failing())
    await put_grant(database, credential_id="theirs", due=now, workspace_id=OTHER_WORKSPACE)
    found = await database.status.upcoming(WORKSPACE, limit=9)
    assert [line.credential_id for line in found] == ["first", "second"]
    assert len(await database.status.upcoming(WORKSPACE, limit=1)) == 1


async def test_a_working_database_is_pinged_in_silence(database: AnyDatabase) -> None:
    await database.status.ping()
