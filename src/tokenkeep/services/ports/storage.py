"""What answers are kept on: the disk, the database, and whose database it is.

Owns: what keeps refreshes from starting, who looks for it, and the marks by which a database is known again. Does not
own: what follows from it (`services/storage`, `services/adoption`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why no refresh may start: its answer could not be kept, or the refresh token is perhaps not ours to spend."""

    code: str  # disk_full, read_only, write_failed, corrupt, not_adopted
    message: str  # one sentence
    fix: str  # what a person can do


class Watch(Protocol):
    """Looks at one of the things that answers are kept on."""

    async def obstacles(self) -> Sequence[Obstacle]:
        """What is wrong with it now. Raises Unavailable when that cannot be found out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where a database was used last, and when."""

    home: str  # parts between slashes, each empty where it cannot be told
    at: datetime  # by the database's clock; never goes back


class InstanceStore(Protocol):
    """The mark that a database carries."""

    async def mark(self) -> Mark | None:
        """None: no service ever used it."""

    async def put_mark(self, home: str, *, after: datetime | None = None) -> Mark:
        """Mark it as used now, and not before `after` or the mark it has. Answers what is stored."""

    async def home(self) -> str:
        """Where it lies, in parts as of `Mark.home`."""

    async def holds_grants(self) -> bool: ...


class Memento(Protocol):
    """The newest mark that this instance saw in its database, remembered outside of it."""

    @property
    def beside(self) -> bool:
        """Whether it lies beside the database, so that one without the other is odd."""

    async def read(self) -> Mark | None:
        """None: it saw none. Raises Unavailable."""

    async def write(self, mark: Mark) -> None:
        """Durable when it returns. Raises Unavailable when it cannot be."""
