"""References: what uses a credential.

Owns: rows of `credential_references`. Does not own: when a use is worth writing; uses come in batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Text, bindparam, case, delete, literal, or_, select

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.tables import credentials, references
from tokenkeep.adapters.tables.columns import UtcTime
from tokenkeep.core.errors import NotFound
from tokenkeep.core.model import Reference

_KEY = ["workspace_id", "credential_id", "consumer"]


def _reference_of(row: Mapping[Any, Any]) -> Reference:
    return Reference(
        consumer=row["consumer"],
        declared=row["declared"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
    )


class References:
    """The port `ReferenceStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def list(self, workspace_id: str, credential_id: str) -> Sequence[Reference]:
        """By consumer."""
        statement = select(references).where(*_of(workspace_id, credential_id)).order_by(references.c.consumer)
        async with self._engines.read() as connection:
            return [_reference_of(row) for row in (await connection.execute(statement)).mappings()]

    async def declare(self, workspace_id: str, credential_id: str, consumer: str, at: datetime) -> None:
        """Add, or make a seen one declared. Raises NotFound when there is no such credential."""
        row = {"workspace_id": workspace_id, "credential_id": credential_id, "consumer": consumer}
        statement = self._insert(declared=True).on_conflict_do_update(index_elements=_KEY, set_={"declared": True})
        async with self._engines.write() as connection:
            if (await connection.execute(statement, row | {"at": at, "used": None})).rowcount == 0:
                raise NotFound

    async def remove(self, workspace_id: str, credential_id: str, consumer: str) -> bool:
        """False: it was not there."""
        of_credential = _of(workspace_id, credential_id)
        statement = delete(references).where(*of_credential, references.c.consumer == consumer)
        async with self._engines.write() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def seen(self, uses: Mapping[tuple[str, str, str], datetime]) -> None:
        """Move last uses forward, never back."""
        if not uses:
            return
        insert = self._insert(declared=False)
        last, now = references.c.last_used_at, insert.excluded.last_used_at
        later = case((or_(last.is_(None), last < now), now), else_=last)
        statement = insert.on_conflict_do_update(index_elements=_KEY, set_={"last_used_at": later})
        rows = [
            {"workspace_id": use[0], "credential_id": use[1], "consumer": use[2], "at": at, "used": at}
            for use, at in sorted(uses.items())  # in one order everywhere, so that two processes cannot deadlock
        ]
        async with self._engines.write() as connection:
            await connection.execute(statement, rows)

    def _insert(self, *, declared: bool) -> Any:
        """Insert for a credential that exists, else nothing."""
        living = select(
            credentials.c.workspace_id,
            credentials.c.id,
            bindparam("consumer", type_=Text),
            literal(declared, Boolean),
            bindparam("at", type_=UtcTime),
            bindparam("used", type_=UtcTime),
        ).where(credentials.c.workspace_id == bindparam("workspace_id"), credentials.c.id == bindparam("credential_id"))
        return self._engines.upsert(references).from_select([*_KEY, "declared", "created_at", "last_used_at"], living)


def _of(workspace_id: str, credential_id: str) -> tuple[ColumnElement[bool], ...]:
    return (references.c.workspace_id == workspace_id, references.c.credential_id == credential_id)
