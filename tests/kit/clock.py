"""A clock that stands still until something sleeps on it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class FakeClock:
    """`ports.Clock`. A sleep moves the time to its end; of several sleeps at once the earliest ends first."""

    def __init__(self, at: datetime = NOON) -> None:
        self._now = at
        self._monotonic = 1000.0
        self._ends: list[float] = []
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        end = self._monotonic + max(seconds, 0.0)
        self._ends.append(end)
        try:
            await asyncio.sleep(0)
            while self._monotonic < end and min(self._ends) < end:
                await asyncio.sleep(0)
        finally:
            self._ends.remove(end)
        if self._monotonic < end:
            self.advance(end - self._monotonic)

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set(self, at: datetime) -> None:
        """Somebody sets the wall clock; the monotonic one does not notice."""
        self._now = at
