"""Endpoints of webhooks, as administrators keep them.

Owns: creating, editing, turning a secret over, testing, deleting; looking at deliveries and sending one again.
Does not own: what is sent and when (`telling`, `outbox`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from tokenkeep.core import webhooks
from tokenkeep.core.errors import Conflict, InvalidInput, NotFound
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.secret import Secret
from tokenkeep.core.turns import SUBSCRIBABLE
from tokenkeep.core.webhooks import Delivery, DeliveryState, Endpoint
from tokenkeep.services.ports import Clock, EndpointStore, Entropy, Envelope, Journal, OutboxStore, Page
from tokenkeep.services.sealing import endpoint_place

MOST_ENDPOINTS = 20
"""Per workspace: each is one more request for every event."""
_DESCRIPTION_LENGTH = 200


@dataclass(slots=True, kw_only=True)
class Webhooks:
    """Use cases over `EndpointStore` and the deliveries of its endpoints."""

    store: EndpointStore
    outbox: OutboxStore
    envelope: Envelope
    clock: Clock
    entropy: Entropy
    journal: Journal

    async def create(
        self, caller: Caller, *, url: str, description: str = "", types: Collection[str] = ()
    ) -> tuple[Endpoint, Secret]:
        """The endpoint and its signing secret, which is never to be seen again. Raises InvalidInput, Conflict."""
        _check_caller(caller)
        if len(await self.store.list(caller.workspace_id)) >= MOST_ENDPOINTS:
            raise Conflict(f"A workspace has at most {MOST_ENDPOINTS} endpoints.", fix="Delete one that is not needed.")
        secret = webhooks.secret_of(self.entropy.octets(webhooks.SECRET_OCTETS))
        endpoint = Endpoint(
            id=self.entropy.id(),
            workspace_id=caller.workspace_id,
            url=webhooks.checked_url(url),
            description=_checked_description(description),
            types=_checked_types(types),
            secret_sealed=b"",
            secret_version=1,
            previous_sealed=None,
            previous_until=None,
            created_at=self.clock.now(),
            created_by=caller.actor,
        )
        await self.store.add(await self._with_secret(endpoint, secret))
        self.journal.record("webhook_created", webhook=endpoint.id, actor=caller.actor)
        return endpoint, secret

    async def list(self, caller: Caller) -> Sequence[Endpoint]:
        """All of the workspace, disabled ones too."""
        _check_caller(caller)
        return await self.store.list(caller.workspace_id)

    async def get(self, caller: Caller, endpoint_id: str) -> Endpoint:
        """Raises NotFound."""
        _check_caller(caller)
        endpoint = await self.store.get(caller.workspace_id, endpoint_id)
        if endpoint is None:
            raise NotFound()
        return endpoint

    async def edit(
        self,
        caller: Caller,
        endpoint_id: str,
        *,
        url: str | None = None,
        description: str | None = None,
        types: Collection[str] | None = None,
        disabled: bool | None = None,
    ) -> Endpoint:
        """What is not sent stays. Raises NotFound, InvalidInput, Conflict."""
        stored = await self.get(caller, endpoint_id)
        changed = replace(
            stored,
            url=stored.url if url is None else webhooks.checked_url(url),
            description=stored.description if description is None else _checked_description(description),
            types=stored.types if types is None else _checked_types(types),
        )
        if disabled is not None and disabled != (stored.disabled_at is not None):
            now, reason = (self.clock.now(), "asked") if disabled else (None, "")
            changed = replace(changed, disabled_at=now, disabled_reason=reason)
        await self._save(changed, stored)
        self.journal.record("webhook_edited", webhook=endpoint_id, actor=caller.actor)
        return await self.get(caller, endpoint_id)

    async def rotate(self, caller: Caller, endpoint_id: str) -> tuple[Endpoint, Secret]:
        """A new secret, to be seen once. The one before signs along for a day. Raises NotFound, Conflict."""
        stored = await self.get(caller, endpoint_id)
        secret = webhooks.secret_of(self.entropy.octets(webhooks.SECRET_OCTETS))
        raised = replace(
            stored,
            secret_version=stored.secret_version + 1,
            previous_sealed=stored.secret_sealed,
            previous_until=self.clock.now() + timedelta(seconds=webhooks.OVERLAP_S),
        )
        raised = await self._with_secret(raised, secret)
        await self._save(raised, stored)
        self.journal.record("webhook_secret_rotated", webhook=endpoint_id, actor=caller.actor)
        return raised, secret

    async def delete(self, caller: Caller, endpoint_id: str) -> None:
        """With everything that waits for it. Raises NotFound."""
        _check_caller(caller)
        if not await self.store.delete(caller.workspace_id, endpoint_id):
            raise NotFound()
        self.journal.record("webhook_deleted", webhook=endpoint_id, actor=caller.actor)

    async def test(self, caller: Caller, endpoint_id: str) -> Delivery:
        """Send it a `webhook.test`, the way everything is sent. Raises NotFound, Conflict."""
        await self._enabled(caller, endpoint_id)
        now = self.clock.now()
        data = {"workspace_id": caller.workspace_id, "webhook_id": endpoint_id, "actor": caller.actor}
        delivery = Delivery(
            id=f"msg_{self.entropy.id()}",
            workspace_id=caller.workspace_id,
            endpoint_id=endpoint_id,
            type="webhook.test",
            body=webhooks.body_of("webhook.test", at=now, data=data),
            created_at=now,
            next_attempt_at=now,
        )
        await self.outbox.tell([], deliveries=[delivery], notices=[])
        return delivery

    async def deliveries(
        self, caller: Caller, endpoint_id: str, *, state: str = "", limit: int, cursor: str
    ) -> Page[Delivery]:
        """Newest first. Raises NotFound, InvalidInput for a state that does not exist."""
        await self.get(caller, endpoint_id)
        if state and state not in set(DeliveryState):
            raise InvalidInput(fields={"state": f"One of {', '.join(DeliveryState)}."})
        wanted = DeliveryState(state) if state else None
        return await self.outbox.list(caller.workspace_id, endpoint_id, state=wanted, limit=limit, cursor=cursor)

    async def replay(self, caller: Caller, endpoint_id: str, delivery_id: str) -> Delivery:
        """Send one again, with the same id and body. Raises NotFound, Conflict where it is still being sent."""
        await self._enabled(caller, endpoint_id)
        replayed = await self.outbox.replay(caller.workspace_id, endpoint_id, delivery_id, self.clock.now())
        delivery = await self.outbox.get(caller.workspace_id, endpoint_id, delivery_id)
        if delivery is None:
            raise NotFound()
        if not replayed:
            raise Conflict("This delivery is still being sent.", fix="Wait until it is delivered or has failed.")
        self.journal.record("webhook_replayed", webhook=endpoint_id, actor=caller.actor)
        return delivery

    async def replay_failed(self, caller: Caller, endpoint_id: str) -> int:
        """Send every failed one again. Answers how many. Raises NotFound, Conflict."""
        await self._enabled(caller, endpoint_id)
        count = await self.outbox.replay_failed(caller.workspace_id, endpoint_id, self.clock.now())
        self.journal.record("webhook_replayed", webhook=endpoint_id, actor=caller.actor, count=count)
        return count

    async def _enabled(self, caller: Caller, endpoint_id: str) -> None:
        """Raises NotFound, Conflict where nothing would be sent."""
        if (await self.get(caller, endpoint_id)).disabled_at is not None:
            raise Conflict("This endpoint is disabled.", fix="Enable it first.")

    async def _with_secret(self, endpoint: Endpoint, secret: Secret) -> Endpoint:
        sealed = await self.envelope.seal(secret.reveal().encode(), endpoint_place(endpoint))
        return replace(endpoint, secret_sealed=sealed)

    async def _save(self, changed: Endpoint, stored: Endpoint) -> None:
        if not await self.store.update(changed, before=stored):
            raise Conflict(
                "The endpoint was changed or deleted meanwhile.", fix="Read it again and repeat your change."
            )


def _check_caller(caller: Caller) -> None:
    """Deliveries tell about every credential, so a key limited to some of them has no endpoints."""
    caller.need(Scope.ADMIN)
    if caller.credential_ids is not None:
        raise NotFound("A key limited to named credentials has no webhooks.")


def _checked_description(text: str) -> str:
    description = text.strip()
    if len(description) > _DESCRIPTION_LENGTH or not description.isprintable():
        raise InvalidInput(fields={"description": f"At most {_DESCRIPTION_LENGTH} printable characters."})
    return description


def _checked_types(types: Collection[str]) -> tuple[str, ...]:
    unknown = sorted(set(types) - set(SUBSCRIBABLE))
    if unknown:
        raise InvalidInput(fields={"types": f"Each is one of {', '.join(SUBSCRIBABLE)}."})
    return tuple(name for name in SUBSCRIBABLE if name in types)
