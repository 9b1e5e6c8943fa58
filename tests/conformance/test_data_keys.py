"""DataKeyStore: wrapped keys and the check value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from tests.kit import builders
from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase
from tokenkeep.core.errors import NotFound


async def test_a_key_comes_back_whole(database: AnyDatabase) -> None:
    assert not await database.data_keys.any_keys()
    key = builders.data_key()
    assert await database.data_keys.add_key(key) == key
    assert list(await database.data_keys.keys(WORKSPACE)) == [key]
    assert list(await database.data_keys.keys(OTHER_WORKSPACE)) == []
    assert await database.data_keys.any_keys()


async def test_a_second_active_key_gives_way_to_the_first(database: AnyDatabase) -> None:
    first = await database.data_keys.add_key(builders.data_key())
    assert await database.data_keys.add_key(builders.data_key(id=b"another")) == first
    theirs = builders.data_key(id=b"theirs", workspace_id=OTHER_WORKSPACE)
    assert await database.data_keys.add_key(theirs) == theirs


async def test_all_who_add_at_once_get_the_same_key(another: Callable[[], AnyDatabase]) -> None:
    databases = [another() for _ in range(2)]
    keys = await asyncio.gather(
        *(databases[n % 2].data_keys.add_key(builders.data_key(id=b"key %d" % n)) for n in range(10))
    )
    assert len(set(keys)) == 1
    assert list(await databases[0].data_keys.keys(WORKSPACE)) == [keys[0]]


async def test_reserving_raises_the_mark(database: AnyDatabase, now: datetime) -> None:
    key = await database.data_keys.add_key(builders.data_key(created_at=now))
    marks = await asyncio.gather(*(database.data_keys.reserve(key.id, 100) for _ in range(10)))
    assert sorted(marks) == list(range(100, 1001, 100))
    assert list(await database.data_keys.keys(WORKSPACE)) == [replace(key, used=1000)]
    with pytest.raises(NotFound):
        await database.data_keys.reserve(b"unknown", 1)


async def test_the_check_value_is_set_and_replaced(database: AnyDatabase) -> None:
    assert await database.data_keys.check() is None
    await database.data_keys.set_check(b"one")
    await database.data_keys.set_check(b"two")
    assert await database.data_keys.check() == b"two"
