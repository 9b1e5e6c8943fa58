"""What happened to a credential, and what uses it.

Owns: history and references as seen from outside. Does not own: the credential itself (`credentials`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from starlette.responses import Response

from tokenkeep.core.model import Event
from tokenkeep.core.permissions import Scope
from tokenkeep.web.bodies import answer, instant, nothing
from tokenkeep.web.credentials import ITEM
from tokenkeep.web.lists import cut
from tokenkeep.web.operations import Call, Operation, consumer_name
from tokenkeep.web.queries import page_parameters

_CONSUMER = f"{ITEM}/references/{{consumer:path}}"


class EventAnswer(msgspec.Struct):
    """One line of history. Plain facts, no secrets."""

    id: str
    at: datetime
    kind: str
    actor: str
    detail: dict[str, Any]


class HistoryPage(msgspec.Struct):
    """One page of history, newest first."""

    items: list[EventAnswer]
    next_cursor: str | None


class ReferenceAnswer(msgspec.Struct):
    """Something that uses the credential."""

    consumer: str
    declared: bool  # false: only seen in X-Tokenkeep-Consumer
    created_at: datetime
    last_used_at: datetime | None


class ReferencePage(msgspec.Struct):
    """One page of references."""

    items: list[ReferenceAnswer]
    next_cursor: str | None


def event_answer(event: Event) -> EventAnswer:
    """An event as anybody outside sees it."""
    return EventAnswer(
        id=event.id,
        at=event.at.replace(microsecond=0),
        kind=event.kind,
        actor=event.actor,
        detail=dict(event.detail),
    )


async def history(call: Call) -> Response:
    """Connects, refreshes, failures."""
    page = await call.services.credentials.history(
        call.caller, call.path("credential_id"), limit=call.query["limit"], cursor=call.query["cursor"]
    )
    return answer(
        HistoryPage(items=[event_answer(event) for event in page.items], next_cursor=page.next_cursor or None)
    )


async def references(call: Call) -> Response:
    """What uses it."""
    found = await call.services.credentials.references(call.caller, call.path("credential_id"))
    page, next_cursor = cut(found, limit=call.query["limit"], cursor=call.query["cursor"])
    items = [
        ReferenceAnswer(
            consumer=reference.consumer,
            declared=reference.declared,
            created_at=reference.created_at.replace(microsecond=0),
            last_used_at=instant(reference.last_used_at),
        )
        for reference in page
    ]
    return answer(ReferencePage(items=items, next_cursor=next_cursor))


async def declare(call: Call) -> Response:
    """Say that something uses it."""
    await call.services.credentials.declare_reference(
        call.caller, call.path("credential_id"), consumer_name(call.path("consumer"))
    )
    return nothing()


async def remove(call: Call) -> Response:
    """Say that something no longer uses it."""
    await call.services.credentials.remove_reference(
        call.caller, call.path("credential_id"), consumer_name(call.path("consumer"))
    )
    return nothing()


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{ITEM}/history",
        name="read_history",
        tag="credentials",
        summary="Read the history",
        description="Connects, refreshes, failures: when, why, how long, by whom. Newest first.",
        handler=history,
        scope=Scope.CREDENTIALS_READ,
        query=page_parameters(),
        answer=HistoryPage,
    ),
    Operation(
        method="GET",
        path=f"{ITEM}/references",
        name="list_references",
        tag="credentials",
        summary="List what uses a credential",
        handler=references,
        scope=Scope.CREDENTIALS_READ,
        query=page_parameters(),
        answer=ReferencePage,
    ),
    Operation(
        method="PUT",
        path=_CONSUMER,
        name="declare_reference",
        tag="credentials",
        summary="Declare that something uses a credential",
        description="Twice is the same as once.",
        handler=declare,
        scope=Scope.CREDENTIALS_WRITE,
        status=204,
    ),
    Operation(
        method="DELETE",
        path=_CONSUMER,
        name="remove_reference",
        tag="credentials",
        summary="Remove a reference",
        handler=remove,
        scope=Scope.CREDENTIALS_WRITE,
        status=204,
    ),
)
