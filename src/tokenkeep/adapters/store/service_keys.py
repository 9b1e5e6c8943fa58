"""Service keys: programs' keys, by digest.

Owns: rows of `service_keys`. Does not own: whether a key opens anything; the caller judges expiry and revocation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.tables import service_keys
from tokenkeep.adapters.tables.columns import UtcTime
from tokenkeep.core.model import ServiceKey


def service_key_of(row: Mapping[Any, Any]) -> ServiceKey:
    """The noun of a row."""
    limit = row["credential_ids"]
    return ServiceKey(
        id=row["id"],
        workspace_id=row["workspace_id"],
        name=row["name"],
        digest=row["digest"],
        scopes=frozenset(row["scopes"]),
        credential_ids=frozenset(limit) if limit is not None else None,
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )


class ServiceKeys:
    """The port `ServiceKeyStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def add(self, key: ServiceKey) -> None:
        """Store a new key."""
        row = {column.name: getattr(key, column.name) for column in service_keys.c if column.name != "revision"}
        limit = key.credential_ids
        row |= {"scopes": sorted(key.scopes), "credential_ids": sorted(limit) if limit is not None else None}
        async with self._engines.write() as connection:
            await connection.execute(insert(service_keys).values(row))

    async def get(self, key_id: str) -> ServiceKey | None:
        """Across workspaces."""
        async with self._engines.read() as connection:
            found = await connection.execute(select(service_keys).where(service_keys.c.id == key_id))
            row = found.mappings().first()
        return service_key_of(row) if row is not None else None

    async def list(self, workspace_id: str) -> Sequence[ServiceKey]:
        """Oldest first, the revoked among them."""
        statement = select(service_keys).where(service_keys.c.workspace_id == workspace_id)
        statement = statement.order_by(service_keys.c.created_at, service_keys.c.id)
        async with self._engines.read() as connection:
            return [service_key_of(row) for row in (await connection.execute(statement)).mappings()]

    async def revoke(self, workspace_id: str, key_id: str, at: datetime) -> bool:
        """False: unknown, or revoked before."""
        statement = update(service_keys).where(
            service_keys.c.workspace_id == workspace_id,
            service_keys.c.id == key_id,
            service_keys.c.revoked_at.is_(None),
        )
        new = {"revoked_at": at, "revision": service_keys.c.revision + 1}
        async with self._engines.write() as connection:
            return (await connection.execute(statement.values(new))).rowcount > 0

    async def used(self, uses: Mapping[str, datetime]) -> None:
        """Move last uses forward, never back."""
        if not uses:
            return
        last, now = service_keys.c.last_used_at, bindparam("at", type_=UtcTime)
        statement = (
            update(service_keys)
            .where(service_keys.c.id == bindparam("key_id"), or_(last.is_(None), last < now))
            .values(last_used_at=now, revision=service_keys.c.revision + 1)
        )
        rows = [{"key_id": key_id, "at": at} for key_id, at in sorted(uses.items())]
        async with self._engines.write() as connection:
            await connection.execute(statement, rows)
