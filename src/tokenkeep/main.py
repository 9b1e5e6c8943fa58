"""Settings in, a house out. Calls constructors, and what must be done once before the first request.

Owns: which adapter stands behind which port. Does not own: starting and stopping (`house`), any rule.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from starlette.routing import Mount

from tokenkeep import __version__
from tokenkeep.adapters import migrate
from tokenkeep.adapters.access_log import AccessLog
from tokenkeep.adapters.catalog import Catalog
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.adapters.envelope import EnvelopeAdapter
from tokenkeep.adapters.file_systems import refuse_network
from tokenkeep.adapters.instance import InstanceLock, prepare, replica_name
from tokenkeep.adapters.journal import LogJournal
from tokenkeep.adapters.key_file import generate_key_file, load_key_file, placement_warnings
from tokenkeep.adapters.keys import LocalRootKeys, RootKeys
from tokenkeep.adapters.mail import SmtpMail
from tokenkeep.adapters.memento import MementoFile
from tokenkeep.adapters.metrics import Metrics
from tokenkeep.adapters.minting import MintingAdapter
from tokenkeep.adapters.outbound import Outbound, trusted_roots
from tokenkeep.adapters.passwords import Argon2Passwords
from tokenkeep.adapters.poster import LIMITS, WebhookPoster
from tokenkeep.adapters.probes.database_probe import DatabaseProbeAdapter
from tokenkeep.adapters.provider_reader import Problem
from tokenkeep.adapters.scheduler import Ticker
from tokenkeep.adapters.spill import SpillDirectory
from tokenkeep.adapters.storage import BALLAST_NAME, MEGABYTE, Disk
from tokenkeep.adapters.store import Database
from tokenkeep.adapters.store.condition import refuse_other_files
from tokenkeep.adapters.system import SystemClock, SystemEntropy
from tokenkeep.adapters.tasks import ServiceTasks
from tokenkeep.adapters.token_endpoint import TokenEndpointAdapter
from tokenkeep.assembly import SERVICE, Parts, Place, assemble
from tokenkeep.core.errors import KeyRefused, Misconfigured
from tokenkeep.demo.provider import DemoProvider
from tokenkeep.house import House
from tokenkeep.settings import Settings, is_loopback
from tokenkeep.web.app import Application, build
from tokenkeep.web.services import Services, WebConfig

_log = logging.getLogger(__name__)


async def open_database(settings: Settings) -> Database:
    """The database, in today's shape."""
    prepare(settings.data_dir)
    if settings.database_file is not None:
        refuse_network(settings.database_file)
        refuse_other_files(settings.database_file)
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
    held = ExitStack()
    try:
        clock, entropy = SystemClock(), SystemEntropy()
        keys = await root_keys(settings, database)
        envelope = EnvelopeAdapter(keys, database.data_keys, clock=clock, entropy=entropy)
        await envelope.unlock()
        process = _named(settings, process, held)
        return _assemble(settings, database, envelope, process=process, held=held)
    except BaseException:
        held.close()
        await database.close()
        raise


def _named(settings: Settings, process: str, held: ExitStack) -> str:
    """`service/<name>` for a replica with a data directory of its own: its next start may end the leases of this one, so
    that a provider's short grace is not waited away. `held` keeps the directory to it."""
    if process != SERVICE or settings.embedded:
        return process
    try:
        held.enter_context(InstanceLock(settings.data_dir))
    except Misconfigured:  # another replica has it: then nobody can tell whose leases are whose
        return process
    return f"{SERVICE}/{replica_name(settings.data_dir, fresh=SystemEntropy().id())}"


def provider_directories(extra: Path | None) -> Sequence[Path]:
    """The shipped provider files, and the operator's own beside them."""
    return [data_directory("providers"), *([extra] if extra else [])]


def _assemble(
    settings: Settings, database: Database, envelope: EnvelopeAdapter, *, process: str, held: ExitStack
) -> House:
    clock, entropy = SystemClock(), SystemEntropy()
    metrics = Metrics(clock, version=__version__)
    roots = trusted_roots(settings.ca_file)
    outbound = Outbound(clock, allow=[*settings.outbound_allow, *_own_host(settings)], ssl_context=roots)
    tasks = ServiceTasks()
    ticker = Ticker(tasks, clock)
    catalog = _catalog(settings)
    disk = _disk(settings)
    parts = Parts(
        stores=database,
        envelope=envelope,
        catalog=catalog,
        wire=TokenEndpointAdapter(outbound, clock),
        databases=DatabaseProbeAdapter(allow=settings.outbound_allow, ca_file=settings.ca_file),
        minter=MintingAdapter(outbound, clock, entropy),
        spill=SpillDirectory(settings.data_dir / "spill"),
        memento=_memento(settings),
        watches=[disk, database.condition],
        passwords=Argon2Passwords(),
        journal=LogJournal(metrics),
        tasks=tasks,
        heart=ticker,
        clock=clock,
        entropy=entropy,
        answered=metrics.answered,
        poster=WebhookPoster(Outbound(clock, allow=settings.outbound_allow, limits=LIMITS, ssl_context=roots)),
        mail=_mail(settings, clock),
    )
    return House(
        settings=settings,
        database=database,
        disk=disk,
        outbound=outbound,
        catalog=catalog,
        tasks=tasks,
        ticker=ticker,
        metrics=metrics,
        access_log=AccessLog(clock, settings.log_format),
        cases=assemble(parts, _place(settings, process)),
        demo=_demo(settings, clock, entropy),
        process=process,
        held=held,
        clock_offset=clock.now().timestamp() - clock.monotonic(),
    )


def _disk(settings: Settings) -> Disk:
    """Where answers are written: the spill shelf, and the embedded database with its log."""
    spill, database = settings.data_dir / "spill", settings.database_file
    places = [spill, database, database.parent] if database else [spill]
    ballast = (database.parent if database else settings.data_dir) / BALLAST_NAME
    return Disk(*places, least_free=settings.least_free_mb * MEGABYTE, ballast=ballast)


def _memento(settings: Settings) -> MementoFile:
    database = settings.database_file
    if database is not None:
        return MementoFile(database.with_name(f"{database.name}.mark"), beside=True)
    return MementoFile(settings.data_dir / "postgresql.mark", beside=False)


def _mail(settings: Settings, clock: SystemClock) -> SmtpMail | None:
    if settings.smtp_url is None:
        return None
    return SmtpMail(
        url=settings.smtp_url,
        sender=settings.mail_from,
        recipients=settings.mail_to,
        loopback=is_loopback(urlsplit(settings.smtp_url.reveal()).hostname or ""),
        clock=clock,
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
        spill_first=settings.spill == "always",
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
        webhooks=cases.outsiders.webhooks,
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
