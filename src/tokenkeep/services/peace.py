"""Leaving providers and clients in peace.

Owns: the breaker of each provider host, a client's Retry-After shared by all its credentials, and the incident of a
client whose secret is refused. Does not own: when to try again (`policy`), bursts of refused grants (`brake`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from tokenkeep.core import policy
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.injection import expand
from tokenkeep.core.judgement import Granted, Refused
from tokenkeep.core.model import Client, Event, FailureKind
from tokenkeep.core.policy import Breaker
from tokenkeep.services.brake import Brake
from tokenkeep.services.history import client_event
from tokenkeep.services.ports import ClientStore, Clock, Entropy, GrantStore, Journal, Registration


@dataclass(slots=True, kw_only=True)
class Peace:
    """Kept in this process: another replica learns by its own few tries. Incidents are kept in the store."""

    clients: ClientStore
    grants: GrantStore
    brake: Brake
    clock: Clock
    entropy: Entropy
    journal: Journal
    breakers: dict[str, Breaker] = field(default_factory=dict)
    _asked_to_wait: dict[str, datetime] = field(default_factory=dict)  # Client.id -> until

    async def hold(self, registration: Registration, now: datetime) -> datetime | None:
        """Until when not to call; None: go ahead. Going ahead takes the one probe where only one is allowed."""
        client, host = registration.client, token_host(registration)
        asked = self._asked_to_wait.get(client.id)
        if asked is not None and asked > now:
            return self._spread(asked)
        breaker = self.breakers.get(host, Breaker())
        if not breaker.permits(now):
            return self._spread(breaker.open_until or now)
        if client.incident_code and (until := await self._probe(client, now)) is not None:
            return self._spread(until)
        self.breakers[host] = breaker.probing(now)
        return None

    async def _probe(self, client: Client, now: datetime) -> datetime | None:
        """None: this is the one try that a paused client has. Taken last, so that nothing else can waste it."""
        probe_at = client.probe_at or now
        if now >= probe_at and await self.clients.probe(client, next_probe_at=now + timedelta(seconds=policy.PROBE_S)):
            return None
        return max(probe_at, now + timedelta(seconds=1))

    async def heard(self, registration: Registration, judged: Granted | Refused, now: datetime) -> None:
        """Learn from an answer."""
        client, host = registration.client, token_host(registration)
        refused = judged if isinstance(judged, Refused) else None
        self._beat_breaker(host, refused, now)
        if refused is not None and refused.retry_after is not None and refused.kind is FailureKind.TRANSIENT:
            self._asked_to_wait[client.id] = now + timedelta(seconds=refused.retry_after)
        if registration.order is not None:
            return  # there is no client to be paused
        if refused is not None and refused.kind is FailureKind.CLIENT:
            await self._pause(client, refused.code, now)
        elif refused is None:
            await self._well(client)

    async def _pause(self, client: Client, code: str, now: datetime) -> None:
        probe_at = now + timedelta(seconds=policy.PROBE_S)
        event = self._event(client, "client_paused", {"code": code})
        if await self.clients.pause(client, code=code, probe_at=probe_at, event=event):
            self.journal.record("client_paused", provider=client.provider, client=client.id, code=code)

    async def _well(self, client: Client) -> None:
        """Its secret works. Those that were put off while it was paused need not wait any longer."""
        await self.brake.granted(client)
        if client.incident_code and await self.clients.resume(client, self._event(client, "client_resumed")):
            hastened = await self.grants.hasten(client.workspace_id, client.id, within_s=policy.PROBE_S + 60)
            self.journal.record("client_resumed", provider=client.provider, client=client.id, hastened=hastened)

    def _beat_breaker(self, host: str, refused: Refused | None, now: datetime) -> None:
        before = self.breakers.get(host, Breaker())
        fault = refused is not None and refused.kind is FailureKind.TRANSIENT and refused.retry_after is None
        after = before.after(fault=fault, now=now)
        self.breakers[host] = after
        if (before.open_until is None) != (after.open_until is None):
            self.journal.record("breaker_closed" if after.open_until is None else "breaker_opened", host=host)

    def _event(self, client: Client, kind: str, detail: Mapping[str, str] | None = None) -> Event:
        """Written together with the incident, so that no end of a process can swallow the alert."""
        return client_event(client, kind, actor="system", by=(self.clock, self.entropy), detail=detail)

    def _spread(self, until: datetime) -> datetime:
        """A little later, each by another little, so that those who waited do not come back together."""
        return until + timedelta(seconds=5 * self.entropy.fraction())


def token_host(registration: Registration) -> str:
    """The host that token calls of this registration go to. Empty: its address has a hole, and no call can be made."""
    provider = registration.provider
    defaults = {variable.name: variable.default for variable in provider.variables}
    endpoint = provider.refresh_endpoint or provider.token_endpoint
    try:
        address = expand(endpoint, {**defaults, **registration.client.variables})
    except InvalidInput:
        return ""
    return urlsplit(address).hostname or ""
