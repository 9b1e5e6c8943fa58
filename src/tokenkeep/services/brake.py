"""The brake: a burst of refusals is an outage until it is confirmed.

Owns: doubting refusals while many credentials of one client are refused, putting back those that were believed just
before, and telling when that begins and ends. Does not own: how many are many (`core/brake`), one credential's refusal
(`refresh`).

The brake is on for as long as a grant of the client says `mass_refusal`. So it is the same in every process, and a restart
does not let go of it. What a process remembers is only what it has told.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tokenkeep.core import brake, lifecycle
from tokenkeep.core.brake import Burst
from tokenkeep.core.model import Client, FailureKind, Grant, Provider
from tokenkeep.services.history import new_event
from tokenkeep.services.ports import Clock, Entropy, GrantStore, Journal, RefusalStore

UNCONFIRMED = "unconfirmed_refusal"
"""The code of a first refusal by a provider that also refuses when nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """The code that a refusal is kept under, and when the provider is asked again."""

    code: str
    until: datetime


@dataclass(slots=True, kw_only=True)
class Brake:
    """One for all clients."""

    refusals: RefusalStore
    grants: GrantStore
    clock: Clock
    entropy: Entropy
    journal: Journal
    _on: dict[str, bool] = field(default_factory=dict)  # Client.id -> as far as we know
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def doubt(self, grant: Grant, provider: Provider, code: str) -> Doubt | None:
        """Why this refusal is not believed yet. None: it is believed now.

        A single refusal is: somebody who withdraws a consent sees it at once.
        """
        before, now = grant.standing.failure.code if grant.standing.failure else "", self.clock.now()
        if "invalid_grant_spurious" in provider.quirks and before not in {UNCONFIRMED, lifecycle.DOUBTED}:
            return Doubt(UNCONFIRMED, now + timedelta(seconds=60))
        if code in brake.EXPLAINED:
            return None
        if before == lifecycle.DOUBTED:
            planned = grant.standing.next_refresh_at
            return Doubt(lifecycle.DOUBTED, planned) if planned is not None and planned > now else None
        burst = await self._burst(grant.workspace_id, grant.client)
        return Doubt(lifecycle.DOUBTED, self._confirm_at()) if burst.goes_on else None

    async def believed(self, grant: Grant) -> None:
        """A refusal was believed and stored. Afterwards, so that of many at once the last one sees all."""
        try:
            async with self._one_at_a_time:
                burst = await self._burst(grant.workspace_id, grant.client)
                put_back = await self._put_back(grant) if burst.begins else 0
                self._note(grant.client, grant.provider, on=burst.goes_on or put_back > 0, refused=put_back)
        except Exception as fault:  # noqa: BLE001 - the refusal itself is stored, and must not be told as another failure
            self.journal.record("brake_failed", client=grant.client, error=type(fault).__name__)

    async def granted(self, client: Client) -> None:
        """A refresh of this client worked: perhaps it was the last one in doubt."""
        if not self._on.get(client.id, True):
            return
        try:
            burst = await self._burst(client.workspace_id, client.id)
            self._note(client.id, client.provider, on=burst.goes_on)
        except Exception as fault:  # noqa: BLE001 - the next refresh looks again
            self.journal.record("brake_failed", client=client.id, error=type(fault).__name__)

    async def _burst(self, workspace_id: str, client: str) -> Burst:
        return await self.refusals.burst(workspace_id, client, since=self.clock.now() - brake.WINDOW)

    async def _put_back(self, latest: Grant) -> int:
        """Those of the window that were believed before anybody could know better."""
        since = self.clock.now() - brake.WINDOW
        credentials = await self.refusals.believed(latest.workspace_id, latest.client, since=since)
        return sum([await self._doubt(latest.workspace_id, credential_id) for credential_id in credentials])

    async def _doubt(self, workspace_id: str, credential_id: str) -> bool:
        grant = await self.grants.get(workspace_id, credential_id)
        failure = grant.standing.failure if grant is not None else None
        if grant is None or failure is None or failure.kind is not FailureKind.GRANT:
            return False  # connected anew, disconnected or put back meanwhile
        standing = lifecycle.doubted(grant.standing, confirm_at=self._confirm_at(), now=self.clock.now())
        by = (self.clock, self.entropy)
        event = new_event(grant, "refusal_doubted", actor="system", by=by, detail={"code": failure.code})
        return await self.grants.restand(grant, standing, event)

    def _note(self, client: str, provider: str, *, on: bool, refused: int = 0) -> None:
        """Tell it once when it goes on, and once when the last refusal in doubt is settled."""
        before = self._on.get(client)
        self._on[client] = on
        if refused and not before:
            self.journal.record("mass_refusal_begun", provider=provider, client=client, refused=refused)
        elif before and not on:
            self.journal.record("mass_refusal_ended", provider=provider, client=client)

    def _confirm_at(self) -> datetime:
        return brake.confirm_at(self.clock.now(), fraction=self.entropy.fraction())
