"""One process of the service in a model world: the real use cases over ports that can be struck.

Owns: the points before and after every call to the outside, and dying: from that moment on nothing that this process
does has any effect. Does not own: what strikes where (`Fate`, given by each harness), the world it lives in (`world`).
The product has no hooks for this: everything it reaches, it reaches through ports.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tests.kit.clock import FakeClock
from tests.kit.entropy import CountedEntropy
from tests.kit.house import _house as kit_house
from tests.kit.journal import ListJournal
from tests.reliability.virtual_time import VirtualClock
from tokenkeep.adapters.tasks import ServiceTasks
from tokenkeep.assembly import SERVICE, Parts, Place, UseCases, assemble
from tokenkeep.core.model import Answer


class Died(BaseException):
    """This process is gone. No handler of the product may catch it and act."""


class NoAnswer(Exception):
    """Raised at a point of the wire. The wire never raises, so there it becomes an answer with that fault."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.answer = Answer(status=0, fault=fault)


class Fate(Protocol):
    """What a harness does at a point."""

    async def meet(self, replica: Replica, point: str) -> None:
        """Let it pass, raise, wait, or kill the replica."""


class Calm:
    """Nothing happens."""

    async def meet(self, replica: Replica, point: str) -> None: ...


class Watched:
    """A port whose every asynchronous call has a point before and a point after it."""

    def __init__(self, name: str, inner: Any, replica: Replica) -> None:
        self._name, self._inner, self._replica = name, inner, replica

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._inner, method)
        call = self._watched(f"{self._name}.{method}", found) if inspect.iscoroutinefunction(found) else found
        self.__dict__[method] = call
        return call

    def _watched(self, point: str, found: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        replica, before, after = self._replica, f"{point}:before", f"{point}:after"

        async def call(*arguments: Any, **named: Any) -> Any:
            try:
                await replica.meet(before)
                outcome = await found(*arguments, **named)
                replica.witness(point, arguments, outcome)
                await replica.meet(after)
            except NoAnswer as none:
                return none.answer
            return outcome

        return call


class WatchedStores:
    """`ports.Stores`: whichever ports it has, each of them is watched."""

    def __init__(self, database: Any, replica: Replica) -> None:
        self._database, self._replica = database, replica

    def __getattr__(self, name: str) -> Watched:
        port = self.__dict__[name] = Watched(name, getattr(self._database, name), self._replica)
        return port


Witness = Callable[["Replica", str, tuple[Any, ...], Any], None]


@dataclass
class Outside:
    """What a process finds when it starts: what is durable, and what is beyond it."""

    database: Any
    envelope: Any
    catalog: Any
    wire: Any
    spill: Any


@dataclass
class Replica:
    """A process. It lives until it is killed; whoever starts it again makes another one of the same name."""

    name: str
    outside: Outside
    fate: Fate
    seen: Witness  # told of every call that was carried out
    skew: float = 0.0
    incarnation: int = 1
    dead: bool = False
    journal: ListJournal = field(default_factory=ListJournal)
    tasks: ServiceTasks = field(default_factory=ServiceTasks)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _own: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.skew)
        self.cases: UseCases = assemble(
            self._parts(), Place(public_url="https://keep.test", process=f"{SERVICE}/{self.name}")
        )

    def _parts(self) -> Parts:
        """The kit's, so that a port added there is here too, with everything that is durable or outside watched."""
        outside = self.outside
        usual = kit_house(outside.catalog, outside.wire, outside.wire, clock=FakeClock(), place=None).parts
        return replace(
            usual,
            stores=WatchedStores(outside.database, self),
            envelope=Watched("envelope", outside.envelope, self),
            wire=Watched("wire", outside.wire, self),
            spill=Watched("spill", outside.spill, self),
            journal=self.journal,
            tasks=self.tasks,
            clock=Watched("clock", self.clock, self),
            entropy=CountedEntropy(f"{self.name}/{self.incarnation}"),
        )

    async def meet(self, point: str) -> None:
        """A point on the way out or back."""
        if self.dead:
            raise Died
        await self.fate.meet(self, point)
        if self.dead:
            raise Died

    def witness(self, point: str, arguments: tuple[Any, ...], outcome: Any) -> None:
        """It happened, whether or not this process lives to hear of it."""
        self.seen(self, point, arguments, outcome)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of this process: a request that is being answered, a tick."""
        task = asyncio.get_running_loop().create_task(work)
        self._own.add(task)
        task.add_done_callback(self._own.discard)
        return task

    def kill(self) -> None:
        """As kill -9: no handler acts any more, and what was only in memory is gone."""
        self.dead = True
        self.ended.set()
        here = asyncio.current_task()
        for task in [*self._own, *(flight.task for flight in self.tasks._running.values())]:
            if task is not here:
                task.cancel()
