"""A world without wall time: an event loop whose clock leaps to the next timer, and whose order of steps is drawn.

Owns: virtual time and the seeded choice among steps that could run now. Does not own: what happens in the world (`world`).
The same seed makes the same choices, so a run that failed can be run again.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from tests.kit.clock import NOON


class NothingLeft(RuntimeError):
    """Every task waits for something that will never happen."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without sockets. `seed` None: steps run in the order in which they became ready."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        self._at = 0.0
        self._chance = random.Random(seed) if seed is not None else None
        self._knock = threading.Event()
        self._outside = 0
        self.steps = 0

    def time(self) -> float:
        return self._at

    @contextmanager
    def outside(self) -> Iterator[None]:
        """While real work runs in a thread (a SQLite file), time stands still instead of leaping ahead of it."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def _process_events(self, _events: Any) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        self._knock.set()

    def _run_once(self) -> None:
        """One step. Time passes only when nothing can run, and then to the next timer at once."""
        self._ring()
        while not self._ready:
            self._wait()
            self._ring()
        self.steps += 1
        handle = self._draw()
        if not handle._cancelled:
            handle._run()

    def _wait(self) -> None:
        if self._outside:
            self._knock.wait(10)
            self._knock.clear()
        elif self._scheduled:
            self._at = max(self._at, self._scheduled[0]._when)
        elif not self._stopping:
            raise NothingLeft

    def _ring(self) -> None:
        """Timers whose time has come can run."""
        while self._scheduled and (self._scheduled[0]._cancelled or self._scheduled[0]._when <= self._at):
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            if handle._cancelled:
                self._timer_cancelled_count = max(self._timer_cancelled_count - 1, 0)
            else:
                self._ready.append(handle)

    def _draw(self) -> asyncio.Handle:
        ready = self._ready
        if self._chance is not None and len(ready) > 1:
            ready.rotate(-int(self._chance.random() * len(ready)))
        return ready.popleft()


class VirtualClock:
    """`ports.Clock` on the running loop. `skew`: how far this machine's wall clock is off."""

    def __init__(self, skew: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self.skew = skew

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self._loop.time() + self.skew)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_LOUD = ("tokenkeep.adapters.tasks", "tokenkeep.adapters.store.engine")
"""They report what is done to them here on purpose."""


def run(main: Callable[[], Coroutine[Any, Any, Any]], seed: int | None = None) -> Any:
    """What `main` answers, run to its end in a world of its own."""
    loop = VirtualLoop(seed)
    try:
        with _quiet():
            return loop.run_until_complete(main())
    finally:
        _end(loop)


@contextmanager
def _quiet() -> Iterator[None]:
    logs = [logging.getLogger(name) for name in _LOUD]
    for log in logs:
        log.disabled = True
    try:
        yield
    finally:
        for log in logs:
            log.disabled = False


def _end(loop: VirtualLoop) -> None:
    """What still waits is let go, so that nothing of this world outlives it."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()
