"""The second signal, with a database that is away: what was answered is on the shelf, and the next start stores it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from datetime import timedelta

import httpx2
import pytest

from tests.processes.service import store_connected
from tests.processes.test_endings import in_flight, until

LONG_AGO = timedelta(minutes=-5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "ctrl-c"])
async def test_the_second_signal_spills_and_ends_at_once(beside, provider, number):
    provider.switches.delay_after_s = 0.5
    service = beside()
    stored = await store_connected(service, provider, expires_in=LONG_AGO)
    await asyncio.to_thread(service.start)
    waiting = await in_flight(service, provider, stored)
    away = sqlite3.connect(service.database, isolation_level=None, timeout=10)
    away.execute("BEGIN IMMEDIATE")  # whoever wants to write now waits for ten seconds before it fails
    await until(lambda: provider.refreshes()[0].outcome == "granted")
    await asyncio.sleep(1)  # the answer has come, and cannot be stored
    assert not list(service.data.glob("spill/*.spill"))
    service.tell(number)
    await asyncio.sleep(0.5)
    began = time.monotonic()
    service.tell(number)
    assert await asyncio.to_thread(service.wait) == os.EX_TEMPFAIL, service.said()
    assert time.monotonic() - began < 3
    assert len(list(service.data.glob("spill/*.spill"))) == 1
    assert "ended_by_second_signal all_kept=True" in service.said()
    with pytest.raises(httpx2.TransportError):
        await waiting
    away.close()
    await asyncio.to_thread(service.start)
    assert not list(service.data.glob("spill/*.spill"))
    answer = await asyncio.to_thread(service.token, stored.key, stored.credential_id)
    assert provider.is_alive(answer.json()["access_token"])
    assert answer.json()["access_token"] != stored.access_token
    assert [entry.outcome for entry in provider.refreshes()] == ["granted"]


async def test_the_refresher_alone_ends_likewise(beside, provider):
    service = beside()
    await store_connected(service, provider, expires_in=LONG_AGO, sweep_in=LONG_AGO)
    provider.switches.delay_after_s = 20.0
    service.program = (*service.program, "refresh", "--loop")
    spawned = await asyncio.to_thread(spawn_loop, service)
    try:
        await until(lambda: len(provider.refreshes()) == 1)
        spawned.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert spawned.poll() is None  # it waits for the provider's answer
        spawned.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(spawned.wait, 5) == os.EX_TEMPFAIL  # no answer was in memory, so none is lost
    finally:
        spawned.kill()
        spawned.wait()


def spawn_loop(service):
    import subprocess

    with (service.folder / "err").open("ab") as err:
        return subprocess.Popen([service.python, *service.program], env=service.environment, stderr=err)
