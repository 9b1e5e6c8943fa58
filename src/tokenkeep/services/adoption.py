"""Whose database this is.

Owns: telling a database that was restored from a backup or copied from the one that was used here last, the mark it is
known by, and adopting it. Does not own: where marks are kept (`InstanceStore`, `Memento`), what an adopted database is
refreshed by (`refresh`).

A copy beside its original would spend the same refresh tokens, and the first to do so takes the other's consents away.
An older state spends refresh tokens that were replaced since, which some providers answer by ending the consent. So both
wait for a person. What cannot be told apart from a restart is said in `docs/how-to/restore-a-backup.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tokenkeep.services.ports import InstanceStore, Journal, Mark, Memento, Obstacle

COPIED: Final = "The database lies elsewhere than where it was used last: it was copied, or restored from a backup."
OLDER: Final = "The database is older than what was seen of it here: it was restored from a backup."
ALONE: Final = "The database came without the mark that lies beside it: it was copied, or restored from a backup."
_BEGUN: Final = datetime.min.replace(tzinfo=UTC)
"""Earlier than every mark: a memento of it says that a first mark was begun, and perhaps did not get into the database."""
_FIX: Final = "See that no other Tokenkeep uses the original, then run `tokenkeep adopt`."


@dataclass(slots=True, kw_only=True)
class Adoption:
    """Knows our database again. Implements `Watch`."""

    store: InstanceStore
    memento: Memento
    journal: Journal

    async def obstacles(self) -> Sequence[Obstacle]:
        """`not_adopted`, while it is. Raises Unavailable."""
        why = await self.finding()
        return [Obstacle(code="not_adopted", message=why, fix=_FIX)] if why else ()

    async def finding(self) -> str:
        """Why it is not taken for ours; empty: it is. Without a grant there is nothing that could be harmed."""
        # The memento first: a mark that is renewed between the two must not look like a step back.
        seen = await self.memento.read()
        why = difference(await self.store.mark(), seen, here=await self.store.home(), beside=self.memento.beside)
        return why if why and await self.store.holds_grants() else ""

    async def mark(self) -> bool:
        """At the start of a service and now and then: it was used here and now. False: it is not ours, and is left alone."""
        if await self.finding():
            return False
        home = await self.store.home()
        if await self.memento.read() is None:
            # First of all, so that an end between the two never leaves the mark in the database alone.
            await self.memento.write(Mark(home=home, at=_BEGUN))
        await self.memento.write(await self.store.put_mark(home))
        return True

    async def adopt(self) -> None:
        """From now on it is ours. A mark that lies in the future, by whatever clock, is not stepped back from."""
        seen = await self.memento.read()
        mark = await self.store.put_mark(await self.store.home(), after=seen.at if seen else None)
        await self.memento.write(mark)
        self.journal.record("database_adopted")


def difference(mark: Mark | None, seen: Mark | None, *, here: str, beside: bool) -> str:
    """What speaks against this being the database that was used here last. Empty: nothing does."""
    if mark is None:  # never used by a version that marks; odd only where such a one was used before
        if seen is None or seen.at == _BEGUN:
            return ""
        return OLDER if beside or not _elsewhere(seen.home, here) else ""
    if _elsewhere(mark.home, here):
        return COPIED
    if seen is None:
        return ALONE if beside else ""
    return OLDER if seen.at > mark.at and not _elsewhere(seen.home, mark.home) else ""


def _elsewhere(one: str, other: str) -> bool:
    """Whether any part that both tell differs."""
    return any(a != b for a, b in zip(one.split("/"), other.split("/"), strict=False) if a and b)
