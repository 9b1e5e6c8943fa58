"""Crash-point enumeration: every await and commit of a refresh x every provider class x every way to fail.

Owns: finding the points by a recording run, striking one (or two) of them, and the times within which all must be well
again. Does not own: what is right (`checker`).

A point is `<port>.<method>:before` or `:after`, counted by its occurrence within the one refresh that is looked at. At it
  error   the call fails, before it had any effect or (`:after`) although it had,
  hang    the call never ends, and this process goes on beside it; a second replica is there,
  exit    the process dies as by kill -9 and is started again five seconds later,
  stall   the process stands still for a hundred seconds, past its lease, and goes on; a second replica is there.

    python -m tests.reliability.crash_points [--pairs] [--sqlite] [--manner strict]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tests.reliability.checker import REAUTHORIZATION, violations
from tests.reliability.provider import MANNERS, Sent
from tests.reliability.replica import Died, Fate, NoAnswer, Replica
from tests.reliability.solid import run_on_file
from tests.reliability.virtual_time import run
from tests.reliability.world import World
from tokenkeep.core.errors import Unavailable
from tokenkeep.core.model import Rotation, State

FAULTS = ("error", "hang", "exit", "stall")
TRIGGERS = ("sweep", "read")
MAIN, BYSTANDER = "main", "bystander"
RESTART_S, STALL_S = 5.0, 100.0
UNCLOSABLE = {("wire.refresh:before", "stall")}
"""Between its last look at the clock and the first octet on the wire a process can be suspended, and no client can
notice: the provider does not check our fence. Everything before that look is enumerated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One failure at one point."""

    point: str
    nth: int
    fault: str

    def __str__(self) -> str:
        return f"{self.fault} at {self.point} #{self.nth}"


@dataclass
class Struck(Fate):
    """Counts the points of one replica and strikes where it is told to."""

    strikes: Sequence[Strike] = ()
    armed: bool = False
    met: list[tuple[str, int]] = field(default_factory=list)
    missed: list[Strike] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _stalled: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.missed = list(self.strikes)
        self._stalled.set()

    async def meet(self, replica: Replica, point: str) -> None:
        await self._stalled.wait()
        if not self.armed:
            return
        self._counts[point] += 1
        here = point, self._counts[point]
        self.met.append(here)
        for strike in self.missed:
            if (strike.point, strike.nth) == here:
                self.missed.remove(strike)
                await self._hit(replica, strike)
                return

    async def _hit(self, replica: Replica, strike: Strike) -> None:
        if strike.fault == "exit":
            replica.kill()
        elif strike.fault == "hang":
            await asyncio.Event().wait()
        elif strike.fault == "stall":
            self._stalled.clear()
            asyncio.get_running_loop().call_later(STALL_S, self._stalled.set)
            await self._stalled.wait()
        elif strike.point.startswith("wire."):
            raise NoAnswer("not_sent" if strike.point.endswith(":before") else "lost")
        else:
            raise OSError(28, f"{strike}") if strike.point.startswith("spill.") else Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What to do to whom."""

    manner: str
    trigger: str
    strikes: tuple[Strike, ...]
    beside: bool | None = None  # whether a second replica is there; None: where a fault asks for one

    @property
    def shared(self) -> bool:
        """Whether the database is shared, so that a start may not end the leases it finds."""
        return any(strike.fault in {"hang", "stall"} for strike in self.strikes) if self.beside is None else self.beside

    def __str__(self) -> str:
        return f"{self.manner}, {self.trigger}: {' then '.join(map(str, self.strikes)) or 'nothing'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it."""

    case: Case
    faults: list[str]
    met: list[tuple[str, int]]
    missed: list[Strike]
    state: State
    code: str
    requests: int


# --- one case ---------------------------------------------------------------------------------------------------


async def play(case: Case, *, database: Any = None, record_s: float = 10.0) -> Outcome:
    """Two credentials, one of which is struck while it is refreshed; then an hour and a half of ordinary life."""
    world = World([case.manner, "strict"], database=database)
    await _furnish(world)
    fate = Struck(case.strikes)
    replica = world.start("a", fate=fate)
    began = await _trigger(world, replica, case.trigger, fate, record_s=record_s)
    watch = asyncio.create_task(_start_again(world, replica, fate))
    if case.shared:
        world.tick(world.start("b"), first=7.0)
    await _ordinary_life(world, began)
    watch.cancel()
    faults = [*await violations(world), *_bystander(world, began), *_in_time(world, case, began)]
    grant = await world.grant(MAIN)
    assert grant is not None
    failure = grant.standing.failure
    return Outcome(
        case=case,
        faults=faults,
        met=fate.met,
        missed=fate.missed,
        state=grant.standing.state,
        code=failure.code if failure else "",
        requests=len(_requests(world, began)),
    )


async def _furnish(world: World) -> None:
    """Both are refreshed once, so that there is a previous token, and the bystander's turn is twenty seconds later."""
    await world.furnish()
    await world.connect(MAIN, "provider0")
    await world.connect(BYSTANDER, "provider1")
    first = world.start("first")
    await asyncio.sleep(3000)
    await first.cases.sweeper.sweep()
    await asyncio.sleep(60)
    first.kill()


async def _trigger(world: World, replica: Replica, trigger: str, fate: Struck, *, record_s: float) -> float:
    grant = await world.grant(MAIN)
    assert grant is not None
    planned = grant.standing.next_refresh_at if trigger == "sweep" else grant.standing.expires_at
    assert planned is not None
    began = world.loop.time() + (planned - world.clock.now()).total_seconds() + 1
    await _postpone_bystander(world, began + 20)
    await asyncio.sleep(began - world.loop.time())
    fate.armed = True
    world.loop.call_later(record_s, setattr, fate, "armed", False)
    world.tick(replica, first=0.0 if trigger == "sweep" else 3.0)
    if trigger == "read":
        replica.spawn(world.read(replica, MAIN))
    return began


async def _postpone_bystander(world: World, at: float) -> None:
    grant = await world.grant(BYSTANDER)
    assert grant is not None
    later = world.clock.now() + timedelta(seconds=at - world.loop.time())
    standing = replace(grant.standing, next_refresh_at=later)
    assert await world.database.grants.restand(grant, standing, None)


async def _start_again(world: World, replica: Replica, fate: Struck) -> None:
    """Whoever runs the service starts what has ended, over what is durable."""
    while True:
        await replica.ended.wait()
        await asyncio.sleep(RESTART_S)
        replica = world.start("a", fate=fate)
        replica.spawn(_run(world, replica))


async def _run(world: World, replica: Replica) -> None:
    with suppress(Died):
        await world.boot(replica, alone="b" not in world.replicas)
        world.tick(replica)


async def _ordinary_life(world: World, began: float) -> None:
    """Nodes ask now and then; after five minutes the ticks may be rare."""
    for _ in range(15):
        await asyncio.sleep(20)
        for name in ("a", "b"):
            replica = world.replicas.get(name)
            if replica is not None and not replica.dead:
                replica.spawn(world.read(replica, MAIN))
    world.tick_s = 240.0
    await asyncio.sleep(began + 5400 - world.loop.time())


# --- times ------------------------------------------------------------------------------------------------------


def _requests(world: World, began: float) -> list[Sent]:
    return [sent for sent in world.record.sent if sent.provider == "provider0" and began <= sent.began < began + 1800]


def _bystander(world: World, began: float) -> Iterator[str]:
    """I7: what is due twenty seconds later is refreshed as if nothing had happened."""
    stored = [write.at for write in world.record.written if write.credential == BYSTANDER and write.how == "store"]
    if not any(began + 20 <= at <= began + 60 for at in stored):
        yield f"I7: the bystander was refreshed at {stored} instead of {began + 20:.0f} to {began + 60:.0f}"


def _leaves_a_lease(strike: Strike) -> bool:
    """Somebody holds it who does not use it: it must end first."""
    return strike.fault in {"hang", "stall"} or (strike.point, strike.fault) == ("grants.claim:after", "error")


def _in_time(world: World, case: Case, began: float) -> Iterator[str]:
    """What can be known is known within a minute; where a lease must end first, within a minute after that."""
    waits = any(_leaves_a_lease(strike) for strike in case.strikes)
    limit = began + (160 if waits else 60)
    provider = world.providers["provider0"]
    writes = [write for write in world.record.written if write.credential == MAIN and write.at >= began]
    if provider.manner.rotation is Rotation.FAMILY and not provider.manner.kills:
        limit = began + 1000  # it may wait for the end of the access token
    settled = [write for write in writes if write.how == "store" or write.state == REAUTHORIZATION]
    if not settled or settled[0].at > limit:
        yield f"I6: settled at {[round(write.at - began) for write in settled[:1]]} s instead of {limit - began:.0f} s"


# --- all cases --------------------------------------------------------------------------------------------------


def points(
    manner: str, trigger: str, strikes: tuple[Strike, ...] = (), *, record_s: float = 10.0
) -> list[tuple[str, int]]:
    """What a refresh meets on its way, in order, as it happens."""
    outcome = run(lambda: play(Case(manner=manner, trigger=trigger, strikes=strikes), record_s=record_s))
    assert not outcome.missed
    met: list[tuple[str, int]] = outcome.met
    return met


def cases(manner: str, trigger: str) -> Iterator[Case]:
    """Every point with every fault that can be there."""
    for point, nth in points(manner, trigger):
        for fault in _possible(point):
            yield Case(manner=manner, trigger=trigger, strikes=(Strike(point=point, nth=nth, fault=fault),))


def pairs(manner: str, trigger: str) -> Iterator[Case]:
    """Every first fault that leaves the process alive, with every fault at every point that it meets afterwards."""
    for first in cases(manner, trigger):
        (strike,) = first.strikes
        if strike.fault not in {"error", "stall"}:
            continue
        met = points(manner, trigger, first.strikes, record_s=200.0)
        for point, nth in met[met.index((strike.point, strike.nth)) + 1 :]:
            for fault in _possible(point):
                second = Strike(point=point, nth=nth, fault=fault)
                yield Case(manner=manner, trigger=trigger, strikes=(strike, second))


def _possible(point: str) -> Iterator[str]:
    """The clock does not fail, and what cannot be closed is not asked for."""
    for fault in FAULTS:
        if (fault != "error" or not point.startswith("clock.")) and (point, fault) not in UNCLOSABLE:
            yield fault


# --- from the command line ----------------------------------------------------------------------------------------


def judged(case: Case) -> Outcome:
    """One case from its beginning to its end, in a world of its own."""
    record_s = 10.0 if len(case.strikes) < 2 else 200.0
    outcome: Outcome = run(lambda: play(case, record_s=record_s))
    return outcome


def judged_on_file(case: Case) -> Outcome:
    """The same over a real SQLite file."""
    record_s = 10.0 if len(case.strikes) < 2 else 200.0
    outcome: Outcome = run_on_file(lambda database: play(case, database=database, record_s=record_s))
    return outcome


def failures(outcome: Outcome) -> list[str]:
    """What is wrong; a strike that met nothing proves nothing."""
    return [*outcome.faults, *(f"{strike} was never met" for strike in outcome.missed)]


def main(arguments: list[str] | None = None) -> int:
    """Play every case of the chosen manners, or every pair of strikes."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.crash_points", description=__doc__)
    parser.add_argument("--pairs", action="store_true", help="two strikes each: about 90,000 cases")
    parser.add_argument("--manner", choices=list(MANNERS), action="append")
    parser.add_argument("--sqlite", action="store_true", help="over a real file")
    chosen = parser.parse_args(arguments)
    judge = judged_on_file if chosen.sqlite else judged
    enumerate_ = pairs if chosen.pairs else cases
    wanted = [(manner, trigger) for manner in chosen.manner or MANNERS for trigger in TRIGGERS]
    count, failed = 0, 0
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        all_cases = (case for manner, trigger in wanted for case in enumerate_(manner, trigger))
        for outcome in pool.imap_unordered(judge, all_cases, chunksize=10):
            count += 1
            if found := failures(outcome):
                failed += 1
                print(f"FAILED {outcome.case}", *found, sep="\n  ", flush=True)
    print(f"{count} cases, {failed} failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
