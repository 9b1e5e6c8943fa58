"""Assembly: settings in, a house out. Calls constructors, and what must be done once before the first request.

Owns: which adapter stands behind which port, and the order of starting and stopping. Does not own: any rule.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from starlette.routing import Mount

from tokenkeep import __version__
from tokenkeep.adapters import migrate
from tokenkeep.adapters.access_log import AccessLog
from tokenkeep.adapters.catalog import Catalog
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.adapters.envelope import EnvelopeAdapter
from tokenkeep.adapters.instance import InstanceLock, prepare
from tokenkeep.adapters.journal import LogJournal
from tokenkeep.adapters.key_file import generate_key_file, load_key_file, placement_warnings
from tokenkeep.adapters.keys import LocalRootKeys, RootKeys
from tokenkeep.adapters.metrics import Metrics
from tokenkeep.adapters.outbound import Outbound
from tokenkeep.adapters.passwords import Argon2Passwords
from tokenkeep.adapters.provider_reader import Problem
from tokenkeep.adapters.scheduler import Ticker
from tokenkeep.adapters.spill import SpillDirectory
from tokenkeep.adapters.store import Database
from tokenkeep.adapters.system import SystemClock, SystemEntropy
from tokenkeep.adapters.tasks import ServiceTasks
from tokenkeep.adapters.token_endpoint import TokenEndpointAdapter
from tokenkeep.assembly import SERVICE, Parts, Place, UseCases, assemble
from tokenkeep.core.errors import KeyRefused
from tokenkeep.core.permissions import system
from tokenkeep.demo.provider import DemoProvider
from tokenkeep.settings import Settings
from tokenkeep.web.app import Application, build
from tokenkeep.web.services import Services, WebConfig

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
    outbound: Outbound
    catalog: Catalog
    tasks: ServiceTasks
    ticker: Ticker
    metrics: Metrics
    access_log: AccessLog
    cases: UseCases
    demo: DemoProvider | None
    clock_offset: float  # wall minus steady clock, in seconds
    held: ExitStack = field(default_factory=ExitStack)

    async def start(self, *, refreshing: bool = True) -> None:
        """Recover what an earlier run left, then begin to tick. Raises Misconfigured, KeyRefused."""
        await self.cases.accounts.ensure_workspace()
        if refreshing:
            if self.settings.embedded:
                self.held.enter_context(InstanceLock(self.settings.data_dir))
                await self.database.grants.release_all(owners=SERVICE)
            await self.cases.keeping.replay()
            self._tick()
        await self._register_demo()

    def _tick(self) -> None:
        self.ticker.every(self.settings.refresh_tick_s, "sweep", self.cases.sweeper.sweep)
        self.ticker.every(USAGE_FLUSH_S, "usage", self.cases.usage.flush)
        self.ticker.every(HOUSEKEEPING_S, "housekeeping", self._tidy)
        self.ticker.every(CATALOG_S, "catalog", self._reread)
        self.ticker.every(METRICS_S, "gauges", self._gauge)
        self.ticker.every(CLOCK_S, "clock", self._watch_clock)
        self.ticker.start()

    def quiesce(self) -> None:
        """The service was told to stop: not ready any more, no new refresh, live pages are let go."""
        self.cases.status.draining = True
        self.cases.refresher.drain()
        self.ticker.stop()
        self.cases.pulse.stop()

    async def stop(self) -> None:
        """Let what runs finish, write what is only in memory, close everything."""
        self.quiesce()
        left = await self.tasks.drain(DRAIN_S)
        if left:
            _log.warning("stopped_with_work_left tasks=%d", left)
        await self.cases.usage.flush()
        self.access_log.flush()
        if self.demo is not None:
            self.demo.close()
        await self.outbound.close()
        await self.database.close()
        self.held.close()

    async def _watch_clock(self) -> None:
        """A wall clock that leaps against the steady one was set by somebody."""
        clock = SystemClock()
        offset = clock.now().timestamp() - clock.monotonic()
        if abs(offset - self.clock_offset) > LEAP_S:
            _log.warning("clock_leapt seconds=%.0f", offset - self.clock_offset)
            self.clock_offset = offset
            self.cases.tokens.forget()

    async def _tidy(self) -> None:
        await self.cases.keeping.replay()
        await self.database.authorizations.purge(SystemClock().now())

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

    async def _register_demo(self) -> None:
        """The demo provider knows this service, and every workspace knows the demo provider."""
        if self.demo is None:
            return
        for workspace_id, _ in await self.database.accounts.workspaces():
            await self.cases.clients.ensure_demo(workspace_id, "demo", self.demo)


async def open_database(settings: Settings) -> Database:
    """The database, in today's shape."""
    prepare(settings.data_dir)
    url = settings.database_url.reveal()
    await migrate.migrate(url)
    return Database.open(url)


async def root_keys(settings: Settings, database: Database) -> RootKeys:
    """From the environment or the file. A file is made only where no key was ever used (T8). Raises KeyRefused."""
    entropy = SystemEntropy()
    if settings.root_key is not None:
        return LocalRootKeys.from_environment(settings.root_key, entropy)
    path = settings.root_key_file
    for warning in placement_warnings(path, settings.data_dir):
        _log.warning(warning)
    if path.exists() or path.is_symlink():
        return load_key_file(path, entropy)
    if await database.data_keys.any_keys():
        raise KeyRefused(
            f"The database holds sealed secrets, but there is no root key at {path}.",
            fix="Put the root key file back, or mount its volume. A new key would open nothing.",
        )
    _log.info("root_key_generated path=%s", path)
    return generate_key_file(path, entropy, now=SystemClock().now())


async def open_house(settings: Settings, *, process: str = SERVICE) -> House:
    """Everything, connected and unlocked, not yet ticking. Raises Misconfigured, KeyRefused, ProviderFileInvalid."""
    database = await open_database(settings)
    try:
        clock, entropy = SystemClock(), SystemEntropy()
        keys = await root_keys(settings, database)
        envelope = EnvelopeAdapter(keys, database.data_keys, clock=clock, entropy=entropy)
        await envelope.unlock()
        return _assemble(settings, database, envelope, process=process)
    except BaseException:
        await database.close()
        raise


def provider_directories(extra: Path | None) -> Sequence[Path]:
    """The shipped provider files, and the operator's own beside them."""
    return [data_directory("providers"), *([extra] if extra else [])]


def _assemble(settings: Settings, database: Database, envelope: EnvelopeAdapter, *, process: str) -> House:
    clock, entropy = SystemClock(), SystemEntropy()
    metrics = Metrics(clock, version=__version__)
    outbound = Outbound(clock, allow=[*settings.outbound_allow, *_own_host(settings)])
    tasks = ServiceTasks()
    ticker = Ticker(tasks, clock)
    catalog = _catalog(settings)
    parts = Parts(
        stores=database,
        envelope=envelope,
        catalog=catalog,
        wire=TokenEndpointAdapter(outbound, clock),
        spill=SpillDirectory(settings.data_dir / "spill"),
        passwords=Argon2Passwords(),
        journal=LogJournal(metrics),
        tasks=tasks,
        heart=ticker,
        clock=clock,
        entropy=entropy,
    )
    return House(
        settings=settings,
        database=database,
        outbound=outbound,
        catalog=catalog,
        tasks=tasks,
        ticker=ticker,
        metrics=metrics,
        access_log=AccessLog(clock, settings.log_format),
        cases=assemble(parts, _place(settings, process)),
        demo=_demo(settings, clock, entropy),
        clock_offset=clock.now().timestamp() - clock.monotonic(),
    )


def _catalog(settings: Settings) -> Catalog:
    return Catalog.load(
        provider_directories(settings.providers_dir),
        demo_public_url=settings.public_url if settings.demo else None,
        report=_report,
    )


def _report(problems: Sequence[Problem]) -> None:
    """A provider file was changed for the worse: the last good catalogue stays in force."""
    for problem in problems:
        _log.warning("provider_file_ignored %s", problem)


def _place(settings: Settings, process: str) -> Place:
    return Place(
        public_url=settings.public_url,
        return_origins=frozenset(settings.return_origins),
        allow_loopback_return=settings.demo,  # a script on this machine may be returned to
        process=process,
    )


def _own_host(settings: Settings) -> Sequence[str]:
    """In demo mode our own loopback address is a provider's, so calls to it must pass."""
    return ["127.0.0.1", "::1", "localhost"] if settings.demo else []


def _demo(settings: Settings, clock: SystemClock, entropy: SystemEntropy) -> DemoProvider | None:
    if not settings.demo:
        return None
    return DemoProvider(
        issuer=f"{settings.public_url}/demo",
        directory=settings.data_dir,
        templates=data_directory("templates"),
        clock=clock,
        entropy=entropy,
    )


def application(house: House) -> Application:
    """The ASGI application over a house."""
    settings, cases = house.settings, house.cases
    services = Services(
        credentials=cases.credentials,
        verification=cases.verification,
        tokens=cases.tokens,
        token_reads=cases.token_reads,
        service_keys=cases.service_keys,
        accounts=cases.accounts,
        clients=cases.clients,
        connect_sessions=cases.connect_sessions,
        connect=cases.connect,
        status=cases.status,
        catalog=house.catalog,
        metrics=house.metrics.render,
        observe=house.metrics.request,
        access=house.access_log.record,
        monotonic=SystemClock().monotonic,
    )
    config = WebConfig(
        public_url=settings.public_url,
        demo=settings.demo,
        return_origins=settings.return_origins,
        trusted_proxies=settings.trusted_proxies,
        version=__version__,
        templates=data_directory("templates"),
    )
    mounts = [Mount("/demo", app=house.demo.app)] if house.demo is not None else []
    return build(services, config, mounts=mounts)
