"""Asking for more access while the credential stays.

Owns: `/credentials/{id}/scopes`, where a person chooses further scopes. Does not own: what is asked for so that nothing is
lost (`core/scopes`), the way through the provider (`connect_pages`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tokenkeep.core import scopes
from tokenkeep.core.errors import InvalidInput, NotConnected, NotOAuth
from tokenkeep.core.model import UserSession
from tokenkeep.core.permissions import Scope
from tokenkeep.core.scopes import Scopes
from tokenkeep.services.credentials import CredentialView
from tokenkeep.web import callers, forms
from tokenkeep.web.gallery import invite
from tokenkeep.web.pages import page_errors, render
from tokenkeep.web.services import services_of

NOTHING_CHOSEN = "Choose or enter at least one scope."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What was chosen so far, and what is wrong with it."""

    chosen: tuple[str, ...] = ()
    others: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def scopes(self) -> list[str]:
        """Ticked and typed ones."""
        return [scope for scope in (*self.chosen, *re.split(r"[\s,]+", self.others)) if scope]


@page_errors
async def choose(request: Request) -> Response:
    """What it has, and what may be asked for beside it."""
    person, view, had = await connected(request)
    return choose_page(request, person, view, had, Entered())


def choose_page(request: Request, person: UserSession, view: CredentialView, had: Scopes, entered: Entered) -> Response:
    """The form, perhaps with what was entered before and what is wrong with it."""
    context = {"person": person, "view": view, "had": had, "offered": offered(view, had), "entered": entered}
    return render(request, "scopes.html", context, status=400 if entered.errors else 200)


def offered(view: CredentialView, had: Scopes) -> Scopes:
    """Scopes that are likely to be wanted: those of the client, of the type, and what was asked for before."""
    known = scopes.united(view.missing_scopes, view.unasked_scopes, view.type.scopes)
    return scopes.missing(known, had)


@page_errors
async def ask(request: Request) -> Response:
    """A connect link that asks for what was chosen as well."""
    person, view, had = await connected(request)
    form = await forms.read(request)
    entered = Entered(chosen=tuple(str(scope) for scope in form.getlist("scope")), others=forms.text(form, "others"))
    if not entered.scopes:
        return choose_page(request, person, view, had, replace(entered, errors={"others": NOTHING_CHOSEN}))
    try:
        wanted = {"credential_id": view.credential.id, "more_scopes": entered.scopes}
        return await invite(request, person, wanted)
    except InvalidInput as error:
        wrong = "; ".join(forms.field_errors(error).values())
        return choose_page(request, person, view, had, replace(entered, errors={"others": wrong}))


async def connected(request: Request) -> tuple[UserSession, CredentialView, Scopes]:
    """Who asks, about which credential, and what it has been granted. Raises NotOAuth, NotConnected, InvalidInput."""
    person = await callers.person(request)
    services = services_of(request)
    caller = services.accounts.caller(person)
    caller.need(Scope.CONNECT)
    view = await services.credentials.get(caller, request.path_params["id"])
    if not view.type.oauth:
        raise NotOAuth
    if view.credential.grant is None:
        raise NotConnected
    if "no_scopes" in view.provider.quirks:
        raise InvalidInput(f"{view.provider.name} has no scopes.")
    return person, view, scopes.granted(view.credential.grant)


routes: list[BaseRoute] = [
    Route("/credentials/{id}/scopes", choose, methods=["GET"]),
    Route("/credentials/{id}/scopes", ask, methods=["POST"]),
]
