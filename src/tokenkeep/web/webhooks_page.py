"""Settings: webhooks.

Owns: `/settings/webhooks` and everything below. Does not own: the API (`webhooks`).
"""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import UserSession
from tokenkeep.core.permissions import Caller
from tokenkeep.core.turns import TURNS
from tokenkeep.core.webhooks import DeliveryState
from tokenkeep.web import callers, forms
from tokenkeep.web.pages import page_errors, render, see_other
from tokenkeep.web.services import services_of

PAGE = "/settings/webhooks"
OFFERED = tuple(turn for turn in TURNS if turn.type != "webhook.test")
SHOWN = 50


async def asked(request: Request) -> tuple[UserSession, Caller]:
    """Who asks, with which rights."""
    person = await callers.person(request)
    return person, services_of(request).accounts.caller(person)


def endpoint_path(request: Request) -> str:
    """Of the endpoint in the address."""
    return f"{PAGE}/{request.path_params['webhook']}"


def entered_of(form: FormData) -> dict[str, object]:
    """What was filled in, under the names of the inputs."""
    return {
        "url": forms.text(form, "url"),
        "description": forms.text(form, "description"),
        "types": [str(one) for one in form.getlist("type")],
    }


@page_errors
async def webhooks(request: Request) -> Response:
    """Every endpoint, and the form for a new one."""
    return await list_page(request, errors={}, entered={})


async def list_page(request: Request, *, errors: dict[str, str], entered: dict[str, object]) -> Response:
    """The list, perhaps with what was wrong in the form."""
    person, caller = await asked(request)
    context = {
        "person": person,
        "webhooks": await services_of(request).webhooks.list(caller),
        "turns": OFFERED,
        "errors": errors,
        "entered": {"url": "", "description": "", "types": [], **entered},
    }
    return render(request, "webhooks.html", context, status=400 if errors else 200)


@page_errors
async def create(request: Request) -> Response:
    """Make an endpoint and show its secret: this answer is the only place where it ever appears."""
    person, caller = await asked(request)
    form = await forms.read(request)
    try:
        endpoint, secret = await services_of(request).webhooks.create(
            caller,
            url=forms.text(form, "url"),
            description=forms.text(form, "description"),
            types=[str(one) for one in form.getlist("type")],
        )
    except InvalidInput as error:
        return await list_page(request, errors=forms.field_errors(error), entered=entered_of(form))
    context = {"person": person, "webhook": endpoint, "shown_once": secret.reveal(), "rotated": False}
    return render(request, "webhook_secret.html", context)


@page_errors
async def webhook(request: Request) -> Response:
    """One endpoint: how it fares, its deliveries, its settings."""
    return await webhook_page(request, errors={}, entered=None)


async def webhook_page(request: Request, *, errors: dict[str, str], entered: dict[str, object] | None) -> Response:
    """The page, perhaps with what was wrong in the form."""
    person, caller = await asked(request)
    found = await services_of(request).webhooks.get(caller, request.path_params["webhook"])
    state = request.query_params.get("state", "")
    deliveries = await services_of(request).webhooks.deliveries(
        caller,
        found.id,
        state=state if state in set(DeliveryState) else "",
        limit=SHOWN,
        cursor=request.query_params.get("cursor", ""),
    )
    stored = {"url": found.url, "description": found.description, "types": list(found.types)}
    context = {
        "person": person,
        "webhook": found,
        "deliveries": deliveries,
        "state": state,
        "states": [each.value for each in DeliveryState],
        "turns": OFFERED,
        "errors": errors,
        "entered": stored if entered is None else entered,
    }
    return render(request, "webhook.html", context, status=400 if errors else 200)


@page_errors
async def edit(request: Request) -> Response:
    """Change address, description and what it is told."""
    _, caller = await asked(request)
    form = await forms.read(request)
    try:
        await services_of(request).webhooks.edit(
            caller,
            request.path_params["webhook"],
            url=forms.text(form, "url"),
            description=forms.text(form, "description"),
            types=[str(one) for one in form.getlist("type")],
        )
    except InvalidInput as error:
        return await webhook_page(request, errors=forms.field_errors(error), entered=entered_of(form))
    return see_other(request, endpoint_path(request), notice="webhook_saved")


@page_errors
async def rotate(request: Request) -> Response:
    """Turn the secret over and show the new one, once."""
    person, caller = await asked(request)
    endpoint, secret = await services_of(request).webhooks.rotate(caller, request.path_params["webhook"])
    context = {"person": person, "webhook": endpoint, "shown_once": secret.reveal(), "rotated": True}
    return render(request, "webhook_secret.html", context)


@page_errors
async def switch(request: Request) -> Response:
    """Enable or disable."""
    _, caller = await asked(request)
    form = await forms.read(request)
    off = forms.text(form, "disabled") == "yes"
    await services_of(request).webhooks.edit(caller, request.path_params["webhook"], disabled=off)
    return see_other(request, endpoint_path(request), notice="webhook_disabled" if off else "webhook_enabled")


@page_errors
async def test(request: Request) -> Response:
    """Send a test."""
    _, caller = await asked(request)
    await services_of(request).webhooks.test(caller, request.path_params["webhook"])
    return see_other(request, endpoint_path(request), notice="webhook_tested")


@page_errors
async def replay(request: Request) -> Response:
    """Send one delivery again."""
    _, caller = await asked(request)
    form = await forms.read(request)
    delivery_id = forms.text(form, "delivery")
    await services_of(request).webhooks.replay(caller, request.path_params["webhook"], delivery_id)
    return see_other(request, endpoint_path(request), notice="webhook_replayed")


@page_errors
async def replay_failed(request: Request) -> Response:
    """Send every failed delivery again."""
    _, caller = await asked(request)
    count = await services_of(request).webhooks.replay_failed(caller, request.path_params["webhook"])
    return see_other(request, endpoint_path(request), notice="webhook_replayed" if count else "webhook_none_failed")


@page_errors
async def confirm_delete(request: Request) -> Response:
    """Ask before an endpoint is deleted."""
    person, caller = await asked(request)
    found = await services_of(request).webhooks.get(caller, request.path_params["webhook"])
    return render(request, "webhook_delete.html", {"person": person, "webhook": found})


@page_errors
async def delete(request: Request) -> Response:
    """Forget an endpoint and what waits for it."""
    _, caller = await asked(request)
    await services_of(request).webhooks.delete(caller, request.path_params["webhook"])
    return see_other(request, PAGE, notice="webhook_deleted")


async def to_list(_: Request) -> Response:
    """Addresses that only take forms, opened by hand: a secret was shown there, and is not again."""
    return RedirectResponse(PAGE, status_code=303)


routes: list[BaseRoute] = [
    Route(PAGE, webhooks, methods=["GET"]),
    Route(PAGE, create, methods=["POST"]),
    Route(PAGE + "/{webhook}", webhook, methods=["GET"]),
    Route(PAGE + "/{webhook}", edit, methods=["POST"]),
    Route(PAGE + "/{webhook}/secret", to_list, methods=["GET"]),
    Route(PAGE + "/{webhook}/secret", rotate, methods=["POST"]),
    Route(PAGE + "/{webhook}/switch", switch, methods=["POST"]),
    Route(PAGE + "/{webhook}/test", test, methods=["POST"]),
    Route(PAGE + "/{webhook}/replay", replay, methods=["POST"]),
    Route(PAGE + "/{webhook}/replay-failed", replay_failed, methods=["POST"]),
    Route(PAGE + "/{webhook}/delete", confirm_delete, methods=["GET"]),
    Route(PAGE + "/{webhook}/delete", delete, methods=["POST"]),
]
