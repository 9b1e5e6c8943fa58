"""Credentials: create, list, read, edit, delete, test, disconnect.

Owns: what can be done with one. Does not own: how it looks (`credential_answers`), its history and references
(`credential_history`), its secrets (`nodes`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import State
from tokenkeep.core.permissions import Scope
from tokenkeep.services.fitting import fitting
from tokenkeep.services.ports import CredentialFilter
from tokenkeep.web.bodies import Accepted, answer
from tokenkeep.web.credential_answers import (
    CredentialAnswer,
    CredentialPage,
    DisconnectAnswer,
    RemovalAnswer,
    VerdictAnswer,
    account_answer,
    credential_answer,
    parts,
)
from tokenkeep.web.operations import Call, Operation
from tokenkeep.web.queries import Query, page_parameters

ITEM = "/v1/credentials/{credential_id}"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class NewCredential(Accepted):
    """A credential to keep."""

    type: Name
    name: Name
    values: dict[str, Any] = msgspec.field(default_factory=dict)


class CredentialChange(Accepted):
    """What to change. Fields not sent stay; a mask sent back means unchanged."""

    name: Name | None = None
    values: dict[str, Any] | None = None


def etag(version: int) -> dict[str, str]:
    """The version as an entity tag."""
    return {"ETag": f'"{version}"'}


def expected_version(if_match: str | None) -> int | None:
    """The version that If-Match demands; None: any. A tag that was never ours demands -1, which none has.

    Raises InvalidInput for what is not one entity tag.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tag = re.fullmatch(r'\s*(W/)?"([\x21\x23-\x7e]*)"\s*', if_match)
    if tag is None:
        raise InvalidInput("`If-Match` must be `*` or one entity tag.", fields={"If-Match": "must be one entity tag"})
    # A weak tag never matches here (RFC 9110 section 13.1.1).
    return int(tag[2]) if re.fullmatch(r"[0-9]{1,9}", tag[2]) and not tag[1] else -1


async def create(call: Call) -> Response:
    """Keep a new credential."""
    view = await call.services.credentials.create(
        call.caller, type=call.body.type, name=call.body.name, values=call.body.values
    )
    location = {"Location": f"/v1/credentials/{view.credential.id}"}
    return answer(credential_answer(view), status=201, headers={**etag(view.credential.version), **location})


async def list_(call: Call) -> Response:
    """Credentials by name."""
    wanted = CredentialFilter(
        types=call.query["type"],
        state=call.query["state"],
        query=call.query["q"],
        limit=call.query["limit"],
        cursor=call.query["cursor"],
    )
    page = await call.services.credentials.list(call.caller, wanted)
    asked = fitting(call.services.catalog, wanted.types)
    body = CredentialPage(
        items=[credential_answer(view) for view in page.items],
        next_cursor=page.next_cursor or None,
        fits=list(asked.types),
        unknown_types=list(asked.unknown) if asked.types else [],
    )
    return answer(body)


async def get(call: Call) -> Response:
    """One credential."""
    view = await call.services.credentials.get(call.caller, call.path("credential_id"))
    return answer(credential_answer(view), headers=etag(view.credential.version))


async def edit(call: Call) -> Response:
    """Change name or values."""
    view = await call.services.credentials.edit(
        call.caller,
        call.path("credential_id"),
        name=call.body.name,
        values=call.body.values,
        expected_version=expected_version(call.request.headers.get("if-match")),
    )
    return answer(credential_answer(view), headers=etag(view.credential.version))


async def delete(call: Call) -> Response:
    """Delete, revoking at the provider where it can."""
    removal = await call.services.credentials.delete(call.caller, call.path("credential_id"), force=call.query["force"])
    return answer(RemovalAnswer(deleted=True, revoked=removal.revoked, detail=removal.detail))


async def disconnect(call: Call) -> Response:
    """Revoke and forget the grant."""
    view, removal = await call.services.credentials.disconnect(call.caller, call.path("credential_id"))
    return answer(DisconnectAnswer(**parts(view), revoked=removal.revoked, detail=removal.detail))


async def test(call: Call) -> Response:
    """One cheap call that proves the credential works."""
    verdict = await call.services.verification.test(call.caller, call.path("credential_id"))
    return answer(
        VerdictAnswer(
            ok=verdict.ok,
            account=account_answer(verdict.account),
            checked_at=verdict.checked_at.replace(microsecond=0),
            problem=verdict.problem,
            detail=verdict.detail,
        )
    )


_FILTERS = (
    Query(
        name="type",
        description="A credential type; may be repeated. Of several, those unknown here are passed over.",
        repeated=True,
    ),
    Query(name="state", description="Only those in this state.", choices=tuple(State)),
    Query(name="q", description="A part of the name, in any case."),
    *page_parameters(),
)
_FORCE = Query(name="force", description="Delete although something uses it.", kind="flag", default=False)

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/credentials",
        name="create_credential",
        tag="credentials",
        summary="Create a credential",
        description="One of an OAuth type starts `unconnected`.",
        handler=create,
        scope=Scope.CREDENTIALS_WRITE,
        body=NewCredential,
        answer=CredentialAnswer,
        status=201,
        problems=("unknown_type",),
        etag=True,
        example={"type": "openaiApi", "name": "OpenAI, research", "values": {"openAIApiKey": "sk-…"}},
    ),
    Operation(
        method="GET",
        path="/v1/credentials",
        name="list_credentials",
        tag="credentials",
        summary="List credentials",
        description="By name. `account` is null in lists. A node that can work with several types asks for all of them.",
        handler=list_,
        scope=Scope.CREDENTIALS_READ,
        query=_FILTERS,
        answer=CredentialPage,
        problems=("unknown_type",),
    ),
    Operation(
        method="GET",
        path=ITEM,
        name="get_credential",
        tag="credentials",
        summary="Read a credential",
        description="Metadata and masked values, never a secret.",
        handler=get,
        scope=Scope.CREDENTIALS_READ,
        answer=CredentialAnswer,
        etag=True,
    ),
    Operation(
        method="PATCH",
        path=ITEM,
        name="edit_credential",
        tag="credentials",
        summary="Edit a credential",
        description="Fields not sent stay; a mask sent back means unchanged. `If-Match` guards lost updates.",
        handler=edit,
        scope=Scope.CREDENTIALS_WRITE,
        body=CredentialChange,
        answer=CredentialAnswer,
        problems=("conflict", "version_mismatch", "undecryptable"),
        if_match=True,
        etag=True,
        example={"name": "OpenAI, production"},
    ),
    Operation(
        method="DELETE",
        path=ITEM,
        name="delete_credential",
        tag="credentials",
        summary="Delete a credential",
        description="Revokes at the provider where it can, and says whether it did.",
        handler=delete,
        scope=Scope.CREDENTIALS_WRITE,
        query=(_FORCE,),
        answer=RemovalAnswer,
        problems=("in_use",),
    ),
    Operation(
        method="POST",
        path=f"{ITEM}/test",
        name="test_credential",
        tag="credentials",
        summary="Test a credential",
        description=(
            "One cheap call, or at a database one sign-in, proves that the credential works. "
            "What it finds is an answer, not a problem."
        ),
        handler=test,
        scope=Scope.CREDENTIALS_READ,
        answer=VerdictAnswer,
        problems=(
            "not_testable",
            "not_connected",
            "reauthorization_required",
            "client_missing",
            "undecryptable",
            "refresh_failing",
            "throttled",
        ),
    ),
    Operation(
        method="POST",
        path=f"{ITEM}/disconnect",
        name="disconnect_credential",
        tag="credentials",
        summary="Disconnect a credential",
        description="Revokes and forgets the grant, keeps the credential.",
        handler=disconnect,
        scope=Scope.CREDENTIALS_WRITE,
        answer=DisconnectAnswer,
        problems=("not_oauth", "not_connected"),
    ),
)
