"""One caller's wish for a refresh.

Owns: joining the refresh that is already under way, and flying once oneself where that one changed nothing.
Does not own: the refresh (`refresh`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tokenkeep.core.errors import NotConnected
from tokenkeep.core.model import Grant
from tokenkeep.services.ports import GrantStore

Wanted = Callable[[Grant, datetime], bool]
"""Asks of a grant as it is now whether it still needs refreshing. Asked again after the claim."""


class Pilot(Protocol):
    """Who refreshes."""

    @property
    def grants(self) -> GrantStore:
        """Where grants are read from."""

    def called_for(self, grant: Grant, wanted: Wanted) -> bool:
        """Whether to refresh now."""

    async def fly(self, workspace_id: str, credential_id: str, wanted: Wanted) -> None:
        """Refresh, or wait while somebody else does."""


@dataclass(slots=True)
class Flight:
    """A wish, and whether it was this caller who flew."""

    pilot: Pilot
    workspace_id: str
    credential_id: str
    wanted: Wanted
    flown: bool = False

    async def fly(self) -> None:
        """Run as the one task of this credential: then nobody else's does."""
        self.flown = True
        await self.pilot.fly(self.workspace_id, self.credential_id, self.wanted)

    async def needed(self) -> bool:
        """Raises NotConnected."""
        grant = await self.pilot.grants.get(self.workspace_id, self.credential_id)
        if grant is None:
            raise NotConnected
        return self.pilot.called_for(grant, self.wanted)
