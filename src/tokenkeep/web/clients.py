"""Clients: the workspace's registrations at providers.

Owns: how a client looks from outside: never with its secret. Does not own: what happens at the provider.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from starlette.responses import Response

from tokenkeep.core.permissions import Scope
from tokenkeep.core.secret import Secret
from tokenkeep.web.bodies import Accepted, answer, instant, nothing
from tokenkeep.web.lists import cut
from tokenkeep.web.operations import Call, Operation
from tokenkeep.web.queries import page_parameters

if TYPE_CHECKING:
    from tokenkeep.services.clients import ClientView

ITEM = "/v1/clients/{provider}"


class ClientRegistration(Accepted):
    """What the provider gave when the client was registered there."""

    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    client_secret: Annotated[str, msgspec.Meta(max_length=10000)] | None = None  # not sent: the stored one stays
    scopes: list[str] | None = None  # empty: the types' own
    variables: dict[str, str] | None = None


class IncidentAnswer(msgspec.Struct):
    """Why the client is paused: the administrator must act."""

    code: str
    since: datetime | None


class ClientAnswer(msgspec.Struct):
    """A client without its secret."""

    provider: str
    client_id: str
    has_secret: bool
    scopes: list[str]
    variables: dict[str, str]
    redirect_uri: str  # to paste at the provider
    incident: IncidentAnswer | None  # null: all is well
    version: int
    updated_at: datetime | None


class ClientPage(msgspec.Struct):
    """One page of clients."""

    items: list[ClientAnswer]
    next_cursor: str | None


def client_answer(view: ClientView) -> ClientAnswer:
    """A client as anybody outside sees it."""
    client = view.client
    incident = IncidentAnswer(code=client.incident_code, since=instant(client.incident_since))
    return ClientAnswer(
        provider=client.provider,
        client_id=client.client_id,
        has_secret=client.secret_sealed is not None,
        scopes=list(client.scopes),
        variables=dict(client.variables),
        redirect_uri=view.redirect_uri,
        incident=incident if client.incident_code else None,
        version=client.version,
        updated_at=instant(client.updated_at),
    )


async def put(call: Call) -> Response:
    """Register, or change the registration."""
    body = call.body
    view = await call.services.clients.put(
        call.caller,
        call.path("provider"),
        client_id=body.client_id,
        client_secret=None if body.client_secret is None else Secret(body.client_secret),
        scopes=body.scopes,
        variables=body.variables,
    )
    return answer(client_answer(view))


async def get(call: Call) -> Response:
    """One client."""
    return answer(client_answer(await call.services.clients.get(call.caller, call.path("provider"))))


async def list_(call: Call) -> Response:
    """All clients of the workspace."""
    found = await call.services.clients.list(call.caller)
    page, next_cursor = cut(found, limit=call.query["limit"], cursor=call.query["cursor"])
    return answer(ClientPage(items=[client_answer(view) for view in page], next_cursor=next_cursor))


async def delete(call: Call) -> Response:
    """Forget a client."""
    await call.services.clients.delete(call.caller, call.path("provider"))
    return nothing()


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/clients",
        name="list_clients",
        tag="clients",
        summary="List clients",
        handler=list_,
        scope=Scope.CREDENTIALS_READ,
        query=page_parameters(),
        answer=ClientPage,
    ),
    Operation(
        method="GET",
        path=ITEM,
        name="get_client",
        tag="clients",
        summary="Read a client",
        description="By provider. Never with its secret.",
        handler=get,
        scope=Scope.CREDENTIALS_READ,
        answer=ClientAnswer,
    ),
    Operation(
        method="PUT",
        path=ITEM,
        name="put_client",
        tag="clients",
        summary="Register a client at a provider",
        description="Answers the `redirect_uri` to paste at the provider. A secret not sent stays as it is.",
        handler=put,
        scope=Scope.ADMIN,
        body=ClientRegistration,
        answer=ClientAnswer,
        problems=("conflict",),
        example={"client_id": "1234.apps.example", "client_secret": "…"},
    ),
    Operation(
        method="DELETE",
        path=ITEM,
        name="delete_client",
        tag="clients",
        summary="Delete a client",
        handler=delete,
        scope=Scope.ADMIN,
        status=204,
        problems=("conflict",),
    ),
)
