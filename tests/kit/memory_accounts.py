"""People and attempts to connect in memory, with the semantics of `adapters/store`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tests.kit.memory_grants import Rows
from tokenkeep.core.errors import Conflict, NotFound
from tokenkeep.core.model import INSTANCE, AuthorizationRequest, ConnectSession, SessionState, User, UserSession


@dataclass(frozen=True)
class _Member:
    workspace_id: str
    role: str


class MemoryAccounts:
    def __init__(self) -> None:
        self._workspaces: dict[str, tuple[str, datetime]] = {}
        self._users: dict[str, User] = {}
        self._members: dict[str, _Member] = {}
        self.user_sessions: dict[str, UserSession] = {}
        self.links: dict[str, datetime] = {}

    async def workspaces(self) -> Sequence[tuple[str, str]]:
        oldest_first = sorted(self._workspaces.items(), key=lambda each: (each[1][1], each[0]))
        return [(workspace_id, name) for workspace_id, (name, _) in oldest_first if workspace_id != INSTANCE]

    async def add_workspace(self, workspace_id: str, name: str, at: datetime) -> None:
        self._workspaces.setdefault(workspace_id, (name, at))

    async def add_user(self, user: User, *, workspace_id: str, role: str) -> None:
        if workspace_id not in self._workspaces:
            raise NotFound
        if await self.user_by_email(user.email) is not None:
            raise Conflict
        self._users[user.id] = user
        self._members[user.id] = _Member(workspace_id, role)

    async def user_by_email(self, email: str) -> User | None:
        return next((user for user in self._users.values() if user.email.casefold() == email.casefold()), None)

    async def first_admin(self) -> User | None:
        admins = [user for user in self._users.values() if self._members[user.id].role in ("owner", "admin")]
        return min(admins, key=lambda user: (user.created_at, user.id), default=None)

    async def set_password(self, user_id: str, password_hash: str) -> None:
        if user_id in self._users:
            self._users[user_id] = replace(self._users[user_id], password_hash=password_hash)

    async def membership(self, user_id: str) -> tuple[str, str] | None:
        member = self._members.get(user_id)
        return (member.workspace_id, member.role) if member is not None else None

    async def add_session(self, session: UserSession) -> None:
        assert session.user_id in self._users, "only a user has a session"
        self.user_sessions[session.digest] = session

    async def session(self, digest: str) -> UserSession | None:
        session = self.user_sessions.get(digest)
        member = self._members.get(session.user_id) if session is not None else None
        if session is None or member is None or member.workspace_id != session.workspace_id:
            return None
        return replace(session, role=member.role, user_name=self._users[session.user_id].name)

    async def sessions(self, user_id: str) -> Sequence[UserSession]:
        digests = [session.digest for session in self.user_sessions.values() if session.user_id == user_id]
        found = [session for digest in sorted(digests) if (session := await self.session(digest)) is not None]
        return sorted(found, key=lambda session: session.created_at, reverse=True)

    async def touch_session(self, digest: str, seen_at: datetime) -> None:
        if digest in self.user_sessions:
            self.user_sessions[digest] = replace(self.user_sessions[digest], seen_at=seen_at)

    async def end_session(self, digest: str) -> bool:
        return self.user_sessions.pop(digest, None) is not None

    async def end_sessions(self, user_id: str) -> int:
        ended = [digest for digest, session in self.user_sessions.items() if session.user_id == user_id]
        return sum([await self.end_session(digest) for digest in ended])

    async def add_link(self, digest: str, *, expires_at: datetime) -> None:
        self.links[digest] = expires_at

    async def link_expiry(self, digest: str) -> datetime | None:
        return self.links.get(digest)

    async def take_link(self, digest: str) -> datetime | None:
        return self.links.pop(digest, None)


class MemoryAuthorizations:
    def __init__(self, rows: Rows, accounts: MemoryAccounts) -> None:
        self._rows = rows
        self._accounts = accounts
        self._requests: dict[str, AuthorizationRequest] = {}
        self._sessions: dict[str, ConnectSession] = {}

    async def add_request(self, request: AuthorizationRequest) -> None:
        assert request.state_digest not in self._requests, "states are unique"
        self._requests[request.state_digest] = request

    async def take_request(self, state_digest: str) -> AuthorizationRequest | None:
        return self._requests.pop(state_digest, None)

    async def pending_requests(self, workspace_id: str, user_id: str) -> int:
        now = self._rows.clock.now()
        return sum(
            (request.workspace_id, request.user_id) == (workspace_id, user_id) and request.expires_at > now
            for request in self._requests.values()
        )

    async def add_session(self, session: ConnectSession) -> None:
        self._sessions[session.id] = session

    async def session(self, workspace_id: str, session_id: str) -> ConnectSession | None:
        found = self._sessions.get(session_id)
        return found if found is not None and found.workspace_id == workspace_id else None

    async def session_by_secret(self, secret_digest: str) -> ConnectSession | None:
        return next((each for each in self._sessions.values() if each.secret_digest == secret_digest), None)

    async def move_session(self, session: ConnectSession, *, from_states: Sequence[SessionState]) -> bool:
        stored = await self.session(session.workspace_id, session.id)
        if stored is None or stored.state not in from_states:
            return False
        self._sessions[session.id] = replace(session, minted_by=stored.minted_by, created_at=stored.created_at)
        return True

    async def purge(self, before: datetime) -> int:
        day_before = before - timedelta(days=1)
        people, links, orphans = self._accounts.user_sessions, self._accounts.links, self._rows.orphans
        return (
            _forget(self._requests, [key for key, each in self._requests.items() if each.expires_at < before])
            + _forget(self._sessions, [key for key, each in self._sessions.items() if each.expires_at < day_before])
            + _forget(people, [key for key, each in people.items() if each.expires_at < before])
            + _forget(links, [key for key, expires_at in links.items() if expires_at < before])
            + _forget(orphans, [key for key, (_, until) in orphans.items() if until < before])
        )


def _forget(table: dict[Any, Any], keys: Sequence[Any]) -> int:
    for key in keys:
        del table[key]
    return len(keys)
