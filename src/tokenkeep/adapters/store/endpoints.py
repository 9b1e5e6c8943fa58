"""Endpoints of webhooks.

Owns: rows of `webhook_endpoints`. Does not own: what is sent to them (`outbox`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, literal, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import Update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.events import insert_event
from tokenkeep.adapters.tables import webhook_deliveries as deliveries
from tokenkeep.adapters.tables import webhook_endpoints as endpoints
from tokenkeep.core.model import Event
from tokenkeep.core.webhooks import DeliveryState, Endpoint

_FIXED = frozenset({"workspace_id", "id", "created_at", "created_by", "failing_since"})
"""What an edit does not write."""


def _endpoint_of(row: Mapping[Any, Any]) -> Endpoint:
    return Endpoint(**{**row, "types": tuple(row["types"])})


def _row(endpoint: Endpoint) -> dict[str, Any]:
    row = {column.name: getattr(endpoint, column.name) for column in endpoints.c}
    return row | {"types": list(endpoint.types)}


def _at(workspace_id: str, endpoint_id: str) -> ColumnElement[bool]:
    return and_(endpoints.c.workspace_id == workspace_id, endpoints.c.id == endpoint_id)


def _unchanged(before: Endpoint) -> ColumnElement[bool]:
    """As far as a person or the outbox changes it; every change of the secret raises its version."""
    row = _row(before)
    changing = [endpoints.c[name] for name in ("url", "description", "types", "secret_version", "disabled_at")]
    return and_(*(each.is_not_distinct_from(literal(row[each.name], each.type)) for each in changing))


def _ended(workspace_id: str, endpoint_id: str) -> Update:
    """Nothing is sent any more; what was pending can be replayed."""
    return (
        update(deliveries)
        .where(deliveries.c.workspace_id == workspace_id, deliveries.c.endpoint_id == endpoint_id)
        .where(deliveries.c.state == str(DeliveryState.PENDING))
        .values(
            state=str(DeliveryState.FAILED),
            last_attempt_at=func.coalesce(deliveries.c.last_attempt_at, deliveries.c.created_at),
            next_attempt_at=None,
            last_result="disabled",
        )
    )


class Endpoints:
    """The port `EndpointStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def add(self, endpoint: Endpoint) -> None:
        """Store a new endpoint."""
        async with self._engines.write() as connection:
            await connection.execute(insert(endpoints).values(_row(endpoint)))

    async def get(self, workspace_id: str, endpoint_id: str) -> Endpoint | None:
        """None: it is gone, or another workspace's."""
        found = await self._select(_at(workspace_id, endpoint_id))
        return found[0] if found else None

    async def list(self, workspace_id: str) -> Sequence[Endpoint]:
        """Oldest first, disabled ones too."""
        return await self._select(endpoints.c.workspace_id == workspace_id)

    async def of_workspaces(self, workspace_ids: Sequence[str]) -> Sequence[Endpoint]:
        """Without the disabled."""
        if not workspace_ids:
            return []
        return await self._select(endpoints.c.workspace_id.in_(workspace_ids), endpoints.c.disabled_at.is_(None))

    async def _select(self, *conditions: ColumnElement[bool]) -> Sequence[Endpoint]:
        statement = select(endpoints).where(*conditions).order_by(endpoints.c.created_at, endpoints.c.id)
        async with self._engines.read() as connection:
            return [_endpoint_of(row) for row in (await connection.execute(statement)).mappings()]

    async def update(self, endpoint: Endpoint, *, before: Endpoint) -> bool:
        """False: it is gone, or was changed or disabled meanwhile."""
        new = {name: value for name, value in _row(endpoint).items() if name not in _FIXED}
        if endpoint.disabled_at is None:
            # Enabled by this very edit: what failed before is forgotten. Enabled all along: it still counts.
            enabled = endpoints.c.disabled_at.is_not(None)
            new["failing_since"] = case((enabled, null()), else_=endpoints.c.failing_since)
        statement = update(endpoints).where(_at(endpoint.workspace_id, endpoint.id), _unchanged(before))
        async with self._engines.write() as connection:
            if not (await connection.execute(statement.values(new))).rowcount:
                return False
            if endpoint.disabled_at is not None:
                await connection.execute(_ended(endpoint.workspace_id, endpoint.id))
        return True

    async def disable(self, workspace_id: str, endpoint_id: str, *, reason: str, at: datetime, event: Event) -> bool:
        """False: it is gone or disabled already."""
        statement = update(endpoints).where(_at(workspace_id, endpoint_id), endpoints.c.disabled_at.is_(None))
        async with self._engines.write() as connection:
            done = await connection.execute(statement.values(disabled_at=at, disabled_reason=reason))
            if not done.rowcount:
                return False
            await connection.execute(_ended(workspace_id, endpoint_id))
            await insert_event(connection, event)
        return True

    async def fared(self, workspace_id: str, endpoint_id: str, *, failed_at: datetime | None) -> datetime | None:
        """Since when it fails now. Most of the time nothing changes, and then nothing is written."""
        async with self._engines.read() as connection:
            since = await _failing_since(connection, workspace_id, endpoint_id)
        if (since is None) == (failed_at is None):
            return since
        async with self._engines.write() as connection:
            found = endpoints.c.failing_since
            new = func.coalesce(found, literal(failed_at, found.type)) if failed_at is not None else None
            await connection.execute(update(endpoints).where(_at(workspace_id, endpoint_id)).values(failing_since=new))
            return await _failing_since(connection, workspace_id, endpoint_id)

    async def delete(self, workspace_id: str, endpoint_id: str) -> bool:
        """With its deliveries."""
        async with self._engines.write() as connection:
            return (await connection.execute(delete(endpoints).where(_at(workspace_id, endpoint_id)))).rowcount > 0


async def _failing_since(connection: AsyncConnection, workspace_id: str, endpoint_id: str) -> datetime | None:
    statement = select(endpoints.c.failing_since).where(_at(workspace_id, endpoint_id))
    since: datetime | None = (await connection.execute(statement)).scalar_one_or_none()
    return since
