"""Reading what a browser or a client posts, and knowing a browser again.

Owns: form bodies within limits, and the demo provider's one cookie.
Does not own: what the fields mean.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tokenkeep.demo.machine import Entropy
from tokenkeep.demo.records import digest
from tokenkeep.demo.server import Pairs, Parameters

BODY_LIMIT = 16_384
FIELD_LIMIT = 64
COOKIE = "tokenkeep_demo"
COOKIE_LIFETIME_S = 86_400

Handler = Callable[[Request, Parameters], Response]


def posted(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that reads the form and then works in a thread: SQLite and Authlib are synchronous."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(handler, request, Parameters(await _read(request)))

    return endpoint


def query(request: Request) -> Parameters:
    """The parameters of a GET. Empty ones count as left out (RFC 6749 section 3.1)."""
    return Parameters(pairs(request.url.query))


def pairs(encoded: str) -> Pairs:
    """Decoded names and values. Raises HTTPException 400 when there are too many."""
    try:
        return parse_qsl(encoded, max_num_fields=FIELD_LIMIT)
    except ValueError as refused:
        raise HTTPException(400, "Too many parameters.") from refused


async def _read(request: Request) -> Pairs:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise HTTPException(413, "The form is too large.")
    return pairs(body.decode("utf-8", "replace"))


class Browsers:
    """Ties a form to the browser that asked for it. The cookie is sent to the demo provider's own path only."""

    def __init__(self, entropy: Entropy, *, path: str, secure: bool) -> None:
        self._entropy = entropy
        self._path = path
        self._secure = secure

    def known(self, request: Request) -> str:
        """What the browser brought. Empty: nothing."""
        return request.cookies.get(COOKIE, "")

    def recognise(self, request: Request) -> str:
        """What the browser brought, or something fresh to give it with `remember`."""
        return self.known(request) or self._entropy.token(32)

    def remember(self, response: Response, browser: str) -> Response:
        """SameSite=Lax: a client's redirect to us brings it, a form of another site does not."""
        response.set_cookie(
            COOKIE, browser, max_age=COOKIE_LIFETIME_S, path=self._path, secure=self._secure, httponly=True,
            samesite="lax",
        )  # fmt: skip
        return response

    @staticmethod
    def seal(browser: str) -> str:
        """What a form must bring besides the cookie: another site can neither read nor guess it."""
        return digest(f"form:{browser}")
