"""What webhooks were sent: what programs show.

Owns: tests, deliveries and replays over the API. Does not own: endpoints (`webhooks`), sending (`services/outbox`).
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from starlette.responses import Response

from tokenkeep.core.permissions import Scope
from tokenkeep.core.webhooks import Delivery, DeliveryState
from tokenkeep.web.bodies import answer, instant
from tokenkeep.web.operations import Call, Operation
from tokenkeep.web.queries import Query, page_parameters
from tokenkeep.web.webhooks import ITEM


class DeliveryAnswer(msgspec.Struct):
    """One message to one endpoint."""

    id: str  # the header `webhook-id`, the same in every attempt
    type: str
    state: str
    attempts: int
    created_at: datetime  # when it happened
    last_attempt_at: datetime | None
    last_result: str | None  # an HTTP status, or why there was none
    next_attempt_at: datetime | None
    body: str  # as it is signed and sent


class DeliveryPage(msgspec.Struct):
    """One page of deliveries."""

    items: list[DeliveryAnswer]
    next_cursor: str | None


def delivery_answer(delivery: Delivery) -> DeliveryAnswer:
    """A delivery as anybody outside sees it."""
    return DeliveryAnswer(
        id=delivery.id,
        type=delivery.type,
        state=delivery.state.value,
        attempts=delivery.attempts,
        created_at=delivery.created_at.replace(microsecond=0),
        last_attempt_at=instant(delivery.last_attempt_at),
        last_result=delivery.last_result or None,
        next_attempt_at=instant(delivery.next_attempt_at),
        body=delivery.body,
    )


async def test(call: Call) -> Response:
    """Send a test."""
    delivery = await call.services.webhooks.test(call.caller, call.path("webhook_id"))
    return answer(delivery_answer(delivery), status=202)


async def deliveries(call: Call) -> Response:
    """What was sent, and what is still to be sent."""
    page = await call.services.webhooks.deliveries(
        call.caller,
        call.path("webhook_id"),
        state=call.query["state"],
        limit=call.query["limit"],
        cursor=call.query["cursor"],
    )
    items = [delivery_answer(each) for each in page.items]
    return answer(DeliveryPage(items=items, next_cursor=page.next_cursor or None))


async def replay(call: Call) -> Response:
    """Send one again."""
    delivery = await call.services.webhooks.replay(call.caller, call.path("webhook_id"), call.path("delivery_id"))
    return answer(delivery_answer(delivery), status=202)


OPERATIONS = (
    Operation(
        method="POST",
        path=f"{ITEM}/test",
        name="test_webhook",
        tag="webhooks",
        summary="Send a test to a webhook endpoint",
        description="A `webhook.test`, sent as everything is sent; look for it among the deliveries.",
        handler=test,
        scope=Scope.ADMIN,
        answer=DeliveryAnswer,
        status=202,
        problems=("conflict",),
    ),
    Operation(
        method="GET",
        path=f"{ITEM}/deliveries",
        name="list_webhook_deliveries",
        tag="webhooks",
        summary="List a webhook's deliveries",
        description="Newest first. Delivered ones are kept for a week, failed ones for a month.",
        handler=deliveries,
        scope=Scope.ADMIN,
        query=(
            Query(name="state", description="Only those in this state.", choices=tuple(DeliveryState)),
            *page_parameters(),
        ),
        answer=DeliveryPage,
    ),
    Operation(
        method="POST",
        path=f"{ITEM}/deliveries/{{delivery_id}}/replay",
        name="replay_webhook_delivery",
        tag="webhooks",
        summary="Send a delivery again",
        description="With the same id and body, and all its attempts.",
        handler=replay,
        scope=Scope.ADMIN,
        answer=DeliveryAnswer,
        status=202,
        problems=("conflict",),
    ),
)
