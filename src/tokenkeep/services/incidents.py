"""What concerns no single credential, into history.

Owns: keeping those lines of the journal that outsiders are told of (mass refusals, breakers), finding whose they are, and
writing them as events. Does not own: the journal behind it, other lines; a client's incident, which is written with its row.

The journal is called in the middle of refreshes, so nothing is written then: lines are kept in memory, and a tick writes
them. A process that is killed in between loses that line, and only that: what it tells of shows by itself again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tokenkeep.core.errors import NotFound
from tokenkeep.core.model import Client, Event
from tokenkeep.services.history import client_event
from tokenkeep.services.peace import token_host
from tokenkeep.services.ports import (
    AccountStore,
    Catalog,
    ClientStore,
    Clock,
    Entropy,
    EventStore,
    Journal,
    Registration,
)

Facts = Mapping[str, str | float | bool | None]

OF_CLIENTS = frozenset({"mass_refusal_begun", "mass_refusal_ended"})
OF_HOSTS = frozenset({"breaker_opened", "breaker_closed"})
KEPT = 1_000
"""Lines that wait while the database is away. Beyond that the oldest go: they can still be read in the log."""


@dataclass(slots=True, kw_only=True)
class Incidents:
    """Passes every report on, and remembers some. Implements `Journal`."""

    behind: Journal
    events: EventStore
    clients: ClientStore
    accounts: AccountStore
    catalog: Catalog
    clock: Clock
    entropy: Entropy
    _lines: deque[tuple[datetime, str, Facts]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def record(self, action: str, /, **facts: str | float | bool | None) -> None:
        """Pass a report on."""
        self.behind.record(action, **facts)
        if action in OF_CLIENTS or action in OF_HOSTS:
            self._lines.append((self.clock.now(), action, facts))

    async def write(self) -> int:
        """Write what was remembered. Raises what the database raises; what was not written then comes next time."""
        written = 0
        while self._lines:
            at, action, facts = self._lines[0]
            for client in await self._concerned(action, facts):
                await self.events.add(self._event(at, action, facts, client))
            self._lines.popleft()
            written += 1
        return written

    async def _concerned(self, action: str, facts: Facts) -> Sequence[Client]:
        """The client itself; or every client at that host, since another workspace's hosts are nobody's business."""
        if action in OF_CLIENTS:
            client = await self.clients.by_handle(str(facts.get("client", "")))
            return [client] if client is not None else []
        found = []
        for workspace_id, _ in await self.accounts.workspaces():
            found += [client for client in await self.clients.list(workspace_id) if self._host(client) == facts["host"]]
        return found

    def _host(self, client: Client) -> str:
        try:
            provider = self.catalog.provider(client.provider)
        except NotFound:
            return ""  # its provider file is gone
        return token_host(Registration(client=client, provider=provider, secret=None, redirect_uri=""))

    def _event(self, at: datetime, action: str, facts: Facts, client: Client) -> Event:
        told = {name: facts[name] for name in ("host", "refused") if name in facts}
        event = client_event(client, action, actor="system", by=(self.clock, self.entropy), detail=told)
        return replace(event, at=at)
