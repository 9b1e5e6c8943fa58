"""The way of a browser through a connection.

Owns: the interstitial that names who receives what, the callback, the clean result page.
Does not own: what makes a connection valid (`services/connect`), minting links (`gallery`, `credential_pages`).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tokenkeep.core.errors import ConnectFailed, NotFound, TokenkeepError, Unauthenticated
from tokenkeep.core.model import ConnectSession, SessionState
from tokenkeep.services.connect_sessions import OPEN_STATES
from tokenkeep.services.invitation import Invitation, Outcome
from tokenkeep.web import callers
from tokenkeep.web.pages import (
    RESULT,
    cookie_name,
    drop_cookie,
    error_page,
    keep_cookie,
    page_errors,
    read_cookie,
    render,
)
from tokenkeep.web.services import WebConfig, config_of, services_of
from tokenkeep.web.words import connect_problem

TEN_MINUTES = 600
HOST_PREFIX = "__Host-"
TOLD = ("session", "state", "type", "name", "credential", "more", "opener", "problem", "detail", "code")
"""What the result cookie holds as text."""
LISTED = ("missing", "lost")
"""What it holds as lists of scopes."""
NAMED = 12
"""So many of each: a browser drops a cookie of more than 4 KB. The credential's page names all."""


# --- the interstitial ----------------------------------------------------------------------------------


@page_errors
async def invitation(request: Request) -> Response:
    """Who asks for what, and the button. Looking, prefetching and HEAD use nothing up (T37)."""
    return await invitation_page(request, problem="")


async def invitation_page(request: Request, *, problem: str) -> Response:
    """The interstitial, or what became of a link that is over."""
    services = services_of(request)
    person = await callers.maybe_person(request)
    try:
        asked = await services.connect.open(request.path_params["secret"])
    except NotFound:
        text = "This link is not one of ours, or it was forgotten because it is too old."
        return error_page(request, 404, "No such link", text, fix="Ask for a new link where you got this one.")
    is_open = asked.session.state in OPEN_STATES
    before = problem or asked.session.problem_code
    context = {
        "person": person,
        "asked": asked,
        "problem": connect_problem(before) if before else None,
        "detail": asked.session.problem_detail if before == asked.session.problem_code else "",
        "reason": connect_problem(_reason(asked)),
        # A person's own link is for a browser that is signed in; a program's link is confirmed by the program.
        "must_sign_in": person is None and not asked.session.minted_by.startswith("key/"),
    }
    template = "connect.html" if is_open and asked.ready else "connect_over.html"
    status = 200 if is_open else 410
    response = render(request, template, context, status=status, forms=form_targets(asked, config_of(request)))
    return let_opener_listen(response, asked.session.opener_origin)


def _reason(asked: Invitation) -> str:
    if asked.session.state in OPEN_STATES:
        return "client_missing"
    return "expired" if asked.session.state is SessionState.EXPIRED else "session_spent"


def form_targets(asked: Invitation, config: WebConfig) -> str:
    """The `form-action` of the interstitial.

    Chromium checks it along the whole chain of redirects that follows a form: the provider (https, or the demo
    provider on loopback), back to our callback, and on to the return address.
    """
    allowed = ["'self'", "https:"]
    for address in (asked.provider.authorization_endpoint if config.demo else "", asked.session.return_url):
        parts = urlsplit(address)
        if parts.scheme == "http" and parts.netloc:
            allowed.append(f"http://{parts.netloc}")
    return " ".join(dict.fromkeys(allowed))


def let_opener_listen(response: Response, opener_origin: str) -> Response:
    """Drop our opener policy, on redirects too, where a page waits for the message of this window.

    Any other value cuts the tie to the opener on the way to the provider, and the message could not be sent.
    """
    if opener_origin:
        response.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
    return response


@page_errors
async def begin(request: Request) -> Response:
    """The button: on to the provider, with a nonce that binds this browser to the attempt (T20, T21)."""
    callers.refuse_cross_site(request)
    person = await callers.maybe_person(request)
    secret, popup = request.path_params["secret"], request.query_params.get("window") == "popup"
    connect = services_of(request).connect
    try:
        opener_origin = (await connect.open(secret)).session.opener_origin
        begun = await connect.begin(secret, user=person, popup=popup)
    except Unauthenticated:
        return RedirectResponse(f"/login?next={quote(request.url.path, safe='/')}", status_code=303)
    except TokenkeepError as error:
        return await invitation_page(request, problem=error.code)
    response = RedirectResponse(begun.url, status_code=303, headers={"Cache-Control": "no-store"})
    response.headers["Referrer-Policy"] = "no-referrer"
    keep_cookie(request, response, begun.cookie, begun.nonce, max_age=TEN_MINUTES)
    return let_opener_listen(response, opener_origin)


# --- the callback --------------------------------------------------------------------------------------


@page_errors
async def callback(request: Request) -> Response:
    """The provider sent the browser back. Whatever came in the query leaves the address bar at once (T33)."""
    person = await callers.maybe_person(request)
    query = dict(request.query_params)
    if len(query) != len(request.query_params.multi_items()):
        # RFC 6749 section 3.1: parameters come once. Two states or codes are nobody's honest answer.
        query = {}
    try:
        outcome = await services_of(request).connect.complete(
            request.path_params["client"], query=query, cookies=plain_cookies(request), user=person
        )
    except TokenkeepError as error:
        return failed(request, error)
    return finished(request, outcome)


def plain_cookies(request: Request) -> dict[str, str]:
    """Cookies under the names the use case gave them. On https only pinned ones count."""
    if not config_of(request).https:
        return dict(request.cookies)
    return {
        name.removeprefix(HOST_PREFIX): value for name, value in request.cookies.items() if name.startswith(HOST_PREFIX)
    }


def finished(request: Request, outcome: Outcome) -> Response:
    """Back to who asked, or to our own result page."""
    session = outcome.session
    known = {**facts(session), "code": outcome.code}
    known |= {"missing": list(outcome.missing_scopes)[:NAMED], "lost": list(outcome.lost_scopes)[:NAMED]}
    return sent_on(request, session, known, cookie=outcome.cookie)


def failed(request: Request, error: TokenkeepError) -> Response:
    """The same for a connection that was not made. A failure knows its session only once the state was good."""
    session: ConnectSession | None = getattr(error, "session", None)
    code = error.code if isinstance(error, ConnectFailed) or error.code == "throttled" else "connect_failed"
    known = {**(facts(session) if session else {"session": ""}), "state": "failed", "problem": code}
    return sent_on(request, session, known, cookie=getattr(error, "cookie", "") or "")


def facts(session: ConnectSession) -> dict[str, Any]:
    """What the result page may show a browser that is nobody of ours. Nothing here is secret."""
    return {
        "session": session.id,
        "state": session.state.value,
        "type": session.type,
        "name": session.name[:200],
        "credential": session.credential_id,
        "opener": session.opener_origin,
        "more": "yes" if session.credential_id and session.scopes else "",
        "problem": session.problem_code,
        "detail": session.problem_detail[:500],
    }


def sent_on(request: Request, session: ConnectSession | None, known: Mapping[str, Any], *, cookie: str) -> Response:
    """303 to the return address or to the result page, whose content waits in a cookie of this browser."""
    target = f"/connect-result/{session.id}" if session else "/connect-result"
    if session is not None and session.return_url:
        target = returning(session.return_url, known)
    response = RedirectResponse(target, status_code=303, headers={"Cache-Control": "no-store"})
    response.headers["Referrer-Policy"] = "no-referrer"
    text = base64.urlsafe_b64encode(json.dumps(dict(known)).encode()).decode()
    keep_cookie(request, response, RESULT, text, max_age=TEN_MINUTES)
    if cookie and cookie_name(request, cookie) in request.cookies:
        drop_cookie(request, response, cookie)
    return let_opener_listen(response, session.opener_origin if session else "")


def returning(return_url: str, known: Mapping[str, Any]) -> str:
    """The return address with the documented parameters behind what it has."""
    told = {"connect_session": known["session"], "state": known["state"]}
    if known.get("code"):
        told["code"] = known["code"]
    parts = urlsplit(return_url)
    query = "&".join(part for part in (parts.query, urlencode(told)) if part)
    return parts._replace(query=query).geturl()


# --- the result ----------------------------------------------------------------------------------------


@page_errors
async def result(request: Request) -> Response:
    """What became of it. Whoever is signed in also sees the account and the way to the credential."""
    person = await callers.maybe_person(request)
    services, config = services_of(request), config_of(request)
    known = remembered(request)
    if known is None or known["session"] != request.path_params.get("session", ""):
        text = "This page shows the end of a connection once, in the browser that made it."
        return error_page(request, 404, "Nothing to show", text, fix="Look in the list of credentials.")
    type_ = services.catalog.type(known["type"]) if known["type"] else None
    context: dict[str, Any] = {
        "person": person,
        "known": known,
        "type": type_,
        "provider": services.catalog.provider(type_.provider) if type_ else None,
        "view": None,
        "problem": connect_problem(known["problem"]),
        "opener": known["opener"] if known["opener"] in {config.origin, *config.return_origins} else "",
    }
    if person and known["credential"] and known["state"] == SessionState.CONNECTED:
        try:
            context["view"] = await services.credentials.get(services.accounts.caller(person), known["credential"])
        except TokenkeepError:
            context["view"] = None  # of another workspace, or gone already: then the page says less
    return let_opener_listen(render(request, "connect_result.html", context), context["opener"])


def remembered(request: Request) -> dict[str, Any] | None:
    """The result that waits in this browser's cookie. None: there is none, or it is not of our making."""
    try:
        found = json.loads(base64.b64decode(read_cookie(request, RESULT), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        return None
    if not isinstance(found, dict):
        return None
    texts = {name: found.get(name, "") for name in TOLD}
    lists = {name: found.get(name, []) for name in LISTED}
    good = all(isinstance(text, str) for text in texts.values())
    good = good and all(isinstance(scopes, list) for scopes in lists.values())
    if not good or texts["state"] not in set(SessionState):
        return None
    return {**texts, **{name: [str(scope) for scope in scopes] for name, scopes in lists.items()}}


routes: list[BaseRoute] = [
    Route("/connect/{secret}", invitation, methods=["GET"]),
    Route("/connect/{secret}", begin, methods=["POST"]),
    Route("/oauth/callback/{client}", callback, methods=["GET"]),
    Route("/connect-result", result, methods=["GET"]),
    Route("/connect-result/{session}", result, methods=["GET"]),
]
