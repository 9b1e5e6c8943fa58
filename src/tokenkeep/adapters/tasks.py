"""The service's own tasks.

Owns: work that goes on when its caller hangs up (T74), one flight per key, and waiting for the rest at the end.
Does not own: what the work is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from typing import Any

_log = logging.getLogger(__name__)


class _Flight:
    """The wait for one task. Awaiting it, once or often, never touches the task itself."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.waiting = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        self.waiting += 1
        try:
            return (yield from asyncio.shield(self.task).__await__())
        finally:
            self.waiting -= 1


class ServiceTasks:
    """`ports.Tasks` on the running loop."""

    def __init__(self) -> None:
        self._running: dict[object, _Flight] = {}

    def run(self, key: object, work: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        """Start `work`, or join the one already running under `key`. Cancelling the wait leaves the work alone."""
        flight = self._running.get(key)
        if flight is None or flight.task.done():  # done, but its callbacks have not run: nobody may join it any more
            started = flight = self._running[key] = _Flight(asyncio.create_task(_do(work)))
            flight.task.add_done_callback(lambda _: self._landed(key, started))
        return flight

    async def drain(self, seconds: float) -> int:
        """Wait for what runs, also for what that begins; answers how many were still running at the end."""
        try:
            async with asyncio.timeout(seconds):
                while self._running:
                    await asyncio.wait([flight.task for flight in self._running.values()])
        except TimeoutError:
            pass
        return len(self._running)

    def _landed(self, key: object, flight: _Flight) -> None:
        """Looks at the exception in any case, so that asyncio never reports it as forgotten; unheard ones are logged."""
        if self._running.get(key) is flight:
            del self._running[key]
        failure = None if flight.task.cancelled() else flight.task.exception()
        if failure is not None and not flight.waiting:
            _log.error("task_failed", exc_info=failure)


async def _do(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()
