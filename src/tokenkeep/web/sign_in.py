"""Signing in and out.

Owns: `/login`, `/sign-in/{secret}`, `/logout`, the session cookie, where to go afterwards.
Does not own: passwords and sessions (`services/accounts`), reading the cookie (`callers`).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tokenkeep.core.errors import InvalidInput, NotFound, Throttled, Unauthenticated
from tokenkeep.core.model import UserSession
from tokenkeep.core.secret import Secret
from tokenkeep.web import callers, forms
from tokenkeep.web.headers import client_address
from tokenkeep.web.pages import drop_cookie, error_page, keep_cookie, page_errors, render, see_other
from tokenkeep.web.services import config_of, services_of

LONGEST = 1024
_OWN_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")
"""A slash, no second one, then printable ASCII without the backslash."""


def next_path(unverified_next: str) -> str:
    """A path of our own to go to, or `/`. Parsed once, and what is odd in any way is not followed (T29).

    Browsers take a backslash for a slash and leave tabs and line ends out, so neither may occur; two slashes
    would begin another host.
    """
    if len(unverified_next) > LONGEST or not _OWN_PATH.fullmatch(unverified_next):
        return "/"
    try:
        parts = urlsplit(unverified_next)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or not parts.path.startswith("/") or "//" in parts.path:
        return "/"
    own = parts.path if not parts.query else f"{parts.path}?{parts.query}"
    return "/" if parts.path in {"/login", "/logout"} else own


@page_errors
async def login_form(request: Request) -> Response:
    """E-mail and password; whoever is signed in goes on."""
    target = next_path(request.query_params.get("next", ""))
    if await callers.maybe_person(request) is not None:
        return see_other(request, target)
    first = not await services_of(request).accounts.has_accounts()
    return render(request, "login.html", {"next": target, "email": "", "problem": "", "first": first})


@page_errors
async def login(request: Request) -> Response:
    """Sign in. A wrong address and a wrong password look the same (T69)."""
    callers.refuse_cross_site(request)
    form = await forms.read(request)
    target, email = next_path(forms.text(form, "next")), forms.text(form, "email")
    try:
        session, cookie = await services_of(request).accounts.sign_in(
            email=email,
            password=password_of(form.get("password")),
            address=client_address(request, config_of(request)),
            browser=request.headers.get("user-agent", "")[:300],
        )
    except Unauthenticated:
        return again(request, target, email, "That e-mail address and password do not fit together.", status=401)
    except Throttled as error:
        wait = f"Too many tries. Wait {error.retry_after} seconds, then try again."
        return again(request, target, email, wait, status=429)
    return signed_in(request, session, cookie, target)


def again(request: Request, target: str, email: str, problem: str, *, status: int) -> Response:
    """The form once more, with what was wrong."""
    context = {"next": target, "email": email[:200], "problem": problem, "first": False}
    return render(request, "login.html", context, status=status)


def password_of(sent: object) -> Secret:
    """A password as it was typed: blanks may be part of it."""
    return Secret(sent if isinstance(sent, str) else "")


def signed_in(request: Request, session: UserSession, cookie: Secret, target: str) -> Response:
    """Give the browser its session and send it on."""
    response = see_other(request, target)
    # The session is brand-new, so its own two times give its life without reading a clock here.
    life = int((session.expires_at - session.created_at).total_seconds())
    keep_cookie(request, response, callers.SESSION_COOKIE, cookie.reveal(), max_age=life)
    return response


@page_errors
async def link_form(request: Request) -> Response:
    """What a one-time link is for. Looking uses nothing up: mail scanners look too (T37)."""
    return await link_page(request, errors={}, entered={})


async def link_page(request: Request, *, errors: dict[str, str], entered: dict[str, str]) -> Response:
    """The form behind a one-time link, or a page that says the link is over."""
    try:
        purpose = await services_of(request).accounts.link_purpose(request.path_params["secret"])
    except NotFound:
        return link_over(request)
    context = {"purpose": purpose, "errors": errors, "entered": {"email": "", "name": "", **entered}}
    return render(request, "sign_in.html", context, status=400 if errors else 200)


def link_over(request: Request) -> Response:
    """For links that are unknown, used or too old: the same page for all three."""
    text = "One-time links work once and for a short time."
    return error_page(request, 404, "This link is over", text, fix="Run `tokenkeep sign-in-link` to get a fresh one.")


@page_errors
async def redeem(request: Request) -> Response:
    """Use the link: make the first account, or sign in."""
    callers.refuse_cross_site(request)
    form = await forms.read(request)
    entered = {name: forms.text(form, name)[:200] for name in ("email", "name")}
    if form.get("password", "") != form.get("repeated", ""):
        return await link_page(request, errors={"repeated": "The two passwords differ."}, entered=entered)
    try:
        session, cookie = await services_of(request).accounts.redeem(
            request.path_params["secret"],
            **entered,
            password=password_of(form.get("password")),
            browser=request.headers.get("user-agent", "")[:300],
        )
    except InvalidInput as error:
        return await link_page(request, errors=forms.field_errors(error), entered=entered)
    except NotFound:
        return link_over(request)
    return signed_in(request, session, cookie, "/")


@page_errors
async def logout(request: Request) -> Response:
    """End this browser's session here and there."""
    session = await callers.person(request)
    await services_of(request).accounts.sign_out(session)
    response = see_other(request, "/login", notice="signed_out")
    drop_cookie(request, response, callers.SESSION_COOKIE)
    return response


routes: list[BaseRoute] = [
    Route("/login", login_form, methods=["GET"]),
    Route("/login", login, methods=["POST"]),
    Route("/sign-in/{secret}", link_form, methods=["GET"]),
    Route("/sign-in/{secret}", redeem, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
]
