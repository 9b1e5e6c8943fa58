"""Engines: the settings that durability asks for, and errors that tell no values."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, insert, text
from sqlalchemy.exc import DBAPIError

from tests.campaigns.proxy import Wire
from tests.kit import builders
from tests.kit.databases import migrated_url
from tests.kit.stored import put_grant
from tokenkeep.adapters.store import Database
from tokenkeep.adapters.store import engine as module
from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.tables import members, sign_in_links
from tokenkeep.core.errors import Unavailable


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Engines]:
    async with migrated_url("sqlite", tmp_path) as url:
        engines = Engines(url)
        yield engines
        await engines.close()


async def insert_into(engines: Engines, table: Table, rows: list[dict[str, Any]]) -> None:
    async with engines.write() as connection:
        await connection.execute(insert(table), rows)


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("secure_delete", 1),
        ("busy_timeout", 10_000),
        ("trusted_schema", 0),
    ],
)
async def test_every_sqlite_connection_is_set_up(sqlite: Engines, pragma: str, value: object) -> None:
    for way in (sqlite.read, sqlite.write):
        async with way() as connection:
            assert (await connection.execute(text(f"PRAGMA {pragma}"))).scalar() == value


async def test_read_then_write_loses_no_update(sqlite: Engines) -> None:
    other = Engines(str(sqlite.url))
    async with sqlite.write() as connection:
        await connection.execute(text("INSERT INTO sign_in_links VALUES ('counter', 0)"))

    async def add_one(engines: Engines) -> None:
        async with engines.write() as connection:
            value = (await connection.execute(text("SELECT expires_at FROM sign_in_links"))).scalar_one()
            await connection.execute(text(f"UPDATE sign_in_links SET expires_at = {value + 1}"))

    await asyncio.gather(*(add_one((sqlite, other)[number % 2]) for number in range(40)))
    await other.close()
    async with sqlite.read() as connection:
        assert (await connection.execute(text("SELECT expires_at FROM sign_in_links"))).scalar_one() == 40


async def test_a_writer_does_not_hold_up_readers(sqlite: Engines) -> None:
    async with sqlite.write() as writer, sqlite.read() as reader:
        await writer.execute(text("INSERT INTO sign_in_links VALUES ('a', 0)"))
        assert (await reader.execute(text("SELECT count(*) FROM sign_in_links"))).scalar_one() == 0


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def test_errors_tell_no_values(kind: str, tmp_path: Path) -> None:
    row = {"digest": "MARKED", "expires_at": builders.NOON}
    member = {"workspace_id": "MARKED", "user_id": "MARKED", "role": "MARKED", "created_at": builders.NOON}
    async with migrated_url(kind, tmp_path) as url:
        engines = Engines(url)
        for table, rows in ((sign_in_links, [row, row]), (members, [member])):
            with pytest.raises(DBAPIError) as caught:
                await insert_into(engines, table, rows)
            assert "MARKED" not in "".join(traceback.format_exception(caught.value))
        await engines.close()


async def test_naive_times_are_refused(sqlite: Engines) -> None:
    naive = {"digest": "a", "expires_at": builders.NOON.replace(tzinfo=None)}
    with pytest.raises(Exception, match="no zone"):
        await insert_into(sqlite, sign_in_links, [naive])


async def test_a_database_whose_file_is_gone_does_not_answer_a_ping(tmp_path: Path) -> None:
    async with migrated_url("sqlite", tmp_path) as url:
        database = Database.open(url)
        await database.status.ping()
        (tmp_path / "tokenkeep.db").unlink()
        with pytest.raises(Unavailable):
            await database.status.ping()
        await database.close()


@pytest.mark.postgres
async def test_a_database_that_does_not_answer_any_more_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is half open never breaks by itself."""
    monkeypatch.setattr(module, "ANSWER_S", 0.5)
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 1)
    async with migrated_url("postgresql", tmp_path) as url:
        wire = Wire(url)
        database = Database.open(await wire.open())
        assert not await database.grants.due(limit=1)
        wire.cut()
        for call in (database.grants.due(limit=1), database.grants.hasten_future()):
            with pytest.raises(Unavailable):
                async with asyncio.timeout(8):
                    await call
        wire.mend()
        assert not await database.grants.due(limit=1)
        await database.close()
        await wire.close()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("state", "away"),
    [
        *((state, True) for state in ("25006", "40P01", "53100", "53300", "57P01", "58030")),
        *((state, False) for state in ("22003", "23514", "42703")),
    ],
)
async def test_servers_errors_are_told_from_faults_of_a_statement(tmp_path: Path, state: str, away: bool) -> None:
    async with migrated_url("postgresql", tmp_path) as url:
        engines = Engines(url)
        raising = text(f"DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{state}'; END $$")
        with pytest.raises(Unavailable if away else DBAPIError):
            await engines.grouped(lambda connection: connection.execute(raising))
        with pytest.raises(Unavailable if away else DBAPIError):
            async with engines.write() as connection:
                await connection.execute(raising)
        await engines.close()


@pytest.mark.postgres
async def test_replicas_that_claim_the_same_rows_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    """Each claims all of them, together and in an order of its own."""
    async with migrated_url("postgresql", tmp_path) as url:
        replicas = [Database.open(url) for _ in range(3)]
        now = await replicas[0].grants.now()
        read = [await put_grant(replicas[0], credential_id=f"c{number}", due=now) for number in range(60)]
        orders = [read, read[::-1], read[30:] + read[:30]]
        claims = await asyncio.gather(
            *(
                replica.grants.claim(grant, owner=f"r{number}", lease_s=90, intent_fingerprint="")
                for number, (replica, order) in enumerate(zip(replicas, orders, strict=True))
                for grant in order
            )
        )
        owners = [(await replicas[0].grants.get(grant.workspace_id, grant.credential_id)).lease_owner for grant in read]
        taken = [lease.grant.credential_id for lease in claims if lease is not None]
        assert len(taken) == len(set(taken)) == sum(owner != "" for owner in owners)
        assert len(taken) > 30
        for replica in replicas:
            await replica.close()
