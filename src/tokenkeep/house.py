"""A whole service, assembled.

Owns: the order of starting and stopping, and what the timer calls. Does not own: assembly (`main`), any rule.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from tokenkeep.adapters.access_log import AccessLog
from tokenkeep.adapters.catalog import Catalog
from tokenkeep.adapters.instance import InstanceLock
from tokenkeep.adapters.metrics import Metrics
from tokenkeep.adapters.outbound import Outbound
from tokenkeep.adapters.scheduler import Ticker
from tokenkeep.adapters.storage import Disk
from tokenkeep.adapters.store import Database
from tokenkeep.adapters.system import SystemClock
from tokenkeep.adapters.tasks import ServiceTasks
from tokenkeep.assembly import SERVICE, UseCases
from tokenkeep.core.errors import Unavailable
from tokenkeep.core.permissions import system
from tokenkeep.demo.provider import DemoProvider
from tokenkeep.settings import Settings

USAGE_FLUSH_S, HOUSEKEEPING_S, CATALOG_S, METRICS_S, CLOCK_S = 15, 60, 2, 15, 5
DRAIN_S = 35
"""How long running refreshes may take to finish at the end: longer than a provider's call, and together with the twenty
seconds that requests get still within the minute a container is given."""
LEAP_S = 5

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class House:
    """A whole service, assembled; `start` and `stop` are called once each."""

    settings: Settings
    database: Database
    disk: Disk
    outbound: Outbound
    catalog: Catalog
    tasks: ServiceTasks
    ticker: Ticker
    metrics: Metrics
    access_log: AccessLog
    cases: UseCases
    demo: DemoProvider | None
    process: str  # how the leases of this process and its forerunners begin
    clock_offset: float  # wall minus steady clock, in seconds
    held: ExitStack = field(default_factory=ExitStack)

    async def start(self, *, refreshing: bool = True) -> None:
        """Recover what an earlier run left, then begin to tick. Raises Misconfigured, KeyRefused."""
        if refreshing and self.settings.embedded:
            self.held.enter_context(InstanceLock(self.settings.data_dir))
            await self.database.condition.check(SystemClock().monotonic)
        await self.cases.accounts.ensure_workspace()
        if refreshing:
            await self._recover()
            self._tick()
        with suppress(Unavailable):  # a disk that is full today must not keep living tokens from being read
            await self._register_demo()

    async def _recover(self) -> None:
        try:
            if self.settings.embedded:
                await self.database.grants.release_all(owners=SERVICE)
                await self.database.grants.hasten_future()
            elif self.process != SERVICE:
                await self.database.grants.release_all(owners=f"{self.process}/")
            _ = await self.cases.adoption.mark()
            await self.cases.storage.look()
        except Unavailable as fault:  # leases end by themselves, and every tick looks again
            _log.warning("started_without_writing reason=%s", fault.message)
        await self.cases.keeping.replay()

    def _tick(self) -> None:
        self.ticker.every(self.settings.refresh_tick_s, "sweep", self._sweep)
        self.ticker.every(self.settings.refresh_tick_s, "surplus", self.cases.surplus.again)
        self.ticker.every(USAGE_FLUSH_S, "usage", self.cases.usage.flush)
        self.ticker.every(HOUSEKEEPING_S, "housekeeping", self._tidy)
        self.ticker.every(HOUSEKEEPING_S, "forecast", self.cases.forecaster.warn)
        self.ticker.every(CATALOG_S, "catalog", self._reread)
        self.ticker.every(METRICS_S, "gauges", self._gauge)
        self.ticker.every(CLOCK_S, "clock", self._watch_clock)
        for seconds, name, work in self.cases.outsiders.ticks():
            self.ticker.every(seconds, name, work)
        self.ticker.start()

    async def _sweep(self) -> None:
        if not await self.cases.storage.look():
            await self.cases.sweeper.sweep()

    def quiesce(self) -> None:
        """The service was told to stop: not ready any more, no new refresh, live pages are let go."""
        self.cases.status.draining = True
        self.cases.refresher.drain()
        self.cases.outsiders.drain()
        self.ticker.stop()
        self.cases.pulse.stop()

    async def stop(self) -> None:
        """Let what runs finish, write what is only in memory, close everything."""
        self.quiesce()
        left = await self.tasks.drain(DRAIN_S)
        if left:
            unkept = await self.cases.keeping.spill_held()
            _log.warning("stopped_with_work_left tasks=%d unkept=%d", left, unkept)
        with suppress(Unavailable):  # who used what is not worth an end in disorder
            await self.cases.usage.flush()
        self.access_log.flush()
        if self.demo is not None:
            self.demo.close()
        await self.cases.outsiders.close()
        await self.outbound.close()
        await self.database.close()
        self.held.close()

    async def _watch_clock(self) -> None:
        """A wall clock that leaps against the steady one was set by somebody."""
        clock = SystemClock()
        offset = clock.now().timestamp() - clock.monotonic()
        if abs(offset - self.clock_offset) > LEAP_S:
            _log.warning("clock_leapt seconds=%.0f", offset - self.clock_offset)
            self.cases.tokens.forget()
            self.cases.pace.calm_down()
            made_due = await self.database.grants.hasten_future()
            _log.info("hastened_after_leap grants=%d", made_due)
            self.clock_offset = offset  # last: while the database is away this is not done, and every look tries again

    async def _tidy(self) -> None:
        await self.database.condition.cut_log()
        await self.cases.keeping.replay()
        await self.database.authorizations.purge(SystemClock().now())
        await self.database.grants.purge()
        _ = await self.cases.adoption.mark()
        self.database.condition.note_log()

    async def _reread(self) -> None:
        self.catalog.reload_if_changed()

    async def _gauge(self) -> None:
        totals: dict[str, int] = {}
        overdue = 0
        for workspace_id, _ in await self.database.accounts.workspaces():
            view = await self.cases.status.overview(system(workspace_id))
            overdue += view.counts.overdue
            for state, number in view.by_state.items():
                totals[state] = totals.get(state, 0) + number
        self.metrics.grants(totals, overdue=overdue)
        self.metrics.free(self.disk.left)

    async def _register_demo(self) -> None:
        """The demo provider knows this service, and every workspace knows the demo provider."""
        if self.demo is None:
            return
        for workspace_id, _ in await self.database.accounts.workspaces():
            await self.cases.clients.ensure_demo(workspace_id, "demo", self.demo)
