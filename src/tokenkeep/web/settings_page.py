"""Settings: clients at providers, service keys, signed-in browsers.

Owns: `/settings` and everything below. Does not own: signing in (`sign_in`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tokenkeep.core.errors import InvalidInput, NotFound
from tokenkeep.core.model import Provider, UserSession
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.secret import Secret
from tokenkeep.services.clients import ClientView
from tokenkeep.services.ports import CredentialFilter
from tokenkeep.web import callers, forms
from tokenkeep.web.pages import may_admin, page_errors, render, see_other
from tokenkeep.web.services import services_of

SCOPES: dict[Scope, str] = {
    Scope.TOKENS_READ: "Read live tokens and clear values: what nodes need",
    Scope.CREDENTIALS_READ: "See credentials and their state, never a secret",
    Scope.CREDENTIALS_WRITE: "Create, change and delete credentials",
    Scope.CONNECT: "Mint connect links",
    Scope.ADMIN: "Everything but reading tokens",
}
CHOICES = 200
"""How many credentials a key's form offers to be limited to."""


async def asked(request: Request) -> tuple[UserSession, Caller]:
    """Who asks, with which rights."""
    person = await callers.person(request)
    return person, services_of(request).accounts.caller(person)


@page_errors
async def settings(request: Request) -> Response:
    """Everything on one page; what only administrators may see is left out for others."""
    return await settings_page(request, errors={}, entered={})


async def settings_page(request: Request, *, errors: dict[str, str], entered: dict[str, object]) -> Response:
    """The page, perhaps with what was wrong in the form for a new key."""
    person, caller = await asked(request)
    services = services_of(request)
    admin = may_admin(caller)
    clients = await services.clients.list(caller)
    registered = {view.provider.id for view in clients}
    oauth = [one for one in services.catalog.providers() if one.authorization_endpoint]
    context = {
        "person": person,
        "admin": admin,
        "clients": sorted(clients, key=lambda view: view.provider.name.casefold()),
        "others": sorted((one for one in oauth if one.id not in registered), key=lambda one: one.name.casefold()),
        "keys": await services.service_keys.list(caller) if admin else [],
        "sessions": await services.accounts.sessions(person),
        "credentials": await services.credentials.list(caller, CredentialFilter(limit=CHOICES)) if admin else None,
        "scopes": SCOPES,
        "errors": errors,
        "entered": {"name": "", "scopes": [str(Scope.TOKENS_READ)], "only": [], "expires": "", **entered},
    }
    return render(request, "settings.html", context, status=400 if errors else 200)


# --- clients -------------------------------------------------------------------------------------------


@page_errors
async def client_form(request: Request) -> Response:
    """One provider: where to register, what to paste, the form."""
    return await client_page(request, errors={}, entered=None)


async def client_page(request: Request, *, errors: dict[str, str], entered: dict[str, str] | None) -> Response:
    """The form for one provider, perhaps with what was wrong."""
    person, caller = await asked(request)
    services = services_of(request)
    provider = services.catalog.provider(request.path_params["provider"])
    view = await stored_client(request, caller, provider.id)
    context = {
        "person": person,
        "admin": may_admin(caller),
        "provider": provider,
        "client": view,
        "redirect_uri": await services.clients.planned_redirect_uri(caller, provider.id),
        "variables": [one for one in provider.variables if one.asked_of == "client"],
        "types": [one for one in services.catalog.types() if one.provider == provider.id and one.oauth],
        "entered": entered if entered is not None else stored_values(view),
        "errors": errors,
    }
    return render(request, "client.html", context, status=400 if errors else 200)


async def stored_client(request: Request, caller: Caller, provider_id: str) -> ClientView | None:
    """None: nothing is registered there yet."""
    try:
        return await services_of(request).clients.get(caller, provider_id)
    except NotFound:
        return None


def stored_values(view: ClientView | None) -> dict[str, str]:
    """The stored client under the names of the form's inputs."""
    if view is None:
        return {"client_id": "", "scopes": ""}
    variables = {f"variable.{name}": value for name, value in view.client.variables.items()}
    return {"client_id": view.client.client_id, "scopes": "\n".join(view.client.scopes), **variables}


@page_errors
async def save_client(request: Request) -> Response:
    """Register or change. An empty secret keeps the stored one."""
    _, caller = await asked(request)
    provider = services_of(request).catalog.provider(request.path_params["provider"])
    form = await forms.read(request)
    secret = forms.text(form, "client_secret")
    try:
        await services_of(request).clients.put(
            caller,
            provider.id,
            client_id=forms.text(form, "client_id"),
            client_secret=Secret(secret) if secret else None,
            scopes=forms.text(form, "scopes").split(),
            variables=variables_of(provider, form),
        )
    except InvalidInput as error:
        sent = {name: str(value)[:2000] for name, value in form.items() if name != "client_secret"}
        entered = {**stored_values(None), **sent}
        return await client_page(request, errors=forms.field_errors(error), entered=entered)
    return see_other(request, f"/settings/clients/{provider.id}", notice="client_saved")


def variables_of(provider: Provider, form: FormData) -> dict[str, str]:
    """Variable -> what was entered, without the empty ones."""
    asked_for = [one.name for one in provider.variables if one.asked_of == "client"]
    found = {name: forms.text(form, f"variable.{name}") for name in asked_for}
    return {name: value for name, value in found.items() if value}


@page_errors
async def confirm_client(request: Request) -> Response:
    """Ask before a client is removed."""
    person, caller = await asked(request)
    view = await services_of(request).clients.get(caller, request.path_params["provider"])
    return render(request, "client_delete.html", {"person": person, "client": view})


@page_errors
async def delete_client(request: Request) -> Response:
    """Remove our registration. The provider keeps its own until somebody removes it there."""
    _, caller = await asked(request)
    await services_of(request).clients.delete(caller, request.path_params["provider"])
    return see_other(request, "/settings", notice="client_deleted")


# --- service keys --------------------------------------------------------------------------------------


@page_errors
async def create_key(request: Request) -> Response:
    """Make a key and show it: this answer is the only place where it ever appears."""
    person, caller = await asked(request)
    form = await forms.read(request)
    entered: dict[str, object] = {
        "name": forms.text(form, "name"),
        "scopes": [str(scope) for scope in form.getlist("scope")],
        "only": [str(one) for one in form.getlist("credential")],
        "expires": forms.text(form, "expires"),
    }
    try:
        key, secret = await services_of(request).service_keys.create(
            caller,
            name=forms.text(form, "name"),
            scopes=[str(scope) for scope in form.getlist("scope")],
            credential_ids=[str(one) for one in form.getlist("credential")] or None,
            expires_at=expiry(forms.text(form, "expires")),
        )
    except InvalidInput as error:
        return await settings_page(request, errors=forms.field_errors(error), entered=entered)
    # The one page that shows a secret: its own maker, once, never kept by the browser (no-store).
    return render(request, "key_created.html", {"person": person, "key": key, "shown_once": secret.reveal()})


def expiry(text: str) -> datetime | None:
    """The end of a day, UTC. None: no end. Raises InvalidInput."""
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007 - a date input has no zone; ours is UTC
    except ValueError:
        raise InvalidInput(fields={"expires_at": "Enter a date as year-month-day."}) from None
    return day.replace(hour=23, minute=59, second=59, tzinfo=UTC)


@page_errors
async def revoke_key(request: Request) -> Response:
    """End a key at once."""
    _, caller = await asked(request)
    await services_of(request).service_keys.revoke(caller, request.path_params["key"])
    return see_other(request, "/settings", notice="key_revoked")


# --- signed-in browsers --------------------------------------------------------------------------------


@page_errors
async def end_session(request: Request) -> Response:
    """Sign one of the person's other browsers out."""
    person, _ = await asked(request)
    form = await forms.read(request)
    await services_of(request).accounts.end_session(person, forms.text(form, "session"))
    return see_other(request, "/settings", notice="session_ended")


@page_errors
async def end_others(request: Request) -> Response:
    """Sign all of the person's other browsers out."""
    person, _ = await asked(request)
    await services_of(request).accounts.end_other_sessions(person)
    return see_other(request, "/settings", notice="sessions_ended")


async def to_settings(_: Request) -> Response:
    """Addresses that only take forms, opened by hand."""
    return RedirectResponse("/settings", status_code=303)


routes: list[BaseRoute] = [
    Route("/settings", settings, methods=["GET"]),
    Route("/settings/clients/{provider}", client_form, methods=["GET"]),
    Route("/settings/clients/{provider}", save_client, methods=["POST"]),
    Route("/settings/clients/{provider}/delete", confirm_client, methods=["GET"]),
    Route("/settings/clients/{provider}/delete", delete_client, methods=["POST"]),
    Route("/settings/keys", to_settings, methods=["GET"]),
    Route("/settings/keys", create_key, methods=["POST"]),
    Route("/settings/keys/{key}/revoke", revoke_key, methods=["POST"]),
    Route("/settings/sessions/end", end_session, methods=["POST"]),
    Route("/settings/sessions/end-others", end_others, methods=["POST"]),
]
