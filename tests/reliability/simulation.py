"""A deterministic simulation: three replicas, a network and a database with bad days, everything from one seed.

Owns: the weather of a run (which troubles, how often), its schedule, and playing it. Does not own: what is right
(`checker`). Each seed draws its own few kinds of trouble, so that rare ones are not drowned by common ones.

    python -m tests.reliability.simulation 4711             plays one seed and prints its trace
    python -m tests.reliability.simulation --seeds 100000   plays so many, and prints those that failed
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.kit.builders import WORKSPACE
from tests.reliability.checker import REAUTHORIZATION, violations
from tests.reliability.provider import MANNERS, TROUBLES
from tests.reliability.replica import Died, Fate, Replica
from tests.reliability.virtual_time import run
from tests.reliability.world import World
from tokenkeep.core.errors import Unavailable

REPLICAS = ("a", "b", "c")
CREDENTIALS = 3
LIFE_S, STORM_S, CALM_S = 300, 900.0, 6000.0
"""Tokens are short while it storms, so that much is refreshed; afterwards there is time for the longest backoff."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How often what happens. Zero: never in this run."""

    errors: float  # a store or spill call fails before it had an effect
    lost_acks: float  # … or after it had
    latency_s: float  # of each call, at most
    trouble: float  # a request to a provider meets one of `troubles`
    troubles: tuple[str, ...]
    kills: float  # per minute, as everything below
    pauses: float
    outages: float  # the database is away for everybody
    partitions: float  # … or for one replica
    full_shelves: float
    breakages: float  # a client's secret is refused
    withdrawals: float
    reconnects: float
    deletions: float
    reads: float
    skew_s: float


_HAPPENINGS = (
    "kills",
    "pauses",
    "outages",
    "partitions",
    "full_shelves",
    "breakages",
    "withdrawals",
    "reconnects",
    "deletions",
    "reads",
)


def weather_of(chance: random.Random) -> Weather:
    """Of one run: a few kinds of trouble, each with its own strength."""

    def now_and_then(most: float, likely: float = 0.4) -> float:
        return chance.random() * most if chance.random() < likely else 0.0

    return Weather(
        errors=now_and_then(0.05),
        lost_acks=now_and_then(0.05),
        latency_s=chance.choice((0.0, 0.02, 0.5)),
        trouble=now_and_then(0.5, 0.6),
        troubles=tuple(chance.sample(TROUBLES, chance.randint(1, len(TROUBLES)))),
        kills=now_and_then(1.0),
        pauses=now_and_then(1.0),
        outages=now_and_then(0.4),
        partitions=now_and_then(0.4),
        full_shelves=now_and_then(0.4),
        breakages=now_and_then(0.2, 0.2),
        withdrawals=now_and_then(0.1, 0.2),
        reconnects=now_and_then(0.2, 0.3),
        deletions=now_and_then(0.1, 0.2),
        reads=chance.choice((0.0, 1.0, 4.0)),
        skew_s=now_and_then(60.0),
    )


@dataclass
class Sky(Fate):
    """The weather as one replica meets it."""

    weather: Weather
    chance: random.Random
    storm: Storm
    away: bool = False  # partitioned from the database
    standing_still: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.standing_still.set()

    async def meet(self, replica: Replica, point: str) -> None:
        """The wire has its own troubles (`provider`); a suspended process is suspended wherever it is, but for the
        moment before it sends, which nobody can guard."""
        if point == "wire.refresh:before":
            return
        await self.standing_still.wait()
        if point.startswith(("clock.", "wire.")):
            return
        if self.weather.latency_s and point.endswith(":before") and not point.startswith("envelope."):
            await asyncio.sleep(self.chance.random() * self.weather.latency_s)
            await self.standing_still.wait()
        self._strike(point)

    def _strike(self, point: str) -> None:
        stores = not point.startswith(("spill.", "envelope."))
        if stores and (self.away or self.storm.outage):
            raise Unavailable
        often = self.weather.errors if point.endswith(":before") else self.weather.lost_acks
        if not self.storm.over and self.chance.random() < often:
            raise OSError(28, point) if point.startswith("spill.") else Unavailable


@dataclass
class Storm:
    """One run: a world, its weather, and the hands that make it."""

    seed: int
    chance: random.Random = field(init=False)
    world: World = field(init=False)
    weather: Weather = field(init=False)
    outage: bool = False
    over: bool = False
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.weather = weather_of(self.chance)
        self.world = World([self.chance.choice(list(MANNERS)) for _ in range(CREDENTIALS)])
        self.skies: dict[str, Sky] = {}

    def say(self, what: str) -> None:
        self.trace.append(f"{self.world.loop.time():9.3f} {what}")

    # --- playing -----------------------------------------------------------------------------------------------

    async def play(self) -> list[str]:
        """The faults found."""
        world = self.world
        world.tick_s = 20.0
        await world.furnish()
        for number, provider in enumerate(world.providers.values()):
            provider.switches.expires_in = LIFE_S
            provider.trouble, provider.latency = self._trouble, lambda: self.chance.random() * 2
            await world.connect(f"credential{number}", provider.id)
        for name in REPLICAS:
            self._start(name)
        hands = asyncio.create_task(self._hands())
        await asyncio.sleep(STORM_S)
        hands.cancel()
        await self._calm()
        return await violations(world, slack_s=2 * self.weather.skew_s)

    async def _calm(self) -> None:
        """All troubles end; whoever died is there again."""
        self.over, self.outage = True, False
        world = self.world
        for sky in self.skies.values():
            sky.away = False
            sky.standing_still.set()
        for provider in world.providers.values():
            provider.switches.expires_in, provider.switches.invalid_client = 3600, False
        for shelf in world.shelves.values():
            shelf.full = False
        self.say("calm")
        await asyncio.sleep(300)
        world.tick_s = 240.0
        await asyncio.sleep(CALM_S)

    def _trouble(self) -> str:
        if self.over or self.chance.random() >= self.weather.trouble:
            return ""
        return self.chance.choice(self.weather.troubles)

    # --- processes ---------------------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        sky = self.skies[name] = Sky(self.weather, self.chance, self)
        skew = (self.chance.random() * 2 - 1) * self.weather.skew_s
        replica = self.world.start(name, fate=sky, skew=skew)
        self.say(f"{name} starts, {skew:+.1f} s")
        replica.spawn(self._run(replica))

    async def _run(self, replica: Replica) -> None:
        with suppress(Died):
            await self.world.boot(replica, alone=False)
            self.world.tick(replica, first=self.chance.random() * 15)

    async def _restart(self, name: str) -> None:
        await asyncio.sleep(self.chance.random() * 60)
        self._start(name)

    # --- what people and fate do ----------------------------------------------------------------------------------

    async def _hands(self) -> None:
        """One happening after the other, each as often as the weather says."""
        happenings = {name: often for name in _HAPPENINGS if (often := getattr(self.weather, name) / 60)}
        while happenings:
            await asyncio.sleep(self.chance.expovariate(sum(happenings.values())))
            (name,) = self.chance.choices(list(happenings), list(happenings.values()))
            await getattr(self, f"_{name}")()

    def _living(self) -> list[Replica]:
        return [replica for _, replica in sorted(self.world.replicas.items()) if not replica.dead]

    async def _kills(self) -> None:
        if living := self._living():
            replica = self.chance.choice(living)
            self.say(f"{replica.name} is killed")
            replica.kill()
            self._later(self._restart(replica.name))

    async def _pauses(self) -> None:
        if living := self._living():
            replica = self.chance.choice(living)
            self._later(self._pause(self.skies[replica.name], replica.name, self.chance.random() * 150))

    async def _pause(self, sky: Sky, name: str, seconds: float) -> None:
        self.say(f"{name} stands still for {seconds:.1f} s")
        sky.standing_still.clear()
        await asyncio.sleep(seconds)
        sky.standing_still.set()

    async def _outages(self) -> None:
        self._later(self._outage(self.chance.random() * 120))

    async def _outage(self, seconds: float) -> None:
        self.say(f"the database is away for {seconds:.1f} s")
        self.outage = True
        await asyncio.sleep(seconds)
        self.outage = False

    async def _partitions(self) -> None:
        if living := self._living():
            replica = self.chance.choice(living)
            self._later(self._partition(self.skies[replica.name], replica.name, self.chance.random() * 200))

    async def _partition(self, sky: Sky, name: str, seconds: float) -> None:
        self.say(f"{name} does not reach the database for {seconds:.1f} s")
        sky.away = True
        await asyncio.sleep(seconds)
        sky.away = False

    async def _full_shelves(self) -> None:
        shelf = self.world.shelves[self.chance.choice(REPLICAS)]
        shelf.full = not shelf.full

    async def _breakages(self) -> None:
        provider = self.chance.choice(list(self.world.providers.values()))
        provider.switches.invalid_client = not provider.switches.invalid_client
        self.say(f"{provider.id} {'refuses' if provider.switches.invalid_client else 'takes'} our secret")

    async def _withdrawals(self) -> None:
        credential_id = f"credential{self.chance.randrange(CREDENTIALS)}"
        family = self.world.family(credential_id)
        provider_id, _ = self.world.record.families[credential_id][-1]
        if family is not None and not family.revoked:
            self.say(f"the user ends family {family.id}")
            self.world.providers[provider_id].withdraw(family)

    async def _reconnects(self) -> None:
        number = self.chance.randrange(CREDENTIALS)
        self.say(f"credential{number} is connected anew")
        await self.world.connect(f"credential{number}", f"provider{number}")

    async def _deletions(self) -> None:
        number = self.chance.randrange(CREDENTIALS)
        self.say(f"credential{number} is deleted")
        await self.world.database.credentials.delete(WORKSPACE, f"credential{number}")

    async def _reads(self) -> None:
        if living := self._living():
            replica = self.chance.choice(living)
            replica.spawn(self.world.read(replica, f"credential{self.chance.randrange(CREDENTIALS)}"))

    def _later(self, work: Any) -> None:
        """The loop keeps it until it is done."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    _tasks: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one seed gave."""

    seed: int
    faults: list[str]
    trace: list[str]
    requests: int
    lost: int
    told: int


def play(seed: int) -> Played:
    """One seed from its beginning to its end."""

    async def whole() -> Played:
        storm = Storm(seed)
        faults = await storm.play()
        record = storm.world.record
        lost = sum(write.state == REAUTHORIZATION and write.code == "lost_response" for write in record.written)
        return Played(
            seed=seed,
            faults=faults,
            trace=[*storm.trace, *_trace(storm.world)],
            requests=len(record.sent),
            lost=lost,
            told=len(record.told),
        )

    played: Played = run(whole, seed)
    return played


def _trace(world: World) -> Iterator[str]:
    record = world.record
    for sent in record.sent:
        yield f"{sent.began:9.3f} {sent.number:5} {sent.replica} sends {sent.token} to {sent.provider}: {sent.outcome}"
    for write in record.written:
        yield (
            f"{write.at:9.3f} {write.number:5} {write.replica} {write.how} {write.credential} v{write.version} "
            f"f{write.fence} {write.state} {write.code}"
        )
    for told in record.told:
        yield f"{told.at:9.3f}       {told.replica} tells {told.credential}: {told.access_token or told.code}"


# --- from the command line ----------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Play one seed and show it, or many and show those that failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="play this one and print its trace")
    parser.add_argument("--seeds", type=int, default=1000, help="play so many")
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args(arguments)
    if chosen.seed is not None:
        played = play(chosen.seed)
        print("\n".join(sorted(played.trace)))
        print(*played.faults or ["no fault"], sep="\n")
        return bool(played.faults)
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        seeds = range(chosen.first, chosen.first + chosen.seeds)
        return _report(pool.imap_unordered(play_quietly, seeds, chunksize=20))


def play_quietly(seed: int) -> Played:
    """A crash of the harness is a fault of that seed as well."""
    try:
        return play(seed)
    except Exception as broken:  # noqa: BLE001 - the seed must be named
        return Played(seed=seed, faults=[f"broken: {broken!r}"], trace=[], requests=0, lost=0, told=0)


def _report(all_played: Iterable[Played]) -> int:
    began, count, requests, lost, failed = time.monotonic(), 0, 0, 0, 0
    for played in all_played:
        count, requests, lost = count + 1, requests + played.requests, lost + played.lost
        if played.faults:
            failed += 1
            print(f"FAILED seed {played.seed}: {replay(played.seed)}", *played.faults, sep="\n  ", flush=True)
    rate = count / max(time.monotonic() - began, 0.001)
    print(f"{count} seeds, {rate:.0f} per second, {requests} refresh requests, {lost} answers lost and told")
    print(f"{failed} seeds failed")
    return min(failed, 1)


def replay(seed: int) -> str:
    """The command that plays it again."""
    return f"PYTHONPATH=src:. .venv/bin/python -m tests.reliability.simulation {seed}"


if __name__ == "__main__":
    sys.exit(main())
