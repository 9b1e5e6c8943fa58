"""A world to fail in: replicas over one database, model providers, people who ask for tokens.

Owns: setting it up, time passing with its ticks, and the record of what happened (`Record`) that the checker judges.
Does not own: what goes wrong (`crash_points`, `simulation`), what is right (`checker`).
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

from tests.kit import builders
from tests.kit.builders import WORKSPACE
from tests.kit.clock import NOON
from tests.kit.consents import Family
from tests.kit.entropy import CountedEntropy
from tests.kit.envelope import ReadableEnvelope
from tests.kit.memory_catalog import MemoryCatalog
from tests.kit.memory_store import MemoryDatabase
from tests.kit.spill import MemorySpill
from tests.reliability.provider import MANNERS, ModelProvider, ModelWire, Sent
from tests.reliability.replica import Calm, Died, Fate, Outside, Replica
from tests.reliability.virtual_time import VirtualClock
from tokenkeep.assembly import SERVICE
from tokenkeep.core import lifecycle, token_document
from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.model import Client, Grant, State, TokenSet
from tokenkeep.core.permissions import Scope
from tokenkeep.core.secret import Secret
from tokenkeep.services.sealing import client_place, seal_tokens

TICK_S, TIDY_S = 15.0, 60.0
LIFE_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a caller was told: an access token, or the code of an error."""

    at: float
    replica: str
    credential: str
    access_token: str
    code: str
    durable: bool  # whether its refresh token was on disk at that moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A write of a grant's row that was carried out."""

    at: float
    replica: str
    how: str  # claim, extend, store, settle, connect, restand, disconnect
    credential: str
    grant_id: str
    version: int
    fence: int
    state: str
    code: str
    expires: float  # on the world's clock; when the access token ends
    refresh_token: str  # what the row holds from now on
    number: int  # in the order of everything


@dataclass
class Record:
    """Everything the checker judges by."""

    sent: list[Sent] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    durable: set[str] = field(default_factory=set)  # access tokens whose set was ever on any disk
    stored: dict[str, int] = field(default_factory=dict)  # … in the database, where all can see it: since which number
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    families: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))


def opened(sealed: bytes) -> TokenSet:
    """The token set in a readable envelope."""
    return token_document.load(base64.b64decode(sealed.split(b"|")[2]))


def spilled(octets: bytes) -> TokenSet:
    """The token set in a spill file."""
    document = json.loads(base64.b64decode(octets.partition(b"\n")[2].split(b"|")[2]))
    return opened(base64.b64decode(document["grant"]["sealed"]))


class World:
    """Made inside a running `VirtualLoop`."""

    def __init__(self, manners: Sequence[str], *, database: Any = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = VirtualClock()
        self.record = Record()
        self.database = database if database is not None else MemoryDatabase(self.clock)
        self.envelope = ReadableEnvelope()
        families = itertools.count(1)
        self.providers = {
            f"provider{number}": ModelProvider(
                id=f"provider{number}",
                manner=MANNERS[manner],
                journal=self.record.sent,
                numbers=self.record.numbers,
                families=families,
            )
            for number, manner in enumerate(manners)
        }
        self.catalog = MemoryCatalog(
            [provider.file() for provider in self.providers.values()],
            [builders.credential_type(name=f"{name}OAuth2", label=name, provider=name) for name in self.providers],
        )
        self.shelves: dict[str, MemorySpill] = defaultdict(MemorySpill)
        self.replicas: dict[str, Replica] = {}
        self.caller = builders.caller(Scope.TOKENS_READ)
        self.entropy = CountedEntropy("world")
        self.tick_s = TICK_S

    # --- processes -------------------------------------------------------------------------------------------

    def start(self, name: str, *, fate: Fate | None = None, skew: float = 0.0) -> Replica:
        """A process over what is durable. Its spill shelf is its own, and is there again after a restart."""
        before = self.replicas.get(name)
        outside = Outside(
            database=self.database,
            envelope=self.envelope,
            catalog=self.catalog,
            wire=ModelWire(name, self.providers),
            spill=self.shelves[name],
        )
        incarnation = before.incarnation + 1 if before else 1
        replica = Replica(name, outside, fate or Calm(), self._witness, skew=skew, incarnation=incarnation)
        self.replicas[name] = replica
        return replica

    async def boot(self, replica: Replica, *, alone: bool) -> None:
        """What a start does before it ticks (`House.start`). `alone`: an embedded database, so no other process."""
        await self.database.grants.release_all(owners=SERVICE if alone else f"{SERVICE}/{replica.name}/")
        with suppress(Exception):
            await replica.cases.keeping.replay()

    def tick(self, replica: Replica, *, first: float = 0.0) -> None:
        """Sweeps and replays at their intervals, each in a task of the service, as the ticker does."""
        replica.spawn(self._ticks(replica, "sweep", first=first))
        replica.spawn(self._ticks(replica, "tidy", first=first + 1))

    async def _ticks(self, replica: Replica, name: str, *, first: float) -> None:
        work = replica.cases.sweeper.sweep if name == "sweep" else partial(self._tidy, replica)

        async def guarded() -> None:
            with suppress(Exception):
                await work()

        await asyncio.sleep(first)
        while not replica.dead:
            _ = replica.tasks.run(("tick", name), guarded)
            await asyncio.sleep(self.tick_s if name == "sweep" else max(self.tick_s, TIDY_S))

    async def _tidy(self, replica: Replica) -> None:
        await replica.cases.keeping.replay()
        await replica.cases.keeping.grants.purge()

    # --- credentials -----------------------------------------------------------------------------------------

    async def furnish(self) -> None:
        """The workspace's client at every provider."""
        for name in self.providers:
            client = Client(
                id=f"client-{name}",
                workspace_id=WORKSPACE,
                provider=name,
                client_id=f"id-{name}",
                secret_sealed=None,
                version=1,
                updated_at=self.clock.now(),
            )
            sealed = await self.envelope.seal(b"client secret", client_place(client))
            await self.database.clients.put(replace(client, secret_sealed=sealed))

    async def connect(self, credential_id: str, provider_id: str) -> Family:
        """A person connects it, or connects it again."""
        provider = self.providers[provider_id]
        family = provider.consent()
        stored = await self.database.credentials.get(WORKSPACE, credential_id)
        if stored is None:
            new = builders.credential(id=credential_id, type=f"{provider_id}OAuth2", name=credential_id, grant=None)
            await self.database.credentials.add(new, self._event(credential_id, "created"))
        grant = await self._consented(credential_id, provider_id, family)
        await self.database.grants.connect(grant, self._event(credential_id, "connected"))
        self.record.families[credential_id].append((provider_id, family.id))
        stored_grant = await self.database.grants.get(WORKSPACE, credential_id)
        self._write("world", "connect", stored_grant)
        self._on_disk(opened(grant.sealed))
        return family

    async def _consented(self, credential_id: str, provider_id: str, family: Family) -> Grant:
        now, life = self.clock.now(), float(self.providers[provider_id].switches.expires_in or LIFE_S)
        token_set = TokenSet(
            access_token=Secret(family.access_token),
            refresh_token=Secret(family.refresh_token),
            expires_at=now + timedelta(seconds=life),
        )
        obtained = lifecycle.Obtained(
            expires_at=token_set.expires_at,
            refresh_expires_at=None,
            next_refresh_at=now + timedelta(seconds=life * 0.8),
        )
        grant = builders.grant(
            credential_id=credential_id,
            grant_id=self.entropy.id(),
            client=f"client-{provider_id}",
            provider=provider_id,
            version=1,
            standing=lifecycle.connected(obtained, now=now),
            connected_at=now,
        )
        return await seal_tokens(self.envelope, grant, token_set)

    def _event(self, credential_id: str, kind: str) -> Any:
        return builders.event(id=self.entropy.id(), credential_id=credential_id, kind=kind, at=self.clock.now())

    # --- people ----------------------------------------------------------------------------------------------

    async def read(self, replica: Replica, credential_id: str) -> None:
        """A node asks for the token; what it is told is remembered, whatever it is."""
        access_token = code = ""
        try:
            live = await replica.cases.tokens.token(self.caller, credential_id)
            access_token = live.access_token.reveal()
        except TokenkeepError as refused:
            code = refused.code
        except (Died, asyncio.CancelledError):
            return  # the process died under it: nobody was told anything
        except Exception as odd:  # noqa: BLE001 - a 500 is an answer too
            code = type(odd).__name__
        self.record.told.append(
            Told(
                at=self.loop.time(),
                replica=replica.name,
                credential=credential_id,
                access_token=access_token,
                code=code,
                durable=access_token in self.record.durable,
            )
        )

    # --- the record ------------------------------------------------------------------------------------------

    def _witness(self, replica: Replica, point: str, arguments: tuple[Any, ...], outcome: Any) -> None:
        handler = _WITNESSED.get(point)
        if handler is not None:
            handler(self, replica.name, arguments, outcome)

    def _on_disk(self, token_set: TokenSet) -> None:
        access_token = token_set.access_token.reveal()
        self.record.durable.add(access_token)
        self.record.stored.setdefault(access_token, next(self.record.numbers))

    def _write(self, replica: str, how: str, grant: Grant) -> None:
        failure, token_set, ends = grant.standing.failure, opened(grant.sealed), grant.standing.expires_at
        self.record.written.append(
            Written(
                at=self.loop.time(),
                replica=replica,
                how=how,
                credential=grant.credential_id,
                grant_id=grant.grant_id,
                version=grant.version,
                fence=grant.fence,
                state=str(grant.standing.state),
                code=failure.code if failure else "",
                expires=(ends - NOON).total_seconds() if ends else math.inf,
                refresh_token=token_set.refresh_token.reveal() if token_set.refresh_token else "",
                number=next(self.record.numbers),
            )
        )

    def _claimed(self, replica: str, arguments: tuple[Any, ...], lease: Any) -> None:
        if lease is not None:
            self._write(replica, "claim", lease.grant)

    def _stored(self, replica: str, arguments: tuple[Any, ...], done: bool) -> None:
        lease, grant = arguments[:2]
        if done:
            self._write(replica, "store", replace(grant, fence=lease.grant.fence))
            self._on_disk(opened(grant.sealed))

    def _settled(self, replica: str, arguments: tuple[Any, ...], done: bool) -> None:
        lease, standing = arguments[:2]
        if done:
            self._write(replica, "settle", replace(lease.grant, standing=standing))

    def _restood(self, replica: str, arguments: tuple[Any, ...], done: bool) -> None:
        grant, standing = arguments[:2]
        if done:
            self._write(replica, "restand", replace(grant, standing=standing))

    def _shelved(self, replica: str, arguments: tuple[Any, ...], _: Any) -> None:
        self._on_disk(opened(arguments[1]))

    def _put_on_spill(self, replica: str, arguments: tuple[Any, ...], _: Any) -> None:
        self.record.durable.add(spilled(arguments[1]).access_token.reveal())

    # --- looking ---------------------------------------------------------------------------------------------

    async def grant(self, credential_id: str) -> Grant | None:
        """As it is stored now."""
        found: Grant | None = await self.database.grants.get(WORKSPACE, credential_id)
        return found

    def family(self, credential_id: str) -> Family | None:
        """The consent it lives on."""
        provider_id, number = self.record.families[credential_id][-1]
        return self.providers[provider_id].consents._families.get(number)

    async def held(self, credential_id: str) -> list[tuple[str, str]]:
        """Every refresh token of it that is on disk, and where: in the row, on the orphan shelf, on a spill shelf."""
        grant = await self.grant(credential_id)
        if grant is None:
            return []
        orphans = await self.database.grants.orphans(WORKSPACE, credential_id, grant.grant_id)
        places = [("in the row", opened(grant.sealed)), *(("on the orphan shelf", opened(each)) for _, each in orphans)]
        for shelf in self.shelves.values():
            for name, octets in shelf.shelf.items():
                if name.startswith(f"{credential_id}.{grant.grant_id}."):
                    places.append(("on a spill shelf", spilled(octets)))
        return [(place, held.refresh_token.reveal()) for place, held in places if held.refresh_token is not None]


_WITNESSED = {
    "grants.claim": World._claimed,
    "grants.store": World._stored,
    "grants.settle": World._settled,
    "grants.restand": World._restood,
    "grants.shelve": World._shelved,
    "spill.put": World._put_on_spill,
}
AT_REST = frozenset({State.REAUTHORIZATION_REQUIRED, State.QUARANTINED})
