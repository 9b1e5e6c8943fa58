"""Real processes on a disk that is full, read-only or damaged: the provider is not asked, and it goes on by itself."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import sys
import time
from datetime import timedelta

import httpx2
import pytest

from tests.processes.service import FAKE, store_connected
from tests.processes.test_endings import until

LONG_AGO, SOON = timedelta(minutes=-5), timedelta(minutes=5)
QUICK = {"TOKENKEEP_REFRESH_TICK_S": "0.2"}


def refreshing(service) -> str:
    answer = httpx2.get(f"{service.url}/readyz", timeout=10)
    return answer.json()["refreshing"]


def metrics(service) -> str:
    return httpx2.get(f"{service.url}/metrics", timeout=10).text


async def paused(service, code: str) -> None:
    await until(lambda: refreshing(service).startswith(f"paused, {code}"))


async def going_on(service) -> None:
    await until(lambda: refreshing(service) == "ok")


async def test_a_full_disk_asks_no_provider_and_says_so(beside, provider):
    service = beside(TOKENKEEP_LEAST_FREE_MB="1000000", **QUICK)
    living = await store_connected(service, provider, expires_in=SOON, sweep_in=LONG_AGO)
    await asyncio.to_thread(service.start)  # ready all the same
    answer = await asyncio.to_thread(service.token, living.key, living.credential_id)
    assert answer.json()["access_token"] == living.access_token
    assert refreshing(service).startswith("paused, disk_full: Make room")
    assert str(service.data) not in refreshing(service)
    assert 'tokenkeep_refreshing_paused{cause="disk_full"} 1.0' in metrics(service)
    await asyncio.sleep(1)  # five ticks
    assert provider.refreshes() == []
    assert service.said().count("refreshing_paused") == 1
    refused = await asyncio.to_thread(service.run, "refresh")
    assert refused.returncode == 1
    assert "1000000 MB are needed" in refused.stderr
    told = await asyncio.to_thread(service.run, "doctor")
    assert told.returncode == 1
    assert "refreshing   paused, disk_full" in told.stdout


async def test_writes_that_fail_stop_refreshing_and_it_goes_on_when_they_succeed(beside, provider):
    service = beside(**QUICK)
    stored = await store_connected(service, provider, expires_in=LONG_AGO)
    await asyncio.to_thread(service.start)
    pid = service.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
    answer = await asyncio.to_thread(service.token, stored.key, stored.credential_id)
    assert answer.status_code == 503, answer.text
    await paused(service, "write_failed")
    assert provider.refreshes() == []
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    await going_on(service)
    answer = await asyncio.to_thread(service.token, stored.key, stored.credential_id)
    assert provider.is_alive(answer.json()["access_token"])
    assert [entry.outcome for entry in provider.refreshes()] == ["granted"]
    assert await asyncio.to_thread(service.stop) == 0, service.said()
    assert "Traceback" not in service.said()


async def test_a_disk_that_fills_between_answer_and_store_loses_nothing(beside, provider):
    """FI-24: not in the database, not on the shelf: in memory, until there is room."""
    provider.switches.delay_after_s = 1.5
    service = beside(**QUICK)
    stored = await store_connected(service, provider, expires_in=LONG_AGO)
    await asyncio.to_thread(service.start)
    waiting = asyncio.create_task(asyncio.to_thread(service.token, stored.key, stored.credential_id))
    await until(lambda: provider.refreshes() and provider.refreshes()[0].outcome == "granted")
    pid = service.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
    await until(lambda: 'tokenkeep_events_total{action="spill_failed"} 1.0' in metrics(service))  # the log is full, too
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    answer = await waiting
    assert answer.status_code == 200, answer.text
    assert provider.is_alive(answer.json()["access_token"])
    assert [entry.outcome for entry in provider.refreshes()] == ["granted"]


def without_privileges() -> tuple[str, tuple[str, ...]]:
    """Root may write to anything; without that capability it is like anybody else."""
    if os.geteuid() != 0:
        return sys.executable, FAKE
    return "setpriv", ("--bounding-set", "-dac_override,-dac_read_search", sys.executable, *FAKE)


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root without setpriv")
async def test_a_database_that_becomes_read_only(beside, provider):
    service = beside(**QUICK)
    stored = await store_connected(service, provider, expires_in=SOON)
    service.python, service.program = without_privileges()
    await asyncio.to_thread(service.start)
    service.database.chmod(0o400)
    await paused(service, "read_only")
    answer = await asyncio.to_thread(service.token, stored.key, stored.credential_id)
    assert answer.json()["access_token"] == stored.access_token
    service.database.chmod(0o600)
    await going_on(service)
    (service.data / "spill").mkdir(exist_ok=True)
    (service.data / "spill").chmod(0o500)
    await paused(service, "read_only")
    (service.data / "spill").chmod(0o700)
    await going_on(service)
    assert provider.refreshes() == []


async def test_a_damaged_page_stops_refreshing_and_is_told_with_what_to_do(beside, provider):
    service = beside(**QUICK)
    stored = await store_connected(service, provider, expires_in=LONG_AGO)
    connection = sqlite3.connect(service.database)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'grants'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with service.database.open("r+b") as octets:
        octets.seek((root - 1) * size)
        octets.write(b"\xa5" * size)
    await asyncio.to_thread(service.spawn)
    await until(lambda: "database_damaged" in service.said())
    deadline = time.monotonic() + 20
    while True:
        try:
            if refreshing(service).startswith("paused, corrupt: Stop the service and restore a backup"):
                break
        except httpx2.TransportError:
            assert time.monotonic() < deadline, service.said()
            await asyncio.sleep(0.05)
    answer = await asyncio.to_thread(service.token, stored.key, stored.credential_id)
    assert answer.status_code == 503, answer.text
    with service.client() as browser:
        assert browser.get("/login").status_code == 200
    assert provider.refreshes() == []
    assert await asyncio.to_thread(service.stop) == 0, service.said()


def test_a_file_that_is_no_database_ends_the_start_in_words(service):
    service.data.mkdir(parents=True, mode=0o700)
    service.database.write_bytes(b"rubbish" * 1000)
    refused = service.run("serve")
    assert refused.returncode == 78
    assert "no SQLite database" in refused.stderr
    assert "restore-a-backup" in refused.stderr
    assert "Traceback" not in refused.stderr
