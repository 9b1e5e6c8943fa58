"""The service's own tasks: one flight per key, and callers who hang up."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from tokenkeep.adapters.tasks import ServiceTasks


class Work:
    """Counts its starts and ends when told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.started = self.finished = 0
        self.go_on = asyncio.Event()
        self.failure = failure

    async def __call__(self) -> int:
        self.started += 1
        await self.go_on.wait()
        if self.failure:
            raise self.failure
        self.finished += 1
        return self.finished


async def test_joins_the_one_that_runs():
    tasks, work = ServiceTasks(), Work()
    waits = [asyncio.ensure_future(tasks.run("key", work)) for _ in range(50)]
    await asyncio.sleep(0)
    work.go_on.set()
    assert await asyncio.gather(*waits) == [1] * 50
    assert work.started == 1


async def test_begins_again_once_it_has_ended():
    tasks, work = ServiceTasks(), Work()
    work.go_on.set()
    assert [await tasks.run("key", work), await tasks.run("key", work)] == [1, 2]


async def test_keys_do_not_wait_for_each_other():
    tasks, slow, quick = ServiceTasks(), Work(), Work()
    waiting = tasks.run(("a", 1), slow)
    quick.go_on.set()
    assert await tasks.run(("a", 2), quick) == 1
    slow.go_on.set()
    assert await waiting == 1


async def test_a_caller_who_hangs_up_leaves_the_work_alone():
    tasks, work = ServiceTasks(), Work()
    leaving = asyncio.ensure_future(tasks.run("key", work))
    staying = asyncio.ensure_future(tasks.run("key", work))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tasks.run("key", work), 0.01)
    work.go_on.set()
    assert await staying == 1
    assert (work.started, work.finished) == (1, 1)


async def test_work_goes_on_when_every_caller_has_hung_up():
    tasks, work = ServiceTasks(), Work()
    leaving = asyncio.ensure_future(tasks.run("key", work))
    await asyncio.sleep(0)
    leaving.cancel()
    work.go_on.set()
    assert await tasks.drain(5) == 0
    assert work.finished == 1


async def test_a_failure_reaches_every_waiter():
    tasks, work = ServiceTasks(), Work(RuntimeError("no"))
    waits = [asyncio.ensure_future(tasks.run("key", work)) for _ in range(3)]
    await asyncio.sleep(0)
    work.go_on.set()
    ends = await asyncio.gather(*waits, return_exceptions=True)
    assert [str(end) for end in ends] == ["no"] * 3


async def test_an_unheard_failure_is_logged_and_never_called_forgotten(caplog):
    asyncio_complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: asyncio_complaints.append(context))
    tasks, work = ServiceTasks(), Work(RuntimeError("no"))
    _ = tasks.run("key", work)
    leaving = asyncio.ensure_future(tasks.run("key", work))
    await asyncio.sleep(0)
    leaving.cancel()
    work.go_on.set()
    with caplog.at_level(logging.ERROR):
        assert await tasks.drain(5) == 0
    del tasks, work, leaving
    gc.collect()
    await asyncio.sleep(0)
    assert asyncio_complaints == []
    assert [record.getMessage() for record in caplog.records] == ["task_failed"]


async def test_a_heard_failure_is_not_logged(caplog):
    tasks, work = ServiceTasks(), Work(RuntimeError("no"))
    work.go_on.set()
    with pytest.raises(RuntimeError):
        await tasks.run("key", work)
    assert caplog.records == []


async def test_drain_waits_for_what_begins_meanwhile_and_counts_the_rest():
    tasks, stuck, ended = ServiceTasks(), Work(), []

    async def later():
        await asyncio.sleep(0.02)
        ended.append("later")

    async def first():
        await asyncio.sleep(0)
        _ = tasks.run("later", later)

    _ = tasks.run("first", first)
    assert await tasks.drain(5) == 0
    assert ended == ["later"]
    _ = tasks.run("stuck", stuck)
    assert await tasks.drain(0.02) == 1
    stuck.go_on.set()
    assert await tasks.drain(5) == 0


async def test_drain_of_nothing_is_at_once_done():
    assert await ServiceTasks().drain(0) == 0
