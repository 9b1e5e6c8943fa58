"""Clients: the workspace's registrations at providers.

Owns: rows of `clients`, and the one try that a paused client is allowed. Does not own: what a grant does meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.events import insert_event
from tokenkeep.adapters.tables import clients
from tokenkeep.adapters.tables.columns import clock_now
from tokenkeep.core.errors import Conflict
from tokenkeep.core.model import Client, Event


def client_of(row: Mapping[Any, Any]) -> Client:
    """The noun of a row."""
    return Client(**{**row, "scopes": tuple(row["scopes"])})


def _at(client: Client) -> ColumnElement[bool]:
    return and_(clients.c.workspace_id == client.workspace_id, clients.c.id == client.id)


class Clients:
    """The port `ClientStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def get(self, workspace_id: str, client_id: str) -> Client | None:
        """By our handle."""
        return await self._one(clients.c.workspace_id == workspace_id, clients.c.id == client_id)

    async def for_provider(self, workspace_id: str, provider: str) -> Client | None:
        """The one registration at that provider."""
        return await self._one(clients.c.workspace_id == workspace_id, clients.c.provider == provider)

    async def by_handle(self, client_id: str) -> Client | None:
        """Across workspaces."""
        return await self._one(clients.c.id == client_id)

    async def _one(self, *conditions: ColumnElement[bool]) -> Client | None:
        async with self._engines.read() as connection:
            row = (await connection.execute(select(clients).where(*conditions))).mappings().first()
        return client_of(row) if row is not None else None

    async def list(self, workspace_id: str) -> Sequence[Client]:
        """By provider."""
        statement = select(clients).where(clients.c.workspace_id == workspace_id).order_by(clients.c.provider)
        async with self._engines.read() as connection:
            return [client_of(row) for row in (await connection.execute(statement)).mappings()]

    async def put(self, client: Client, event: Event | None = None) -> None:
        """Insert or replace. Raises Conflict when another registration holds the provider or the handle."""
        row = {column.name: getattr(client, column.name) for column in clients.c}
        row |= {"scopes": list(client.scopes), "variables": dict(client.variables)}
        statement = (
            self._engines.upsert(clients)
            .values(row)
            .on_conflict_do_update(index_elements=["workspace_id", "id"], set_=row)
        )
        try:
            async with self._engines.write() as connection:
                await connection.execute(statement)
                await insert_event(connection, event)
        except IntegrityError:
            raise Conflict("Another client is registered for this provider.") from None

    async def pause(self, client: Client, *, code: str, probe_at: datetime, event: Event | None = None) -> bool:
        """True: the incident began now. A version that was replaced meanwhile is not blamed."""
        same = (_at(client), clients.c.version == client.version)
        new = {
            "incident_code": code,
            "incident_since": func.coalesce(clients.c.incident_since, clock_now()),
            "probe_at": probe_at,
        }
        async with self._engines.write() as connection:
            begun = await connection.execute(update(clients).where(*same, clients.c.incident_code == "").values(new))
            if begun.rowcount:
                await insert_event(connection, event)
                return True
            await connection.execute(update(clients).where(*same, clients.c.incident_code != "").values(new))
            return False

    async def probe(self, client: Client, *, next_probe_at: datetime) -> bool:
        """Compare and swap on the time that the caller saw, so that one of many callers gets the try."""
        seen = clients.c.probe_at.is_not_distinct_from(client.probe_at)
        statement = update(clients).where(_at(client), clients.c.incident_code != "", seen)
        async with self._engines.write() as connection:
            return (await connection.execute(statement.values(probe_at=next_probe_at))).rowcount > 0

    async def resume(self, client: Client, event: Event | None = None) -> bool:
        """True: there was an incident."""
        statement = update(clients).where(_at(client), clients.c.incident_code != "")
        well = {"incident_code": "", "incident_since": None, "probe_at": None}
        async with self._engines.write() as connection:
            if not (await connection.execute(statement.values(well))).rowcount:
                return False
            await insert_event(connection, event)
            return True

    async def delete(self, workspace_id: str, provider: str) -> bool:
        """False: none was registered."""
        statement = delete(clients).where(clients.c.workspace_id == workspace_id, clients.c.provider == provider)
        async with self._engines.write() as connection:
            return (await connection.execute(statement)).rowcount > 0
