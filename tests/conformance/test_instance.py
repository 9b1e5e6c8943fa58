"""InstanceStore: the mark that a database carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from tests.kit.stored import AnyDatabase, put_grant


async def test_a_new_database_has_no_mark(database: AnyDatabase) -> None:
    assert await database.instance.mark() is None
    assert not await database.instance.holds_grants()


async def test_the_mark_tells_where_and_when(database: AnyDatabase, now: datetime) -> None:
    put = await database.instance.put_mark("here/1")
    assert put.home == "here/1"
    assert now <= put.at < now + timedelta(seconds=30)
    assert await database.instance.mark() == put
    moved = await database.instance.put_mark("there/1")
    assert moved.home == "there/1"
    assert moved.at >= put.at
    assert await database.instance.mark() == moved


async def test_time_never_goes_back(database: AnyDatabase, now: datetime) -> None:
    later = now + timedelta(days=1)
    assert (await database.instance.put_mark("here/1", after=later)).at == later
    assert (await database.instance.put_mark("here/1")).at == later
    assert (await database.instance.put_mark("here/1", after=now)).at == later


async def test_replicas_that_mark_at_once_see_a_time_that_is_stored(another: Callable[[], AnyDatabase]) -> None:
    databases = [another() for _ in range(2)]
    marks = await asyncio.gather(*(databases[n % 2].instance.put_mark("here/1") for n in range(20)))
    stored = await databases[0].instance.mark()
    assert stored is not None
    assert all(each.at <= stored.at for each in marks)


async def test_where_it_lies_stays_and_tells_it_from_another(another: Callable[[], AnyDatabase]) -> None:
    first, second = another(), another()
    assert await first.instance.home() == await second.instance.home()
    assert await first.instance.home()


async def test_a_grant_is_something_to_lose(database: AnyDatabase) -> None:
    await put_grant(database)
    assert await database.instance.holds_grants()
