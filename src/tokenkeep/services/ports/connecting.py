"""Stores of clients, attempts to connect and data keys.

Owns: what a connection needs. Does not own: what comes of it (`keeping`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from tokenkeep.core.model import AuthorizationRequest, Client, ConnectSession, DataKey, Event, SessionState


class ClientStore(Protocol):
    """Registrations at providers; one per workspace and provider."""

    async def get(self, workspace_id: str, client_id: str) -> Client | None:
        """By our handle."""

    async def for_provider(self, workspace_id: str, provider: str) -> Client | None: ...

    async def by_handle(self, client_id: str) -> Client | None:
        """Across workspaces: only the callback route, which then compares with the authorization request."""

    async def list(self, workspace_id: str) -> Sequence[Client]: ...

    async def put(self, client: Client, event: Event | None = None) -> None:
        """Insert, or replace the one with the same id. Clears an incident unless `client` carries one; the event tells
        it."""

    async def pause(self, client: Client, *, code: str, probe_at: datetime, event: Event | None = None) -> bool:
        """Begin or prolong an incident. True: it began now (alert once), and the event is written with it."""

    async def probe(self, client: Client, *, next_probe_at: datetime) -> bool:
        """Take the one try that is allowed while paused. False: somebody else took it."""

    async def resume(self, client: Client, event: Event | None = None) -> bool:
        """End an incident. True: there was one, and the event is written with its end."""

    async def delete(self, workspace_id: str, provider: str) -> bool: ...


class AuthorizationStore(Protocol):
    """Attempts to connect, and the sessions that invite to them."""

    async def add_request(self, request: AuthorizationRequest) -> None: ...

    async def take_request(self, state_digest: str) -> AuthorizationRequest | None:
        """DELETE … RETURNING: whoever gets it is the only one who ever does (T22). Also answers expired ones."""

    async def pending_requests(self, workspace_id: str, user_id: str) -> int:
        """How many are open (T72)."""

    async def add_session(self, session: ConnectSession) -> None: ...

    async def session(self, workspace_id: str, session_id: str) -> ConnectSession | None: ...

    async def session_by_secret(self, secret_digest: str) -> ConnectSession | None: ...

    async def move_session(self, session: ConnectSession, *, from_states: Sequence[SessionState]) -> bool:
        """Write all changeable parts where the stored state is one of `from_states`."""

    async def purge(self, before: datetime) -> int:
        """Forget requests, sessions and sign-in links that ended before then."""


class DataKeyStore(Protocol):
    """Wrapped data keys and the sealed check value of this instance."""

    async def keys(self, workspace_id: str) -> Sequence[DataKey]: ...

    async def add_key(self, key: DataKey, *, replaces: bytes | None = None) -> DataKey:
        """The active key of the workspace: `key`, or the one that another process added first.

        `replaces`: the active key that has sealed enough. In the same transaction it stops being active, if it still
        is; where another key is active by then, that one is answered and `key` is not stored."""

    async def reserve(self, key_id: bytes, count: int) -> int:
        """Raise the high-water mark by `count`; answers the new mark."""

    async def any_keys(self) -> bool: ...

    async def check(self) -> bytes | None: ...

    async def set_check(self, sealed: bytes) -> None: ...
