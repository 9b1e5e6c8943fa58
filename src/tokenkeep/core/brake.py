"""When a refusal is not believed yet.

Owns: how many refusals of one client within how short a time are taken for the provider's outage, and when they are asked
about again. Does not own: counting them (`RefusalStore`), what becomes of the grants (`lifecycle`, `services/brake`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

WINDOW: Final = timedelta(minutes=5)
LEAST: Final = 5
SHARE: Final = 0.20
"""So many credentials of a client, and so large a part of those it was answered about within the window."""
PAUSE_S, SPREAD_S = 900, 300
"""A doubted refusal is asked about again after fifteen minutes and up to five more, so that not all come at once."""
EXPLAINED: Final = frozenset({"lost_response", "no_refresh_token"})
"""Codes of refusals that are our own loss: they say nothing about the provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What a client was answered within the window, in credentials."""

    refused: int  # believed so far, and not yet asked about a second time
    granted: int
    doubted: int  # waiting to be asked about again, however long

    @property
    def begins(self) -> bool:
        """Whether so many refusals are rather an outage than so many people's wish."""
        return self.refused >= max(LEAST, SHARE * (self.refused + self.granted))

    @property
    def goes_on(self) -> bool:
        """Whether a further refusal belongs to an outage that is not over yet."""
        return self.doubted > 0


def confirm_at(now: datetime, *, fraction: float) -> datetime:
    """When to ask again. `fraction` in [0, 1) is chance."""
    return now + timedelta(seconds=PAUSE_S + SPREAD_S * fraction)
