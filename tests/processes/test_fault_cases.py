"""Fault cases of `reliability.md` that need a process and its files: a stop with many refreshes under way, a long log."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta

from tests.processes.service import store_connected
from tests.processes.test_endings import LONG_AGO, until
from tokenkeep.services import gate

WRITER = """
import os, signal, sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("PRAGMA journal_mode = WAL")
base.execute("PRAGMA wal_autocheckpoint = 0")
base.execute("PRAGMA synchronous = FULL")
base.execute("CREATE TABLE ballast (number INTEGER PRIMARY KEY, octets BLOB)")
for number in range(50):
    base.execute("INSERT INTO ballast VALUES (?, zeroblob(1048576))", (number,))
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_fi_38_told_to_stop_with_many_refreshes_under_way_it_stores_them_all(beside, provider):
    """What the provider was asked for is stored; what it was not asked for is left as it was, to be refreshed next time."""
    provider.switches.delay_after_s = 2.0
    service = beside(TOKENKEEP_REFRESH_TICK_S="0.2")
    names = [f"credential-{number}" for number in range(2 * gate.CALLS_PER_LANE)]
    for name in names:
        stored = await store_connected(service, provider, expires_in=LONG_AGO, sweep_in=LONG_AGO, name=name)
    await asyncio.to_thread(service.start)
    await until(lambda: len(provider.refreshes()) >= gate.CALLS_PER_LANE)
    code = await asyncio.to_thread(service.stop)
    assert code == 0, service.said()
    asked = len(provider.refreshes())
    assert gate.CALLS_PER_LANE <= asked <= len(names)
    provider.switches.delay_after_s = 0.0
    await asyncio.to_thread(service.start)
    for name in names:
        answer = await asyncio.to_thread(service.token, stored.key, name)
        assert answer.status_code == 200, answer.text
        assert provider.is_alive(answer.json()["access_token"])
    assert {entry.outcome for entry in provider.refreshes()} == {"granted"}
    assert len(provider.refreshes()) == len(names), "none was asked for twice"
    assert service.stop(signal.SIGTERM) == 0


async def test_fi_27_a_long_log_left_by_a_crash_is_taken_over(beside, provider):
    """Every commit of a write-ahead log of more than 50 MB is there, and the service is ready."""
    service = beside()
    stored = await store_connected(service, provider, expires_in=timedelta(hours=1))
    killed = subprocess.run([sys.executable, "-c", WRITER, service.database], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert service.database.with_name(f"{service.database.name}-wal").stat().st_size > 50_000_000
    await asyncio.to_thread(service.start)
    answer = await asyncio.to_thread(service.token, stored.key, stored.credential_id)
    assert answer.json()["access_token"] == stored.access_token
    assert service.stop(signal.SIGTERM) == 0
    base = sqlite3.connect(service.database)
    assert base.execute("SELECT count(*), sum(length(octets)) FROM ballast").fetchone() == (50, 50 * 1048576)
    assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    base.close()
