"""The real clock and chance, and that the fakes keep the same promises."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.clock import NOON, FakeClock
from tests.kit.entropy import CountedEntropy
from tokenkeep.adapters.system import SystemClock, SystemEntropy


@pytest.fixture(params=[SystemClock, FakeClock], ids=["system", "fake"])
def clock(request):
    return request.param()


@pytest.fixture(params=[SystemEntropy, CountedEntropy], ids=["system", "counted"])
def entropy(request):
    return request.param()


def test_now_is_aware_utc(clock):
    assert clock.now().utcoffset() == timedelta(0)


async def test_sleeping_lets_time_pass_on_both_clocks(clock):
    now, monotonic = clock.now(), clock.monotonic()
    await clock.sleep(0.01)
    assert clock.now() - now >= timedelta(milliseconds=9)
    assert clock.monotonic() - monotonic >= 0.009


async def test_sleepers_wake_in_order(clock):
    woken = []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append(seconds)

    await asyncio.gather(sleeper(0.06), sleeper(0.0), sleeper(0.03))
    assert woken == [0.0, 0.03, 0.06]


def test_the_system_clock_tells_the_time():
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert abs(SystemClock().monotonic() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5


async def test_the_fake_clock_does_not_wait_and_can_be_set():
    clock = FakeClock()
    await asyncio.wait_for(clock.sleep(86_400), 5)
    assert clock.now() == NOON + timedelta(days=1)
    assert clock.slept == [86_400]
    steady = clock.monotonic()
    clock.set(NOON)
    assert (clock.now(), clock.monotonic()) == (NOON, steady)


def test_answers_are_unique_and_of_the_right_size(entropy):
    assert len({entropy.token() for _ in range(200)}) == 200
    assert len({entropy.octets(16) for _ in range(200)}) == 200
    assert len({entropy.id() for _ in range(200)}) == 200
    assert [len(entropy.octets(count)) for count in (0, 1, 12, 32)] == [0, 1, 12, 32]
    assert len(entropy.token(32)) == 43
    assert set(entropy.token(64)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_ids_are_version_four(entropy):
    assert uuid.UUID(entropy.id()).version == 4


def test_fractions_lie_in_the_half_open_interval(entropy):
    assert all(0.0 <= entropy.fraction() < 1.0 for _ in range(1000))


def test_counted_entropy_repeats_itself_and_differs_by_seed():
    assert CountedEntropy("a").token() == CountedEntropy("a").token()
    assert CountedEntropy("a").token() != CountedEntropy("b").token()
