"""From history to what is sent.

Owns: reading the lines that nobody outside was told of, and writing one delivery for each endpoint that wants them and one
notice for people where they must act. Does not own: sending (`outbox`, `notices`), which line is which turn (`core/turns`).

Lines of history are committed together with what they tell, so a crash loses none; and whoever writes them waits for nobody
here. (A deleted credential takes its lines along, told or not.) What is untold is known by a mark on the line itself: with a
place in the order instead, a line that commits later than a higher-numbered one would be passed over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.model import Credential, Event
from tokenkeep.core.turns import FOR_PEOPLE, turns_of
from tokenkeep.core.webhooks import Delivery, Endpoint, body_of
from tokenkeep.services.ports import (
    Catalog,
    Clock,
    CredentialStore,
    EndpointStore,
    Journal,
    Notice,
    OutboxStore,
    Untold,
)

AT_ONCE = 200
"""Lines in one transaction: few enough that it never holds the others up."""
MOST_ROUNDS = 50
"""Of one tick, so that a backlog does not make it endless."""
_COUNTED = {"credential.failing": "credential_failing", "credential.recovered": "credential_recovered"}
"""Turns that no line of the journal stands for yet."""


@dataclass(slots=True, kw_only=True)
class Telling:
    """One pass over what is untold."""

    outbox: OutboxStore
    endpoints: EndpointStore
    credentials: CredentialStore
    catalog: Catalog
    clock: Clock
    journal: Journal
    mailing: bool  # whether there are people to be mailed

    async def tell(self) -> int:
        """How many lines were told. Several processes may do so at once: ids come from the lines, so nothing doubles."""
        told = 0
        for _ in range(MOST_ROUNDS):
            untold = await self.outbox.untold(limit=AT_ONCE)
            if not untold:
                break
            await self._tell(untold)
            told += len(untold)
        return told

    async def _tell(self, untold: Sequence[Untold]) -> None:
        workspaces = sorted({line.event.workspace_id for line in untold})
        listening: dict[str, list[Endpoint]] = defaultdict(list)
        for endpoint in await self.endpoints.of_workspaces(workspaces):
            listening[endpoint.workspace_id].append(endpoint)
        batch = _Batch()
        for line in untold:
            for type_ in turns_of(line.event.kind, before=line.before, detail=line.event.detail):
                await self._turn(batch, line.event, type_, listening[line.event.workspace_id])
        await self.outbox.tell([line.seq for line in untold], deliveries=batch.deliveries, notices=batch.notices)
        for action, event in batch.counted:
            self.journal.record(action, credential=event.credential_id)

    async def _turn(self, batch: _Batch, event: Event, type_: str, listening: Sequence[Endpoint]) -> None:
        if type_ in _COUNTED:
            batch.counted.append((_COUNTED[type_], event))
        wanting = [endpoint for endpoint in listening if endpoint.wants(type_)]
        mailed = self.mailing and type_ in FOR_PEOPLE
        if not wanting and not mailed:
            return
        credential = await self._credential(batch, event)
        if mailed:
            batch.notices.append(_notice(event, type_, credential))
        data = self._data(event, credential)
        for endpoint in wanting:
            batch.deliveries.append(self._delivery(event, type_, endpoint, data))

    async def _credential(self, batch: _Batch, event: Event) -> Credential | None:
        """As it is now. None: it is gone, or the line is about none."""
        key = event.workspace_id, event.credential_id
        if event.credential_id and key not in batch.credentials:
            batch.credentials[key] = await self.credentials.get(*key)
        return batch.credentials.get(key)

    def _delivery(self, event: Event, type_: str, endpoint: Endpoint, data: Mapping[str, Any]) -> Delivery:
        return Delivery(
            # One line can be two turns, and replicas that read the same line must come to the same id.
            id=f"msg_{event.id}_{type_.rpartition('.')[2]}",
            workspace_id=event.workspace_id,
            endpoint_id=endpoint.id,
            type=type_,
            body=body_of(type_, at=event.at, data=data),
            created_at=event.at,
            next_attempt_at=self.clock.now(),
        )

    def _data(self, event: Event, credential: Credential | None) -> dict[str, Any]:
        """Plain facts. A line's `detail` holds no secret by construction."""
        data: dict[str, Any] = {"workspace_id": event.workspace_id, "event_id": event.id, "actor": event.actor}
        if event.credential_id:
            data["credential_id"] = event.credential_id
            data["credential_type"] = credential.type if credential else None
            data["name"] = credential.name if credential else None
            data["provider"] = self._provider(credential)
        detail = dict(event.detail)
        if event.kind in {"refresh_failed", "reauthorization_required"}:
            data["failure"] = {"kind": detail.pop("kind", ""), "code": detail.pop("code", "")}
        return data | {"detail": detail}

    def _provider(self, credential: Credential | None) -> str | None:
        if credential is None:
            return None
        if credential.grant is not None:
            return credential.grant.provider
        try:
            return self.catalog.type(credential.type).provider
        except TokenkeepError:
            return None  # its provider file is gone


@dataclass(slots=True)
class _Batch:
    """What one transaction will write, and what was looked up for it."""

    deliveries: list[Delivery] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    counted: list[tuple[str, Event]] = field(default_factory=list)
    credentials: dict[tuple[str, str], Credential | None] = field(default_factory=dict)


def _notice(event: Event, type_: str, credential: Credential | None) -> Notice:
    provider = str(event.detail.get("provider", ""))
    return Notice(
        id=f"{event.id}_{type_.rpartition('.')[2]}",
        workspace_id=event.workspace_id,
        type=type_,
        at=event.at,
        name=credential.name if credential else provider,
        path=f"/credentials/{event.credential_id}" if event.credential_id else f"/settings/clients/{provider}",
    )
