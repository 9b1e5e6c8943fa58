"""What becomes of a rejection that a node reports.

Owns: noting it, and refusing to refresh where refreshing has not helped. Does not own: the rule (`core/rejections`), the
refresh (`refresh`).
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenkeep.core import rejections
from tokenkeep.core.errors import RefreshFailing
from tokenkeep.core.model import Event, Grant, Rejections
from tokenkeep.services.history import new_event
from tokenkeep.services.ports import Clock, Entropy, Journal, RejectionStore

_LOOP = (
    "The provider's API refuses tokens that its token endpoint just issued: scopes or account do not allow the request, or "
    "it goes to the wrong address. Another refresh would not help."
)


@dataclass(slots=True, kw_only=True)
class RejectionWatch:
    """Stands before every refresh that is asked for because of a rejection."""

    store: RejectionStore
    clock: Clock
    entropy: Entropy
    journal: Journal

    async def note(self, grant: Grant) -> None:
        """A node saw the token of this very generation rejected. Raises RefreshFailing where that is a loop."""
        now = self.clock.now()
        run = rejections.reported(grant, now=now)
        stopped_until = rejections.stopped_until(grant, run)
        if run is not grant.rejections:
            await self._keep(grant, run, loop=stopped_until is not None)
        if stopped_until is not None:
            raise RefreshFailing(_LOOP, retry_after=max(1, round((stopped_until - now).total_seconds())))

    async def _keep(self, grant: Grant, run: Rejections, *, loop: bool) -> None:
        """Where it is not kept, somebody else reported the same, or the token is being replaced just now."""
        learned = rejections.learned_life_s(grant, run, now=self.clock.now())
        event = self._event(grant, run) if loop else None
        if await self.store.note(grant, run, learned_life_s=learned, event=event) and loop:
            self.journal.record("rejection_loop", provider=grant.provider, credential=grant.credential_id)

    def _event(self, grant: Grant, run: Rejections) -> Event:
        since = run.since.replace(microsecond=0).isoformat().replace("+00:00", "Z")
        detail = {"rejections": run.count, "since": since}
        return new_event(grant, "rejection_loop", actor="system", by=(self.clock, self.entropy), detail=detail)
