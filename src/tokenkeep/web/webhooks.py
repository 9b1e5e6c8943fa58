"""Webhooks: what programs show.

Owns: endpoints over the API. Does not own: what they were sent (`webhook_deliveries`), pages (`webhooks_page`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from starlette.responses import Response

from tokenkeep.core.permissions import Scope
from tokenkeep.core.webhooks import Endpoint
from tokenkeep.web.bodies import Accepted, answer, instant, nothing
from tokenkeep.web.lists import cut
from tokenkeep.web.operations import Call, Operation
from tokenkeep.web.queries import page_parameters

ALL = "/v1/webhooks"
ITEM = f"{ALL}/{{webhook_id}}"

Address = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
Text = Annotated[str, msgspec.Meta(max_length=200)]
Types = Annotated[list[Annotated[str, msgspec.Meta(max_length=100)]], msgspec.Meta(max_length=100)]


class NewWebhook(Accepted):
    """An endpoint to be told."""

    url: Address
    description: Text = ""
    types: Types = msgspec.field(default_factory=list)  # empty: all


class WebhookEdit(Accepted):
    """What to change. What is not sent stays."""

    url: Address | None = None
    description: Text | None = None
    types: Types | None = None  # empty: all
    disabled: bool | None = None


class WebhookAnswer(msgspec.Struct):
    """An endpoint without its secret."""

    id: str
    url: str
    description: str
    types: list[str]  # empty: all
    created_at: datetime
    disabled_at: datetime | None  # null: it is told
    disabled_reason: str | None  # asked, gone (it answered 410), failing (it took nothing for five days)
    failing_since: datetime | None  # the first failure since the last success
    previous_secret_until: datetime | None  # until then two secrets sign


class NewWebhookAnswer(WebhookAnswer, kw_only=True):
    """A fresh secret. `secret` is told only here."""

    secret: str


class WebhookPage(msgspec.Struct):
    """One page of endpoints."""

    items: list[WebhookAnswer]
    next_cursor: str | None


def webhook_answer(endpoint: Endpoint) -> WebhookAnswer:
    """An endpoint as anybody outside sees it."""
    return WebhookAnswer(
        id=endpoint.id,
        url=endpoint.url,
        description=endpoint.description,
        types=list(endpoint.types),
        created_at=endpoint.created_at.replace(microsecond=0),
        disabled_at=instant(endpoint.disabled_at),
        disabled_reason=endpoint.disabled_reason or None,
        failing_since=instant(endpoint.failing_since),
        previous_secret_until=instant(endpoint.previous_until),
    )


def _with_secret(endpoint: Endpoint, secret: str, *, status: int) -> Response:
    shown = NewWebhookAnswer(**msgspec.structs.asdict(webhook_answer(endpoint)), secret=secret)
    return answer(shown, status=status, headers={"Cache-Control": "no-store"})


async def create(call: Call) -> Response:
    """Make an endpoint and show its secret, once."""
    body = call.body
    endpoint, secret = await call.services.webhooks.create(
        call.caller, url=body.url, description=body.description, types=body.types
    )
    return _with_secret(endpoint, secret.reveal(), status=201)


async def list_(call: Call) -> Response:
    """All endpoints of the workspace."""
    found: Sequence[Endpoint] = await call.services.webhooks.list(call.caller)
    page, next_cursor = cut(found, limit=call.query["limit"], cursor=call.query["cursor"])
    return answer(WebhookPage(items=[webhook_answer(each) for each in page], next_cursor=next_cursor))


async def get(call: Call) -> Response:
    """One endpoint."""
    return answer(webhook_answer(await call.services.webhooks.get(call.caller, call.path("webhook_id"))))


async def edit(call: Call) -> Response:
    """Change an endpoint."""
    body = call.body
    endpoint = await call.services.webhooks.edit(
        call.caller,
        call.path("webhook_id"),
        url=body.url,
        description=body.description,
        types=body.types,
        disabled=body.disabled,
    )
    return answer(webhook_answer(endpoint))


async def rotate(call: Call) -> Response:
    """Turn the secret over and show the new one, once."""
    endpoint, secret = await call.services.webhooks.rotate(call.caller, call.path("webhook_id"))
    return _with_secret(endpoint, secret.reveal(), status=200)


async def delete(call: Call) -> Response:
    """Forget an endpoint."""
    await call.services.webhooks.delete(call.caller, call.path("webhook_id"))
    return nothing()


OPERATIONS = (
    Operation(
        method="POST",
        path=ALL,
        name="create_webhook",
        tag="webhooks",
        summary="Make a webhook endpoint",
        description="Its signing secret is shown here, once.",
        handler=create,
        scope=Scope.ADMIN,
        body=NewWebhook,
        answer=NewWebhookAnswer,
        status=201,
        problems=("not_found", "conflict"),
        example={"url": "https://app.example.org/hooks", "types": ["credential.reauthorization_required"]},
    ),
    Operation(
        method="GET",
        path=ALL,
        name="list_webhooks",
        tag="webhooks",
        summary="List webhook endpoints",
        handler=list_,
        scope=Scope.ADMIN,
        query=page_parameters(),
        answer=WebhookPage,
        problems=("not_found",),
    ),
    Operation(
        method="GET",
        path=ITEM,
        name="get_webhook",
        tag="webhooks",
        summary="Read a webhook endpoint",
        handler=get,
        scope=Scope.ADMIN,
        answer=WebhookAnswer,
    ),
    Operation(
        method="PATCH",
        path=ITEM,
        name="edit_webhook",
        tag="webhooks",
        summary="Change a webhook endpoint",
        description="Disabling ends what is still to be sent as failed; it can be replayed.",
        handler=edit,
        scope=Scope.ADMIN,
        body=WebhookEdit,
        answer=WebhookAnswer,
        problems=("conflict",),
        example={"disabled": False},
    ),
    Operation(
        method="POST",
        path=f"{ITEM}/rotate-secret",
        name="rotate_webhook_secret",
        tag="webhooks",
        summary="Turn a webhook's secret over",
        description="The new secret is shown here, once. The one before signs along for a day.",
        handler=rotate,
        scope=Scope.ADMIN,
        answer=NewWebhookAnswer,
        problems=("conflict",),
    ),
    Operation(
        method="DELETE",
        path=ITEM,
        name="delete_webhook",
        tag="webhooks",
        summary="Delete a webhook endpoint",
        description="With everything that waits for it.",
        handler=delete,
        scope=Scope.ADMIN,
        status=204,
    ),
)
