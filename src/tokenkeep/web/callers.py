"""Who asks.

Owns: service key or session cookie -> `Caller`; the check that a signed-in browser acts on our own pages.
Does not own: checking keys and sessions (`services`), what a caller may do (`core/permissions`).
"""

from __future__ import annotations

from starlette.requests import Request

from tokenkeep.core.errors import Unauthenticated
from tokenkeep.core.model import UserSession
from tokenkeep.core.permissions import Caller
from tokenkeep.web.problems import RequestProblem
from tokenkeep.web.services import WebConfig, config_of, services_of

SESSION_COOKIE = "tokenkeep-session"
CALLER_KEY = "tokenkeep.caller"
"""Where the ASGI scope keeps the actor for the access line."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OUR_OWN = frozenset({"same-origin", "none"})


def session_cookie(config: WebConfig) -> str:
    """The session cookie's full name. `__Host-` needs Secure, so plain http goes without."""
    return f"__Host-{SESSION_COOKIE}" if config.https else SESSION_COOKIE


def bearer(request: Request) -> str | None:
    """The text after `Bearer`, or None where the request carries no bearer credential."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


async def caller(request: Request) -> Caller:
    """By service key if one is sent, else by session.

    A wrong key never falls back to the cookie, and a key never excuses a cookie from the cross-site check.
    Raises Unauthenticated, RequestProblem (cross_site).
    """
    key = bearer(request)
    services = services_of(request)
    if key is None:
        found = services.accounts.caller(await person(request))
    else:
        found = await services.service_keys.authenticate(key)
    request.scope[CALLER_KEY] = found.actor
    return found


async def person(request: Request) -> UserSession:
    """The signed-in person, by cookie alone. Raises Unauthenticated, RequestProblem (cross_site)."""
    cookie = request.cookies.get(session_cookie(config_of(request)), "")
    if not cookie:
        raise Unauthenticated
    refuse_cross_site(request)
    session = await services_of(request).accounts.authenticate(cookie)
    request.scope[CALLER_KEY] = f"user/{session.user_id}"
    return session


async def maybe_person(request: Request) -> UserSession | None:
    """The signed-in person, or None for anybody else. Raises RequestProblem (cross_site)."""
    try:
        return await person(request)
    except Unauthenticated:
        return None


def refuse_cross_site(request: Request) -> None:
    """Raises RequestProblem when an unsafe request does not provably come from our own pages (T65).

    Sec-Fetch-Site decides where the browser sends it; else Origin must be ours. With neither, the request is refused:
    every browser that is still supported sends one of them with a POST.
    """
    if request.method in _SAFE:
        return
    site = request.headers.get("sec-fetch-site")
    ours = site in _OUR_OWN if site is not None else request.headers.get("origin") in own_origins(request)
    if not ours:
        raise RequestProblem("cross_site", "A signed-in browser may send this only from Tokenkeep's own pages.")


def own_origins(request: Request) -> frozenset[str]:
    """Ours by configuration; in demo also the loopback name that the browser used, which `headers` has checked."""
    config = config_of(request)
    if not config.demo:
        return frozenset({config.origin})
    return frozenset({config.origin, f"http://{request.headers.get('host', '')}"})
