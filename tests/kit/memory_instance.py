"""Marks in memory: the one in the database, and what is remembered of it beside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tests.kit.memory_grants import Rows
from tokenkeep.services.ports import Mark, Obstacle


class MemoryInstance:
    """`ports.InstanceStore`. `here` is where the database lies; a test that copies it changes that."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.here = "file-1/machine-1"
        self.stored: Mark | None = None

    async def mark(self) -> Mark | None:
        self._rows.works("instance.mark")
        return self.stored

    async def put_mark(self, home: str, *, after: datetime | None = None) -> Mark:
        self._rows.works("instance.put_mark")
        now = self._rows.clock.now()
        before = self.stored.at if self.stored is not None else now
        self.stored = Mark(home=home, at=max(now, after or now, before))
        self._rows.works("instance.put_mark, answer")
        return self.stored

    async def home(self) -> str:
        return self.here

    async def holds_grants(self) -> bool:
        return bool(self._rows.grants)


class MemoryMemento:
    """`ports.Memento`."""

    def __init__(self, *, beside: bool = True) -> None:
        self.beside = beside
        self.seen: Mark | None = None

    async def read(self) -> Mark | None:
        return self.seen

    async def write(self, mark: Mark) -> None:
        self.seen = mark


class MemoryWatch:
    """`ports.Watch`: what a test puts in the way."""

    def __init__(self) -> None:
        self.found: list[Obstacle] = []

    async def obstacles(self) -> Sequence[Obstacle]:
        return list(self.found)

    def put(self, code: str) -> None:
        self.found.append(Obstacle(code=code, message=f"It is {code}.", fix="Mend it."))
