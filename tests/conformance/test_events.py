"""EventStore: history, newest first."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.kit import builders
from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase
from tokenkeep.core.errors import InvalidInput

MINUTE = timedelta(minutes=1)


async def ids(database: AnyDatabase, **changes: object) -> list[str]:
    page = await database.events.list(WORKSPACE, "credential-1", **{"limit": 50, "cursor": ""} | changes)
    return [event.id for event in page.items]


async def test_an_event_comes_back_whole(database: AnyDatabase) -> None:
    event = builders.event(detail={"reason": "Grün", "count": 3, "scopes": ["a"], "none": None})
    await database.events.add(event)
    assert list((await database.events.list(WORKSPACE, "credential-1", limit=9, cursor="")).items) == [event]


async def test_events_may_be_about_no_credential_or_one_that_is_gone(database: AnyDatabase) -> None:
    await database.events.add(builders.event(id="key made", credential_id=""))
    await database.events.add(builders.event(id="gone", credential_id="deleted"))
    assert [event.id for event in await database.events.recent(WORKSPACE, kinds=[], limit=9)] == ["gone", "key made"]


async def test_newest_first_and_within_a_moment_the_later_written(database: AnyDatabase, now: datetime) -> None:
    for name, at in (("b", now), ("c", now), ("a", now + MINUTE), ("old", now - MINUTE)):
        await database.events.add(builders.event(id=name, at=at))
    await database.events.add(builders.event(id="theirs", workspace_id=OTHER_WORKSPACE))
    await database.events.add(builders.event(id="other", credential_id="credential-2"))
    assert await ids(database) == ["a", "c", "b", "old"]


async def test_pages_neither_repeat_nor_lose_anything(database: AnyDatabase, now: datetime) -> None:
    for number in range(5):
        await database.events.add(builders.event(id=str(number), at=now + MINUTE * (number // 2)))
    first = await database.events.list(WORKSPACE, "credential-1", limit=2, cursor="")
    second = await database.events.list(WORKSPACE, "credential-1", limit=2, cursor=first.next_cursor)
    third = await database.events.list(WORKSPACE, "credential-1", limit=2, cursor=second.next_cursor)
    assert [event.id for page in (first, second, third) for event in page.items] == ["4", "3", "2", "1", "0"]
    assert third.next_cursor == ""


async def test_a_cursor_of_another_workspace_shows_nothing(database: AnyDatabase) -> None:
    for number in range(3):
        await database.events.add(builders.event(id=str(number)))
        await database.events.add(builders.event(id=f"theirs {number}", workspace_id=OTHER_WORKSPACE))
    theirs = await database.events.list(OTHER_WORKSPACE, "credential-1", limit=1, cursor="")
    assert await ids(database, cursor=theirs.next_cursor) == []


async def test_a_foreign_cursor_is_refused(database: AnyDatabase) -> None:
    with pytest.raises(InvalidInput):
        await database.events.list(WORKSPACE, "credential-1", limit=2, cursor="not one of ours")


async def test_recent_events_of_a_workspace_by_kind(database: AnyDatabase, now: datetime) -> None:
    for number, kind in enumerate(["created", "refreshed", "connected", "refreshed"]):
        await database.events.add(builders.event(id=str(number), kind=kind, at=now + MINUTE * number))
    await database.events.add(builders.event(id="theirs", workspace_id=OTHER_WORKSPACE, kind="created"))
    recent = database.events.recent
    assert [event.id for event in await recent(WORKSPACE, kinds=["created", "refreshed"], limit=9)] == ["3", "1", "0"]
    assert [event.id for event in await recent(WORKSPACE, kinds=[], limit=2)] == ["3", "2"]
