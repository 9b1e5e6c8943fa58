"""Migrations: from nothing to the shape that the tables describe, on both databases."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from tests.kit.databases import fresh_postgres, sqlite_url
from tokenkeep.adapters.migrate import _ONE_AT_A_TIME, migrate, newest, revision
from tokenkeep.adapters.store import engine
from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.tables import metadata
from tokenkeep.core.errors import Misconfigured


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    async with fresh_postgres() as fresh:
        yield fresh


async def execute(url: str, statement: str) -> None:
    engines = Engines(url)
    async with engines.write() as connection:
        await connection.execute(text(statement))
    await engines.close()


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


def _parts(sql: str) -> list[str]:
    """What a CREATE statement lists. SQLite keeps its text, and a column added later stands on the last line."""
    head, _, body = sql.partition("(")
    parts, depth = [""], 0
    for char in body.rstrip().removesuffix(")") if sql.startswith("CREATE TABLE") else sql:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [" ".join(part.split()) for part in ([head] if sql.startswith("CREATE TABLE") else []) + parts]


def _definitions(connection: Connection) -> set[str]:
    """Every column, constraint and index as the database itself describes it, in no order."""
    if connection.dialect.name == "sqlite":
        statements = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        return {f"{name}: {part}" for name, sql in connection.execute(text(statements)) for part in _parts(sql)}
    questions = (
        """SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
             FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
        """SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default, collation_name)
             FROM information_schema.columns WHERE table_schema = 'public'""",
    )
    return {row[0] for question in questions for row in connection.execute(text(question))}


async def _described(url: str) -> set[str]:
    engines = Engines(url)
    async with engines.read() as connection:
        definitions = await connection.run_sync(_definitions)
    await engines.close()
    return {definition for definition in definitions if "alembic_version" not in definition}


async def test_from_nothing_to_the_newest(url: str) -> None:
    assert await revision(url) is None
    await migrate(url)
    assert await revision(url) == newest()


async def test_migrating_again_changes_nothing(url: str) -> None:
    await migrate(url)
    before = await _described(url)
    await migrate(url)
    assert await _described(url) == before


async def test_several_may_migrate_at_once(url: str) -> None:
    await asyncio.gather(*(migrate(url) for _ in range(3)))
    assert await revision(url) == newest()


@pytest.mark.postgres
async def test_whoever_comes_while_another_migrates_waits_however_long_that_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A statement of the service itself may take a while only; an index on a large table takes longer."""
    async with fresh_postgres() as url:
        engines = Engines(url)
        async with engines.write() as other:
            await other.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ONE_AT_A_TIME})
            monkeypatch.setattr(engine, "ANSWER_S", 0.2)
            waiting = asyncio.create_task(migrate(url))
            assert await asyncio.wait([waiting], timeout=1) == (set(), {waiting})
        await waiting
        assert await revision(url) == newest()
        await engines.close()


async def test_alembic_finds_no_difference_to_the_tables(url: str) -> None:
    await migrate(url)
    engines = Engines(url)
    async with engines.read() as connection:
        assert await connection.run_sync(_differences) == []
    await engines.close()


async def test_every_constraint_and_index_is_as_the_tables_say(url: str, tmp_path: Path) -> None:
    await migrate(url)
    migrated = await _described(url)
    engines = Engines(url)
    async with engines.write() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    await engines.close()
    assert await _described(url) == migrated
    assert any("next_refresh_at IS NOT NULL" in definition for definition in migrated)


async def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    await migrate(url)
    await execute(url, "UPDATE alembic_version SET version_num = '9999'")
    before = await _described(url)
    with pytest.raises(Misconfigured):
        await migrate(url)
    with pytest.raises(Misconfigured):
        await revision(url)
    assert await _described(url) == before


async def test_a_migration_that_fails_leaves_nothing_behind(url: str) -> None:
    await execute(url, "CREATE TABLE instance (id INTEGER)")  # in the way of the last table
    with pytest.raises(Exception, match="instance"):
        await migrate(url)
    assert {definition.split(" ")[0].rstrip(":") for definition in await _described(url)} == {"instance"}
    assert await revision(url) is None


async def test_the_sqlite_files_are_their_owners_alone(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    await migrate(url)
    engines = Engines(url)
    async with engines.write() as connection:
        await connection.execute(text("INSERT INTO sign_in_links VALUES ('a', 1)"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    await engines.close()
    assert modes == dict.fromkeys(["tokenkeep.db", "tokenkeep.db-wal", "tokenkeep.db-shm"], 0o600)


@pytest.mark.parametrize(
    "url",
    ["sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:", "sqlite:////tmp/x", "postgresql://h/d", "mysql://h/d"],
    indirect=False,
)
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        Engines(url)
