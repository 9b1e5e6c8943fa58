"""Going through what is due.

Owns: choosing due grants and starting their refreshes, bounded in all, per provider, per workspace and per lane, so that
one provider's or workspace's trouble does not hold up the rest. Does not own: the refresh itself (`refresh`), the timer,
how many calls there are at once (`gate`), going slowly (`pace`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.model import Grant
from tokenkeep.services import gate
from tokenkeep.services.pace import Pace
from tokenkeep.services.ports import Clock, Due, GrantStore, Journal, Lane, Tasks
from tokenkeep.services.refresh import Refresher

AHEAD = 1.5
"""Half as many again as may call at once: they are being claimed or stored while the others call."""
SELECTED = 100
"""Due grants read at once; small, so that a sweep never holds the database for long."""
SELECTIONS = 10
"""How often one sweep looks further while places are free."""
STAGGER_S = 0.005
"""Between two refreshes that start together: answers that come at once would wait for each other on their way to the disk,
and a crash in that time loses them. Not while giving way: then few start, and each commit costs every reader a proof."""
LANE_QUEUE = 50
"""How many of one lane may wait in memory. A lane with so many is left out of the next selection, so that what is due
behind its grants is found."""


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
    pace: Pace
    last: Sweep | None = None
    _known: set[Due] = field(default_factory=set)  # waiting or running
    _waiting: dict[Lane, deque[Due]] = field(default_factory=dict)
    _running: Counter[object] = field(default_factory=Counter)  # by provider, (workspace,) and lane
    _more: bool = False  # the last selection did not see all that is due

    async def sweep(self) -> Sweep:
        """One pass. Raises what the database raises; a refresh that fails is in its grant's standing, not here."""
        due = started = 0
        for _ in range(SELECTIONS):
            due, fresh = await self._select()
            started += fresh
            self._start()
            if not fresh or not self._more or self._running[None] >= gate.CALLS * AHEAD:
                break  # else places are free, and whoever could take them is due behind those selected
        self.last = Sweep(at=self.clock.now(), due=due, started=started)
        if due:
            self.journal.record("swept", due=due, started=started)
        return self.last

    async def _select(self) -> tuple[int, int]:
        """How many are due, as far as was looked, and how many of them are new."""
        full = [lane for lane, queue in self._waiting.items() if len(queue) >= LANE_QUEUE]
        # Those known already may still be due: they must not hide what is due behind them.
        limit = SELECTED + len(self._known)
        due = await self.grants.due(limit=limit, beside=full)
        fresh = [each for each in due if each not in self._known]
        self._more = len(due) == limit or bool(full)
        for each in fresh:
            self._known.add(each)
            self._waiting.setdefault((each.workspace_id, each.provider), deque()).append(each)
        return len(due), len(fresh)

    def _start(self) -> None:
        """Start as many as may run, a lane after the other: who has the least under way comes first."""
        wait_s = 0.0
        while (lane := self._next_lane()) is not None and self.pace.permits():
            due = self._waiting[lane].popleft()
            if not self._waiting[lane]:
                del self._waiting[lane]
            self._running.update(_counted(due))
            _ = self.tasks.run(("sweep", *due), partial(self._one, due, wait_s))
            wait_s += 0.0 if self.pace.gives_way else STAGGER_S

    def _next_lane(self) -> Lane | None:
        if self._running[None] >= gate.CALLS * AHEAD:
            return None
        open_lanes = [lane for lane in self._waiting if self._has_room(lane)]
        return min(open_lanes, key=lambda lane: (self._running[lane[0],], self._running[lane]), default=None)

    def _has_room(self, lane: Lane) -> bool:
        workspace_id, provider = lane
        return (
            self._running[lane] < gate.CALLS_PER_LANE * AHEAD
            and self._running[provider] < gate.CALLS_PER_PROVIDER * AHEAD
            and self._running[workspace_id,] < gate.CALLS_PER_WORKSPACE * AHEAD
        )

    async def _one(self, due: Due, wait_s: float) -> None:
        try:
            if wait_s:
                await self.clock.sleep(wait_s)
            await self.refresher.refresh(due.workspace_id, due.credential_id, is_due)
        except TokenkeepError as fault:
            self.journal.record("sweep_left", credential=due.credential_id, code=fault.code)
        except Exception as fault:  # noqa: BLE001 - one credential's trouble never stops the rest (I7)
            self.journal.record("sweep_left", credential=due.credential_id, error=type(fault).__name__)
        finally:
            self._known.discard(due)
            self._running -= Counter(_counted(due))
        self._start()
        if self._more and len(self._known) < SELECTED // 2:
            self._more = False  # asked for once; the next selection says whether there is still more
            _ = self.tasks.run("sweep", self._again)

    async def _again(self) -> None:
        """A backlog does not wait for the next tick, except where none of it may start: then it is due all the time."""
        if self.refresher.storage.obstacles:
            return
        try:
            await self.sweep()
        except Exception as fault:  # noqa: BLE001 - the next tick tries again
            self.journal.record("sweep_left", error=type(fault).__name__)


def is_due(grant: Grant, now: datetime) -> bool:
    """Planned, and the time has come. A claimed grant's plan is its lease's end, which `claim` has just set: then the
    claim itself is the reason to go on."""
    if grant.lease_owner:
        return True
    planned = grant.standing.next_refresh_at
    return planned is not None and planned <= now


def _counted(due: Due) -> Iterable[object]:
    """What a running refresh counts for: all, its provider, its workspace, its lane."""
    return (None, due.provider, (due.workspace_id,), (due.workspace_id, due.provider))
