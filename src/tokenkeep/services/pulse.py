"""A journal one can wait on.

Owns: counting what happened in this process, waking the live page, and the latencies of the last refreshes.
Does not own: where reports end up (the journal behind it).
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from tokenkeep.services.ports import Journal

KEPT_LATENCIES: Final = 500
HEARTBEAT_S: Final = 5.0


class Pulse:
    """Passes every report on, and beats. Implements `Journal`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._beaten = asyncio.Event()
        self.beats = 0
        self.stopped = False
        self.latencies_ms: deque[float] = deque(maxlen=KEPT_LATENCIES)

    def record(self, action: str, /, **facts: str | float | bool | None) -> None:
        """Pass a report on, and beat."""
        self._journal.record(action, **facts)
        duration = facts.get("duration_ms")
        if action == "refreshed" and isinstance(duration, int | float):
            self.latencies_ms.append(float(duration))
        self._beat()

    def _beat(self) -> None:
        self.beats += 1
        self._beaten.set()
        self._beaten = asyncio.Event()

    def stop(self) -> None:
        """The service is going down: whoever waits is let go."""
        self.stopped = True
        self._beat()

    async def changed(self, since: int) -> int:
        """Waits for a beat after `since`, at most a heartbeat. Answers the beat now, or -1 when stopped."""
        if self.beats == since and not self.stopped:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._beaten.wait(), HEARTBEAT_S)
        return -1 if self.stopped else self.beats
