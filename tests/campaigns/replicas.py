"""Three replicas on one PostgreSQL, and everything that happens to replicas: kill, stop, partition, skewed clocks, a
provider that fails.

Owns: the replicas, who asks them, what is done to them and for how long, and the judgement after every round. Does not own:
single invariants (`checker`).

Times are a fifteenth of the real ones (see `life`): a lease is 6 s, so that a replica can be stopped or cut off for longer
than one. The third replica's wall clock is up to two minutes off, by another amount after each restart.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.campaigns.checker import Judge
from tests.campaigns.disk import Audit, audit
from tests.campaigns.history import Acknowledgement, Disturbance, Stored
from tests.campaigns.life import Order
from tests.campaigns.provider import CLASSES
from tests.campaigns.proxy import Wire
from tests.campaigns.site import Life, Site, parts_of, site
from tests.kit.databases import fresh_postgres
from tests.processes.service import free_port

REPLICAS, OF_EACH, CALLERS = 3, 4, 4
LEASE_S = 6
BEFORE_S, AFTER_S = 0.1, 0.1
PATIENCE_S = 60.0
SKEW_S = 120.0
FAULTS = ("lose", "down", "hang")

_HISTORY = (
    """CREATE TABLE campaign_history (
  seq bigserial PRIMARY KEY, credential_id text, grant_id text, version bigint, fence bigint)""",
    """CREATE FUNCTION campaign_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO campaign_history (credential_id, grant_id, version, fence)
  VALUES (NEW.credential_id, NEW.grant_id, NEW.version, NEW.fence); RETURN NULL; END $$""",
    "CREATE TRIGGER campaign_note AFTER UPDATE ON grants FOR EACH ROW EXECUTE FUNCTION campaign_note()",
)
_REST = "lease_owner = '' AND intent_at IS NULL AND state IN ('connected', 'failing')"
_MAKE_DUE = f"""
UPDATE grants SET expires_at = clock_timestamp() - interval '1 s', next_refresh_at = clock_timestamp(),
  revision = revision + 1 WHERE credential_id IN (
  SELECT credential_id FROM grants WHERE {_REST} AND random() < 0.5 FOR UPDATE SKIP LOCKED)"""
_HASTEN = """
UPDATE grants SET next_refresh_at = clock_timestamp(), revision = revision + 1 WHERE credential_id IN (
  SELECT credential_id FROM grants WHERE lease_owner = '' AND (intent_at IS NOT NULL OR failure_code IS NOT NULL)
  AND next_refresh_at IS NOT NULL FOR UPDATE SKIP LOCKED)"""
_UNSETTLED = """
SELECT count(*) FROM grants
WHERE lease_owner <> '' OR intent_at IS NOT NULL OR next_refresh_at <= clock_timestamp() OR state = 'failing'"""
_WENT_BACK = """
SELECT count(*) FROM (SELECT version, fence, lag(version) OVER each AS version_before, lag(fence) OVER each AS fence_before
  FROM campaign_history WINDOW each AS (PARTITION BY grant_id ORDER BY seq)) AS steps
WHERE version < version_before OR fence < fence_before"""


@dataclass(kw_only=True)
class Figures:
    """What a campaign counted."""

    rounds: int = 0
    seconds: float = 0.0
    disturbed: Counter[str] = field(default_factory=Counter)
    refreshes: int = 0
    acknowledged: int = 0
    recoveries: int = 0  # superseded tokens sent by a planned recovery
    lost: Counter[str] = field(default_factory=Counter)
    settled_s: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def marks(self) -> dict[str, bool]:
        """Each pass mark of reliability 4.9 and whether it is met."""
        return {
            "no invariant violated": not self.violations,
            "classes none and grace lost nothing": not self.lost["none"] + self.lost["grace"],
            "losses flagged within 60 s of the last fault": max(self.settled_s, default=0) <= PATIENCE_S,
            "something was done to every kind": set(self.disturbed) >= {"kill", "stop", "partition"},
            "tokens were refreshed": self.refreshes > 0,
        }


@dataclass
class Replica:
    """One of the three, through all its lives."""

    number: int
    wire: Wire
    url: str
    port: int
    lives: int = 0
    life: Life | None = None
    busy: bool = False


class Replicas:
    """One campaign on one site and database."""

    def __init__(self, place: Site, url: str, *, seed: int, mutant: str = "") -> None:
        self.place, self.url, self.mutant = place, url, mutant
        self.figures, self.disturbances = Figures(), list[Disturbance]()
        self.handed_out: list[Acknowledgement] = []
        self.faults: list[tuple[str, float, float]] = []
        self._chance = random.Random(seed)
        self._keys = place.folder / "config" / "root.json"
        self._replicas: list[Replica] = []
        self._engine: AsyncEngine = create_async_engine(url)
        self._background: set[asyncio.Task[None]] = set()

    # --- starting and ending --------------------------------------------------------------------------------------

    async def open(self, closing: AsyncExitStack) -> None:
        closing.push_async_callback(self._engine.dispose)
        for number in range(1, REPLICAS + 1):
            wire = Wire(self.url)
            self._replicas.append(Replica(number, wire, await wire.open(), free_port()))
            closing.push_async_callback(wire.close)
        await self._furnish([self._consent(kind, number) for kind in CLASSES for number in range(OF_EACH)])
        async with self._engine.begin() as connection:
            for statement in _HISTORY:
                await connection.execute(text(statement))
        await asyncio.gather(*(self._start(each) for each in self._replicas))

    def _consent(self, kind: str, number: int) -> dict[str, Any]:
        (consent,) = self.place.consents(kind, 1, before_s=BEFORE_S, after_s=AFTER_S, abandons=False)
        return {"credential_id": f"{kind}-{number}", **consent}

    async def _furnish(self, consents: list[dict[str, Any]]) -> None:
        """By a process of its own, past all wires."""
        if not consents:
            return
        order = self._order("furnisher", self.url, free_port(), connect=consents, furnishes=True)
        life = self.place.begin(order)
        while life.alive():
            await asyncio.sleep(0.02)
        told = self.place.told().connected
        assert all(told.get(each["credential_id"]) == each["family"] for each in consents), self.place.said()

    def _order(self, name: str, url: str, port: int, **more: Any) -> Order:
        environ = {
            "TOKENKEEP_PORT": str(port),
            "TOKENKEEP_DATA_DIR": str(self.place.folder / "share" / name.partition("-")[0]),
            "TOKENKEEP_DATABASE_URL": url,
            "TOKENKEEP_ROOT_KEY_FILE": str(self._keys),
            "TOKENKEEP_DEMO": "off",
            "TOKENKEEP_OUTBOUND_ALLOW": "127.0.0.0/8",
        }
        return Order(
            name=name,
            environ=environ,
            provider_port=self.place.provider_port,
            told=str(self.place.told_file),
            seed=self._chance.randrange(2**31),
            short_times=True,
            mutant=self.mutant,
            **more,
        )

    async def _start(self, replica: Replica) -> None:
        replica.lives += 1
        skew = self._chance.uniform(-SKEW_S, SKEW_S) if replica.number == REPLICAS else 0.0
        name = f"replica{replica.number}-{replica.lives}"
        replica.life = self.place.begin(self._order(name, replica.url, replica.port, serves=True, skew_s=skew))
        deadline = time.monotonic() + PATIENCE_S
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{replica.port}") as client:
            while time.monotonic() < deadline:
                with suppress(httpx2.TransportError):
                    if (await client.get("/readyz", timeout=2)).status_code == 200:
                        return
                assert replica.life.alive(), self.place.said()
                await asyncio.sleep(0.05)
        raise AssertionError(f"{name} was never ready: {self.place.said()}")

    async def _count(self, statement: str) -> int:
        async with self._engine.connect() as connection:
            return int((await connection.execute(text(statement))).scalar_one())

    # --- a round --------------------------------------------------------------------------------------------------

    async def round(self, seconds: float) -> None:
        """Disturb for so long, heal, settle, judge; lost grants are connected anew."""
        began = time.monotonic()
        self._always(self._make_due)
        for number in range(CALLERS):
            self._always(self._ask, number)
        await self._disturb(began + seconds)
        for task in self._background:
            task.cancel()
        for ended in await asyncio.gather(*self._background, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError), f"a part of the campaign had stopped working: {ended!r}"
        self._background.clear()
        await self._judge((await self._settle()).stored)
        self.figures.rounds += 1
        self.figures.seconds += time.monotonic() - began

    def _always(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        async def again() -> None:
            while True:
                await work(*arguments)

        self._background.add(asyncio.create_task(again()))

    async def _make_due(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(text(_MAKE_DUE))
        await asyncio.sleep(0.5)

    async def _ask(self, number: int) -> None:
        """One node asks one replica for one token."""
        replica = self._replicas[(number + self._chance.randrange(2)) % REPLICAS]
        credential_id = f"{self._chance.choice(CLASSES)}-{self._chance.randrange(OF_EACH)}"
        headers = {"Authorization": f"Bearer {self.place.told().key}"}
        with suppress(httpx2.TransportError):
            async with httpx2.AsyncClient(headers=headers, timeout=5) as node:
                answer = await node.get(f"http://127.0.0.1:{replica.port}/v1/credentials/{credential_id}/token")
            if answer.status_code == 200:
                family, generation = parts_of(answer.json()["access_token"])
                self.handed_out.append(Acknowledgement(family=family, generation=generation, at=time.monotonic()))
        await asyncio.sleep(0.05)

    # --- what is done to them ---------------------------------------------------------------------------------------

    async def _disturb(self, until: float) -> None:
        """At least one of each kind, in an order that the seed decides; never all replicas at once."""
        running: set[asyncio.Task[None]] = set()
        deck: list[Callable[[Replica], Awaitable[None]]] = []
        while time.monotonic() < until:
            if not deck:
                deck = [self._kill, self._stop, self._partition, self._fail]
                self._chance.shuffle(deck)
            free = [each for each in self._replicas if not each.busy]
            if len(free) > 1:
                running.add(asyncio.create_task(self._upon(deck.pop(), self._chance.choice(free))))
            await asyncio.sleep(self._chance.uniform(0.3, 1.5))
        await asyncio.gather(*running)

    async def _upon(self, deed: Callable[[Replica], Awaitable[None]], replica: Replica) -> None:
        replica.busy = True
        try:
            await deed(replica)
        finally:
            replica.busy = False

    async def _kill(self, replica: Replica) -> None:
        assert replica.life
        at = await asyncio.to_thread(replica.life.kill)
        self._note("kill", replica.life.name, at, at)
        await asyncio.sleep(self._chance.uniform(0.1, 1.0))
        await self._start(replica)

    async def _stop(self, replica: Replica) -> None:
        """Longer than a lease, so that another one takes over."""
        assert replica.life
        start = time.monotonic()
        replica.life.tell(signal.SIGSTOP)
        await asyncio.sleep(LEASE_S + self._chance.uniform(0.2, 1.5))
        replica.life.tell(signal.SIGCONT)
        self._note("stop", replica.life.name, start, time.monotonic())

    async def _partition(self, replica: Replica) -> None:
        """From the database, not from the provider; sometimes for longer than a lease."""
        assert replica.life
        start = time.monotonic()
        replica.wire.cut()
        await asyncio.sleep(self._chance.choice([1.0, 3.0, LEASE_S + 1.0]))
        replica.wire.mend()
        self._note("partition", replica.life.name, start, time.monotonic())

    async def _fail(self, _: Replica) -> None:
        kind, fault, start = self._chance.choice(CLASSES), self._chance.choice(FAULTS), time.monotonic()
        await asyncio.to_thread(self.place.fault, kind, fault, 0.5)
        await asyncio.sleep(2.0)
        await asyncio.to_thread(self.place.fault, kind, "")
        self.faults.append((kind, start, time.monotonic()))
        self.figures.disturbed[fault] += 1

    def _note(self, kind: str, by: str, start: float, end: float) -> None:
        self.disturbances.append(Disturbance(kind=kind, by=by, start=start, end=end))
        self.figures.disturbed[kind] += 1

    # --- judging --------------------------------------------------------------------------------------------------

    async def _settle(self) -> Audit:
        """What is stored once nothing is under way, or when there was time enough for it."""
        began = time.monotonic()
        while True:
            over = time.monotonic() - began >= PATIENCE_S
            if over or not await self._count(_UNSETTLED):
                found = await self._audit()
                # Else a late adoption, say, began after the count.
                if over or not any(each.leased or each.uncertain or each.overdue for each in found.stored):
                    break
            async with self._engine.begin() as connection:
                await connection.execute(text(_HASTEN))  # the backoff is over
            await asyncio.sleep(1.0)
        self.figures.settled_s.append(time.monotonic() - began)
        return found

    async def _audit(self) -> Audit:
        return await audit(self.url, self._keys, self.place.folder / "nothing spilled is looked for")

    async def _judge(self, stored: Sequence[Stored]) -> None:
        history = await asyncio.to_thread(self.place.history)
        judge = Judge(history, self.disturbances)
        went_back = await self._count(_WENT_BACK)
        self.figures.refreshes, self.figures.acknowledged = len(history.requests), len(self.handed_out)
        self.figures.recoveries = sum(request.superseded for request in history.requests)
        self.figures.violations += [
            *judge.acknowledged(self.handed_out, stored),
            *judge.in_flight_together(),
            *([f"I3: {went_back} writes put an older generation or fence in place"] if went_back else []),
            *judge.blind_reuse(),
            *judge.false_deaths(stored),
            *judge.stuck(stored, PATIENCE_S),
            *judge.held_up(self.faults),
            *judge.bad_losses(stored),
        ]
        losses = judge.losses(stored)
        self.figures.lost.update(loss.family.partition(".")[0] for loss in losses)
        lost = {loss.family for loss in losses}
        again = [each.credential_id for each in stored if each.family in lost]
        await self._furnish([self._consent(*_parts(credential_id)) for credential_id in again])


def _parts(credential_id: str) -> tuple[str, int]:
    kind, _, number = credential_id.partition("-")
    return kind, int(number)


async def campaign(folder: Path, *, seconds: float, seed: int, round_s: float = 30.0, mutant: str = "") -> Figures:
    """Rounds until so many seconds of disturbance are over."""
    with site(folder, seed) as place:
        async with fresh_postgres() as url, AsyncExitStack() as closing:
            found = Replicas(place, url, seed=seed, mutant=mutant)
            try:
                await found.open(closing)
                left = seconds
                while left > 0 and not found.figures.violations:
                    await found.round(min(left, round_s))
                    left -= round_s
            finally:
                place.end_lives()  # before the database they use
            return found.figures


def run(folder: Path, *, seconds: float, seed: int, mutant: str = "") -> Figures:
    """A whole campaign under that folder."""
    return asyncio.run(campaign(folder, seconds=seconds, seed=seed, mutant=mutant))
