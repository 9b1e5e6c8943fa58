"""EndpointStore: where a workspace wants to be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.kit.builders import NOON, OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase, event
from tests.kit.told import delivery, endpoint
from tokenkeep.core.webhooks import DeliveryState

MINUTE = timedelta(minutes=1)


async def test_endpoints_come_back_whole(database: AnyDatabase, now: datetime) -> None:
    plain = endpoint(id="plain", created_at=now)
    full = endpoint(
        id="full",
        created_at=now + MINUTE,
        types=("credential.failing", "credential.recovered"),
        description="Grün",
        secret_version=3,
        previous_sealed=b"before",
        previous_until=now,
        disabled_at=now,
        disabled_reason="gone",
        failing_since=now,
    )
    for each in (full, plain):
        await database.endpoints.add(each)
        assert await database.endpoints.get(WORKSPACE, each.id) == each
    assert list(await database.endpoints.list(WORKSPACE)) == [plain, full]


async def test_another_workspaces_endpoints_are_not_there(database: AnyDatabase, now: datetime) -> None:
    theirs = endpoint(workspace_id=OTHER_WORKSPACE)
    await database.endpoints.add(theirs)
    assert await database.endpoints.get(WORKSPACE, theirs.id) is None
    assert list(await database.endpoints.list(WORKSPACE)) == []
    assert not await database.endpoints.update(replace(theirs, workspace_id=WORKSPACE), before=theirs)
    assert not await database.endpoints.disable(WORKSPACE, theirs.id, reason="gone", at=now, event=event())
    assert await database.endpoints.fared(WORKSPACE, theirs.id, failed_at=now) is None
    assert not await database.endpoints.delete(WORKSPACE, theirs.id)
    assert await database.endpoints.get(OTHER_WORKSPACE, theirs.id) == theirs
    assert list(await database.events.recent(WORKSPACE, kinds=[], limit=9)) == []


async def test_those_of_several_workspaces_without_the_disabled(database: AnyDatabase, now: datetime) -> None:
    await database.endpoints.add(endpoint(id="ours", created_at=now))
    await database.endpoints.add(endpoint(id="off", disabled_at=now, disabled_reason="asked"))
    await database.endpoints.add(endpoint(id="theirs", workspace_id=OTHER_WORKSPACE, created_at=now + MINUTE))
    await database.endpoints.add(endpoint(id="foreign", workspace_id="workspace-3"))
    found = await database.endpoints.of_workspaces([WORKSPACE, OTHER_WORKSPACE])
    assert [each.id for each in found] == ["ours", "theirs"]
    assert list(await database.endpoints.of_workspaces([])) == []


async def test_an_edit_keeps_what_is_not_a_persons(database: AnyDatabase, now: datetime) -> None:
    stored = endpoint(failing_since=now)
    await database.endpoints.add(stored)
    edited = replace(stored, url="https://new.example", created_by="somebody", failing_since=None)
    assert await database.endpoints.update(edited, before=stored)
    assert await database.endpoints.get(WORKSPACE, stored.id) == replace(stored, url="https://new.example")


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_version": 2, "secret_sealed": b"new", "previous_sealed": b"sealed"},
        {"url": "https://first.example"},
        {"description": "Grün"},
        {"types": ("credential.failing",)},
        {"disabled_at": NOON, "disabled_reason": "gone"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_an_edit_of_what_was_changed_meanwhile_is_refused(
    database: AnyDatabase, changes: dict[str, object]
) -> None:
    stored, first = endpoint(), endpoint(**changes)
    await database.endpoints.add(stored)
    assert await database.endpoints.update(first, before=stored)
    assert not await database.endpoints.update(endpoint(url="https://late.example"), before=stored)
    assert await database.endpoints.get(WORKSPACE, "endpoint-1") == first
    assert await database.endpoints.update(stored, before=first)


@pytest.mark.parametrize("asked", [True, False])
async def test_disabling_ends_what_waits_and_enabling_forgets_failures(
    database: AnyDatabase, now: datetime, asked: bool
) -> None:
    await database.endpoints.add(endpoint(failing_since=now - MINUTE))
    await database.outbox.tell([], deliveries=[delivery(created_at=now, next_attempt_at=now)], notices=[])
    off = endpoint(disabled_at=now, disabled_reason="asked" if asked else "gone", failing_since=now - MINUTE)
    if asked:
        assert await database.endpoints.update(off, before=endpoint())
    else:
        told = event(kind="webhook_disabled", credential_id="")
        assert await database.endpoints.disable(WORKSPACE, "endpoint-1", reason="gone", at=now, event=told)
        assert not await database.endpoints.disable(WORKSPACE, "endpoint-1", reason="gone", at=now, event=event())
        assert list(await database.events.recent(WORKSPACE, kinds=[], limit=9)) == [told]
    assert await database.endpoints.get(WORKSPACE, "endpoint-1") == off
    ended = await database.outbox.get(WORKSPACE, "endpoint-1", "msg_1")
    assert ended is not None
    assert (ended.state, ended.next_attempt_at, ended.last_result) == (DeliveryState.FAILED, None, "disabled")
    assert ended.last_attempt_at == now
    assert await database.endpoints.update(endpoint(), before=off)
    assert await database.endpoints.get(WORKSPACE, "endpoint-1") == endpoint()


async def test_the_first_failure_since_the_last_success_is_remembered(database: AnyDatabase, now: datetime) -> None:
    await database.endpoints.add(endpoint())
    fared = database.endpoints.fared
    assert await fared(WORKSPACE, "endpoint-1", failed_at=None) is None
    assert await fared(WORKSPACE, "endpoint-1", failed_at=now) == now
    assert await fared(WORKSPACE, "endpoint-1", failed_at=now + MINUTE) == now
    assert await fared(WORKSPACE, "endpoint-1", failed_at=None) is None
    assert await fared(WORKSPACE, "endpoint-1", failed_at=now + MINUTE) == now + MINUTE


async def test_deliveries_go_with_their_endpoint(database: AnyDatabase) -> None:
    await database.endpoints.add(endpoint())
    await database.outbox.tell([], deliveries=[delivery()], notices=[])
    assert await database.endpoints.delete(WORKSPACE, "endpoint-1")
    assert not await database.endpoints.delete(WORKSPACE, "endpoint-1")
    await database.endpoints.add(endpoint())
    assert await database.outbox.get(WORKSPACE, "endpoint-1", "msg_1") is None
