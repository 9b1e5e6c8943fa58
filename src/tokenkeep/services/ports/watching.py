"""Stores of what happened and how things stand.

Owns: history and the status page's questions. Does not own: any change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tokenkeep.core.model import Event, Standing
from tokenkeep.services.ports.keeping import Page


class EventStore(Protocol):
    """History."""

    async def add(self, event: Event) -> None: ...

    async def list(self, workspace_id: str, credential_id: str, *, limit: int, cursor: str) -> Page[Event]:
        """Newest first."""

    async def recent(self, workspace_id: str, *, kinds: Sequence[str], limit: int) -> Sequence[Event]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCounts:
    """The status page's numbers, counted in the database; no sealed column is read."""

    by_state: Mapping[str, int]  # State value -> count; `stored` and `unconnected` need the type, see `by_type`
    by_provider: Mapping[str, Mapping[str, int]]  # provider -> grant state -> count
    without_grant: Mapping[str, int]  # type -> count of credentials that have no grant
    due: int  # due within the next five minutes
    overdue: int  # due for more than one minute
    oldest_overdue: datetime | None
    uncertain: int
    by_failure: Mapping[str, int]  # FailureKind value -> count


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """A grant that failed, for a list one can act on."""

    credential_id: str
    name: str
    type: str
    provider: str
    standing: Standing


class StatusStore(Protocol):
    """Read-only questions of the status page."""

    async def counts(self, workspace_id: str, now: datetime) -> StatusCounts: ...

    async def attention(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        """Failing, client-failed, needing a person or quarantined; the longest first."""

    async def upcoming(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        """Connected, by next refresh."""

    async def forecasts(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        """Connected or failing, with a date on which a person will be needed; soonest first."""

    async def ping(self) -> None:
        """Raises when the database cannot be written to or read from."""
