"""Connect sessions: links that a program makes and a user opens.

Owns: making, watching and confirming them. Does not own: the pages behind the link (`connect_pages`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import ConnectSession, SessionState
from tokenkeep.core.permissions import Scope
from tokenkeep.web.bodies import Accepted, answer
from tokenkeep.web.operations import Call, Operation

ITEM = "/v1/connect-sessions/{session_id}"
Short = Annotated[str, msgspec.Meta(max_length=200)]
OneScope = Annotated[str, msgspec.Meta(max_length=500)]
Address = Annotated[str, msgspec.Meta(max_length=2000)]


class NewConnectSession(Accepted):
    """What the user shall connect: a new credential of a `type`, or the one in `credential_id` again."""

    type: Short = ""
    name: Short = ""
    credential_id: Short = ""
    scopes: list[OneScope] = msgspec.field(default_factory=list)  # exactly these; empty: what is usual
    more_scopes: list[OneScope] = msgspec.field(
        default_factory=list
    )  # beside what the credential in `credential_id` has
    values: dict[str, Any] | None = None
    return_url: Address = ""  # empty: our own result page
    opener_origin: Short = ""  # empty: the popup tells its opener nothing


class Confirmation(Accepted):
    """The code that came back with the browser."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ConnectLinkAnswer(msgspec.Struct):
    """A fresh connect session. The `url` is told only here."""

    id: str
    url: str  # to open in the user's browser
    expires_at: datetime
    state: SessionState


class SessionProblem(msgspec.Struct):
    """Why it failed."""

    code: str
    detail: str


class ConnectSessionAnswer(msgspec.Struct):
    """Where a connect session stands."""

    id: str
    state: SessionState
    credential_id: str | None  # null: not connected yet
    type: str
    name: str
    expires_at: datetime
    problem: SessionProblem | None  # null: nothing went wrong


def session_answer(session: ConnectSession) -> ConnectSessionAnswer:
    """A connect session as its maker sees it."""
    problem = SessionProblem(code=session.problem_code, detail=session.problem_detail)
    return ConnectSessionAnswer(
        id=session.id,
        state=session.state,
        credential_id=session.credential_id or None,
        type=session.type,
        name=session.name,
        expires_at=session.expires_at.replace(microsecond=0),
        problem=problem if session.problem_code else None,
    )


async def create(call: Call) -> Response:
    """Make a connect link."""
    body = call.body
    if not body.type and not body.credential_id:
        why = "is needed unless `credential_id` is given"
        raise InvalidInput(f"The field `type` {why}.", fields={"type": why})
    session, url = await call.services.connect_sessions.create(
        call.caller,
        type=body.type,
        name=body.name,
        credential_id=body.credential_id,
        scopes=body.scopes,
        more_scopes=body.more_scopes,
        values=body.values,
        return_url=body.return_url,
        opener_origin=body.opener_origin,
    )
    made = ConnectLinkAnswer(
        id=session.id, url=url, expires_at=session.expires_at.replace(microsecond=0), state=session.state
    )
    return answer(made, status=201, headers={"Location": f"/v1/connect-sessions/{session.id}"})


async def get(call: Call) -> Response:
    """Where it stands."""
    session = await call.services.connect_sessions.get(call.caller, call.path("session_id"))
    return answer(session_answer(session))


async def confirm(call: Call) -> Response:
    """Second step of links minted by a program."""
    session = await call.services.connect.confirm(call.caller, call.path("session_id"), call.body.code)
    return answer(session_answer(session))


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/connect-sessions",
        name="create_connect_session",
        tag="connect",
        summary="Make a connect link",
        description=(
            "Open `url` in the user's browser. It works once and for a while. With `credential_id` it reconnects that"
            " credential: `more_scopes` are then asked for beside what it has, `scopes` in place of it."
        ),
        handler=create,
        scope=Scope.CONNECT,
        body=NewConnectSession,
        answer=ConnectLinkAnswer,
        status=201,
        problems=("unknown_type", "not_found", "not_oauth", "client_missing", "throttled"),
        example={"type": "gmailOAuth2", "name": "Ada's mail", "return_url": "https://app.example/connected"},
    ),
    Operation(
        method="GET",
        path=ITEM,
        name="get_connect_session",
        tag="connect",
        summary="Read a connect session",
        handler=get,
        scope=Scope.CONNECT,
        answer=ConnectSessionAnswer,
    ),
    Operation(
        method="POST",
        path=f"{ITEM}/confirm",
        name="confirm_connect_session",
        tag="connect",
        summary="Confirm a connection",
        description="The program's backend confirms that the browser that came back is its own user's.",
        handler=confirm,
        scope=Scope.CONNECT,
        body=Confirmation,
        answer=ConnectSessionAnswer,
        problems=("session_spent", "conflict", "connect_failed"),
        example={"code": "7Q2M-K4XD"},
    ),
)
