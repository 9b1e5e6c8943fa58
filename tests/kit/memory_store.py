"""The store in memory: every store port, with an injected clock and the semantics of `adapters/store`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tests.kit.memory_grants import (
    MemoryCredentials,
    MemoryEvents,
    MemoryGrants,
    MemoryReferences,
    Rows,
)
from tokenkeep.core.errors import Conflict, NotFound
from tokenkeep.core.model import (
    INSTANCE,
    AuthorizationRequest,
    Client,
    ConnectSession,
    Credential,
    DataKey,
    Grant,
    ServiceKey,
    SessionState,
    State,
    User,
    UserSession,
)
from tokenkeep.services.ports import Attention, Clock, StatusCounts


class MemoryDatabase:
    """As `adapters.store.Database`. Names put into `broken` (`grants.claim`, `.store`, …) raise ConnectionError."""

    dialect = "memory"

    def __init__(self, clock: Clock) -> None:
        rows = Rows(clock)
        self.rows = rows
        self.broken = rows.broken
        self.credentials = MemoryCredentials(rows)
        self.grants = MemoryGrants(rows)
        self.references = MemoryReferences(rows)
        self.events = MemoryEvents(rows)
        self.clients = MemoryClients(rows)
        self.service_keys = MemoryServiceKeys(rows)
        self.accounts = MemoryAccounts()
        self.authorizations = MemoryAuthorizations(rows, self.accounts)
        self.data_keys = MemoryDataKeys()
        self.status = MemoryStatus(rows)
        self.reads = MemoryReads(rows)

    async def close(self) -> None:
        pass


class MemoryClients:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._clients: dict[str, Client] = {}

    async def get(self, workspace_id: str, client_id: str) -> Client | None:
        found = self._clients.get(client_id)
        return found if found is not None and found.workspace_id == workspace_id else None

    async def for_provider(self, workspace_id: str, provider: str) -> Client | None:
        return next((each for each in await self.list(workspace_id) if each.provider == provider), None)

    async def by_handle(self, client_id: str) -> Client | None:
        return self._clients.get(client_id)

    async def list(self, workspace_id: str) -> Sequence[Client]:
        found = [client for client in self._clients.values() if client.workspace_id == workspace_id]
        return sorted(found, key=lambda client: client.provider)

    async def put(self, client: Client) -> None:
        same_id = self._clients.get(client.id)
        same_provider = await self.for_provider(client.workspace_id, client.provider)
        if (same_id is not None and same_id.workspace_id != client.workspace_id) or (
            same_provider is not None and same_provider.id != client.id
        ):
            raise Conflict
        self._clients[client.id] = client

    async def pause(self, client: Client, *, code: str, probe_at: datetime) -> bool:
        stored = await self.get(client.workspace_id, client.id)
        if stored is None or stored.version != client.version:
            return False
        since = stored.incident_since or self._rows.clock.now()
        self._clients[client.id] = replace(stored, incident_code=code, incident_since=since, probe_at=probe_at)
        return not stored.incident_code

    async def probe(self, client: Client, *, next_probe_at: datetime) -> bool:
        stored = await self.get(client.workspace_id, client.id)
        if stored is None or not stored.incident_code or stored.probe_at != client.probe_at:
            return False
        self._clients[client.id] = replace(stored, probe_at=next_probe_at)
        return True

    async def resume(self, client: Client) -> bool:
        stored = await self.get(client.workspace_id, client.id)
        if stored is None or not stored.incident_code:
            return False
        self._clients[client.id] = replace(stored, incident_code="", incident_since=None, probe_at=None)
        return True

    async def delete(self, workspace_id: str, provider: str) -> bool:
        found = await self.for_provider(workspace_id, provider)
        return found is not None and self._clients.pop(found.id, None) is not None


class MemoryServiceKeys:
    def __init__(self, rows: Rows) -> None:
        self._keys = rows.service_keys

    async def add(self, key: ServiceKey) -> None:
        assert key.id not in self._keys, "ids are unique"
        self._keys[key.id] = key

    async def get(self, key_id: str) -> ServiceKey | None:
        return self._keys.get(key_id)

    async def list(self, workspace_id: str) -> Sequence[ServiceKey]:
        found = [key for key in self._keys.values() if key.workspace_id == workspace_id]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def revoke(self, workspace_id: str, key_id: str, at: datetime) -> bool:
        key = self._keys.get(key_id)
        if key is None or key.workspace_id != workspace_id or key.revoked_at is not None:
            return False
        self._keys[key_id] = replace(key, revoked_at=at)
        return True

    async def used(self, uses: Mapping[str, datetime]) -> None:
        for key_id, at in uses.items():
            if key_id in self._keys:
                key = self._keys[key_id]
                self._keys[key_id] = replace(key, last_used_at=max(at, key.last_used_at or at))


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


class MemoryDataKeys:
    def __init__(self) -> None:
        self._keys: dict[bytes, DataKey] = {}
        self._check: bytes | None = None

    async def keys(self, workspace_id: str) -> Sequence[DataKey]:
        found = [key for key in self._keys.values() if key.workspace_id == workspace_id]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def add_key(self, key: DataKey) -> DataKey:
        active = next((each for each in await self.keys(key.workspace_id) if each.active), None)
        if active is None:
            self._keys[key.id] = active = key
        return active

    async def reserve(self, key_id: bytes, count: int) -> int:
        if key_id not in self._keys:
            raise NotFound
        key = self._keys[key_id]
        self._keys[key_id] = replace(key, used=key.used + count)
        return key.used + count

    async def any_keys(self) -> bool:
        return bool(self._keys)

    async def check(self) -> bytes | None:
        return self._check

    async def set_check(self, sealed: bytes) -> None:
        self._check = sealed


class MemoryStatus:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def counts(self, workspace_id: str, now: datetime) -> StatusCounts:
        grants = [grant for key, grant in self._rows.grants.items() if key[0] == workspace_id]
        planned = [at for grant in grants if (at := grant.standing.next_refresh_at) is not None]
        overdue = [at for at in planned if at < now - timedelta(minutes=1)]
        by_provider: dict[str, Counter[str]] = {}
        for grant in grants:
            by_provider.setdefault(grant.provider, Counter())[str(grant.standing.state)] += 1
        failures = [grant.standing.failure for grant in grants if grant.standing.failure is not None]
        return StatusCounts(
            by_state=dict(Counter(str(grant.standing.state) for grant in grants)),
            by_provider={provider: dict(states) for provider, states in by_provider.items()},
            without_grant=dict(
                Counter(
                    credential.type
                    for key, credential in self._rows.credentials.items()
                    if key[0] == workspace_id and key not in self._rows.grants
                )
            ),
            due=sum(at <= now + timedelta(minutes=5) for at in planned) - len(overdue),
            overdue=len(overdue),
            oldest_overdue=min(overdue, default=None),
            uncertain=sum(grant.intent_at is not None and self._free(grant) for grant in grants),
            by_failure=dict(Counter(str(failure.kind) for failure in failures)),
        )

    async def attention(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        def since(grant: Grant) -> datetime:
            return grant.standing.failure.since if grant.standing.failure is not None else grant.connected_at

        troubled = [
            (since(grant), key, grant)
            for key, grant in self._rows.grants.items()
            if key[0] == workspace_id
            and (grant.standing.failure is not None or grant.standing.state is not State.CONNECTED)
        ]
        return [self._line(grant) for _, _, grant in sorted(troubled, key=lambda each: each[:2])][:limit]

    async def upcoming(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        planned = [
            (at, key, grant)
            for key, grant in self._rows.grants.items()
            if key[0] == workspace_id
            and grant.standing.state is State.CONNECTED
            and (at := grant.standing.next_refresh_at) is not None
        ]
        return [self._line(grant) for _, _, grant in sorted(planned, key=lambda each: each[:2])][:limit]

    async def ping(self) -> None:
        self._rows.works("status.ping")

    def _free(self, grant: Grant) -> bool:
        return not grant.lease_owner or (grant.lease_until is not None and grant.lease_until <= self._rows.clock.now())

    def _line(self, grant: Grant) -> Attention:
        credential = self._rows.credentials[grant.workspace_id, grant.credential_id]
        return Attention(
            credential_id=credential.id,
            name=credential.name,
            type=credential.type,
            provider=grant.provider,
            standing=grant.standing,
        )


class MemoryReads:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def service_key(self, key_id: str) -> ServiceKey | None:
        return self._rows.service_keys.get(key_id)

    async def credential(self, workspace_id: str, credential_id: str) -> Credential | None:
        return self._rows.whole((workspace_id, credential_id))
