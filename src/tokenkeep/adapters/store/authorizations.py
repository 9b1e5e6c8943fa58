"""Attempts to connect.

Owns: rows of `authorization_requests` and `connect_sessions`, and forgetting what is over. Does not own: whether an
attempt is still good; the use case judges what it took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.tables import authorization_requests as requests
from tokenkeep.adapters.tables import connect_sessions as sessions
from tokenkeep.adapters.tables import orphans, sign_in_links, user_sessions
from tokenkeep.adapters.tables.columns import clock_now
from tokenkeep.core.model import AuthorizationRequest, ConnectSession, SessionState

SESSION_KEPT = timedelta(days=1)
"""How long the outcome of a connect session can be asked for after its end."""

_FIXED = frozenset({"id", "workspace_id", "minted_by", "created_at"})


def _request_of(row: Mapping[Any, Any]) -> AuthorizationRequest:
    return AuthorizationRequest(**{**row, "scopes": tuple(row["scopes"])})


def _session_of(row: Mapping[Any, Any]) -> ConnectSession:
    return ConnectSession(**{**row, "scopes": tuple(row["scopes"]), "state": SessionState(row["state"])})


def _session_row(session: ConnectSession) -> dict[str, Any]:
    row = {column.name: getattr(session, column.name) for column in sessions.c}
    return row | {"scopes": list(session.scopes), "state": str(session.state)}


class Authorizations:
    """The port `AuthorizationStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def add_request(self, request: AuthorizationRequest) -> None:
        """Remember an attempt."""
        row = {column.name: getattr(request, column.name) for column in requests.c} | {"scopes": list(request.scopes)}
        async with self._engines.write() as connection:
            await connection.execute(insert(requests).values(row))

    async def take_request(self, state_digest: str) -> AuthorizationRequest | None:
        """Delete and answer in one statement: of any number of callers one gets it."""
        statement = delete(requests).where(requests.c.state_digest == state_digest).returning(*requests.c)
        async with self._engines.write() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return _request_of(row) if row is not None else None

    async def pending_requests(self, workspace_id: str, user_id: str) -> int:
        """How many are neither taken nor expired."""
        statement = select(func.count()).select_from(requests)
        statement = statement.where(requests.c.workspace_id == workspace_id, requests.c.user_id == user_id)
        async with self._engines.read() as connection:
            found = await connection.execute(statement.where(requests.c.expires_at > clock_now()))
            return found.scalar_one()

    async def add_session(self, session: ConnectSession) -> None:
        """Remember an invitation."""
        async with self._engines.write() as connection:
            await connection.execute(insert(sessions).values(_session_row(session)))

    async def session(self, workspace_id: str, session_id: str) -> ConnectSession | None:
        """By id."""
        return await self._session(sessions.c.workspace_id == workspace_id, sessions.c.id == session_id)

    async def session_by_secret(self, secret_digest: str) -> ConnectSession | None:
        """Across workspaces: the link says which one it belongs to."""
        return await self._session(sessions.c.secret_digest == secret_digest)

    async def _session(self, *conditions: ColumnElement[bool]) -> ConnectSession | None:
        async with self._engines.read() as connection:
            row = (await connection.execute(select(sessions).where(*conditions))).mappings().first()
        return _session_of(row) if row is not None else None

    async def move_session(self, session: ConnectSession, *, from_states: Sequence[SessionState]) -> bool:
        """False: it is gone, or somebody else moved it first."""
        new = {name: value for name, value in _session_row(session).items() if name not in _FIXED}
        statement = update(sessions).where(
            sessions.c.workspace_id == session.workspace_id,
            sessions.c.id == session.id,
            sessions.c.state.in_([str(state) for state in from_states]),
        )
        async with self._engines.write() as connection:
            return (await connection.execute(statement.values(new))).rowcount > 0

    async def purge(self, before: datetime) -> int:
        """How many rows were forgotten: attempts, invitations, links, people's sessions, shelved token sets."""
        over = (
            delete(requests).where(requests.c.expires_at < before),
            delete(sessions).where(sessions.c.expires_at < before - SESSION_KEPT),
            delete(sign_in_links).where(sign_in_links.c.expires_at < before),
            delete(user_sessions).where(user_sessions.c.expires_at < before),
            delete(orphans).where(orphans.c.until < before),
        )
        async with self._engines.write() as connection:
            return sum([(await connection.execute(statement)).rowcount for statement in over])
