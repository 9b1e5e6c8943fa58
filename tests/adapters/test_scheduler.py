"""The timer: it ticks, does not overlap, and stopping leaves the work alone."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.kit.clock import FakeClock
from tokenkeep.adapters.scheduler import Ticker
from tokenkeep.adapters.system import SystemClock
from tokenkeep.adapters.tasks import ServiceTasks

SOON = 0.03


class Sweep:
    """Counts its runs; blocks while `held`."""

    def __init__(self) -> None:
        self.began = self.ended = 0
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self) -> None:
        self.began += 1
        await self.free.wait()
        self.ended += 1


@pytest.fixture
async def tasks():
    return ServiceTasks()


@pytest.fixture
async def ticker(tasks):
    ticker = Ticker(tasks, SystemClock())
    yield ticker
    ticker.stop()
    await asyncio.sleep(0)


async def until(condition, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_ticks_again_and_again(ticker):
    sweep = Sweep()
    ticker.every(SOON, "sweep", sweep)
    assert not ticker.alive()
    ticker.start()
    await until(lambda: sweep.ended >= 3)
    assert ticker.alive()


async def test_does_not_start_what_still_runs(ticker):
    sweep = Sweep()
    sweep.free.clear()
    ticker.every(SOON, "sweep", sweep)
    ticker.start()
    await until(lambda: sweep.began == 1)
    await asyncio.sleep(4 * SOON)
    assert sweep.began == 1
    sweep.free.set()
    await until(lambda: sweep.began >= 2)


async def test_stopping_leaves_what_runs_alone(ticker, tasks):
    sweep = Sweep()
    sweep.free.clear()
    ticker.every(SOON, "sweep", sweep)
    ticker.start()
    await until(lambda: sweep.began == 1)
    ticker.stop()
    await asyncio.sleep(2 * SOON)
    assert sweep.ended == 0
    sweep.free.set()
    assert await tasks.drain(5) == 0
    assert (sweep.began, sweep.ended) == (1, 1)
    await asyncio.sleep(3 * SOON)
    assert sweep.began == 1
    assert not ticker.alive()


async def test_one_failing_tick_is_not_the_last(ticker, caplog):
    ran = []

    async def fails():
        ran.append(1)
        raise RuntimeError("no")

    ticker.every(SOON, "fails", fails)
    ticker.start()
    await until(lambda: len(ran) >= 2)
    assert "tick_failed job=fails" in [record.getMessage() for record in caplog.records]


async def test_a_loop_that_was_blocked_ticks_late_but_ticks(ticker):
    sweep = Sweep()
    ticker.every(1.6, "sweep", sweep)
    ticker.start()
    await asyncio.sleep(0)
    time.sleep(2.75)  # the tick is late by more than APScheduler's own grace of a second, the next not yet due
    await until(lambda: sweep.ended >= 1, 0.3)


async def test_wake_runs_one_or_all_at_once(ticker, tasks):
    sweep, status = Sweep(), Sweep()
    ticker.every(3600, "sweep", sweep)
    ticker.every(3600, "status", status)
    ticker.wake()
    assert await tasks.drain(5) == 0
    assert (sweep.ended, status.ended) == (0, 0)  # nothing before the start
    ticker.start()
    ticker.wake("sweep")
    assert await tasks.drain(5) == 0
    assert (sweep.ended, status.ended) == (1, 0)
    ticker.wake()
    assert await tasks.drain(5) == 0
    assert (sweep.ended, status.ended) == (2, 1)


async def test_alive_ends_when_ticks_stay_out(tasks):
    clock = FakeClock()
    ticker = Ticker(tasks, clock)
    ticker.every(60, "sweep", Sweep())
    ticker.start()
    clock.advance(180)
    assert ticker.alive()
    clock.advance(10)
    assert not ticker.alive()
    ticker.wake()
    assert ticker.alive()
    ticker.stop()
    ticker.stop()
    assert await tasks.drain(5) == 0


async def test_names_are_unique(ticker):
    ticker.every(1, "sweep", Sweep())
    with pytest.raises(ValueError, match="sweep"):
        ticker.every(1, "sweep", Sweep())
