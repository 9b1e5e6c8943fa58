"""Sending what lies in the outbox.

Owns: one attempt of a delivery, what its answer means, when to try again, when an endpoint is given up.
Does not own: what is in the outbox (`telling`), the timetable and the signature (`core/webhooks`).

An attempt is claimed first, for longer than it can take, so that of several processes one sends it. A process that dies
after sending and before writing so sends it again, under the same id: at least once is what is promised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from tokenkeep.core import webhooks
from tokenkeep.core.errors import Quarantined
from tokenkeep.core.model import Answer, Event
from tokenkeep.core.secret import Secret
from tokenkeep.core.webhooks import Delivery, DeliveryState, Endpoint
from tokenkeep.services.ports import (
    Clock,
    EndpointStore,
    Entropy,
    Envelope,
    Journal,
    OutboxStore,
    Poster,
    Tasks,
)
from tokenkeep.services.sealing import open_endpoint_secrets

ENDPOINTS_AT_ONCE, AT_ONCE_PER_ENDPOINT = 8, 4
LEASE_S = 120
"""Longer than an attempt can take with everything around it (the poster ends it after 15 s)."""
SELECTED = 100
"""Endpoints looked at in one pass."""
MOST_BATCHES, TURN_S = 25, 10
"""Of one endpoint in one turn, and how long a turn goes on beginning new ones; then the others come. So those that hang
hold up another workspace's for one attempt, whatever waits for them."""


@dataclass(slots=True, kw_only=True)
class Outbox:
    """Starts deliveries and does not wait for them: an endpoint that hangs must not stop the next pass."""

    store: OutboxStore
    endpoints: EndpointStore
    poster: Poster
    envelope: Envelope
    tasks: Tasks
    clock: Clock
    entropy: Entropy
    journal: Journal
    _busy: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ENDPOINTS_AT_ONCE))
    _draining: bool = False

    async def deliver(self) -> int:
        """Begin to send what is due; how many endpoints that concerns."""
        due = await self.store.due(limit=SELECTED)
        for workspace_id, endpoint_id in due:
            _ = self.tasks.run(("webhook", endpoint_id), partial(self.serve, workspace_id, endpoint_id))
        return len(due)

    def drain(self) -> None:
        """Begin nothing more; what is being sent may end."""
        self._draining = True

    async def purge(self) -> int:
        """Forget what is over long enough."""
        now = self.clock.now()
        return await self.store.purge(
            delivered_before=now - timedelta(seconds=webhooks.DELIVERED_KEPT_S),
            failed_before=now - timedelta(seconds=webhooks.FAILED_KEPT_S),
        )

    async def serve(self, workspace_id: str, endpoint_id: str) -> None:
        """Send one endpoint what is due for it, a few at a time."""
        async with self._busy:
            until = self.clock.monotonic() + TURN_S
            for _ in range(MOST_BATCHES):
                endpoint = await self.endpoints.get(workspace_id, endpoint_id)
                if endpoint is None or self._draining or self.clock.monotonic() > until:
                    return
                batch = await self.store.claim(workspace_id, endpoint_id, limit=AT_ONCE_PER_ENDPOINT, lease_s=LEASE_S)
                if not batch:
                    return
                await asyncio.gather(*(self._guarded(endpoint, delivery) for delivery in batch))

    async def _guarded(self, endpoint: Endpoint, delivery: Delivery) -> None:
        """One delivery's trouble never stops the others: its lease ends, and it is tried again."""
        try:
            await self._attempt(endpoint, delivery)
        except Exception as fault:  # noqa: BLE001 - the database, most likely: the outcome could not be written
            self.journal.record("webhook_left", webhook=endpoint.id, error=type(fault).__name__)

    async def _attempt(self, endpoint: Endpoint, delivery: Delivery) -> None:
        if endpoint.disabled_at is not None:
            await self._settle(delivery, DeliveryState.FAILED, "disabled")
            return
        try:
            secrets = await open_endpoint_secrets(self.envelope, endpoint, self.clock.now())
        except Quarantined:
            await self._failed(endpoint, delivery, "undecryptable")
            return
        answer = await self._post(endpoint, delivery, secrets)
        if 200 <= answer.status < 300:
            await self._delivered(endpoint, delivery, answer)
        else:
            await self._failed(endpoint, delivery, str(answer.status) if answer.status else answer.fault)

    async def _post(self, endpoint: Endpoint, delivery: Delivery, secrets: Sequence[Secret]) -> Answer:
        headers = webhooks.headers(secrets, message_id=delivery.id, at=self.clock.now(), body=delivery.body)
        return await self.poster.post(endpoint.url, headers=headers, body=delivery.body)

    async def _delivered(self, endpoint: Endpoint, delivery: Delivery, answer: Answer) -> None:
        await self._settle(delivery, DeliveryState.DELIVERED, str(answer.status))
        await self.endpoints.fared(endpoint.workspace_id, endpoint.id, failed_at=None)
        took = round(answer.duration_s * 1000, 1)
        self.journal.record("webhook_delivered", webhook=endpoint.id, type=delivery.type, duration_ms=took)

    async def _failed(self, endpoint: Endpoint, delivery: Delivery, result: str) -> None:
        """Try again when the timetable says so; give the endpoint up when it is gone, or took nothing for days."""
        now = self.clock.now()
        retry = webhooks.retry_at(now, attempts=delivery.attempts, fraction=self.entropy.fraction())
        await self._settle(delivery, DeliveryState.PENDING if retry else DeliveryState.FAILED, result, retry=retry)
        since = await self.endpoints.fared(endpoint.workspace_id, endpoint.id, failed_at=now)
        self.journal.record(
            "webhook_failed", webhook=endpoint.id, type=delivery.type, result=result, attempts=delivery.attempts
        )
        if result == "410":
            await self._disable(endpoint, "gone", now)
        elif since is not None and now - since >= timedelta(seconds=webhooks.GIVE_UP_S):
            await self._disable(endpoint, "failing", now)

    async def _settle(
        self, delivery: Delivery, state: DeliveryState, result: str, *, retry: datetime | None = None
    ) -> None:
        over = replace(
            delivery, state=state, next_attempt_at=retry, last_attempt_at=self.clock.now(), last_result=result
        )
        await self.store.settle(over, attempts=delivery.attempts)

    async def _disable(self, endpoint: Endpoint, reason: str, now: datetime) -> None:
        event = Event(
            id=self.entropy.id(),
            workspace_id=endpoint.workspace_id,
            credential_id="",
            at=now,
            kind="webhook_disabled",
            actor="system",
            detail={"webhook_id": endpoint.id, "reason": reason},
        )
        done = await self.endpoints.disable(endpoint.workspace_id, endpoint.id, reason=reason, at=now, event=event)
        if done:
            self.journal.record("webhook_disabled", webhook=endpoint.id, reason=reason)
