"""Credentials: what a person stores and edits.

Owns: rows of `credentials`, and a credential together with its grant. Does not own: what refreshes do to a grant
(`grants`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, insert, or_, select, update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.events import insert_event
from tokenkeep.adapters.store.grant_rows import grant_of
from tokenkeep.adapters.store.rows import cursor_of, parts_of
from tokenkeep.adapters.tables import credentials, events, grants
from tokenkeep.core.model import Credential, Event, State
from tokenkeep.services.ports import CredentialFilter, Page

_SEALED = frozenset({"values_sealed", "sealed", "prev_sealed", "account_sealed"})
_GRANT = "grant__"
"""Before a grant's columns in a joined row."""

_JOINED = credentials.outerjoin(
    grants, and_(grants.c.workspace_id == credentials.c.workspace_id, grants.c.credential_id == credentials.c.id)
)


def _select(*, sealed: bool) -> Select[Any]:
    seen = (column for column in credentials.c if sealed or column.name not in _SEALED)
    of_grant = (c.label(_GRANT + c.name) for c in grants.c if sealed or c.name not in _SEALED)
    return select(*seen, *of_grant).select_from(_JOINED)


WITH_GRANT = _select(sealed=True)
"""Credentials, each with its grant's columns or NULLs; `credential_of` reads the rows."""
_WITHOUT_SECRETS = _select(sealed=False)


def credential_of(row: Mapping[Any, Any]) -> Credential:
    """The noun of a row of `WITH_GRANT`, or of one that left the sealed columns out."""
    return Credential(
        id=row["id"],
        workspace_id=row["workspace_id"],
        type=row["type"],
        name=row["name"],
        version=row["version"],
        values_sealed=row.get("values_sealed"),
        values_version=row["values_version"],
        masked=row["masked"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        created_by=row["created_by"],
        grant=grant_of(row, prefix=_GRANT) if row[_GRANT + "grant_id"] is not None else None,
    )


def _edited(credential: Credential) -> dict[str, Any]:
    return {
        "name": credential.name,
        "name_key": credential.name.casefold(),
        "values_sealed": credential.values_sealed,
        "values_version": credential.values_version,
        "masked": dict(credential.masked),
        "updated_at": credential.updated_at,
    }


def _at(workspace_id: str, credential_id: str) -> ColumnElement[bool]:
    return and_(credentials.c.workspace_id == workspace_id, credentials.c.id == credential_id)


class Credentials:
    """The port `CredentialStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def add(self, credential: Credential, event: Event) -> None:
        """Store a new credential, with the first line of its history."""
        row = _edited(credential) | {
            "workspace_id": credential.workspace_id,
            "id": credential.id,
            "type": credential.type,
            "version": credential.version,
            "created_at": credential.created_at,
            "created_by": credential.created_by,
        }
        async with self._engines.write() as connection:
            await connection.execute(insert(credentials).values(row))
            await insert_event(connection, event)

    async def get(self, workspace_id: str, credential_id: str) -> Credential | None:
        """With its grant. None: not in this workspace."""
        async with self._engines.read() as connection:
            found = await connection.execute(WITH_GRANT.where(_at(workspace_id, credential_id)))
            row = found.mappings().first()
        return credential_of(row) if row is not None else None

    async def list(self, workspace_id: str, wanted: CredentialFilter) -> Page[Credential]:
        """By name without regard to case, then id. Raises InvalidInput for a cursor that is not ours."""
        statement = (
            _WITHOUT_SECRETS.where(credentials.c.workspace_id == workspace_id, *_conditions(wanted))
            .order_by(credentials.c.name_key, credentials.c.id)
            .limit(wanted.limit + 1)
        )
        async with self._engines.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        shown = rows[: wanted.limit]
        more = len(rows) > wanted.limit
        return Page(
            items=[credential_of(row) for row in shown],
            next_cursor=cursor_of(shown[-1]["name_key"], shown[-1]["id"]) if more and shown else "",
        )

    async def update(self, credential: Credential, *, expected_version: int, event: Event) -> bool:
        """False: the row is gone or has another version, and nothing was written."""
        statement = (
            update(credentials)
            .where(_at(credential.workspace_id, credential.id), credentials.c.version == expected_version)
            .values(_edited(credential) | {"version": expected_version + 1})
        )
        async with self._engines.write() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                return False
            await insert_event(connection, event)
            return True

    async def delete(self, workspace_id: str, credential_id: str) -> bool:
        """Grant, orphans and references follow by foreign key, the history here."""
        async with self._engines.write() as connection:
            gone = await connection.execute(delete(credentials).where(_at(workspace_id, credential_id)))
            await connection.execute(
                delete(events).where(events.c.workspace_id == workspace_id, events.c.credential_id == credential_id)
            )
            return gone.rowcount > 0


def _conditions(wanted: CredentialFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.types:
        conditions.append(credentials.c.type.in_(wanted.types))
    if wanted.state in (State.STORED, State.UNCONNECTED):  # the type decides which; both have no grant
        conditions.append(grants.c.grant_id.is_(None))
    elif wanted.state:
        conditions.append(grants.c.state == str(wanted.state))
    if wanted.query:
        conditions.append(credentials.c.name_key.contains(wanted.query.casefold(), autoescape=True))
    if wanted.ids is not None:
        conditions.append(credentials.c.id.in_(sorted(wanted.ids)))
    if wanted.cursor:
        name_key, credential_id = parts_of(wanted.cursor, count=2)
        after_same_name = and_(credentials.c.name_key == name_key, credentials.c.id > credential_id)
        conditions.append(or_(credentials.c.name_key > name_key, after_same_name))
    return conditions
