"""Connections to the database.

Owns: engines for SQLite and PostgreSQL with the settings that durability asks for, and the two ways in: `write` and
`read`. Does not own: statements.

SQLite gets one writing connection whose every transaction is BEGIN IMMEDIATE: a deferred one that reads and then
writes fails at once with "database is locked", and no busy timeout helps a snapshot upgrade. Nothing here relies on a
PostgreSQL session (named statements, advisory session locks, LISTEN), so a transaction pooler may stand between.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.schema import Table

from tokenkeep.adapters.store.group import Group, Work
from tokenkeep.core.errors import Misconfigured, Unavailable

T = TypeVar("T")

_log = logging.getLogger(__name__)
BUSY_TIMEOUT_S = 10
"""How long a SQLite statement waits for another process's transaction."""
GROUPS = 3
"""Group commits that PostgreSQL runs beside each other; a part of the pool, so that other writers find a connection."""

ANSWER_S = 20
"""How long a PostgreSQL statement may take. A connection that is half open would else never answer."""

_POOLER_SAFE = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",  # the unnamed statement, which lives and dies in its transaction
}


_READ_ONLY = "25006"
_AWAY = ("08", "40", "53", "55", "57", "58")
"""Classes of SQLSTATE: connection, rolled back, resources, not in this state, an operator's doing, the system."""


class Engines:
    """The engines of one database: `writer`, and `reader` for what only looks."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.url = make_url(url)
        self.dialect = self.url.get_backend_name()
        if self.url.drivername == "sqlite+aiosqlite":
            prepare_file(self.path)
            self.writer = _sqlite(url, begin="BEGIN IMMEDIATE", pool_size=1)
            self.reader = _sqlite(url, begin="BEGIN", pool_size=pool_size)
            self._thread: _Thread | None = _Thread(self.url)
            self._turn: asyncio.Lock | None = asyncio.Lock()
        elif self.url.drivername == "postgresql+asyncpg":
            self.writer = self.reader = _postgresql(url, pool_size=pool_size)
            self._thread = self._turn = None
        else:
            raise Misconfigured(
                "The database URL names a database that is not supported.",
                fix="Use sqlite+aiosqlite:////absolute/path or postgresql+asyncpg://user@host/name.",
            )
        self._group = Group(self._committed, at_once=1 if self._thread is not None else GROUPS)

    @property
    def path(self) -> Path:
        """The SQLite file. Raises Misconfigured when the URL names none: a database in memory would be forgotten."""
        if not self.url.database or self.url.database == ":memory:":
            raise Misconfigured("The database URL names no file.", fix="Use sqlite+aiosqlite:////absolute/path.")
        return Path(self.url.database)

    @property
    def all(self) -> set[Engine]:
        """Every engine, for whoever listens to what happens in them."""
        grouping = {self._thread.engine} if self._thread is not None else set()
        return {self.writer.sync_engine, self.reader.sync_engine} | grouping

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that may write, committed at the end of the block. Raises Unavailable."""
        with _translated():
            async with self._turn or nullcontext(), self.writer.begin() as connection:
                yield connection

    async def grouped(self, work: Callable[[Connection], T], *, urgent: bool = False) -> T:
        """The result of `work`, done in a transaction that it may share with others' writes. Raises Unavailable.

        For the refresher's writes, of which many come together. `work` does nothing but its statements.
        """
        with _translated():
            return await self._group.write(work, urgent=urgent)

    async def _committed(self, batch: Sequence[Work]) -> Sequence[Any]:
        if self._thread is not None:
            async with self._turn or nullcontext():
                return await self._thread.committed(batch)
        async with self.writer.begin() as connection:
            return await connection.run_sync(lambda plain: [work(plain) for work in batch])

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that only reads. Raises Unavailable."""
        with _translated():
            async with self.reader.connect() as connection:
                yield connection

    def upsert(self, table: Table) -> Any:
        """INSERT with ON CONFLICT, which SQLAlchemy spells once per dialect although the SQL is the same."""
        return (postgresql.insert if self.dialect == "postgresql" else sqlite.insert)(table)

    async def close(self) -> None:
        """Close every connection."""
        await self._group.close()
        if self._thread is not None:
            await self._thread.close()
        await self.writer.dispose()
        await self.reader.dispose()


class _Thread:
    """The thread in which SQLite's group commits run: one hop for the whole batch, where the asynchronous driver hops
    for every statement."""

    def __init__(self, url: URL) -> None:
        self.engine = create_engine(
            url.set(drivername="sqlite+pysqlite"),
            hide_parameters=True,
            pool_size=1,
            max_overflow=0,
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        )
        _hook(self.engine, begin="BEGIN IMMEDIATE")
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenkeep-writer")

    async def committed(self, batch: Sequence[Work]) -> Sequence[Any]:
        """The results, once they are on the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._commit, batch)

    def _commit(self, batch: Sequence[Work]) -> Sequence[Any]:
        with self.engine.begin() as connection:
            return [work(connection) for work in batch]

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self.engine.dispose)
        self._worker.shutdown()


@contextmanager
def _translated() -> Iterator[None]:
    """A database that is away, locked, full or read-only, in our own words; a broken constraint stays what it is."""
    try:
        yield
    except (DBAPIError, PoolTimeout, OSError) as failure:
        if not _away(failure):
            raise
        cause = getattr(failure, "orig", None) or failure
        _log.warning("database_unavailable %s", getattr(cause, "sqlite_errorname", type(cause).__name__))
        raise Unavailable from failure


def _away(failure: Exception) -> bool:
    """Whether the database does not work now, or not for writing; else the statement was at fault.

    asyncpg's errors arrive without the classes of PEP 249, so PostgreSQL's are told by their SQLSTATE.
    """
    if not isinstance(failure, DBAPIError) or isinstance(failure, OperationalError | InterfaceError):
        return True
    state = getattr(failure.orig, "sqlstate", None) or ""
    return failure.connection_invalidated or state == _READ_ONLY or state.startswith(_AWAY)


def prepare_file(path: Path) -> None:
    """Create the SQLite file for its owner alone; its -wal and -shm files take over the mode."""
    if not path.exists():  # closing a descriptor of an open database would drop the locks that SQLite holds on it
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _sqlite(url: str, *, begin: str, pool_size: int) -> AsyncEngine:
    engine = create_async_engine(
        url, hide_parameters=True, pool_size=pool_size, max_overflow=0, connect_args={"timeout": BUSY_TIMEOUT_S}
    )
    _hook(engine.sync_engine, begin=begin)
    return engine


def _hook(engine: Engine, *, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # else the driver begins transactions as it sees fit, and updates get lost
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # NORMAL lost acknowledged commits in every simulated power cut
            f"busy_timeout = {BUSY_TIMEOUT_S * 1000}",
            "foreign_keys = ON",
            "secure_delete = ON",
            "trusted_schema = OFF",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)


def _postgresql(url: str, *, pool_size: int) -> AsyncEngine:
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        connect_args=_POOLER_SAFE | {"timeout": BUSY_TIMEOUT_S, "command_timeout": ANSWER_S},
    )

    @event.listens_for(engine.sync_engine, "handle_error")
    def _failed(context: ExceptionContext) -> None:
        for failure in (context.sqlalchemy_exception, context.original_exception, context.original_exception.__cause__):
            _forget_values(failure)

    return engine


def _forget_values(failure: BaseException | None) -> None:
    """The server's DETAIL quotes the row (`Failing row contains …`), which `hide_parameters` does not know of."""
    if failure is None:
        return
    if isinstance(getattr(failure, "detail", None), str):
        setattr(failure, "detail", None)  # noqa: B010 - the drivers' errors have it, BaseException has not
    failure.args = tuple(str(part).partition("\nDETAIL")[0] for part in failure.args)
