"""Copies and backups of a real instance wait for `tokenkeep adopt`; restarts and upgrades never ask (FI-40)."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.kit.databases import fresh_postgres
from tests.processes.service import store_connected
from tests.processes.test_endings import until
from tests.processes.test_storage import going_on, paused, refreshing
from tokenkeep.adapters.store.engine import Engines

LONG_AGO, SOON = timedelta(minutes=-5), timedelta(minutes=5)
QUICK = {"TOKENKEEP_REFRESH_TICK_S": "0.2"}


def beside_it(beside, service, name: str):
    """Another service with the same root key, over a directory that is not there yet."""
    other = beside(name, TOKENKEEP_ROOT_KEY_FILE=str(service.key_file), **QUICK)
    other.data.parent.mkdir(parents=True, exist_ok=True)
    return other


async def waits_then_refreshes(copy, stored, provider) -> None:
    """It is ready, reads living tokens, refreshes nothing; after `adopt` it does, without a restart."""
    await asyncio.to_thread(copy.start)
    await paused(copy, "not_adopted")
    assert "tokenkeep adopt" in refreshing(copy)
    asked = len(provider.refreshes())
    answer = await asyncio.to_thread(copy.token, stored.key, stored.credential_id)
    assert answer.status_code == 503, answer.text
    assert "No refresh starts" in answer.text
    told = await asyncio.to_thread(copy.run, "doctor")
    assert told.returncode == 1
    assert "not_adopted" in told.stdout
    declined = await asyncio.to_thread(copy.run, "adopt")  # nobody is there to say yes
    assert declined.returncode == 1
    assert "No other Tokenkeep may go on using the original" in declined.stderr
    assert len(provider.refreshes()) == asked
    assert "Adopted" in await asyncio.to_thread(copy.command, "adopt", "--yes")
    await going_on(copy)
    answer = await asyncio.to_thread(copy.token, stored.key, stored.credential_id)
    assert provider.is_alive(answer.json()["access_token"])
    assert len(provider.refreshes()) == asked + 1
    assert "nothing to adopt" in await asyncio.to_thread(copy.command, "adopt", "--yes")


async def test_restarts_crashes_and_commands_never_ask(beside, provider):
    service = beside(**QUICK)
    await store_connected(service, provider, expires_in=SOON)
    for end in ("stop", "kill", "stop"):
        await asyncio.to_thread(service.start)
        assert refreshing(service) == "ok"
        assert await asyncio.to_thread(service.run, "doctor")
        await asyncio.to_thread(getattr(service, end))
    assert await asyncio.to_thread(service.command, "refresh") == "0 due, 0 refreshed"
    assert "refreshing_paused" not in service.said()


async def test_a_copied_directory_waits_while_the_original_goes_on(beside, provider):
    service = beside("original", **QUICK)
    stored = await store_connected(service, provider, expires_in=LONG_AGO)
    await asyncio.to_thread(service.start)
    assert await asyncio.to_thread(service.stop) == 0
    copy = beside_it(beside, service, "copy")
    subprocess.run(["cp", "-a", str(service.data), str(copy.data)], check=True)
    await asyncio.to_thread(service.start)
    await asyncio.to_thread(copy.start)
    await paused(copy, "not_adopted")
    answer = await asyncio.to_thread(service.token, stored.key, stored.credential_id)
    assert provider.is_alive(answer.json()["access_token"])  # the original is not disturbed
    assert refreshing(service) == "ok"
    assert len(provider.refreshes()) == 1
    assert await asyncio.to_thread(copy.stop) == 0, copy.said()


@pytest.mark.parametrize("way", ["over the file", "into a new directory"])
async def test_a_restored_backup_waits(beside, provider, tmp_path, way):
    service = beside(**QUICK)
    stored = await store_connected(service, provider, expires_in=LONG_AGO)
    await asyncio.to_thread(service.start)
    backup = tmp_path / "backup.sqlite3"
    with sqlite3.connect(service.database) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    target.close()
    source.close()
    assert await asyncio.to_thread(service.stop) == 0
    await asyncio.to_thread(service.start)  # goes on after the backup
    assert await asyncio.to_thread(service.stop) == 0
    put_back(service, backup, way)
    await waits_then_refreshes(service, stored, provider)
    assert await asyncio.to_thread(service.stop) == 0
    await asyncio.to_thread(service.start)
    assert refreshing(service) == "ok"


def put_back(service, backup: Path, way: str) -> None:
    if way == "into a new directory":
        shutil.rmtree(service.data)
        service.data.mkdir(mode=0o700)
    shutil.copyfile(backup, service.database)
    service.database.chmod(0o600)


@pytest.mark.postgres
async def test_a_dump_restored_into_another_database_waits(beside, provider):
    async with fresh_postgres() as url, fresh_postgres() as other:
        service = beside("original", TOKENKEEP_DATABASE_URL=url, **QUICK)
        stored = await store_connected(service, provider, expires_in=LONG_AGO)
        await asyncio.to_thread(service.start)
        assert refreshing(service) == "ok"
        await marked(url)
        assert await asyncio.to_thread(service.stop) == 0
        await copy_all(url, other)
        copy = beside("copy", TOKENKEEP_DATABASE_URL=other, TOKENKEEP_ROOT_KEY_FILE=str(service.key_file), **QUICK)
        await waits_then_refreshes(copy, stored, provider)
        replica = beside(
            "replica", TOKENKEEP_DATABASE_URL=other, TOKENKEEP_ROOT_KEY_FILE=str(service.key_file), **QUICK
        )
        await asyncio.to_thread(replica.start)  # one that was never here before asks nobody
        assert refreshing(replica) == "ok"


async def marked(url: str) -> None:
    engines = Engines(url)
    async with engines.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM instance_mark"))).scalar_one() == 1
    await engines.close()


async def copy_all(url: str, other: str) -> None:
    """As a dump and its restoration: every row of every table."""
    from tokenkeep.adapters.migrate import migrate
    from tokenkeep.adapters.tables import metadata

    await migrate(other)
    source, target = Engines(url), Engines(other)
    async with source.read() as reading, target.write() as writing:
        for table in metadata.sorted_tables:
            rows = [dict(row) for row in (await reading.execute(table.select())).mappings()]
            if rows:
                await writing.execute(table.insert(), rows)
    await source.close()
    await target.close()


async def test_the_service_notices_a_state_that_goes_back_under_it(beside, provider):
    """A server that is recovered to a point in time while we run looks like this."""
    service = beside(**QUICK)
    await store_connected(service, provider, expires_in=SOON)
    await asyncio.to_thread(service.start)
    with sqlite3.connect(service.database) as connection:
        connection.execute("UPDATE instance_mark SET at = at - 1000000")
    connection.close()
    await until(lambda: refreshing(service).startswith("paused, not_adopted"))
