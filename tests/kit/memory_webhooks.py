"""Endpoints of webhooks and the outbox in memory, with the semantics of `adapters/store`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tests.kit.memory_grants import Rows, cursor_of, parts_of
from tokenkeep.core.model import Event
from tokenkeep.core.turns import OUTCOMES
from tokenkeep.core.webhooks import Delivery, DeliveryState, Endpoint
from tokenkeep.services.ports import Notice, Page, Untold

Key = tuple[str, str]
"""(workspace, endpoint)."""


class MemoryEndpoints:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.endpoints: dict[Key, Endpoint] = {}
        self.deliveries: dict[tuple[str, str, str], Delivery] = {}

    async def add(self, endpoint: Endpoint) -> None:
        key = endpoint.workspace_id, endpoint.id
        assert key not in self.endpoints, "ids are unique"
        self.endpoints[key] = endpoint

    async def get(self, workspace_id: str, endpoint_id: str) -> Endpoint | None:
        return self.endpoints.get((workspace_id, endpoint_id))

    async def list(self, workspace_id: str) -> Sequence[Endpoint]:
        return self._oldest_first([each for key, each in self.endpoints.items() if key[0] == workspace_id])

    async def of_workspaces(self, workspace_ids: Sequence[str]) -> Sequence[Endpoint]:
        found = [each for key, each in self.endpoints.items() if key[0] in workspace_ids]
        return self._oldest_first([each for each in found if each.disabled_at is None])

    @staticmethod
    def _oldest_first(found: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return sorted(found, key=lambda each: (each.created_at, each.id))

    async def update(self, endpoint: Endpoint, *, before: Endpoint) -> bool:
        key = endpoint.workspace_id, endpoint.id
        stored = self.endpoints.get(key)
        if stored is None or self._changing(stored) != self._changing(before):
            return False
        enabled = endpoint.disabled_at is None and stored.disabled_at is not None
        self.endpoints[key] = replace(
            endpoint,
            created_at=stored.created_at,
            created_by=stored.created_by,
            failing_since=None if enabled else stored.failing_since,
        )
        if endpoint.disabled_at is not None:
            self._end(key)
        return True

    @staticmethod
    def _changing(endpoint: Endpoint) -> tuple[object, ...]:
        return endpoint.url, endpoint.description, endpoint.types, endpoint.secret_version, endpoint.disabled_at

    async def disable(self, workspace_id: str, endpoint_id: str, *, reason: str, at: datetime, event: Event) -> bool:
        key = workspace_id, endpoint_id
        stored = self.endpoints.get(key)
        if stored is None or stored.disabled_at is not None:
            return False
        self.endpoints[key] = replace(stored, disabled_at=at, disabled_reason=reason)
        self._end(key)
        self._rows.tell(event)
        return True

    def _end(self, key: Key) -> None:
        for name, delivery in self.deliveries.items():
            if name[:2] == key and delivery.state is DeliveryState.PENDING:
                self.deliveries[name] = replace(
                    delivery,
                    state=DeliveryState.FAILED,
                    next_attempt_at=None,
                    last_attempt_at=delivery.last_attempt_at or delivery.created_at,
                    last_result="disabled",
                )

    async def fared(self, workspace_id: str, endpoint_id: str, *, failed_at: datetime | None) -> datetime | None:
        stored = self.endpoints.get((workspace_id, endpoint_id))
        if stored is None:
            return None
        since = (stored.failing_since or failed_at) if failed_at is not None else None
        self.endpoints[workspace_id, endpoint_id] = replace(stored, failing_since=since)
        return since

    async def delete(self, workspace_id: str, endpoint_id: str) -> bool:
        for name in [name for name in self.deliveries if name[:2] == (workspace_id, endpoint_id)]:
            del self.deliveries[name]
        return self.endpoints.pop((workspace_id, endpoint_id), None) is not None


class MemoryOutbox:
    def __init__(self, rows: Rows, endpoints: MemoryEndpoints) -> None:
        self._rows = rows
        self._endpoints = endpoints
        self._deliveries = endpoints.deliveries
        self._told: set[int] = set()
        self._notices: dict[tuple[str, str], Notice] = {}
        self._turns: dict[str, datetime] = {}

    async def untold(self, *, limit: int) -> Sequence[Untold]:
        self._rows.works("outbox.untold")
        lines = [(seq, event) for seq, event in enumerate(self._rows.events) if seq not in self._told]
        return [Untold(seq=seq, event=event, before=self._before(seq, event)) for seq, event in lines[:limit]]

    def _before(self, seq: int, of: Event) -> str:
        earlier = [
            (event.at, number, event.kind)
            for number, event in enumerate(self._rows.events)
            if (event.workspace_id, event.credential_id) == (of.workspace_id, of.credential_id)
            and event.kind in OUTCOMES
            and (event.at, number) < (of.at, seq)
        ]
        return max(earlier)[2] if earlier else ""

    async def tell(self, seqs: Sequence[int], *, deliveries: Sequence[Delivery], notices: Sequence[Notice]) -> None:
        self._rows.works("outbox.tell")
        for delivery in deliveries:
            if (delivery.workspace_id, delivery.endpoint_id) in self._endpoints.endpoints:
                self._deliveries.setdefault((delivery.workspace_id, delivery.endpoint_id, delivery.id), delivery)
        for notice in notices:
            self._notices.setdefault((notice.workspace_id, notice.id), notice)
        self._told.update(seqs)

    def _due(self) -> Sequence[Delivery]:
        now = self._rows.clock.now()
        found = [
            (each.next_attempt_at, each.created_at, each.id, each)
            for each in self._deliveries.values()
            if each.next_attempt_at is not None and each.next_attempt_at <= now
        ]
        return [each for *_, each in sorted(found, key=lambda one: one[:3])]

    async def due(self, *, limit: int) -> Sequence[tuple[str, str]]:
        return list(dict.fromkeys((each.workspace_id, each.endpoint_id) for each in self._due()))[:limit]

    async def claim(self, workspace_id: str, endpoint_id: str, *, limit: int, lease_s: int) -> Sequence[Delivery]:
        self._rows.works("outbox.claim")
        mine = [each for each in self._due() if (each.workspace_id, each.endpoint_id) == (workspace_id, endpoint_id)]
        until = self._rows.clock.now() + timedelta(seconds=lease_s)
        taken = [replace(each, attempts=each.attempts + 1, next_attempt_at=until) for each in mine[:limit]]
        for each in taken:
            self._put(each)
        return sorted(taken, key=lambda each: (each.created_at, each.id))

    def _put(self, delivery: Delivery) -> None:
        self._deliveries[delivery.workspace_id, delivery.endpoint_id, delivery.id] = delivery

    async def settle(self, delivery: Delivery, *, attempts: int) -> bool:
        self._rows.works("outbox.settle")
        stored = await self.get(delivery.workspace_id, delivery.endpoint_id, delivery.id)
        if stored is None or stored.state is not DeliveryState.PENDING:
            return False
        if delivery.state is not DeliveryState.DELIVERED and stored.attempts != attempts:
            return False
        self._put(replace(delivery, attempts=stored.attempts))
        return True

    async def get(self, workspace_id: str, endpoint_id: str, delivery_id: str) -> Delivery | None:
        return self._deliveries.get((workspace_id, endpoint_id, delivery_id))

    async def list(
        self, workspace_id: str, endpoint_id: str, *, state: DeliveryState | None, limit: int, cursor: str
    ) -> Page[Delivery]:
        found = [each for key, each in self._deliveries.items() if key[:2] == (workspace_id, endpoint_id)]
        found = sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)
        if cursor:
            (last_id,) = parts_of(cursor, 1)
            last = await self.get(workspace_id, endpoint_id, last_id)
            place = (last.created_at, last.id) if last is not None else None
            found = [each for each in found if place is not None and (each.created_at, each.id) < place]
        found = [each for each in found if state is None or each.state is state]
        shown = found[:limit]
        return Page(items=shown, next_cursor=cursor_of(shown[-1].id) if shown and len(found) > limit else "")

    async def replay(self, workspace_id: str, endpoint_id: str, delivery_id: str, at: datetime) -> bool:
        stored = await self.get(workspace_id, endpoint_id, delivery_id)
        if stored is None or stored.state is DeliveryState.PENDING:
            return False
        self._put(replace(stored, state=DeliveryState.PENDING, attempts=0, next_attempt_at=at))
        return True

    async def replay_failed(self, workspace_id: str, endpoint_id: str, at: datetime) -> int:
        failed = [
            delivery_id
            for (workspace, endpoint, delivery_id), each in self._deliveries.items()
            if (workspace, endpoint) == (workspace_id, endpoint_id) and each.state is DeliveryState.FAILED
        ]
        return sum([await self.replay(workspace_id, endpoint_id, delivery_id, at) for delivery_id in failed])

    async def purge(self, *, delivered_before: datetime, failed_before: datetime) -> int:
        until = {DeliveryState.DELIVERED: delivered_before, DeliveryState.FAILED: failed_before}
        over = [
            key
            for key, each in self._deliveries.items()
            if each.state in until and each.last_attempt_at is not None and each.last_attempt_at < until[each.state]
        ]
        for key in over:
            del self._deliveries[key]
        self._notices = {key: each for key, each in self._notices.items() if each.at >= failed_before}
        return len(over)

    async def waiting(self) -> Sequence[str]:
        return sorted({workspace_id for workspace_id, _ in self._notices})

    async def take_turn(self, workspace_id: str, *, every_s: int) -> bool:
        now = self._rows.clock.now()
        if self._turns.get(workspace_id, now) > now:
            return False
        self._turns[workspace_id] = now + timedelta(seconds=every_s)
        return True

    async def notices(self, workspace_id: str, *, limit: int) -> Sequence[Notice]:
        found = [each for key, each in self._notices.items() if key[0] == workspace_id]
        return sorted(found, key=lambda each: (each.at, each.id))[:limit]

    async def noticed(self, workspace_id: str, notice_ids: Sequence[str]) -> None:
        for notice_id in notice_ids:
            self._notices.pop((workspace_id, notice_id), None)
