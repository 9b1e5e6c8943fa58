"""People, their workspaces, sessions and sign-in links.

Owns: rows of `workspaces`, `users`, `members`, `user_sessions` and `sign_in_links`. Does not own: passwords' hashing
and what a role may do (`core/permissions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.tables import members, sign_in_links, user_sessions, users, workspaces
from tokenkeep.core.errors import Conflict, NotFound
from tokenkeep.core.model import INSTANCE, User, UserSession

_USER = (users.c.id, users.c.email, users.c.name, users.c.password_hash, users.c.created_at)
_SESSIONS: Select[Any] = select(user_sessions, members.c.role, users.c.name.label("user_name")).select_from(
    user_sessions.join(users, users.c.id == user_sessions.c.user_id).join(
        members,
        and_(members.c.user_id == user_sessions.c.user_id, members.c.workspace_id == user_sessions.c.workspace_id),
    )
)
"""The role is the member's of today, not of the day of signing in; who is no member any more has no session."""


def _user_of(row: Mapping[Any, Any]) -> User:
    return User(**row)


def _session_of(row: Mapping[Any, Any]) -> UserSession:
    return UserSession(**row)


class Accounts:
    """The port `AccountStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def workspaces(self) -> Sequence[tuple[str, str]]:
        """(id, name), oldest first."""
        statement = select(workspaces).where(workspaces.c.id != INSTANCE)
        statement = statement.order_by(workspaces.c.created_at, workspaces.c.id)
        async with self._engines.read() as connection:
            return [(row.id, row.name) for row in await connection.execute(statement)]

    async def add_workspace(self, workspace_id: str, name: str, at: datetime) -> None:
        """Nothing happens when it is there: two processes may start at once."""
        row = {"id": workspace_id, "name": name, "created_at": at}
        async with self._engines.write() as connection:
            await connection.execute(self._engines.upsert(workspaces).values(row).on_conflict_do_nothing())

    async def add_user(self, user: User, *, workspace_id: str, role: str) -> None:
        """With their membership. Raises Conflict when the e-mail address is taken, NotFound without the workspace."""
        row = {column.name: getattr(user, column.name) for column in _USER} | {"email_key": user.email.casefold()}
        member = {"workspace_id": workspace_id, "user_id": user.id, "role": role, "created_at": user.created_at}
        try:
            async with self._engines.write() as connection:
                known = await connection.execute(select(workspaces.c.id).where(workspaces.c.id == workspace_id))
                if known.first() is None:
                    raise NotFound
                await connection.execute(insert(users).values(row))
                await connection.execute(insert(members).values(member))
        except IntegrityError:
            raise Conflict("This e-mail address is taken.") from None

    async def user_by_email(self, email: str) -> User | None:
        """Without regard to case."""
        return await self._user(select(*_USER).where(users.c.email_key == email.casefold()))

    async def first_admin(self) -> User | None:
        """The oldest user who is owner or admin somewhere."""
        statement = select(*_USER).join(members, members.c.user_id == users.c.id)
        statement = statement.where(members.c.role.in_(["owner", "admin"]))
        return await self._user(statement.order_by(users.c.created_at, users.c.id).limit(1))

    async def _user(self, statement: Select[Any]) -> User | None:
        async with self._engines.read() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return _user_of(row) if row is not None else None

    async def set_password(self, user_id: str, password_hash: str) -> None:
        """Nothing happens for an unknown user."""
        async with self._engines.write() as connection:
            await connection.execute(update(users).where(users.c.id == user_id).values(password_hash=password_hash))

    async def membership(self, user_id: str) -> tuple[str, str] | None:
        """(workspace, role) of the oldest membership."""
        statement = select(members.c.workspace_id, members.c.role).where(members.c.user_id == user_id)
        statement = statement.order_by(members.c.created_at, members.c.workspace_id).limit(1)
        async with self._engines.read() as connection:
            row = (await connection.execute(statement)).first()
        return (row.workspace_id, row.role) if row is not None else None

    async def add_session(self, session: UserSession) -> None:
        """Remember a signed-in browser; name and role are read from the account."""
        row = {column.name: getattr(session, column.name) for column in user_sessions.c}
        async with self._engines.write() as connection:
            await connection.execute(insert(user_sessions).values(row))

    async def session(self, digest: str) -> UserSession | None:
        """None: unknown, ended, or of somebody who is no member any more."""
        found = await self._sessions(user_sessions.c.digest == digest)
        return found[0] if found else None

    async def sessions(self, user_id: str) -> Sequence[UserSession]:
        """Newest first."""
        return await self._sessions(user_sessions.c.user_id == user_id)

    async def _sessions(self, condition: ColumnElement[bool]) -> Sequence[UserSession]:
        newest_first = (user_sessions.c.created_at.desc(), user_sessions.c.digest)
        async with self._engines.read() as connection:
            rows = await connection.execute(_SESSIONS.where(condition).order_by(*newest_first))
            return [_session_of(row) for row in rows.mappings()]

    async def touch_session(self, digest: str, seen_at: datetime) -> None:
        """Remember when it was last seen."""
        async with self._engines.write() as connection:
            await connection.execute(
                update(user_sessions).where(user_sessions.c.digest == digest).values(seen_at=seen_at)
            )

    async def end_session(self, digest: str) -> bool:
        """False: it was not there."""
        async with self._engines.write() as connection:
            ended = await connection.execute(delete(user_sessions).where(user_sessions.c.digest == digest))
            return ended.rowcount > 0

    async def end_sessions(self, user_id: str) -> int:
        """How many ended."""
        async with self._engines.write() as connection:
            ended = await connection.execute(delete(user_sessions).where(user_sessions.c.user_id == user_id))
            return ended.rowcount

    async def add_link(self, digest: str, *, expires_at: datetime) -> None:
        """Remember a one-time sign-in link."""
        async with self._engines.write() as connection:
            await connection.execute(insert(sign_in_links).values(digest=digest, expires_at=expires_at))

    async def link_expiry(self, digest: str) -> datetime | None:
        """Looks without consuming."""
        statement = select(sign_in_links.c.expires_at).where(sign_in_links.c.digest == digest)
        async with self._engines.read() as connection:
            return (await connection.execute(statement)).scalar()

    async def take_link(self, digest: str) -> datetime | None:
        """Delete and answer in one statement."""
        statement = delete(sign_in_links).where(sign_in_links.c.digest == digest)
        async with self._engines.write() as connection:
            return (await connection.execute(statement.returning(sign_in_links.c.expires_at))).scalar()
