"""What outsiders are still to be told.

Owns: rows of `webhook_deliveries` and the mark `told` of `events`. Does not own: what is told, endpoints (`endpoints`), mail
(`notices`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, delete, func, literal, or_, select, tuple_, update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.notices import Notices
from tokenkeep.adapters.store.rows import cursor_of, parts_of
from tokenkeep.adapters.tables import events
from tokenkeep.adapters.tables import webhook_deliveries as deliveries
from tokenkeep.adapters.tables import webhook_endpoints as endpoints
from tokenkeep.adapters.tables.columns import clock_after, clock_at_start, clock_now
from tokenkeep.core.model import Event
from tokenkeep.core.turns import OUTCOMES
from tokenkeep.core.webhooks import Delivery, DeliveryState
from tokenkeep.services.ports import Notice, Page, Untold

_PENDING, _DELIVERED, _FAILED = (str(state) for state in DeliveryState)
_EARLIER = events.alias("earlier")
_BEFORE = (
    select(_EARLIER.c.kind)
    .where(
        _EARLIER.c.workspace_id == events.c.workspace_id,
        _EARLIER.c.credential_id == events.c.credential_id,
        _EARLIER.c.kind.in_(sorted(OUTCOMES)),
        or_(_EARLIER.c.at < events.c.at, and_(_EARLIER.c.at == events.c.at, _EARLIER.c.seq < events.c.seq)),
    )
    .order_by(_EARLIER.c.at.desc(), _EARLIER.c.seq.desc())
    .limit(1)
    .correlate(events)
    .scalar_subquery()
)
_OLDEST_FIRST = (deliveries.c.next_attempt_at, deliveries.c.created_at, deliveries.c.id)
_UNTOLD = select(events, func.coalesce(_BEFORE, "").label("before")).where(events.c.told.is_(None))


_GIVEN = {column.name: bindparam(f"new_{column.name}", type_=column.type) for column in deliveries.c}
_LIVING = (
    select(*(given.label(name) for name, given in _GIVEN.items()))
    .where(endpoints.c.workspace_id == _GIVEN["workspace_id"], endpoints.c.id == _GIVEN["endpoint_id"])
    .with_for_update(read=True)
)
"""A delivery's columns, where its endpoint is still there: it may have been deleted since it was looked up."""


def _line_of(row: Mapping[Any, Any]) -> Event:
    return Event(**{part.name: row[part.name] for part in fields(Event)})


def _delivery_of(row: Mapping[Any, Any]) -> Delivery:
    return Delivery(**{**row, "state": DeliveryState(row["state"])})


def _row_of(delivery: Delivery) -> dict[str, Any]:
    row = {name: getattr(delivery, name) for name in _GIVEN} | {"state": str(delivery.state)}
    return {f"new_{name}": value for name, value in row.items()}


def _at(workspace_id: str, endpoint_id: str) -> ColumnElement[bool]:
    return and_(deliveries.c.workspace_id == workspace_id, deliveries.c.endpoint_id == endpoint_id)


class Outbox:
    """The port `OutboxStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._mail = Notices(engines)
        self._keep = engines.upsert(deliveries).from_select(list(_GIVEN), _LIVING).on_conflict_do_nothing()
        self.waiting = self._mail.waiting
        self.take_turn = self._mail.take_turn
        self.notices = self._mail.of_workspace
        self.noticed = self._mail.forget

    async def untold(self, *, limit: int) -> Sequence[Untold]:
        """In the order they were written."""
        async with self._engines.read() as connection:
            rows = (await connection.execute(_UNTOLD.order_by(events.c.seq).limit(limit))).mappings().all()
        return [Untold(seq=row["seq"], event=_line_of(row), before=row["before"]) for row in rows]

    async def tell(self, seqs: Sequence[int], *, deliveries: Sequence[Delivery], notices: Sequence[Notice]) -> None:
        """Keep what is to be sent and mark the lines, in one transaction."""
        mark = update(events).where(events.c.seq.in_(seqs), events.c.told.is_(None)).values(told=True)
        async with self._engines.write() as connection:
            if deliveries:  # all in one hop: a writer at a time is let in, and refreshes write, too
                await connection.execute(self._keep, [_row_of(delivery) for delivery in deliveries])
            await self._mail.keep(connection, notices)
            if seqs:
                await connection.execute(mark)

    async def due(self, *, limit: int) -> Sequence[tuple[str, str]]:
        """(workspace, endpoint), the longest waiting first."""
        statement = (
            select(deliveries.c.workspace_id, deliveries.c.endpoint_id)
            .where(deliveries.c.next_attempt_at.is_not(None), deliveries.c.next_attempt_at <= clock_at_start())
            .group_by(deliveries.c.workspace_id, deliveries.c.endpoint_id)
            .order_by(func.min(deliveries.c.next_attempt_at))
            .limit(limit)
        )
        async with self._engines.read() as connection:
            return [(row.workspace_id, row.endpoint_id) for row in await connection.execute(statement)]

    async def claim(self, workspace_id: str, endpoint_id: str, *, limit: int, lease_s: int) -> Sequence[Delivery]:
        """Oldest first. Two who claim at once get different ones."""
        due = and_(
            _at(workspace_id, endpoint_id),
            deliveries.c.next_attempt_at.is_not(None),
            deliveries.c.next_attempt_at <= clock_now(),
        )
        oldest = select(deliveries.c.id).where(due).order_by(*_OLDEST_FIRST).limit(limit)
        async with self._engines.write() as connection:
            ids = list((await connection.execute(oldest.with_for_update(skip_locked=True))).scalars())
            statement = (
                update(deliveries)
                .where(due, deliveries.c.id.in_(ids))
                .values(next_attempt_at=clock_after(lease_s), attempts=deliveries.c.attempts + 1)
                .returning(*deliveries.c)
            )
            rows = (await connection.execute(statement)).mappings().all() if ids else []
        return sorted((_delivery_of(row) for row in rows), key=lambda each: (each.created_at, each.id))

    async def settle(self, delivery: Delivery, *, attempts: int) -> bool:
        """False: it is over, or another attempt has begun."""
        pending = and_(deliveries.c.id == delivery.id, deliveries.c.state == _PENDING)
        if delivery.state is not DeliveryState.DELIVERED:
            pending = and_(pending, deliveries.c.attempts == attempts)
        statement = (
            update(deliveries)
            .where(_at(delivery.workspace_id, delivery.endpoint_id), pending)
            .values(
                state=str(delivery.state),
                next_attempt_at=delivery.next_attempt_at,
                last_attempt_at=delivery.last_attempt_at,
                last_result=delivery.last_result,
            )
        )
        async with self._engines.write() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def get(self, workspace_id: str, endpoint_id: str, delivery_id: str) -> Delivery | None:
        """None: there is none, or it is another workspace's."""
        statement = select(deliveries).where(_at(workspace_id, endpoint_id), deliveries.c.id == delivery_id)
        async with self._engines.read() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return _delivery_of(row) if row is not None else None

    async def list(
        self, workspace_id: str, endpoint_id: str, *, state: DeliveryState | None, limit: int, cursor: str
    ) -> Page[Delivery]:
        """Newest first. Raises InvalidInput for a cursor that is not ours."""
        place = tuple_(deliveries.c.created_at, deliveries.c.id)
        statement = select(deliveries).where(_at(workspace_id, endpoint_id))
        if state is not None:
            statement = statement.where(deliveries.c.state == str(state))
        if cursor:
            (last_id,) = parts_of(cursor, count=1)
            last = await self.get(workspace_id, endpoint_id, last_id)
            if last is None:
                return Page(items=[], next_cursor="")
            statement = statement.where(place < tuple_(literal(last.created_at, deliveries.c.created_at.type), last.id))
        newest = statement.order_by(deliveries.c.created_at.desc(), deliveries.c.id.desc()).limit(limit + 1)
        async with self._engines.read() as connection:
            found = [_delivery_of(row) for row in (await connection.execute(newest)).mappings()]
        shown = found[:limit]
        more = len(found) > limit and bool(shown)
        return Page(items=shown, next_cursor=cursor_of(shown[-1].id) if more else "")

    async def replay(self, workspace_id: str, endpoint_id: str, delivery_id: str, at: datetime) -> bool:
        """False: there is none that is over."""
        one, over = deliveries.c.id == delivery_id, deliveries.c.state.in_([_DELIVERED, _FAILED])
        return await self._replay(and_(_at(workspace_id, endpoint_id), one, over), at) > 0

    async def replay_failed(self, workspace_id: str, endpoint_id: str, at: datetime) -> int:
        """How many are to be sent again."""
        return await self._replay(and_(_at(workspace_id, endpoint_id), deliveries.c.state == _FAILED), at)

    async def _replay(self, which: ColumnElement[bool], at: datetime) -> int:
        again = update(deliveries).where(which).values(state=_PENDING, attempts=0, next_attempt_at=at)
        async with self._engines.write() as connection:
            return (await connection.execute(again)).rowcount

    async def purge(self, *, delivered_before: datetime, failed_before: datetime) -> int:
        """How many deliveries were forgotten."""
        tried = deliveries.c.last_attempt_at
        over = or_(
            and_(deliveries.c.state == _DELIVERED, tried < delivered_before),
            and_(deliveries.c.state == _FAILED, tried < failed_before),
        )
        async with self._engines.read() as connection:
            found: Row[Any] | None = (await connection.execute(select(deliveries.c.id).where(over).limit(1))).first()
        await self._mail.purge(failed_before)
        if found is None:
            return 0
        async with self._engines.write() as connection:
            return (await connection.execute(delete(deliveries).where(over))).rowcount
