"""`GET /v1/credentials/{id}/token`: the route that everything waits for.

Owns: this one answer, and serving it before the framework looks at a request. Does not own: which token it is
(`services/token_reads`), its description among the API's operations (`nodes`).

The framework's own matching, wrapping and error handling would cost as much as the work itself.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tokenkeep.core.errors import NotFound, TokenkeepError
from tokenkeep.services.live_token import LiveToken, TokenFacts
from tokenkeep.web.callers import CALLER_KEY, caller
from tokenkeep.web.headers import PROGRAM_HEADERS
from tokenkeep.web.operations import LONGEST_PART, consumer_name
from tokenkeep.web.problems import RequestProblem, failure, refused
from tokenkeep.web.queries import Query, read_query
from tokenkeep.web.services import Services

TOKEN_PATH = "/v1/credentials/{credential_id}/token"
MIN_TTL = Query(
    name="min_ttl",
    description="Seconds the token must still live, wherever the provider can give that.",
    kind="integer",
    default=60,
    minimum=0,
    maximum=86400,
)

_BEFORE, _AFTER = TOKEN_PATH.split("{credential_id}")
_HEADERS = ((b"content-type", b"application/json"), *PROGRAM_HEADERS)
_TAKEN = "tokenkeep.token_read"
_REMEMBERED = 10_000
_rendered: dict[TokenFacts, bytes] = {}  # by identity: facts are one object as long as they hold


def token_octets(token: LiveToken) -> bytes:
    """The token answer as JSON, by hand and not by Struct."""
    facts = token.facts
    rest = _rendered.get(facts)
    if rest is None:
        rest = _render(facts)
    return b'{"access_token":' + orjson.dumps(token.access_token.reveal()) + rest


def _render(facts: TokenFacts) -> bytes:
    """All of the answer but the token itself, remembered as long as nothing about the token changes."""
    document = {
        "token_type": facts.token_type,
        "expires_at": facts.expires_at,
        "scope": " ".join(facts.scope),
        "fingerprint": facts.fingerprint,
        "state": facts.state.value,
    }
    rest = b"," + orjson.dumps(document, option=orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS)[1:]
    if len(_rendered) >= _REMEMBERED:
        _rendered.clear()
    _rendered[facts] = rest
    return rest


# The same few nodes ask in the same words again and again; refusals are raised, so they are never kept.
@functools.lru_cache(maxsize=256)
def _min_ttl(query_string: bytes) -> int:
    return int(read_query(query_string, (MIN_TTL,))["min_ttl"])


@functools.lru_cache(maxsize=1024)
def _consumer(header: bytes | None) -> str:
    return consumer_name(header.decode("latin-1") if header is not None else None)


def _taken(scope: Scope) -> tuple[str, dict[bytes, bytes]]:
    """(credential, headers) of a request for this path."""
    return scope["path"][len(_BEFORE) : -len(_AFTER)], dict(scope["headers"])


class TokenRead:
    """The route as a bare ASGI application. Failures rise to whoever calls."""

    def __init__(self, services: Services, *, more_headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._token_reads, self._tokens = services.token_reads, services.tokens
        self._headers = (*_HEADERS, *more_headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one token."""
        token = await self._token(scope, receive, *(scope.get(_TAKEN) or _taken(scope)))
        body = token_octets(token)
        start = [(b"content-length", b"%d" % len(body)), *self._headers]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        await send({"type": "http.response.body", "body": body})

    async def _token(
        self, scope: Scope, receive: Receive, credential_id: str, headers: dict[bytes, bytes]
    ) -> LiveToken:
        key = headers.get(b"authorization", b"")
        try:
            min_ttl = _min_ttl(scope["query_string"])
            consumer = _consumer(headers.get(b"x-tokenkeep-consumer"))
            if len(credential_id) > LONGEST_PART or "\x00" in credential_id:
                raise NotFound
        except (TokenkeepError, RequestProblem):
            await caller(Request(scope, receive))  # who may not ask at all is told only that
            raise
        if key[:7].lower() != b"bearer ":
            who = await caller(Request(scope, receive))
            return await self._tokens.token(who, credential_id, min_ttl=min_ttl, consumer=consumer)
        read = await self._token_reads.read(key[7:].strip(), credential_id, min_ttl=min_ttl, consumer=consumer)
        scope[CALLER_KEY] = read.actor
        return read.live


def token_route(services: Services, *, more_headers: Sequence[tuple[bytes, bytes]] = ()) -> Route:
    """Where the table has the token read, for wrong methods and for whoever walks the table."""
    return Route(TOKEN_PATH, TokenRead(services, more_headers=more_headers), methods=["GET"], name="read_token")


class TokensFirst:
    """Token reads by programs, before the framework tries any route. What is refused is told exactly as elsewhere."""

    template = TOKEN_PATH

    def __init__(self, route: Route) -> None:
        self._route = route
        self.answer = route.app

    def takes(self, scope: Scope) -> bool:
        """With a key and no cookie: nothing in the answer depends on the Host then. The rest goes the usual way."""
        path: str = scope["path"]
        if not (path.endswith(_AFTER) and path.startswith(_BEFORE) and scope["method"] == "GET"):
            return False
        credential_id, headers = taken = _taken(scope)
        if b"authorization" not in headers or b"cookie" in headers or not credential_id or "/" in credential_id:
            return False
        scope[_TAKEN] = taken
        return True

    def refusal(self, scope: Scope, error: Exception) -> Response | None:
        """None: not foreseen."""
        scope["route"] = self._route
        scope["path_params"] = {"credential_id": scope[_TAKEN][0]}
        if isinstance(error, TokenkeepError):
            return failure(Request(scope), error)
        return refused(error) if isinstance(error, RequestProblem) else None
