"""What keeps refreshes from starting.

Owns: asking before every claim whether an answer could be kept, and saying once per change that it could not, or can
again. Does not own: what is looked at (the watches), refreshing (`refresh`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tokenkeep.core.errors import RefreshFailing
from tokenkeep.services.ports import Clock, Journal, Obstacle, Watch

GOOD_FOR_S = 1.0
"""How long a look is believed on the way to a claim. Longer than many claims take, shorter than a disk takes to fill."""
RETRY_S = 30


@dataclass(slots=True, kw_only=True)
class Storage:
    """What answers are kept on. Living tokens are read on, whatever is wrong with it."""

    watches: Sequence[Watch]
    clock: Clock
    journal: Journal
    obstacles: Sequence[Obstacle] = ()
    _looked_at: float = -math.inf
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def check(self) -> None:
        """Before a claim. Raises RefreshFailing when an answer could not be kept: then the provider must not be asked."""
        async with self._looking:
            if self.clock.monotonic() - self._looked_at >= GOOD_FOR_S:
                await self._look()
        if self.obstacles:
            raise RefreshFailing(f"No refresh starts: {self.obstacles[0].message}", retry_after=RETRY_S)

    async def look(self) -> Sequence[Obstacle]:
        """What is in the way now. Raises what a watch raises."""
        async with self._looking:
            await self._look()
        return self.obstacles

    async def _look(self) -> None:
        found = [obstacle for watch in self.watches for obstacle in await watch.obstacles()]
        before, now = {each.code for each in self.obstacles}, {each.code for each in found}
        self._looked_at, self.obstacles = self.clock.monotonic(), found
        for each in found:
            if each.code not in before:
                self.journal.record("refreshing_paused", cause=each.code, message=each.message, fix=each.fix)
        for code in sorted(before - now):
            self.journal.record("refreshing_resumed", cause=code)
