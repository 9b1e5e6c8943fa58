"""Telling outsiders: endpoints of webhooks, what waits to be sent, and mail.

Owns: what is kept until somebody has been told. Does not own: what is worth telling (`core/turns`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tokenkeep.core.model import Answer, Event
from tokenkeep.core.webhooks import Delivery, DeliveryState, Endpoint
from tokenkeep.services.ports.keeping import Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """A line of history that nobody outside was told of yet."""

    seq: int
    event: Event
    before: (
        str  # the kind of the outcome before it of the same credential (`core/turns.OUTCOMES`); empty: there is none
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that a person must act on, until it has been mailed."""

    id: str
    workspace_id: str
    type: str
    at: datetime
    name: str  # of the credential or provider
    path: str  # of the page where one acts


class EndpointStore(Protocol):
    """Endpoints of webhooks."""

    async def add(self, endpoint: Endpoint) -> None: ...

    async def get(self, workspace_id: str, endpoint_id: str) -> Endpoint | None: ...

    async def list(self, workspace_id: str) -> Sequence[Endpoint]:
        """Oldest first, disabled ones too."""

    async def of_workspaces(self, workspace_ids: Sequence[str]) -> Sequence[Endpoint]:
        """Those of several workspaces at once, without the disabled."""

    async def update(self, endpoint: Endpoint, *, before: Endpoint) -> bool:
        """Write what a person may change: address, description, types, secret, whether it is disabled.

        False: it is gone, or any of these is not as `before` any more. Disabling ends its pending deliveries as failed;
        enabling forgets that it failed."""

    async def disable(self, workspace_id: str, endpoint_id: str, *, reason: str, at: datetime, event: Event) -> bool:
        """Where it is not disabled: do so, end its pending deliveries as failed and tell history, all in one."""

    async def fared(self, workspace_id: str, endpoint_id: str, *, failed_at: datetime | None) -> datetime | None:
        """Remember the first failure since the last success, or with None forget it. Answers since when it fails."""

    async def delete(self, workspace_id: str, endpoint_id: str) -> bool:
        """With its deliveries."""


class OutboxStore(Protocol):
    """What is to be sent: deliveries to endpoints, and notices for people."""

    async def untold(self, *, limit: int) -> Sequence[Untold]:
        """Lines of history without their mark, in the order they were written. A line that commits late is not lost:
        what is untold is known by the mark, never by a place in the order."""

    async def tell(self, seqs: Sequence[int], *, deliveries: Sequence[Delivery], notices: Sequence[Notice]) -> None:
        """In one transaction: keep what is to be sent, passing over what is kept already or whose endpoint is gone,
        and mark the lines as told."""

    async def due(self, *, limit: int) -> Sequence[tuple[str, str]]:
        """(workspace, endpoint) with a delivery that is due, the longest waiting first."""

    async def claim(self, workspace_id: str, endpoint_id: str, *, limit: int, lease_s: int) -> Sequence[Delivery]:
        """Take due deliveries, oldest first: each counts an attempt and is due again when the lease ends. Nobody else
        gets them before."""

    async def settle(self, delivery: Delivery, *, attempts: int) -> bool:
        """Write the outcome of attempt number `attempts`. A success is written whoever tries meanwhile.

        False: it is over, or another attempt has begun."""

    async def get(self, workspace_id: str, endpoint_id: str, delivery_id: str) -> Delivery | None: ...

    async def list(
        self, workspace_id: str, endpoint_id: str, *, state: DeliveryState | None, limit: int, cursor: str
    ) -> Page[Delivery]:
        """Newest first."""

    async def replay(self, workspace_id: str, endpoint_id: str, delivery_id: str, at: datetime) -> bool:
        """Make one that is over pending and due, with all its attempts again. False: there is none that is over."""

    async def replay_failed(self, workspace_id: str, endpoint_id: str, at: datetime) -> int:
        """The same for every failed one. Answers how many."""

    async def purge(self, *, delivered_before: datetime, failed_before: datetime) -> int:
        """Forget deliveries that are over, by when they were tried last; and notices as old as failed ones."""

    async def waiting(self) -> Sequence[str]:
        """Workspaces with notices."""

    async def take_turn(self, workspace_id: str, *, every_s: int) -> bool:
        """Whether a mail may be sent now: at most one in `every_s`, whoever asks."""

    async def notices(self, workspace_id: str, *, limit: int) -> Sequence[Notice]:
        """Oldest first."""

    async def noticed(self, workspace_id: str, notice_ids: Sequence[str]) -> None:
        """Forget them: they were mailed."""


class Poster(Protocol):
    """The way to an endpoint: guarded, without redirects. Never raises for what the network does."""

    async def post(self, url: str, *, headers: dict[str, str], body: str) -> Answer: ...

    async def close(self) -> None: ...


class Mail(Protocol):
    """The way to people's mailboxes."""

    async def send(self, *, subject: str, text: str, message_id: str) -> str:
        """Plain text to those who are to be told. Answers why nobody will get it; empty: somebody will."""
