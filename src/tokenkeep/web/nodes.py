"""What nodes call: live tokens, authorizations, values.

Owns: the four answers that release secrets. Does not own: when a token is refreshed (`services/tokens`).
"""

from __future__ import annotations

import functools
from datetime import datetime
from typing import Annotated, Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.model import State
from tokenkeep.core.permissions import Scope
from tokenkeep.services.tokens import LiveToken
from tokenkeep.web.bodies import Accepted, answer, instant
from tokenkeep.web.callers import CALLER_KEY, caller
from tokenkeep.web.headers import PROGRAM_HEADERS
from tokenkeep.web.operations import Call, Operation, consumer_name, refuse_strange_parts
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
    expires_at = token.expires_at
    return orjson.dumps(
        {
            "access_token": token.access_token.reveal(),
            "token_type": token.token_type,
            "expires_at": expires_at,
            "scope": " ".join(token.scope),
            "fingerprint": token.fingerprint,
            "state": token.state,
        },
        option=orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS,
    )


class TokenRead:
    """`GET /v1/credentials/{id}/token` as a bare ASGI application.

    The framework's own request, response and error wrapping would cost as much as the work itself. Failures still
    rise to the application's exception handlers.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Answer one token."""
        key = consumer = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                key = value.decode("latin-1")
            elif name == b"x-tokenkeep-consumer":
                consumer = value
        if key is not None and key[:7].lower() == "bearer ":
            who = await self._services.service_keys.authenticate(key[7:].strip())
            scope[CALLER_KEY] = who.actor
        else:
            who = await caller(Request(scope, receive))
        refuse_strange_parts(scope["path_params"])
        token = await self._services.tokens.token(
            who,
            scope["path_params"]["credential_id"],
            min_ttl=_min_ttl(scope["query_string"]),
            consumer="" if consumer is None else _consumer(consumer),
        )
        body = token_octets(token)
        await send({"type": "http.response.start", "status": 200, "headers": _token_headers(len(body))})
        await send({"type": "http.response.body", "body": body})


# The same few nodes ask in the same words again and again; refusals are raised, so they are never kept.
@functools.lru_cache(maxsize=256)
def _min_ttl(query_string: bytes) -> int:
    return int(read_query(query_string, (MIN_TTL,))["min_ttl"])


@functools.lru_cache(maxsize=1024)
def _consumer(header: bytes) -> str:
    return consumer_name(header.decode("latin-1"))


def _token_headers(length: int) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", b"%d" % length), *_TOKEN_HEADERS]


def token_route(services: Services) -> Route:
    """Where the table has the token read, for wrong methods and for whoever walks the table."""
    return Route(TOKEN_PATH, TokenRead(services), methods=["GET"], name="read_token")


class TokensFirst:
    """Answers token reads before the framework tries any route; everything else passes on.

    Matching, wrapping and error handling of the framework take a fifth of the time of such a read. What is refused
    is told exactly as elsewhere.
    """

    def __init__(self, app: ASGIApp, *, route: Route) -> None:
        self._app = app
        self._route = route
        self._before, self._after = TOKEN_PATH.split("{credential_id}")

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Serve one request."""
        credential_id = self._asked_for(scope)
        if not credential_id:
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        scope["path_params"] = {"credential_id": credential_id}
        try:
            await self._route.app(scope, receive, send)
        except TokenkeepError as error:
            await failure(Request(scope), error)(scope, receive, send)
        except RequestProblem as refusal:
            await refused(refusal)(scope, receive, send)

    def _asked_for(self, scope: Connection) -> str:
        """The credential whose token is asked for; empty for any other request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return ""
        path: str = scope["path"]
        if not (path.startswith(self._before) and path.endswith(self._after)):
            return ""
        credential_id = path[len(self._before) : -len(self._after)]
        return "" if "/" in credential_id else credential_id


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
