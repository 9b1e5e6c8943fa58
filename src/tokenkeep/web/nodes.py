"""What nodes call: live tokens, authorizations, values.

Owns: the four answers that release secrets. Does not own: when a token is refreshed (`services/tokens`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from tokenkeep.core.errors import NotFound, TokenkeepError
from tokenkeep.core.model import State
from tokenkeep.core.permissions import Scope
from tokenkeep.services.live_token import LiveToken, TokenFacts
from tokenkeep.web.bodies import Accepted, answer, instant
from tokenkeep.web.callers import CALLER_KEY, caller
from tokenkeep.web.headers import PROGRAM_HEADERS
from tokenkeep.web.operations import LONGEST_PART, Call, Operation, consumer_name
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

_TOKEN_HEADERS = ((b"content-type", b"application/json"), *PROGRAM_HEADERS)
_NO_STORE = {"Cache-Control": "no-store"}
_HEADERS = "tokenkeep.headers"
_BEFORE, _AFTER = TOKEN_PATH.split("{credential_id}")
_REMEMBERED = 10_000
_rendered: dict[TokenFacts, bytes] = {}  # by identity: facts are one object as long as they hold
_RELEASE_PROBLEMS = ("not_connected", "reauthorization_required", "client_missing", "undecryptable", "refresh_failing")


class Rejection(Accepted):
    """Which token a provider refused."""

    rejected: Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="Its `fingerprint`.")]


class TokenAnswer(msgspec.Struct):
    """A live access token."""

    access_token: str
    token_type: str
    expires_at: datetime | None  # null: unknown, or it does not end
    scope: str
    fingerprint: str
    state: State


class AuthorizationAnswer(msgspec.Struct):
    """What to put on a request."""

    headers: dict[str, str]
    query: dict[str, str]
    base_url: str  # empty: the type has none
    expires_at: datetime | None  # null: unknown, or it does not end
    fingerprint: str  # empty: not an OAuth credential


class ValuesAnswer(msgspec.Struct):
    """The decrypted fields under their names."""

    type: str
    values: dict[str, Any]


def token_octets(token: LiveToken) -> bytes:
    """The token answer as JSON. By hand and not by Struct: this is the route that everything waits for."""
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


class TokenRead:
    """`GET /v1/credentials/{id}/token` as a bare ASGI application.

    The framework's own matching, wrapping and error handling would cost as much as the work itself. Failures rise to
    whoever calls.
    """

    def __init__(self, services: Services, *, more_headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._keys, self._tokens = services.service_keys, services.tokens
        self._headers = (*_TOKEN_HEADERS, *more_headers)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Answer one token."""
        headers = scope.get(_HEADERS) or dict(scope["headers"])
        key, consumer = headers.get(b"authorization", b""), headers.get(b"x-tokenkeep-consumer")
        if key[:7].lower() == b"bearer ":
            who = await self._keys.authenticate(key[7:].strip().decode("latin-1"))
            scope[CALLER_KEY] = who.actor
        else:
            who = await caller(Request(scope, receive))
        credential_id: str = scope["path_params"]["credential_id"]
        if len(credential_id) > LONGEST_PART or "\x00" in credential_id:
            raise NotFound
        token = await self._tokens.token(
            who,
            credential_id,
            min_ttl=_min_ttl(scope["query_string"]),
            consumer="" if consumer is None else _consumer(consumer),
        )
        body = token_octets(token)
        start = [(b"content-length", b"%d" % len(body)), *self._headers]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        await send({"type": "http.response.body", "body": body})


# The same few nodes ask in the same words again and again; refusals are raised, so they are never kept.
@functools.lru_cache(maxsize=256)
def _min_ttl(query_string: bytes) -> int:
    return int(read_query(query_string, (MIN_TTL,))["min_ttl"])


@functools.lru_cache(maxsize=1024)
def _consumer(header: bytes) -> str:
    return consumer_name(header.decode("latin-1"))


def token_route(services: Services, *, more_headers: Sequence[tuple[bytes, bytes]] = ()) -> Route:
    """Where the table has the token read, for wrong methods and for whoever walks the table."""
    return Route(TOKEN_PATH, TokenRead(services, more_headers=more_headers), methods=["GET"], name="read_token")


class TokensFirst:
    """Token reads by programs, before the framework tries any route. What is refused is told exactly as elsewhere."""

    template = TOKEN_PATH

    def __init__(self, route: Route) -> None:
        self._route = route
        self.answer: ASGIApp = route.app

    def takes(self, scope: Connection) -> bool:
        """With a key and no cookie: nothing in the answer depends on the Host then. The rest goes the usual way."""
        path: str = scope["path"]
        if not (path.endswith(_AFTER) and path.startswith(_BEFORE) and scope["method"] == "GET"):
            return False
        credential_id = path[len(_BEFORE) : -len(_AFTER)]
        headers = dict(scope["headers"])
        if not credential_id or "/" in credential_id or b"authorization" not in headers or b"cookie" in headers:
            return False
        scope[_HEADERS] = headers
        scope["route"] = self._route
        scope["path_params"] = {"credential_id": credential_id}
        return True

    def refusal(self, scope: Connection, error: Exception) -> Response | None:
        """None: not foreseen."""
        if isinstance(error, TokenkeepError):
            return failure(Request(scope), error)
        return refused(error) if isinstance(error, RequestProblem) else None


async def refresh_token(call: Call) -> Response:
    """A token newer than the rejected one."""
    token = await call.services.tokens.refresh(
        call.caller, call.path("credential_id"), rejected=call.body.rejected, consumer=call.consumer
    )
    return Response(token_octets(token), headers=_NO_STORE, media_type="application/json")


async def read_authorization(call: Call) -> Response:
    """Headers and query parameters to put on a request."""
    found = await call.services.tokens.authorization(call.caller, call.path("credential_id"), consumer=call.consumer)
    body = AuthorizationAnswer(
        headers={name: secret.reveal() for name, secret in found.headers.items()},
        query={name: secret.reveal() for name, secret in found.query.items()},
        base_url=found.base_url,
        expires_at=instant(found.expires_at),
        fingerprint=found.fingerprint,
    )
    return answer(body, headers=_NO_STORE)


async def read_values(call: Call) -> Response:
    """The decrypted fields."""
    type_name, values = await call.services.tokens.values(
        call.caller, call.path("credential_id"), consumer=call.consumer
    )
    return answer(ValuesAnswer(type=type_name, values=dict(values)), headers=_NO_STORE)


OPERATIONS = (
    Operation(
        method="GET",
        path=TOKEN_PATH,
        name="read_token",
        tag="nodes",
        summary="Read a live access token",
        description="Answered from memory while it is fresh; otherwise waits for the one refresh.",
        handler=None,
        scope=Scope.TOKENS_READ,
        query=(MIN_TTL,),
        answer=TokenAnswer,
        problems=("not_oauth", *_RELEASE_PROBLEMS),
        consumer=True,
    ),
    Operation(
        method="POST",
        path="/v1/credentials/{credential_id}/token/refresh",
        name="refresh_token",
        tag="nodes",
        summary="Report a rejected token and get a newer one",
        description="Refreshes only if the rejected token is still the current one, once for all who ask.",
        handler=refresh_token,
        scope=Scope.TOKENS_READ,
        body=Rejection,
        answer=TokenAnswer,
        problems=("not_oauth", *_RELEASE_PROBLEMS),
        consumer=True,
        example={"rejected": "q83vEjRWeJA"},
    ),
    Operation(
        method="GET",
        path="/v1/credentials/{credential_id}/authorization",
        name="read_authorization",
        tag="nodes",
        summary="Read what to put on a request",
        description="For every type that authenticates HTTP, OAuth or not.",
        handler=read_authorization,
        scope=Scope.TOKENS_READ,
        answer=AuthorizationAnswer,
        problems=_RELEASE_PROBLEMS,
        consumer=True,
    ),
    Operation(
        method="GET",
        path="/v1/credentials/{credential_id}/values",
        name="read_values",
        tag="nodes",
        summary="Read the decrypted fields",
        description="For every type: connection strings, key pairs, settings of MCP servers.",
        handler=read_values,
        scope=Scope.TOKENS_READ,
        answer=ValuesAnswer,
        problems=_RELEASE_PROBLEMS,
        consumer=True,
    ),
)
