"""The gallery of credential types, and the form that makes a credential of one.

Owns: `/` and `/new/{type}`. Does not own: the connect link it leads to (`connect_pages`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tokenkeep.core.errors import InvalidInput, NotFound
from tokenkeep.core.model import CredentialType, State, UserSession
from tokenkeep.core.permissions import Caller
from tokenkeep.services.clients import ClientView
from tokenkeep.services.credentials import CredentialView
from tokenkeep.services.fitting import fitting
from tokenkeep.services.ports import CredentialFilter
from tokenkeep.web import callers, forms
from tokenkeep.web.pages import may_admin, page_errors, render, see_other
from tokenkeep.web.services import config_of, services_of

COUNTED = 500
"""How many credentials the gallery looks at to say what is connected already."""


@page_errors
async def gallery(request: Request) -> Response:
    """All types, popular first, narrowed by words and category; or those that a tool asks its user to choose from."""
    person = await callers.person(request)
    services = services_of(request)
    caller = services.accounts.caller(person)
    query = request.query_params.get("q", "").strip()[:100]
    category = request.query_params.get("category", "")
    named = [name for name in request.query_params.get("types", "")[:2048].split(",") if name]
    wanted = fitting(services.catalog, named).types
    every = [one for one in services.catalog.types() if not wanted or one.name in wanted]
    held = await services.credentials.list(caller, CredentialFilter(limit=COUNTED))
    shown = [one for one in every if matches(one, query) and (not category or category in one.categories)]
    context = {
        "person": person,
        "types": shown,
        "total": len(every),
        "query": query,
        "category": category,
        "chosen": wanted,
        "categories": categories(every),
        "held": Counter(view.type.name for view in held.items),
        "providers": {one.id: one for one in services.catalog.providers()},
    }
    return render(request, "gallery.html", context)


def matches(one: CredentialType, query: str) -> bool:
    """Every word of the query is somewhere in what the card says."""
    text = " ".join((one.label, one.name, one.provider, one.description, *one.categories, *one.aliases)).lower()
    return all(word in text for word in query.lower().split())


def categories(types: Sequence[CredentialType]) -> list[str]:
    """Categories, the fullest first."""
    counted = Counter(category for one in types for category in one.categories)
    return sorted(counted, key=lambda category: (-counted[category], category))


@page_errors
async def new_form(request: Request) -> Response:
    """The form for one type; for an OAuth type without a client, how to register one."""
    person = await callers.person(request)
    return await new_page(request, person, values={}, name="", errors={}, chosen=None)


async def new_page(
    request: Request,
    person: UserSession,
    *,
    values: Mapping[str, Any],
    name: str,
    errors: Mapping[str, str],
    chosen: Sequence[str] | None,
) -> Response:
    """The form, perhaps with what was entered before and what is wrong with it. Secrets are entered anew."""
    services = services_of(request)
    caller = services.accounts.caller(person)
    type_ = services.catalog.type(request.path_params["type"])
    provider = services.catalog.provider(type_.provider)
    context = {"person": person, "type": type_, "provider": provider, "admin": may_admin(caller)}
    client = await client_of(request, caller, type_)
    if type_.oauth and client is None:
        return render(request, "client_missing.html", context)
    scopes = (client.client.scopes if client else ()) or type_.scopes
    context |= {
        "values": forms.printable(type_.fields, values),
        "name": name or f"{type_.label}",
        "errors": errors,
        "scopes": scopes,
        "chosen": scopes if chosen is None else chosen,
    }
    return render(request, "new.html", context, status=400 if errors else 200)


async def client_of(request: Request, caller: Caller, type_: CredentialType) -> ClientView | None:
    """The workspace's client at the type's provider. None: not registered, or the type needs none."""
    if not type_.oauth:
        return None
    try:
        return await services_of(request).clients.get(caller, type_.provider)
    except NotFound:
        return None


@page_errors
async def create(request: Request) -> Response:
    """Make the credential, or the connect link that will make it."""
    person = await callers.person(request)
    services = services_of(request)
    type_ = services.catalog.type(request.path_params["type"])
    form = await forms.read(request)
    name, chosen = forms.text(form, "name"), [str(scope) for scope in form.getlist("scope")]
    try:
        values = forms.values(type_.fields, form)
        if type_.oauth:
            return await invite(request, person, {"type": type_.name, "name": name, "scopes": chosen, "values": values})
        made = await services.credentials.create(
            services.accounts.caller(person), type=type_.name, name=name, values=values
        )
    except InvalidInput as error:
        errors = forms.field_errors(error)
        return await new_page(request, person, values=shown(form), name=name, errors=errors, chosen=chosen)
    return see_other(request, f"/credentials/{made.credential.id}", notice=saved("created", made))


def saved(what: str, view: CredentialView) -> str:
    """The notice after saving. A token that was asked for at once may have been refused: then the page says why."""
    if view.type.mint is not None and view.state is not State.CONNECTED:
        return "saved_without_token"
    return f"{what}_odd" if view.warnings else what


def shown(form: FormData) -> dict[str, Any]:
    """What was entered, under field names, to be shown again."""
    return {key.removeprefix("value."): value for key, value in form.items() if key.startswith("value.")}


async def invite(request: Request, person: UserSession, wanted: Mapping[str, Any]) -> Response:
    """Mint a connect link and go there; a script that opens a window is told the link instead."""
    services = services_of(request)
    opener = config_of(request).origin
    session, url = await services.connect_sessions.create(
        services.accounts.caller(person), **wanted, opener_origin=opener
    )
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"id": session.id, "url": url}, headers={"Cache-Control": "no-store"})
    return RedirectResponse(url, status_code=303, headers={"Cache-Control": "no-store"})


routes: list[BaseRoute] = [
    Route("/", gallery, methods=["GET"]),
    Route("/new/{type}", new_form, methods=["GET"]),
    Route("/new/{type}", create, methods=["POST"]),
]
