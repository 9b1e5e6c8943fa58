"""Reads: from memory when nothing changed, never stale after a commit anywhere; and the due query's plan."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.engine import make_url

from tests.kit import builders
from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.databases import migrated_url
from tests.kit.stored import event, put_credential, put_grant
from tokenkeep.adapters.store import Database
from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.grant_statements import DUE
from tokenkeep.adapters.store.reads import Cache, Entry
from tokenkeep.adapters.store.reads_postgresql import PostgresqlReads
from tokenkeep.adapters.tables import credentials, grants
from tokenkeep.core.errors import Unavailable
from tokenkeep.core.model import State


@dataclass
class Pair:
    """One database, opened by the reader under test and by somebody else."""

    url: str
    reader: Database
    writer: Database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    async with migrated_url(request.param, tmp_path) as url:
        pair = Pair(url, Database.open(url), Database.open(url))
        yield pair
        await pair.reader.close()
        await pair.writer.close()


async def read(database: Database) -> Any:
    return await database.reads.credential(WORKSPACE, "credential-1")


async def test_reads_answer_the_very_nouns_of_the_stores(pair: Pair) -> None:
    now = await pair.writer.grants.now()
    failing = builders.standing(state=State.FAILING, failure=builders.failure(since=now), refresh_expires_at=now)
    await put_credential(pair.writer, values_sealed=b"\x00sealed", masked={"key": "…é9", "on": True})
    grant = await put_grant(
        pair.writer, standing=failing, prev_sealed=b"p", prev_until=now, account_sealed=b"a", scopes_granted=None
    )
    await pair.writer.grants.claim(grant, owner="me", lease_s=90, intent_fingerprint="f")
    keys = [
        builders.service_key(id="all"),
        builders.service_key(id="some", credential_ids=frozenset({"a"}), expires_at=now, revoked_at=now),
    ]
    for key in keys:
        await pair.writer.service_keys.add(key)
    for _ in range(2):
        assert await read(pair.reader) == await pair.writer.credentials.get(WORKSPACE, "credential-1")
        assert [await pair.reader.reads.service_key(key.id) for key in keys] == keys


async def test_an_unchanged_credential_is_the_same_object(pair: Pair) -> None:
    await put_grant(pair.writer)
    first = await read(pair.reader)
    assert await read(pair.reader) is first
    await put_credential(pair.writer, id="another")
    assert await read(pair.reader) is first, "a commit elsewhere costs a look at the stamp, not a reload"


async def test_unknown_and_foreign_ids_are_none_until_they_are_there(pair: Pair) -> None:
    assert await read(pair.reader) is None
    assert await pair.reader.reads.service_key("key-1") is None
    await put_grant(pair.writer)
    await pair.writer.service_keys.add(builders.service_key())
    assert await read(pair.reader) is not None
    assert await pair.reader.reads.service_key("key-1") is not None
    assert await pair.reader.reads.credential(OTHER_WORKSPACE, "credential-1") is None


async def _edit(database: Database) -> None:
    await database.credentials.update(builders.credential(name="Renamed"), expected_version=1, event=event())


async def _refresh(database: Database) -> None:
    grant = await database.grants.get(WORKSPACE, "credential-1")
    assert grant is not None
    lease = await database.grants.claim(grant, owner="me", lease_s=90, intent_fingerprint="f")
    assert lease is not None
    await database.grants.store(lease, replace(lease.grant, version=2, sealed=b"new"), event())


async def _claim(database: Database) -> None:
    grant = await database.grants.get(WORKSPACE, "credential-1")
    assert grant is not None
    await database.grants.claim(grant, owner="me", lease_s=90, intent_fingerprint="f")


async def _restand(database: Database) -> None:
    grant = await database.grants.get(WORKSPACE, "credential-1")
    assert grant is not None
    await database.grants.restand(grant, builders.standing(state=State.QUARANTINED), None)


async def _reconnect(database: Database) -> None:
    await database.grants.connect(builders.grant(grant_id="grant-2"), event())


async def _disconnect(database: Database) -> None:
    await database.grants.disconnect(WORKSPACE, "credential-1", event())


async def _disconnect_and_connect(database: Database) -> None:
    await _disconnect(database)
    await _reconnect(database)


async def _delete(database: Database) -> None:
    await database.credentials.delete(WORKSPACE, "credential-1")


CHANGES = [_edit, _refresh, _claim, _restand, _reconnect, _disconnect, _disconnect_and_connect, _delete]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("who", ["the same process", "another connection"])
async def test_no_read_is_older_than_a_commit(pair: Pair, change: Any, who: str) -> None:
    await put_grant(pair.writer)
    before = await read(pair.reader)
    await change(pair.reader if who == "the same process" else pair.writer)
    after = await read(pair.reader)
    assert after != before
    assert after == await pair.writer.credentials.get(WORKSPACE, "credential-1")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("who", ["the same process", "another connection"])
async def test_an_epoch_ends_with_every_commit_and_not_before(pair: Pair, change: Any, who: str) -> None:
    await put_grant(pair.writer)
    before = await pair.reader.reads.epoch()
    await read(pair.reader)
    await asyncio.sleep(0)
    assert await pair.reader.reads.epoch() == before or "postgresql" in pair.url  # others may use its server
    await change(pair.reader if who == "the same process" else pair.writer)
    assert await pair.reader.reads.epoch() > before


async def test_epochs_are_told_together_and_never_too_early(pair: Pair) -> None:
    await put_grant(pair.writer)
    first = await asyncio.gather(*(pair.reader.reads.epoch() for _ in range(50)))
    await _edit(pair.writer)
    second = await asyncio.gather(*(pair.reader.reads.epoch() for _ in range(50)))
    assert max(first) < min(second)


@pytest.mark.postgres
async def test_another_server_is_another_epoch(tmp_path: Path) -> None:
    async with migrated_url("postgresql", tmp_path) as url:
        database = Database.open(url)
        before = await database.reads.epoch()
        await end_other_sessions(url)
        assert await database.reads.epoch() > before
        await database.close()


async def test_a_revoked_key_is_known_as_revoked_at_once(pair: Pair) -> None:
    await pair.writer.service_keys.add(builders.service_key())
    now = await pair.writer.grants.now()
    assert (await pair.reader.reads.service_key("key-1")).revoked_at is None
    await pair.writer.service_keys.revoke(WORKSPACE, "key-1", now)
    assert (await pair.reader.reads.service_key("key-1")).revoked_at == now
    await pair.writer.service_keys.used({"key-1": now})
    assert (await pair.reader.reads.service_key("key-1")).last_used_at == now


async def test_a_commit_of_another_process_is_seen(tmp_path: Path) -> None:
    async with migrated_url("sqlite", tmp_path) as url:
        database = Database.open(url)
        await put_grant(database)
        await read(database)
        program = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
            "c.execute('UPDATE grants SET state = ?, revision = revision + 1', ('quarantined',)); c.commit()"
        )
        command = [sys.executable, "-c", program, tmp_path / "tokenkeep.db"]
        await asyncio.to_thread(subprocess.run, command, check=True)
        assert (await read(database)).grant.standing.state is State.QUARANTINED
        await database.close()


async def test_a_commit_elsewhere_leaves_the_very_same_objects(pair: Pair) -> None:
    await put_grant(pair.writer)
    await put_grant(pair.writer, credential_id="credential-2")
    await pair.writer.service_keys.add(builders.service_key())
    question = ("key-1", WORKSPACE, "credential-1")
    before, epoch = await pair.reader.reads.both(*question), await pair.reader.reads.epoch()
    await pair.writer.credentials.delete(WORKSPACE, "credential-2")
    assert await pair.reader.reads.epoch() > epoch
    after = await pair.reader.reads.both(*question)
    assert all(one is other for one, other in zip(before, after, strict=True))
    await _refresh(pair.writer)
    key, credential = await pair.reader.reads.both(*question)
    assert key is before[0]
    assert credential.grant.version == before[1].grant.version + 1
    assert await pair.reader.reads.both("nobody", OTHER_WORKSPACE, "credential-1") == (None, None)


async def test_a_client_is_read_as_it_is_stored(pair: Pair) -> None:
    await pair.writer.clients.put(builders.client())
    assert await pair.reader.reads.client(WORKSPACE, "client-1") == await pair.writer.clients.get(WORKSPACE, "client-1")
    assert await pair.reader.reads.client(OTHER_WORKSPACE, "client-1") is None
    await pair.writer.clients.pause(builders.client(), code="invalid_client", probe_at=await pair.writer.grants.now())
    assert (await pair.reader.reads.client(WORKSPACE, "client-1")).incident_code == "invalid_client"
    await pair.writer.clients.delete(WORKSPACE, "acme")
    assert await pair.reader.reads.client(WORKSPACE, "client-1") is None


async def test_many_readers_beside_a_writer_never_go_back(pair: Pair) -> None:
    await put_grant(pair.writer)
    committed = 1
    done = False

    async def reader() -> None:
        while not done:
            known = committed
            credential = await read(pair.reader)
            assert credential.version >= known
            await asyncio.sleep(0)

    readers = [asyncio.create_task(reader()) for _ in range(20)]
    for version in range(1, 30):
        edited = builders.credential(name=f"name {version}")
        assert await pair.writer.credentials.update(edited, expected_version=version, event=event())
        committed = version + 1
    done = True
    await asyncio.gather(*readers)
    assert (await read(pair.reader)).version == 30


async def test_a_reader_who_hangs_up_does_not_disturb_the_others(pair: Pair) -> None:
    await put_grant(pair.writer)
    readers = [asyncio.create_task(read(pair.reader)) for _ in range(5)]
    await asyncio.sleep(0)
    readers[0].cancel()
    found = await asyncio.gather(*readers, return_exceptions=True)
    assert all(each is not None and not isinstance(each, BaseException) for each in found[1:])


async def test_a_lost_sqlite_file_is_a_connection_error(tmp_path: Path) -> None:
    async with migrated_url("sqlite", tmp_path) as url:
        database = Database.open(url)
        (tmp_path / "tokenkeep.db").rename(tmp_path / "elsewhere")
        with pytest.raises(Unavailable):
            await read(database)
        with pytest.raises(Unavailable):
            await database.reads.service_key("key-1")
        (tmp_path / "elsewhere").rename(tmp_path / "tokenkeep.db")
        assert await read(database) is None
        await database.close()


async def test_a_reading_sqlite_connection_cannot_write(tmp_path: Path) -> None:
    async with migrated_url("sqlite", tmp_path) as url:
        database = Database.open(url)
        await read(database)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.reads._connection.execute("DELETE FROM credentials")
        await database.close()


@pytest.mark.postgres
@pytest.mark.parametrize("pooled", [False, True])
async def test_a_lost_postgresql_connection_is_opened_again(tmp_path: Path, pooled: bool) -> None:
    async with migrated_url("postgresql", tmp_path) as url:
        database = Database.open(url)
        await put_grant(database)
        database.reads._pooled = pooled  # as behind a transaction pooler
        first = await read(database)
        await end_other_sessions(url)
        assert await read(database) is first
        await database.close()


@pytest.mark.postgres
async def test_a_pooler_that_loses_statements_is_noticed(tmp_path: Path) -> None:
    async with migrated_url("postgresql", tmp_path) as url:
        database = Database.open(url)
        await put_grant(database)
        first = await read(database)
        await read(database)
        await database.reads._connection.execute("DEALLOCATE ALL")  # another server connection knows none of them
        assert await read(database) is first
        assert database.reads._pooled
        assert await read(database) is first
        await database.close()


async def end_other_sessions(url: str) -> None:
    engines = Engines(url)
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    async with engines.write() as connection:
        await connection.execute(text(ended + " AND pid <> pg_backend_pid()"))
    await engines.close()


async def test_an_unreachable_postgresql_is_a_connection_error() -> None:
    reads = PostgresqlReads(make_url("postgresql+asyncpg://nobody@127.0.0.1:1/nothing"))
    waiting = [reads.credential(WORKSPACE, str(number)) for number in range(3)]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in found] == [Unavailable] * 3
    await reads.close()


def test_the_cache_lets_the_oldest_go() -> None:
    cache: Cache[str] = Cache(limit=2)
    for name in ("a", "b", "a", "c"):
        cache.put(name, Entry(name, (1,)))
    assert len(cache) == 2
    assert cache.get("b") is None
    assert cache.get("a") is not None


async def _fill(engines: Engines, count: int) -> None:
    """So many grants, one in ten of them planned, and of those one in ten due."""
    now = builders.NOON - timedelta(days=300)
    plain = {"grant_id": "g", "client": "c", "provider": "p", "version": 1, "sealed": b"s" * 200, "state": "connected"}
    plain |= {"connected_at": now, "scopes_requested": [], "fence": 0, "lease_owner": "", "intent_fingerprint": ""}
    people = {"type": "t", "name": "n", "name_key": "n", "version": 1, "values_version": 1, "masked": {}}
    people |= {"created_at": now, "updated_at": now, "created_by": ""}
    ids = [f"credential-{number}" for number in range(count)]
    due = [None if n % 10 else now + timedelta(days=0 if n % 100 == 0 else 900) for n in range(count)]
    async with engines.write() as connection:
        rows = [people | {"workspace_id": WORKSPACE, "id": name} for name in ids]
        await connection.execute(insert(credentials), rows)
        places = [
            plain | {"workspace_id": WORKSPACE, "credential_id": name, "next_refresh_at": at}
            for name, at in zip(ids, due, strict=True)
        ]
        await connection.execute(insert(grants), places)
        await connection.execute(text("ANALYZE"))


async def test_the_due_query_walks_the_partial_index(pair: Pair) -> None:
    engines = Engines(pair.url)
    await _fill(engines, 3000)
    explain = "EXPLAIN QUERY PLAN " if engines.dialect == "sqlite" else "EXPLAIN "
    sql = str(DUE.params(limit=50).compile(engines.reader.sync_engine, compile_kwargs={"literal_binds": True}))
    async with engines.read() as connection:
        plan = "\n".join(str(row) for row in await connection.exec_driver_sql(explain + sql))
    await engines.close()
    assert "ix_grants_due" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan
    assert len(await pair.reader.grants.due(limit=50)) == 30
