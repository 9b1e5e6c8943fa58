"""The machine and what reports to it.

Owns: clock, chance, passwords, journal, sealing, the spill shelf, the service's own tasks.
Does not own: rows and requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from tokenkeep.core.model import Place
from tokenkeep.core.secret import Secret


class Clock(Protocol):
    """Time, and waiting for it."""

    def now(self) -> datetime:
        """Aware UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that counts through suspension and never leaps (CLOCK_BOOTTIME)."""

    async def sleep(self, seconds: float) -> None: ...


class Entropy(Protocol):
    """Chance."""

    def token(self, octets: int = 32) -> str:
        """URL-safe text of that many random octets."""

    def id(self) -> str:
        """A fresh opaque id (UUIDv4 text). Never a secret."""

    def octets(self, count: int) -> bytes: ...

    def fraction(self) -> float:
        """Uniform in [0, 1): jitter."""


class Passwords(Protocol):
    """Argon2id, away from the event loop."""

    async def hash(self, password: Secret) -> str: ...

    async def verify(self, password_hash: str, password: Secret) -> bool:
        """Takes as long for an empty hash (no such user) as for a real one (T69)."""


class Journal(Protocol):
    """Where use cases report what happened: structured logs and metrics. No secrets by construction."""

    def record(self, action: str, /, **facts: str | float | bool | None) -> None: ...


class Envelope(Protocol):
    """Sealing: the only cryptography. Raises Quarantined when something does not open."""

    async def seal(self, plain: bytes, place: Place) -> bytes: ...

    async def open(self, sealed: bytes, place: Place) -> bytes: ...

    async def opener(self, sealed: bytes, place: Place) -> Callable[[], bytes]:
        """What opens `sealed` each time it is called, and keeps only sealed octets meanwhile."""

    async def index(self, text: str, workspace_id: str) -> str:
        """A keyed digest for equality search over sealed text (provider account ids)."""


class Spill(Protocol):
    """A shelf outside the database for answers that the database could not take (reliability 4.4)."""

    async def put(self, name: str, sealed: bytes) -> None:
        """Durable when it returns: written, fsynced, renamed, directory fsynced."""

    async def drop(self, name: str) -> None:
        """Silent when it is not there."""

    async def all(self) -> Mapping[str, bytes]: ...


class Tasks(Protocol):
    """The service's own tasks: nothing here ends because a caller hung up (T74)."""

    def run(self, key: object, work: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        """Start `work`, or join the one already running under `key`. Cancelling the wait leaves the work alone."""

    async def drain(self, seconds: float) -> int:
        """Wait for what runs; answers how many were still running at the end."""
