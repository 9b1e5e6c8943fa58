"""History.

Owns: rows of `events`. Does not own: what is worth a line; the use cases say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.rows import cursor_of, parts_of
from tokenkeep.adapters.tables import events
from tokenkeep.core.model import Event
from tokenkeep.services.ports import Page

INSERT = insert(events)


async def insert_event(connection: AsyncConnection, event: Event | None) -> None:
    """Write a line in the transaction of what it tells about. None: there is nothing to tell."""
    if event is not None:
        await connection.execute(INSERT, event_row(event))


def event_row(event: Event) -> dict[str, Any]:
    """The columns of a line."""
    return {
        "id": event.id,
        "workspace_id": event.workspace_id,
        "credential_id": event.credential_id,
        "at": event.at,
        "kind": event.kind,
        "actor": event.actor,
        "detail": dict(event.detail),
    }


def _event_of(row: Mapping[Any, Any]) -> Event:
    return Event(
        id=row["id"],
        workspace_id=row["workspace_id"],
        credential_id=row["credential_id"],
        at=row["at"],
        kind=row["kind"],
        actor=row["actor"],
        detail=row["detail"],
    )


_NEWEST_FIRST = (events.c.at.desc(), events.c.seq.desc())


class Events:
    """The port `EventStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def add(self, event: Event) -> None:
        """Write a line that stands alone."""
        async with self._engines.write() as connection:
            await insert_event(connection, event)

    async def list(self, workspace_id: str, credential_id: str, *, limit: int, cursor: str) -> Page[Event]:
        """Newest first. Raises InvalidInput for a cursor that is not ours."""
        of_credential = and_(events.c.workspace_id == workspace_id, events.c.credential_id == credential_id)
        statement = select(events).where(of_credential).order_by(*_NEWEST_FIRST).limit(limit + 1)
        async with self._engines.read() as connection:
            if cursor:
                # The cursor names the last line shown, not its `seq`: that would tell how busy other workspaces are.
                (last_id,) = parts_of(cursor, count=1)
                last = select(events.c.at, events.c.seq).where(of_credential, events.c.id == last_id)
                place = (await connection.execute(last)).first()
                if place is None:
                    return Page(items=[], next_cursor="")
                earlier = and_(events.c.at == place.at, events.c.seq < place.seq)
                statement = statement.where(or_(events.c.at < place.at, earlier))
            rows = (await connection.execute(statement)).mappings().all()
        shown = rows[:limit]
        more = len(rows) > limit and bool(shown)
        return Page(items=[_event_of(row) for row in shown], next_cursor=cursor_of(shown[-1]["id"]) if more else "")

    async def recent(self, workspace_id: str, *, kinds: Sequence[str], limit: int) -> Sequence[Event]:
        """Of the whole workspace, newest first. No kinds: all of them."""
        statement = select(events).where(events.c.workspace_id == workspace_id).order_by(*_NEWEST_FIRST).limit(limit)
        if kinds:
            statement = statement.where(events.c.kind.in_(kinds))
        async with self._engines.read() as connection:
            return [_event_of(row) for row in (await connection.execute(statement)).mappings()]
