"""APScheduler as a timer.

Owns: calling what it is given every so many seconds, and knowing whether it still does.
Does not own: due times and leases (rows, `services/refresh`), the work itself (`tasks`).

The scheduler cancels running coroutine jobs when it stops, so its jobs only hand the work to the service's tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tokenkeep.services.ports import Clock, Tasks

_MISSED_TICKS = 3
_SLACK_S = 5.0  # a loaded machine is late, not dead
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    seconds: float
    callback: Callable[[], Awaitable[Any]]
    ticked_at: float


class Ticker:
    """Calls each callback at its interval; a callback still running when its time comes again is not started twice."""

    def __init__(self, tasks: Tasks, clock: Clock) -> None:
        self._tasks = tasks
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._ticking = False
        # No grace time: a tick that comes late is still due. Several missed ones are one.
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def every(self, seconds: float, name: str, callback: Callable[[], Awaitable[Any]]) -> None:
        """Call `callback` every so many seconds after the start. Raises ValueError when the name is taken."""
        if name in self._jobs:
            raise ValueError(f"there is already a job named {name}")
        self._jobs[name] = _Job(seconds, callback, self._clock.monotonic())

        async def tick() -> None:
            self._tick(name)

        self._scheduler.add_job(tick, "interval", seconds=seconds, id=name)

    def start(self) -> None:
        """Begin ticking, on the running loop."""
        for job in self._jobs.values():
            job.ticked_at = self._clock.monotonic()
        self._ticking = True
        self._scheduler.start()

    def stop(self) -> None:
        """No further ticks. What runs goes on: `Tasks.drain` waits for it. Silent when not started."""
        if self._ticking:
            self._ticking = False
            self._scheduler.shutdown(wait=False)

    def wake(self, name: str = "") -> None:
        """Call that callback now, or all of them when the name is empty. The timetable stays."""
        for each in [name] if name else list(self._jobs):
            self._tick(each)

    def alive(self) -> bool:
        """Whether every job has ticked lately. False before the start and after the stop."""
        now = self._clock.monotonic()
        return self._ticking and all(
            now - job.ticked_at <= _MISSED_TICKS * job.seconds + _SLACK_S for job in self._jobs.values()
        )

    def _tick(self, name: str) -> None:
        if self._ticking:
            job = self._jobs[name]
            job.ticked_at = self._clock.monotonic()
            _ = self._tasks.run(("tick", name), lambda: _guarded(name, job.callback))


async def _guarded(name: str, callback: Callable[[], Awaitable[Any]]) -> None:
    """One failing tick must not be the last."""
    try:
        await callback()
    except Exception:  # noqa: BLE001 - whatever it was, the next tick must come
        _log.exception("tick_failed job=%s", name)
