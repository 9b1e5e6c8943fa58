"""Everything that tells the outside, in one bundle.

Owns: which of its use cases share what, and when each is ticked. Does not own: what they do (`incidents`, `telling`, `outbox`,
`notices`, `webhooks`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenkeep.services.incidents import Incidents
from tokenkeep.services.notices import Notices
from tokenkeep.services.outbox import Outbox
from tokenkeep.services.ports import (
    Catalog,
    Clock,
    Entropy,
    Envelope,
    Journal,
    Mail,
    Poster,
    Stores,
    Tasks,
)
from tokenkeep.services.telling import Telling
from tokenkeep.services.webhooks import Webhooks

TELL_S, DELIVER_S, MAIL_S, PURGE_S = 2.0, 2.0, 30.0, 3_600.0
Tick = tuple[float, str, Callable[[], Awaitable[Any]]]
"""How often, under which name, and what."""


@dataclass(slots=True, kw_only=True)
class Outsiders:
    """Use cases made of the ports once. Constructors only: nothing runs until it is ticked."""

    stores: Stores
    envelope: Envelope
    catalog: Catalog
    tasks: Tasks
    clock: Clock
    entropy: Entropy
    journal: Journal
    public_url: str
    poster: Poster | None  # None: this process sends no webhooks
    mail: Mail | None  # None: there is nobody to be mailed
    incidents: Incidents = field(init=False)
    webhooks: Webhooks = field(init=False)
    telling: Telling = field(init=False)
    outbox: Outbox | None = field(init=False, default=None)
    notices: Notices | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.incidents = self._incidents()
        self.webhooks = Webhooks(
            store=self.stores.endpoints,
            outbox=self.stores.outbox,
            envelope=self.envelope,
            clock=self.clock,
            entropy=self.entropy,
            journal=self.journal,
        )
        self.telling = self._telling()
        if self.poster is not None:
            self.outbox = self._outbox(self.poster)
        if self.mail is not None:
            self.notices = self._notices(self.mail)

    def ticks(self) -> Sequence[Tick]:
        """What the timer is to call."""
        ticks: list[Tick] = [(TELL_S, "telling", self.tell)]
        if self.outbox is not None:
            ticks += [(DELIVER_S, "outbox", self.outbox.deliver), (PURGE_S, "outbox purge", self.outbox.purge)]
        if self.notices is not None:
            ticks.append((MAIL_S, "mail", self.notices.send))
        return ticks

    async def tell(self) -> int:
        """Incidents into history, then history into the outbox."""
        await self.incidents.write()
        return await self.telling.tell()

    def drain(self) -> None:
        """The service is stopping: begin to send nothing more."""
        if self.outbox is not None:
            self.outbox.drain()

    async def close(self) -> None:
        """Write what is only in memory, and close connections. What could not be written is lost, and logged."""
        try:
            await self.incidents.write()
        except Exception as fault:  # noqa: BLE001 - the service ends in any case
            self.journal.record("incidents_unwritten", error=type(fault).__name__)
        if self.poster is not None:
            await self.poster.close()

    def _incidents(self) -> Incidents:
        return Incidents(
            behind=self.journal,
            events=self.stores.events,
            clients=self.stores.clients,
            accounts=self.stores.accounts,
            catalog=self.catalog,
            clock=self.clock,
            entropy=self.entropy,
        )

    def _telling(self) -> Telling:
        return Telling(
            outbox=self.stores.outbox,
            endpoints=self.stores.endpoints,
            credentials=self.stores.credentials,
            catalog=self.catalog,
            clock=self.clock,
            journal=self.journal,
            mailing=self.mail is not None,
        )

    def _outbox(self, poster: Poster) -> Outbox:
        return Outbox(
            store=self.stores.outbox,
            endpoints=self.stores.endpoints,
            poster=poster,
            envelope=self.envelope,
            tasks=self.tasks,
            clock=self.clock,
            entropy=self.entropy,
            journal=self.journal,
        )

    def _notices(self, mail: Mail) -> Notices:
        return Notices(
            outbox=self.stores.outbox,
            accounts=self.stores.accounts,
            mail=mail,
            entropy=self.entropy,
            journal=self.journal,
            public_url=self.public_url,
        )
