"""One database of each kind, fresh for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.kit.clock import FakeClock
from tests.kit.databases import KINDS, migrated_url
from tests.kit.memory_store import MemoryDatabase
from tests.kit.stored import AnyDatabase
from tokenkeep.adapters.store import Database

Another = Callable[[], AnyDatabase]


@pytest.fixture(
    params=[pytest.param(kind, marks=pytest.mark.postgres if kind == "postgresql" else ()) for kind in KINDS]
)
async def another(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Another]:
    """Opens the test's database once more, as a further process would. In memory there is but one."""
    if request.param == "memory":
        memory = MemoryDatabase(FakeClock())
        yield lambda: memory
        return
    opened: list[Database] = []
    async with migrated_url(request.param, tmp_path) as url:

        def open_one() -> Database:
            opened.append(Database.open(url))
            return opened[-1]

        yield open_one
        for database in opened:
            await database.close()


@pytest.fixture
def database(another: Another) -> AnyDatabase:
    return another()


@pytest.fixture
async def now(database: AnyDatabase) -> datetime:
    """The database's clock."""
    return await database.grants.now()
