"""One pass over what is due.

Owns: choosing due grants and starting their refreshes, bounded in all, per provider and per workspace, so that one
provider's or workspace's trouble does not hold up the rest. Does not own: the refresh itself (`refresh`), the timer.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.model import Grant
from tokenkeep.services.ports import Clock, GrantStore, Journal, Tasks
from tokenkeep.services.refresh import Refresher

AT_ONCE, AT_ONCE_PER_LANE = 32, 8
"""A lane is one provider in one workspace."""
SELECTED = 100
"""Due grants read at once; small, so that a sweep never holds the database for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What the last pass did."""

    at: datetime
    due: int
    started: int


@dataclass(slots=True, kw_only=True)
class Sweeper:
    """Starts refreshes and does not wait for them: a provider that hangs must not stop the next pass."""

    grants: GrantStore
    refresher: Refresher
    tasks: Tasks
    clock: Clock
    journal: Journal
    last: Sweep | None = None
    _running: set[tuple[str, str]] = field(default_factory=set)
    _global: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _lanes: dict[tuple[str, str], asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(AT_ONCE_PER_LANE))
    )

    async def sweep(self) -> Sweep:
        """Raises what the database raises; a refresh that fails is in its grant's standing, not here."""
        # Those that wait for their turn are still due: they must not hide what is due behind them.
        due = await self.grants.due(limit=SELECTED + len(self._running))
        fresh = [key for key in due if key not in self._running]
        for key in fresh:
            self._running.add(key)
            _ = self.tasks.run(("sweep", *key), partial(self._one, key))
        self.last = Sweep(at=self.clock.now(), due=len(due), started=len(fresh))
        if due:
            self.journal.record("swept", due=len(due), started=len(fresh))
        return self.last

    async def _one(self, key: tuple[str, str]) -> None:
        try:
            grant = await self.grants.get(*key)
            if grant is None:
                return
            async with self._lanes[key[0], grant.provider], self._global:
                await self.refresher.refresh(*key, is_due)
        except TokenkeepError as fault:
            self.journal.record("sweep_left", credential=key[1], code=fault.code)
        except Exception as fault:  # noqa: BLE001 - one credential's trouble never stops the rest (I7)
            self.journal.record("sweep_left", credential=key[1], error=type(fault).__name__)
        finally:
            self._running.discard(key)


def is_due(grant: Grant, now: datetime) -> bool:
    """Planned, and the time has come. A claimed grant's plan is its lease's end, which `claim` has just set: then the
    claim itself is the reason to go on."""
    if grant.lease_owner:
        return True
    planned = grant.standing.next_refresh_at
    return planned is not None and planned <= now
