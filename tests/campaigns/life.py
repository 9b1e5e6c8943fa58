"""One life of a service, in a process made by the fork server: from its start to whatever ends it.

Owns: what is different about a service under test (a catalogue of fake providers, shortened times, a planted bug), the
callers who ask it for tokens, and telling what they got. Does not own: when it ends (the campaign), and how it is
judged (`checker`).

What callers were told is appended to a file with one write each, so it outlives the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop
from sqlalchemy import select

from tests.campaigns.catalog import CampaignCatalog, type_name
from tests.campaigns.mutants import MUTANTS
from tests.campaigns.provider import CLASSES
from tests.kit import builders
from tokenkeep import main as assembly
from tokenkeep import serving
from tokenkeep.adapters.logs import configure_logging
from tokenkeep.adapters.outbound import Limits, Outbound
from tokenkeep.adapters.spill import SpillDirectory
from tokenkeep.adapters.store.grants import Grants
from tokenkeep.adapters.system import SystemClock
from tokenkeep.adapters.tables import grants
from tokenkeep.core import policy
from tokenkeep.core.errors import TokenkeepError, Unavailable
from tokenkeep.core.permissions import Scope, system
from tokenkeep.core.secret import Secret
from tokenkeep.house import House
from tokenkeep.services import keeping, patience
from tokenkeep.services.sealing import client_place, seal_tokens
from tokenkeep.settings import Settings
from tokenkeep.settings.environment import read

TICK_S = 0.1
CALLERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a life is to be lived. Plain values only: it travels as JSON."""

    name: str
    environ: dict[str, str]
    provider_port: int
    told: str  # where callers write down what they got
    seed: int
    connect: list[dict[str, Any]] = field(default_factory=list)  # credential_id, family, access_token, refresh_token
    mutant: str = ""
    serves: bool = False  # with its web server, else only sweeps and callers of its own
    furnishes: bool = False  # only puts the ordered consents in place, and ends
    store_fails: float = 0.0  # share of generations that the database does not take at first
    short_times: bool = False  # leases of 6 s instead of 90, and everything that hangs together with them
    skew_s: float = 0.0  # its wall clock against the others'
    more_environ: dict[str, str] = field(default_factory=dict)  # for the process itself: the shim's


class Told:
    """The file that outlives the process."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def line(self, what: str, **facts: Any) -> None:
        os.write(self._descriptor, (json.dumps({"what": what, "at": time.monotonic(), **facts}) + "\n").encode())


def as_json(order: Order) -> str:
    return json.dumps(asdict(order))


def live(order: Order) -> None:
    """Until somebody ends it, or its order is carried out."""
    os.environ.update(order.more_environ)
    told = Told(order.told)
    _change(order, told)
    settings = replace(read(order.environ), refresh_tick_s=TICK_S)
    configure_logging("text", "INFO")
    told.line("began", life=order.name)
    if order.connect and (order.serves or order.furnishes):
        uvloop.run(_connected(settings, order, told))
    if not order.furnishes:
        uvloop.run(serving.serve(settings) if order.serves else _lived(settings, order, told))


# --- what is different ---------------------------------------------------------------------------------------------


def _change(order: Order, told: Told) -> None:
    catalog = CampaignCatalog(order.provider_port, order.name)
    assembly._catalog = lambda _: catalog
    _tell_spills(told)
    if order.store_fails:
        _fail_to_store(order)
    if order.short_times:
        _shorten()
    if order.skew_s:
        now = SystemClock.now
        SystemClock.now = lambda self: now(self) + timedelta(seconds=order.skew_s)
    if order.mutant:
        MUTANTS[order.mutant]()


def _tell_spills(told: Told) -> None:
    """A spill file promises durability when `put` returns: that promise is checked like a caller's token."""
    put = SpillDirectory.put

    async def telling(self: SpillDirectory, name: str, sealed: bytes) -> None:
        await put(self, name, sealed)
        credential_id, grant_id, version = name.split(".")
        told.line("spilled", credential=credential_id, grant=grant_id, version=int(version))

    SpillDirectory.put = telling


def _fail_to_store(order: Order) -> None:
    """The database is away between W1 and W2, for a share of the refreshes, and for a second each time."""
    store, chance, away = Grants.store, random.Random(order.seed), {}

    async def failing(self: Grants, lease: Any, grant: Any, event: Any, **named: Any) -> bool:
        generation = (grant.grant_id, grant.version)
        if generation not in away:
            away[generation] = time.monotonic() + (1.0 if chance.random() < order.store_fails else 0.0)
        if time.monotonic() < away[generation]:
            raise Unavailable
        return await store(self, lease, grant, event, **named)

    Grants.store = failing


def _shorten() -> None:
    """A fifteenth of the real times, in the same proportions: total time-out 2 s < send within 3.6 s < lease 6 s."""
    policy.LEASE_S, policy.SEND_WITHIN_S = 6, 3.6
    policy.BACKOFF_FIRST_S, policy.BACKOFF_CAP_S = 2, 8
    patience.EXTEND_EVERY_S, patience.RETRY_CAP_S, keeping.ADOPT_EVERY_S = 2.0, 1.0, 0.3
    assert Outbound.__init__.__kwdefaults__ is not None
    Outbound.__init__.__kwdefaults__["limits"] = Limits(connect_s=1.0, total_s=2.0)


# --- living ----------------------------------------------------------------------------------------------------------


async def _lived(settings: Settings, order: Order, told: Told) -> None:
    """Sweeps, and callers in the same process."""
    house = await assembly.open_house(settings)
    workspace_id = await _furnished(house, order, told)
    await house.start()
    told.line("ready", life=order.name)
    await asyncio.gather(*(_ask(house, workspace_id, told, order.seed + number) for number in range(CALLERS)))


async def _connected(settings: Settings, order: Order, told: Told) -> None:
    """The ordered consents, and a key for whoever asks over HTTP."""
    house = await assembly.open_house(settings)
    workspace_id = await _furnished(house, order, told)
    _, key = await house.cases.service_keys.create(system(workspace_id), name=order.name, scopes={"tokens:read"})
    told.line("key", key=key.reveal())
    await house.stop()


async def _ask(house: House, workspace_id: str, told: Told, seed: int) -> None:
    """One caller, for ever. Tells every access token it has not seen before."""
    chance, seen = random.Random(seed), set[str]()
    caller = builders.caller(Scope.TOKENS_READ, workspace_id=workspace_id)
    credential_ids = await _connected_ids(house, workspace_id)
    while True:
        try:
            live_token = await house.cases.tokens.token(caller, chance.choice(credential_ids))
        except TokenkeepError:
            await asyncio.sleep(0.02)
            continue
        token = live_token.access_token.reveal()
        if token not in seen:
            seen.add(token)
            told.line("acknowledged", token=token)
        await asyncio.sleep(0.005)


async def _connected_ids(house: House, workspace_id: str) -> list[str]:
    async with house.database._engines.read() as connection:
        rows = await connection.execute(select(grants.c.credential_id).where(grants.c.workspace_id == workspace_id))
        return sorted(row[0] for row in rows)


# --- furnishing --------------------------------------------------------------------------------------------------------


async def _furnished(house: House, order: Order, told: Told) -> str:
    """The workspace, with a client per class and the ordered consents in place."""
    await house.cases.accounts.ensure_workspace()
    ((workspace_id, _),) = await house.database.accounts.workspaces()
    for kind in CLASSES:
        if await house.database.clients.for_provider(workspace_id, kind) is None:
            await _register(house, workspace_id, kind)
    for consent in order.connect:
        await _connect(house, workspace_id, consent)
        told.line("connected", credential=consent["credential_id"], family=consent["family"])
    return workspace_id


async def _register(house: House, workspace_id: str, kind: str) -> None:
    client = builders.client(id=f"client-{kind}", workspace_id=workspace_id, provider=kind)
    sealed = await house.cases.clients.envelope.seal(b"client-secret", client_place(client))
    await house.database.clients.put(replace(client, secret_sealed=sealed))


async def _connect(house: House, workspace_id: str, consent: dict[str, Any]) -> None:
    credential_id, kind = consent["credential_id"], consent["family"].partition(".")[0]
    now = await house.database.grants.now()
    place = {"workspace_id": workspace_id, "credential_id": credential_id, "at": now}
    if await house.database.credentials.get(workspace_id, credential_id) is None:
        credential = builders.credential(
            id=credential_id, workspace_id=workspace_id, type=type_name(kind), name=credential_id
        )
        await house.database.credentials.add(credential, builders.event(id=f"created-{credential_id}", **place))
    ended = now - timedelta(seconds=1)
    grant = builders.grant(
        workspace_id=workspace_id,
        credential_id=credential_id,
        grant_id=f"grant-{consent['family'].replace('.', '-')}",
        client=f"client-{kind}",
        provider=kind,
        standing=builders.standing(expires_at=ended, next_refresh_at=ended),
        connected_at=now - timedelta(hours=1),
    )
    tokens = builders.token_set(
        access_token=Secret(consent["access_token"]),
        refresh_token=Secret(consent["refresh_token"]),
        expires_at=grant.standing.expires_at,
    )
    sealed = await seal_tokens(house.cases.clients.envelope, grant, tokens)
    told = builders.event(id=f"connected-{consent['family']}", kind="connected", **place)
    await house.database.grants.connect(sealed, told)


def forked(text: str, log: Path) -> None:
    """Run as a child of the fork server: never returns."""
    with log.open("ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    try:
        live(Order(**json.loads(text)))
    except BaseException:  # noqa: BLE001 - told, and the process ends here
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
