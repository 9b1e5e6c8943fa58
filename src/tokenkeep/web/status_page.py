"""The status page, live.

Owns: `/status` and its event stream. Does not own: the numbers (`services/status`), the JSON (`/v1/status`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from tokenkeep.core.errors import TokenkeepError, Unavailable
from tokenkeep.core.model import UserSession
from tokenkeep.services.status import StatusView
from tokenkeep.web import callers
from tokenkeep.web.pages import environment, may_admin, page_errors, refuse_secrets, render
from tokenkeep.web.services import config_of, services_of
from tokenkeep.web.words import STATES

REGIONS = ("summary", "numbers", "attention", "forecasts", "providers", "upcoming", "recent", "machine")
"""Parts of the page that are replaced when their content changes: `templates/parts/status_<name>.html`."""

PACE_S = 1.0
"""At least so long between two messages: while a backlog is refreshed, every page would ask the database back to back."""

BAR = 1000
"""Width of a bar in its own units."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One coloured piece of a bar, in units of BAR."""

    state: str
    count: int
    x: float
    width: float


@page_errors
async def status(request: Request) -> Response:
    """How everything stands."""
    person = await callers.person(request)
    return render(request, "status.html", await context_of(request, person))


async def context_of(request: Request, person: UserSession) -> dict[str, Any]:
    """What the page and each of its parts are made from."""
    services = services_of(request)
    caller = services.accounts.caller(person)
    overview = await services.status.overview(caller)
    return {
        "person": person,
        "view": overview,
        "admin": may_admin(caller),
        "total": sum(overview.by_state.values()),
        "all_bar": bar(overview.by_state),
        "provider_bars": provider_bars(overview),
        "names": {one.id: one.name for one in services.catalog.providers()},
        "regions": REGIONS,
    }


def bar(counts: dict[str, int] | Any) -> Sequence[Segment]:
    """The pieces of a bar, in the order in which states are listed. Nothing to show: no pieces."""
    total = sum(counts.values())
    pieces, x = [], 0.0
    for state in STATES:
        if count := counts.get(state, 0):
            width = BAR * count / total
            pieces.append(Segment(state, count, round(x, 1), round(width, 1)))
            x += width
    return pieces


def provider_bars(overview: StatusView) -> list[tuple[str, int, Sequence[Segment]]]:
    """(provider, grants, pieces), the largest first."""
    found = [(provider, sum(states.values()), bar(states)) for provider, states in overview.counts.by_provider.items()]
    return sorted(found, key=lambda one: (-one[1], one[0]))


@page_errors
async def events(request: Request) -> Response:
    """The same as server-sent events: at once, then whenever something happened."""
    await callers.person(request)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(stream(request), media_type="text/event-stream", headers=headers)


async def stream(request: Request) -> AsyncIterator[str]:
    """Messages until the session or the service ends; a browser that goes away ends it by itself.

    The session is looked at before every message: who was signed out elsewhere sees no more numbers.
    """
    beat = 0
    while beat >= 0:
        try:
            person = await callers.person(request)
            message = fragments(request, await context_of(request, person))
        except Unavailable:
            return  # the browser comes back by itself in a few seconds
        except TokenkeepError:
            yield "event: ended\ndata: {}\n\n"
            return
        yield f"data: {json.dumps(message)}\n\n"
        await asyncio.sleep(PACE_S)
        beat = await services_of(request).status.changed(beat)


def fragments(request: Request, context: dict[str, Any]) -> dict[str, str]:
    """Region -> HTML, from the very templates that the page itself is made of."""
    refuse_secrets(context)
    templates = environment(config_of(request).templates)
    return {region: templates.get_template(f"parts/status_{region}.html").render(context) for region in REGIONS}


routes: list[BaseRoute] = [
    Route("/status", status, methods=["GET"]),
    Route("/status/events", events, methods=["GET"]),
]
