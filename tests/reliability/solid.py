"""A real SQLite file in a world of virtual time.

Owns: letting time stand still while the file is worked on, and giving SQLite the world's clock instead of its own.
Does not own: what happens in the world.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from tests.kit.clock import NOON
from tests.kit.databases import migrated_url, sqlite_url
from tests.reliability.virtual_time import VirtualLoop, run
from tokenkeep.adapters.store import Database

_DAY_S, _EPOCH_AS_JULIAN_DAY = 86400.0, 2440587.5


class SolidPort:
    """One store of a real database."""

    def __init__(self, inner: Any, loop: VirtualLoop) -> None:
        self._inner, self._loop = inner, loop

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._inner, method)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            with self._loop.outside():  # shielded: what was handed to a file happens, also when its caller dies
                return await asyncio.shield(asyncio.ensure_future(found(*arguments, **named)))

        self.__dict__[method] = call
        return call


class SolidDatabase:
    """`adapters.store.Database` for a world."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        port = self.__dict__[name] = SolidPort(getattr(self._inner, name), self._loop)
        return port

    async def close(self) -> None:
        with self._loop.outside():
            await self._inner.close()


@cache
def _migrated() -> Path:
    """A file of the present shape, made once."""
    folder = Path(tempfile.mkdtemp(prefix="tokenkeep-solid-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    async def make() -> None:
        async with migrated_url("sqlite", folder):
            pass

    asyncio.run(make())
    return folder / "tokenkeep.db"


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[SolidDatabase]:
    loop = asyncio.get_running_loop()

    def today(_: object) -> float:
        return (NOON.timestamp() + loop.time()) / _DAY_S + _EPOCH_AS_JULIAN_DAY

    def connected(connection: Any, _record: object) -> None:
        connection.create_function("julianday", 1, today)

    event.listen(Engine, "connect", connected)
    database = SolidDatabase(Database.open(sqlite_url(folder)))
    try:
        yield database
    finally:
        await database.close()
        event.remove(Engine, "connect", connected)


def run_on_file(play: Callable[[SolidDatabase], Coroutine[Any, Any, Any]]) -> Any:
    """What `play` answers, over a fresh file."""
    original = _migrated()
    with tempfile.TemporaryDirectory(prefix="tokenkeep-solid-") as folder:
        shutil.copy(original, Path(folder) / "tokenkeep.db")

        async def main() -> Any:
            async with _opened(Path(folder)) as database:
                return await play(database)

        return run(main)
