"""Stores of what is foreseen and what was rejected.

Owns: two small questions about grants that no refresh asks. Does not own: grants (`keeping`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tokenkeep.core.model import Event, Grant, Rejections


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A grant that will need a person on a date."""

    workspace_id: str
    credential_id: str
    grant_id: str
    provider: str
    date: datetime


class ForecastStore(Protocol):
    """Forecasts that are to be said, each date once."""

    async def due(self, *, limit: int) -> Sequence[Forecast]:
        """Connected or failing, `warn_at` has come, and the date was not said yet; the longest overdue first."""

    async def say(self, forecast: Forecast, event: Event) -> bool:
        """Write the event where the grant still expects that date and it was not said. False: nothing was written."""


class RejectionStore(Protocol):
    """Rejections that nodes reported."""

    async def note(self, grant: Grant, run: Rejections, *, learned_life_s: int | None, event: Event | None) -> bool:
        """Write down where generation and earlier rejections are still `grant`'s and nobody leases it.

        False: nothing was written."""
