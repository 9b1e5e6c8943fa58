"""Stores of people, programs and what they use.

Owns: accounts, service keys, references. Does not own: rights (`core/permissions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from tokenkeep.core.model import Reference, ServiceKey, User, UserSession


class AccountStore(Protocol):
    """People, their workspaces, sessions and one-time sign-in links."""

    async def workspaces(self) -> Sequence[tuple[str, str]]:
        """(id, name), oldest first, without the reserved instance workspace."""

    async def add_workspace(self, workspace_id: str, name: str, at: datetime) -> None: ...

    async def add_user(self, user: User, *, workspace_id: str, role: str) -> None:
        """Raises Conflict when the e-mail address is taken."""

    async def user_by_email(self, email: str) -> User | None: ...

    async def first_admin(self) -> User | None:
        """The oldest user who is owner or admin of a workspace. None: nobody has signed up yet."""

    async def set_password(self, user_id: str, password_hash: str) -> None: ...

    async def membership(self, user_id: str) -> tuple[str, str] | None:
        """(workspace, role) of the user's oldest membership."""

    async def add_session(self, session: UserSession) -> None: ...

    async def session(self, digest: str) -> UserSession | None: ...

    async def sessions(self, user_id: str) -> Sequence[UserSession]: ...

    async def touch_session(self, digest: str, seen_at: datetime) -> None: ...

    async def end_session(self, digest: str) -> bool: ...

    async def end_sessions(self, user_id: str) -> int: ...

    async def add_link(self, digest: str, *, expires_at: datetime) -> None: ...

    async def link_expiry(self, digest: str) -> datetime | None:
        """Looks without consuming (T37)."""

    async def take_link(self, digest: str) -> datetime | None:
        """Consumes: its expiry, or None when it is unknown or used."""


class ServiceKeyStore(Protocol):
    """Programs' keys."""

    async def add(self, key: ServiceKey) -> None: ...

    async def get(self, key_id: str) -> ServiceKey | None:
        """Across workspaces: the key says which one it belongs to."""

    async def list(self, workspace_id: str) -> Sequence[ServiceKey]: ...

    async def revoke(self, workspace_id: str, key_id: str, at: datetime) -> bool: ...

    async def used(self, uses: Mapping[str, datetime]) -> None: ...


class ReferenceStore(Protocol):
    """What uses a credential."""

    async def list(self, workspace_id: str, credential_id: str) -> Sequence[Reference]: ...

    async def declare(self, workspace_id: str, credential_id: str, consumer: str, at: datetime) -> None: ...

    async def remove(self, workspace_id: str, credential_id: str, consumer: str) -> bool: ...

    async def seen(self, uses: Mapping[tuple[str, str, str], datetime]) -> None:
        """(workspace, credential, consumer) -> last use; adds those not known. Rows of deleted credentials are skipped."""
