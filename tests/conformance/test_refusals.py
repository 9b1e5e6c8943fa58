"""RefusalStore: what the brake is told about a client's refusals."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.kit import builders
from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase, event, put_grant
from tokenkeep.core.brake import Burst
from tokenkeep.core.lifecycle import DOUBTED
from tokenkeep.core.model import FailureKind, State

MINUTE = timedelta(minutes=1)
OLD = timedelta(days=1)


async def put_refused(
    database: AnyDatabase, id_: str, *, at: datetime, code: str = "invalid_grant", **parts: Any
) -> None:
    """A grant whose refusal was believed then. `count` 2: it had been doubted before."""
    count = parts.pop("count", 1)
    failure = builders.failure(kind=FailureKind.GRANT, code=code, count=count, since=at - OLD)
    standing = builders.standing(state=State.REAUTHORIZATION_REQUIRED, failure=failure, last_refresh_at=at - OLD)
    grant = await put_grant(database, credential_id=id_, standing=standing, **parts)
    told = event(workspace_id=grant.workspace_id, credential_id=id_, kind="reauthorization_required", at=at)
    await database.events.add(told)


async def put_standing(database: AnyDatabase, id_: str, **parts: Any) -> None:
    changes = {name: parts.pop(name) for name in ("failure", "last_refresh_at", "state") if name in parts}
    await put_grant(database, credential_id=id_, standing=builders.standing(**changes), **parts)


async def test_a_client_nobody_was_refused_at(database: AnyDatabase, now: datetime) -> None:
    await put_standing(database, "well", last_refresh_at=now - OLD)
    assert await database.refusals.burst(WORKSPACE, "client-1", since=now) == Burst(refused=0, granted=0, doubted=0)
    assert not await database.refusals.believed(WORKSPACE, "client-1", since=now)
    assert await database.refusals.doubted(WORKSPACE) == {}


async def test_refusals_of_the_window_are_counted_however_old_the_trouble_is(
    database: AnyDatabase, now: datetime
) -> None:
    await put_refused(database, "b", at=now - 4 * MINUTE)
    await put_refused(database, "a", at=now - 5 * MINUTE)
    await put_refused(database, "earlier", at=now - 6 * MINUTE)
    await put_refused(database, "second time", at=now, count=2)
    await put_refused(database, "ours", at=now, code="lost_response")
    await put_refused(database, "nothing to spend", at=now, code="no_refresh_token")
    await put_refused(database, "of another client", at=now, client="client-2")
    await put_refused(database, "theirs", at=now, workspace_id=OTHER_WORKSPACE)
    since = now - 5 * MINUTE
    assert await database.refusals.believed(WORKSPACE, "client-1", since=since) == ["a", "b"]
    assert await database.refusals.burst(WORKSPACE, "client-1", since=since) == Burst(refused=2, granted=0, doubted=0)


async def test_what_was_connected_anew_was_refused_no_more(database: AnyDatabase, now: datetime) -> None:
    await put_refused(database, "credential-1", at=now)
    await put_grant(database, grant_id="grant-2")
    assert not await database.refusals.believed(WORKSPACE, "client-1", since=now)


async def test_grants_of_the_window_and_doubts_of_any_time_are_counted(database: AnyDatabase, now: datetime) -> None:
    await put_standing(database, "now", last_refresh_at=now)
    await put_standing(database, "then", last_refresh_at=now - MINUTE)
    doubt = {"state": State.FAILING, "failure": builders.failure(code=DOUBTED, since=now - OLD)}
    await put_standing(database, "doubted", **doubt)
    await put_standing(database, "doubted elsewhere", provider="other", client="client-2", **doubt)
    await put_standing(database, "theirs", workspace_id=OTHER_WORKSPACE, **doubt)
    await put_standing(database, "merely failing", state=State.FAILING, failure=builders.failure())
    assert await database.refusals.burst(WORKSPACE, "client-1", since=now) == Burst(refused=0, granted=1, doubted=1)
    assert await database.refusals.doubted(WORKSPACE) == {"acme": 1, "other": 1}
