"""Service keys: what programs show.

Owns: making, listing and revoking keys over the API. Does not own: checking them (`callers`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from starlette.responses import Response

from tokenkeep.core.model import ServiceKey
from tokenkeep.core.permissions import Scope
from tokenkeep.web.bodies import Accepted, answer, instant, nothing
from tokenkeep.web.lists import cut
from tokenkeep.web.operations import Call, Operation
from tokenkeep.web.queries import page_parameters

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]


class NewServiceKey(Accepted):
    """A key to make."""

    name: Id
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1)]
    credential_ids: list[Id] | None = None  # null: all of the workspace
    expires_at: AwareTime | None = None  # null: never


class ServiceKeyAnswer(msgspec.Struct):
    """A key without its secret."""

    id: str
    name: str
    scopes: list[str]
    credential_ids: list[str] | None  # null: all of the workspace
    created_at: datetime
    expires_at: datetime | None  # null: never
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewServiceKeyAnswer(ServiceKeyAnswer, kw_only=True):
    """A fresh key. `key` is told only here."""

    key: str


class ServiceKeyPage(msgspec.Struct):
    """One page of keys."""

    items: list[ServiceKeyAnswer]
    next_cursor: str | None


def key_answer(key: ServiceKey) -> ServiceKeyAnswer:
    """A key as anybody outside sees it."""
    return ServiceKeyAnswer(
        id=key.id,
        name=key.name,
        scopes=sorted(key.scopes),
        credential_ids=None if key.credential_ids is None else sorted(key.credential_ids),
        created_at=key.created_at.replace(microsecond=0),
        expires_at=instant(key.expires_at),
        last_used_at=instant(key.last_used_at),
        revoked_at=instant(key.revoked_at),
    )


async def create(call: Call) -> Response:
    """Make a key and show it, once."""
    body = call.body
    key, secret = await call.services.service_keys.create(
        call.caller,
        name=body.name,
        scopes=body.scopes,
        credential_ids=body.credential_ids,
        expires_at=body.expires_at,
    )
    shown = NewServiceKeyAnswer(**msgspec.structs.asdict(key_answer(key)), key=secret.reveal())
    return answer(shown, status=201, headers={"Cache-Control": "no-store"})


async def list_(call: Call) -> Response:
    """All keys of the workspace."""
    found = await call.services.service_keys.list(call.caller)
    page, next_cursor = cut(found, limit=call.query["limit"], cursor=call.query["cursor"])
    return answer(ServiceKeyPage(items=[key_answer(key) for key in page], next_cursor=next_cursor))


async def revoke(call: Call) -> Response:
    """End a key at once."""
    await call.services.service_keys.revoke(call.caller, call.path("key_id"))
    return nothing()


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/service-keys",
        name="create_service_key",
        tag="service keys",
        summary="Make a service key",
        description="The key is shown here, once, and stored as a digest.",
        handler=create,
        scope=Scope.ADMIN,
        body=NewServiceKey,
        answer=NewServiceKeyAnswer,
        status=201,
        example={"name": "flows", "scopes": ["tokens:read"]},
    ),
    Operation(
        method="GET",
        path="/v1/service-keys",
        name="list_service_keys",
        tag="service keys",
        summary="List service keys",
        handler=list_,
        scope=Scope.ADMIN,
        query=page_parameters(),
        answer=ServiceKeyPage,
    ),
    Operation(
        method="DELETE",
        path="/v1/service-keys/{key_id}",
        name="revoke_service_key",
        tag="service keys",
        summary="Revoke a service key",
        description="It stops working at once.",
        handler=revoke,
        scope=Scope.ADMIN,
        status=204,
    ),
)
