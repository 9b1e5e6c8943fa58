"""Who may do what, as one table.

Owns: the caller and the scopes and roles. Does not own: finding out who calls (`web/callers`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tokenkeep.core.errors import NotFound, ScopeMissing


class Scope(StrEnum):
    """What a service key may carry, and what a role amounts to."""

    TOKENS_READ = "tokens:read"
    CREDENTIALS_READ = "credentials:read"
    CREDENTIALS_WRITE = "credentials:write"
    CONNECT = "connect"
    ADMIN = "admin"


ROLES: dict[str, frozenset[Scope]] = {
    "owner": frozenset(Scope),
    "admin": frozenset(Scope),
    "editor": frozenset({Scope.CREDENTIALS_READ, Scope.CREDENTIALS_WRITE, Scope.CONNECT}),
    "user": frozenset({Scope.CREDENTIALS_READ, Scope.CONNECT}),
    "viewer": frozenset({Scope.CREDENTIALS_READ}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and in which workspace. The workspace comes from the key or session, never from the request (T61)."""

    workspace_id: str
    kind: str  # user, key, system
    id: str
    name: str
    scopes: frozenset[str]
    credential_ids: frozenset[str] | None = None  # None: every credential of the workspace
    expires_at: datetime | None = None  # of the service key; None: it does not end by itself
    actor: str = field(init=False, compare=False)  # for history and logs: `user/<id>`, `key/<id>` or `system`

    def __post_init__(self) -> None:
        object.__setattr__(self, "actor", f"{self.kind}/{self.id}" if self.id else self.kind)

    def need(self, scope: Scope) -> None:
        """Raises ScopeMissing unless this caller carries `scope`. `admin` carries all but `tokens:read`.

        Reading secrets is never implied: an administrator's key does not hand out tokens by accident.
        """
        if scope in self.scopes or (Scope.ADMIN in self.scopes and scope is not Scope.TOKENS_READ):
            return
        raise ScopeMissing(f"This needs the scope `{scope}`.", fix=f"Use a key or role that carries `{scope}`.")

    def reach(self, credential_id: str) -> None:
        """Raises NotFound when this caller is limited to other credentials (RFC 9110: 404 hides existence)."""
        if self.credential_ids is not None and credential_id not in self.credential_ids:
            raise NotFound()


def system(workspace_id: str) -> Caller:
    """The service itself: sweeps and housekeeping."""
    return Caller(workspace_id=workspace_id, kind="system", id="", name="Tokenkeep", scopes=frozenset(Scope))
