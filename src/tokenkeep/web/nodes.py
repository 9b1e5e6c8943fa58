"""What nodes call: live tokens, authorizations, values.

Owns: the answers that release secrets. Does not own: serving the token read itself (`token_read`), when a token is
refreshed (`services/tokens`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from tokenkeep.core.model import State
from tokenkeep.core.permissions import Scope
from tokenkeep.core.secret import Secret
from tokenkeep.web.bodies import Accepted, answer, instant
from tokenkeep.web.operations import Call, Operation
from tokenkeep.web.token_read import MIN_TTL, TOKEN_PATH, token_octets

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


class AuthorizationAnswer(msgspec.Struct, omit_defaults=True):
    """What to put on a request. `body` and `secret_in_url` are there only for types that need them."""

    headers: dict[str, str]
    query: dict[str, str]
    base_url: str  # empty: the type has none
    expires_at: datetime | None  # null: unknown, or it does not end
    fingerprint: str  # empty: not an OAuth credential
    body: dict[str, str] = msgspec.field(default_factory=dict)  # JSON members or form fields
    secret_in_url: bool = False  # true: the address holds a secret, in `base_url` or `query`; keep it out of logs


class ValuesAnswer(msgspec.Struct):
    """The decrypted fields under their names."""

    type: str
    values: dict[str, Any]


async def refresh_token(call: Call) -> Response:
    """A token newer than the rejected one."""
    token = await call.services.tokens.refresh(
        call.caller, call.path("credential_id"), rejected=call.body.rejected, consumer=call.consumer
    )
    return Response(token_octets(token), headers=_NO_STORE, media_type="application/json")


async def read_authorization(call: Call) -> Response:
    """What to put on a request: headers, query, body, and the address where it carries the credential."""
    found = await call.services.tokens.authorization(call.caller, call.path("credential_id"), consumer=call.consumer)
    body = AuthorizationAnswer(
        headers=_revealed(found.headers),
        query=_revealed(found.query),
        base_url=found.base_url.reveal(),
        expires_at=instant(found.expires_at),
        fingerprint=found.fingerprint,
        body=_revealed(found.body),
        secret_in_url=found.secret_in_url,
    )
    return answer(body, headers=_NO_STORE)


def _revealed(parts: Mapping[str, Secret]) -> dict[str, str]:
    return {name: secret.reveal() for name, secret in parts.items()}


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
        description=(
            "For every type that authenticates HTTP, OAuth or not: headers, query parameters, where the type needs it "
            "`body`, and `base_url`. With `secret_in_url` the address itself is a secret."
        ),
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
