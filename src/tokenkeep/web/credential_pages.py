"""Credentials: the list, one credential, and what a person may do with it.

Owns: `/credentials` and everything below. Does not own: making new ones (`gallery`), connecting (`connect_pages`).
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tokenkeep.core.errors import InUse, InvalidInput
from tokenkeep.core.model import State, UserSession
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.services.credentials import CredentialView
from tokenkeep.services.ports import CredentialFilter
from tokenkeep.services.surplus import Removal
from tokenkeep.web import callers, forms
from tokenkeep.web.gallery import invite, saved
from tokenkeep.web.pages import page_errors, render, see_other
from tokenkeep.web.services import config_of, services_of
from tokenkeep.web.words import NOTICES

PER_PAGE = 50
HISTORY = 30


async def asked(request: Request) -> tuple[UserSession, Caller, str]:
    """Who asks, with which rights, about which credential (empty on the list)."""
    person = await callers.person(request)
    return person, services_of(request).accounts.caller(person), request.path_params.get("id", "")


@page_errors
async def credential_list(request: Request) -> Response:
    """Credentials by type, state and name, one page of them."""
    person, caller, _ = await asked(request)
    services = services_of(request)
    query = {name: request.query_params.get(name, "").strip()[:200] for name in ("q", "type", "state", "cursor")}
    state = query["state"] if query["state"] in set(State) else ""
    wanted = CredentialFilter(
        types=(query["type"],) if query["type"] else (),
        state=state,
        query=query["q"],
        limit=PER_PAGE,
        cursor=query["cursor"],
    )
    page = await services.credentials.list(caller, wanted)
    filtered = bool(query["q"] or query["type"] or state)
    context = {"person": person, "page": page, "asked": {**query, "state": state}, "filtered": filtered}
    return render(request, "credentials.html", {**context, "types": services.catalog.types(), "states": list(State)})


@page_errors
async def credential(request: Request) -> Response:
    """Everything about one credential that a person may see."""
    person, caller, credential_id = await asked(request)
    service = services_of(request).credentials
    view = await service.get(caller, credential_id)
    cursor = request.query_params.get("cursor", "")
    context = {
        "person": person,
        "view": view,
        "history": await service.history(caller, credential_id, limit=HISTORY, cursor=cursor),
        "references": await service.references(caller, credential_id),
        "may_write": Scope.CREDENTIALS_WRITE in caller.scopes,
        "may_connect": Scope.CONNECT in caller.scopes,
        "more_scopes": (*view.missing_scopes, *view.unasked_scopes),
        "testable": testable(view),
        "curl": curl(config_of(request).public_url, view),
    }
    return render(request, "credential.html", context)


def testable(view: CredentialView) -> bool:
    """Whether there is a way to prove that this credential works, and something to prove it with."""
    way = view.type.test or view.type.probe or (view.provider.account if view.type.oauth else None)
    return way is not None and view.state is not State.UNCONNECTED


def curl(public_url: str, view: CredentialView) -> str:
    """How a node asks for it, with a placeholder where the service key goes."""
    what = "token" if view.type.issues_tokens else "values"
    return (
        f'curl -H "Authorization: Bearer $TOKENKEEP_KEY" \\\n  {public_url}/v1/credentials/{view.credential.id}/{what}'
    )


@page_errors
async def edit_form(request: Request) -> Response:
    """The form with the present values; secrets show as masks and stay when nothing is entered."""
    person, caller, credential_id = await asked(request)
    view = await services_of(request).credentials.get(caller, credential_id)
    return edit_page(request, person, view, errors={})


def edit_page(request: Request, person: UserSession, view: CredentialView, *, errors: dict[str, str]) -> Response:
    """The edit form, perhaps with what is wrong."""
    masked = view.credential.masked
    context = {
        "person": person,
        "view": view,
        "errors": errors,
        "values": {**forms.printable(view.type.fields, {}), **forms.printable(view.type.fields, masked)},
        "masks": {field.name: masked.get(field.name, "") for field in view.type.fields if field.secret},
    }
    return render(request, "edit.html", context, status=400 if errors else 200)


@page_errors
async def edit(request: Request) -> Response:
    """Save what was entered; the version in the form guards against lost updates."""
    person, caller, credential_id = await asked(request)
    service = services_of(request).credentials
    view = await service.get(caller, credential_id)
    form = await forms.read(request)
    version = forms.text(form, "version")
    try:
        changed = await service.edit(
            caller,
            credential_id,
            name=forms.text(form, "name") or None,
            values=forms.changes(view.type.fields, form) or None,
            expected_version=int(version) if version.isascii() and version.isdigit() else None,
        )
    except InvalidInput as error:
        return edit_page(request, person, view, errors=forms.field_errors(error))
    return see_other(request, f"/credentials/{credential_id}", notice=saved("edited", changed))


@page_errors
async def test(request: Request) -> Response:
    """Try the credential once and say how it went."""
    _, caller, credential_id = await asked(request)
    verdict = await services_of(request).verification.test(caller, credential_id)
    notice = "tested_ok" if verdict.ok else f"tested_{verdict.problem}"
    known = notice if notice in NOTICES else "tested_failed"
    return see_other(request, f"/credentials/{credential_id}", notice=known)


@page_errors
async def reconnect(request: Request) -> Response:
    """A connect link for this very credential: its id and what uses it stay."""
    person, _, credential_id = await asked(request)
    form = await forms.read(request)
    wanted: dict[str, Any] = {"credential_id": credential_id}
    if scopes := [str(scope) for scope in form.getlist("scope")]:
        wanted["scopes"] = scopes
    return await invite(request, person, wanted)


@page_errors
async def confirm_disconnect(request: Request) -> Response:
    """Ask before access is given up."""
    return await confirm(request, "disconnect")


@page_errors
async def confirm_delete(request: Request) -> Response:
    """Ask before the credential is gone."""
    return await confirm(request, "delete")


async def confirm(request: Request, action: str, *, status: int = 200) -> Response:
    """The page that asks, and names what would stop working."""
    person, caller, credential_id = await asked(request)
    service = services_of(request).credentials
    view = await service.get(caller, credential_id)
    references = await service.references(caller, credential_id)
    context = {"person": person, "view": view, "references": references, "action": action}
    return render(request, "confirm.html", context, status=status)


@page_errors
async def disconnect(request: Request) -> Response:
    """Revoke and forget the grant; the credential stays."""
    _, caller, credential_id = await asked(request)
    _, removal = await services_of(request).credentials.disconnect(caller, credential_id)
    return see_other(request, f"/credentials/{credential_id}", notice=outcome("disconnected", removal))


@page_errors
async def delete(request: Request) -> Response:
    """Delete it. What still uses it must be named in the form as known, else the page asks again."""
    _, caller, credential_id = await asked(request)
    form = await forms.read(request)
    try:
        removal = await services_of(request).credentials.delete(
            caller, credential_id, force=forms.text(form, "force") == "yes"
        )
    except InUse:
        return await confirm(request, "delete", status=409)
    return see_other(request, "/credentials", notice=outcome("deleted", removal))


def outcome(done: str, removal: Removal) -> str:
    """The notice for what became of the access at the provider."""
    if removal.revoked is None:
        return done
    return f"{done}_revoked" if removal.revoked else f"{done}_unrevoked"


routes: list[BaseRoute] = [
    Route("/credentials", credential_list, methods=["GET"]),
    Route("/credentials/{id}", credential, methods=["GET"]),
    Route("/credentials/{id}/edit", edit_form, methods=["GET"]),
    Route("/credentials/{id}/edit", edit, methods=["POST"]),
    Route("/credentials/{id}/test", test, methods=["POST"]),
    Route("/credentials/{id}/reconnect", reconnect, methods=["POST"]),
    Route("/credentials/{id}/disconnect", confirm_disconnect, methods=["GET"]),
    Route("/credentials/{id}/disconnect", disconnect, methods=["POST"]),
    Route("/credentials/{id}/delete", confirm_delete, methods=["GET"]),
    Route("/credentials/{id}/delete", delete, methods=["POST"]),
]
