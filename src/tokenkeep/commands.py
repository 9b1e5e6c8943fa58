"""What the commands do, apart from serving.

Owns: one coroutine per command. Does not own: options and exit codes (`__main__`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from tokenkeep import __version__
from tokenkeep.adapters import migrate
from tokenkeep.adapters.catalog import problems
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.adapters.discovery import discover
from tokenkeep.adapters.journal import LogJournal
from tokenkeep.adapters.metrics import Metrics
from tokenkeep.adapters.outbound import Outbound, trusted_roots
from tokenkeep.adapters.passwords import Argon2Passwords
from tokenkeep.adapters.provider_draft import draft
from tokenkeep.adapters.provider_pages import index, page
from tokenkeep.adapters.provider_reader import read
from tokenkeep.adapters.provider_toml import written
from tokenkeep.adapters.store import Database
from tokenkeep.adapters.system import SystemClock, SystemEntropy
from tokenkeep.assembly import COMMAND
from tokenkeep.core.errors import NotFound, TokenkeepError
from tokenkeep.core.permissions import Caller, system
from tokenkeep.house import DRAIN_S, House
from tokenkeep.main import open_database, open_house, provider_directories
from tokenkeep.services.accounts import Accounts
from tokenkeep.services.ports import Journal
from tokenkeep.services.service_keys import ServiceKeys
from tokenkeep.services.throttle import Throttle
from tokenkeep.services.usage import Usage
from tokenkeep.settings import Settings


async def refresh_once(settings: Settings) -> str:
    """Everything that is due, to its end. Answers what was done."""
    house = await open_house(settings, process=COMMAND)
    started = 0
    try:
        await house.start(refreshing=False)
        await house.cases.storage.check()
        while (sweep := await house.cases.sweeper.sweep()).started:
            started += sweep.started
            await house.tasks.drain(DRAIN_S)
    finally:
        await house.stop()
    return f"{started} due, {len(house.cases.pulse.latencies_ms)} refreshed"


async def migrate_database(settings: Settings) -> str:
    """Answers the database's shape."""
    await (await open_database(settings)).close()
    return await migrate.revision(settings.database_url.reveal()) or ""


async def adopt(settings: Settings, agreed: Callable[[str], object]) -> str:
    """Answers what was done. `agreed` is told what it means first, and raises where somebody thinks better of it."""
    house = await open_house(settings, process=COMMAND)
    try:
        why = await house.cases.adoption.finding()
        if not why:
            return "The database is the one that is used here; there is nothing to adopt."
        agreed(f"{why}\n\n{_WHAT_ADOPTING_MEANS}")
        await house.cases.adoption.adopt()
    finally:
        await house.stop()
    return "Adopted. A running service goes on refreshing within a few seconds; uncertain refreshes are tried first."


_WHAT_ADOPTING_MEANS = """\
Until it is adopted no token of it is refreshed. Adopting it means:

- No other Tokenkeep may go on using the original. Both would spend the same refresh tokens, and each would end the
  other's connections.
- Where a provider replaces the refresh token at each use, what was refreshed after the backup was made is refused, and
  those accounts must be connected again. The status page lists them."""


async def sign_in_link(settings: Settings) -> str:
    """A fresh link's address."""
    database = await open_database(settings)
    try:
        link = await _accounts(database).mint_link()
    finally:
        await database.close()
    return f"{settings.public_url}/sign-in/{link.reveal()}"


async def create_key(
    settings: Settings,
    workspace: str,
    *,
    name: str,
    scopes: Collection[str],
    credentials: Collection[str],
    life: timedelta | None,
) -> str:
    """The key's text."""
    database = await open_database(settings)
    try:
        expires_at = SystemClock().now() + life if life else None
        _, text = await _service_keys(database).create(
            await _operator(database, workspace),
            name=name,
            scopes=scopes,
            credential_ids=credentials or None,
            expires_at=expires_at,
        )
    finally:
        await database.close()
    return text.reveal()


async def list_keys(settings: Settings, workspace: str) -> Sequence[str]:
    """One line a key."""
    database = await open_database(settings)
    try:
        keys = await _service_keys(database).list(await _operator(database, workspace))
    finally:
        await database.close()
    now = SystemClock().now()
    lines = []
    for key in keys:
        ended = key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now)
        used = f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
        lines.append(f"{key.id}  {'ended' if ended else 'valid'}  {','.join(sorted(key.scopes))}  {used}  {key.name}")
    return lines


async def revoke_key(settings: Settings, workspace: str, key_id: str) -> None:
    """Raises NotFound."""
    database = await open_database(settings)
    try:
        await _service_keys(database).revoke(await _operator(database, workspace), key_id)
    finally:
        await database.close()


async def live_token(settings: Settings, credential_id: str, *, workspace: str) -> str:
    """An access token, refreshed if it must be. Raises what a node's read raises."""
    house = await open_house(settings, process=COMMAND)
    try:
        await house.start(refreshing=False)
        live = await house.cases.tokens.token(await _operator(house.database, workspace), credential_id)
    finally:
        await house.stop()
    return live.access_token.reveal()


async def diagnose(settings: Settings) -> Mapping[str, str]:
    """Part -> `ok …`, or what is wrong with it."""
    findings = {"settings": "ok", "providers": _provider_finding(settings)}
    try:
        house = await open_house(settings, process=COMMAND)
    except TokenkeepError as fault:
        return findings | {"start": f"{fault.message} {fault.fix}".strip()}
    try:
        findings |= await _start_findings(house)
    finally:
        await house.stop()
    return findings


async def _start_findings(house: House) -> Mapping[str, str]:
    ready = await house.cases.status.ready()
    shape = await migrate.revision(house.settings.database_url.reveal())
    return {
        "key": ready["key"],
        "database": f"ok, shape {shape}" if ready["database"] == "ok" else ready["database"],
        "refreshing": await _obstacles(house),
    }


async def _obstacles(house: House) -> str:
    _ = await house.database.condition.check(SystemClock().monotonic)
    found = await house.cases.storage.look()
    return " ".join(f"paused, {each.code}: {each.message} {each.fix}" for each in found) or "ok"


def _provider_finding(settings: Settings) -> str:
    found = problems(provider_directories(settings.providers_dir))
    return f"{found[0]} (and {len(found) - 1} more)" if found else "ok"


def provider_problems(directory: Path | None, settings: Callable[[], Settings]) -> tuple[Sequence[str], int]:
    """What is wrong, a line each, and how many files were looked at."""
    directories = [directory] if directory else provider_directories(settings().providers_dir)
    checked = sum(1 for each in directories for _ in each.glob("*.toml"))
    return [str(problem) for problem in problems(directories)], checked


async def discover_provider(settings: Settings, issuer: str, *, provider_id: str, name: str) -> str:
    """A provider file's text. Raises InvalidInput: nothing usable is found there."""
    clock = SystemClock()
    outbound = Outbound(clock, allow=settings.outbound_allow, ssl_context=trusted_roots(settings.ca_file))
    try:
        found = await discover(outbound, issuer)
    finally:
        await outbound.close()
    drafted = draft(found, provider_id=provider_id, name=name, checked=clock.now().date())
    return written(drafted.file, drafted.remarks)


def write_provider_pages(directory: Path) -> int:
    """One for each shipped service, and an index; pages of services that are gone are removed. Answers how many."""
    files = [file for path in sorted(data_directory("providers").glob("*.toml")) if (file := read(path)[0]) is not None]
    pages = {f"{file.id}.md": page(file) for file in files} | {"README.md": index(files)}
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        (directory / name).write_text(text, encoding="utf-8")
    return len(files)


async def _operator(database: Database, workspace: str) -> Caller:
    """Whoever may run commands here may do everything in any workspace. Raises NotFound."""
    await _accounts(database).ensure_workspace()
    workspaces = await database.accounts.workspaces()
    for workspace_id, name in workspaces:
        if workspace in {"", workspace_id, name}:
            return system(workspace_id)
    raise NotFound(
        f"There is no workspace {workspace!r}.", fix=f"There are: {', '.join(name for _, name in workspaces)}."
    )


def _journal() -> Journal:
    return LogJournal(Metrics(SystemClock(), version=__version__))


def _accounts(database: Database) -> Accounts:
    clock = SystemClock()
    return Accounts(
        store=database.accounts,
        passwords=Argon2Passwords(),
        throttle=Throttle(clock=clock),
        clock=clock,
        entropy=SystemEntropy(),
        journal=_journal(),
    )


def _service_keys(database: Database) -> ServiceKeys:
    clock = SystemClock()
    return ServiceKeys(
        store=database.service_keys,
        reads=database.reads,
        usage=Usage(keys=database.service_keys, references=database.references, clock=clock),
        clock=clock,
        entropy=SystemEntropy(),
        journal=_journal(),
    )
