"""The status page's questions.

Owns: counts and lists over grants that select no sealed column. Does not own: what is shown of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from os import W_OK, access
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, text

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.forecasts import LIVING
from tokenkeep.adapters.store.grant_rows import standing_of
from tokenkeep.adapters.store.rows import lease_free
from tokenkeep.adapters.tables import credentials, grants
from tokenkeep.adapters.tables.columns import UtcTime, clock_now
from tokenkeep.core.errors import Unavailable
from tokenkeep.core.model import State
from tokenkeep.services.ports import Attention, StatusCounts

SOON = timedelta(minutes=5)
LATE = timedelta(minutes=1)

_GRANT_OF_CREDENTIAL = and_(
    grants.c.workspace_id == credentials.c.workspace_id, grants.c.credential_id == credentials.c.id
)
_STANDING = (
    grants.c.state,
    grants.c.expires_at,
    grants.c.refresh_expires_at,
    grants.c.next_refresh_at,
    grants.c.last_refresh_at,
    grants.c.failure_kind,
    grants.c.failure_code,
    grants.c.failure_count,
    grants.c.failure_since,
    grants.c.endless,
    grants.c.learned_life_s,
    grants.c.needs_person_at,
    grants.c.warn_at,
)


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def _counted(workspace_id: str, now: datetime) -> Select[Any]:
    """One pass over the workspace's grants, grouped finely enough for every number of the page."""
    due_at = grants.c.next_refresh_at
    overdue = due_at < now - LATE
    groups = (grants.c.provider, grants.c.state, grants.c.failure_kind)
    return (
        select(
            *groups,
            func.count().label("all"),
            _how_many(and_(due_at >= now - LATE, due_at <= now + SOON)).label("due"),
            _how_many(overdue).label("overdue"),
            func.min(case((overdue, due_at)), type_=UtcTime()).label("oldest_overdue"),
            _how_many(and_(grants.c.intent_at.is_not(None), lease_free())).label("uncertain"),
        )
        .where(grants.c.workspace_id == workspace_id)
        .group_by(*groups)
    )


class Status:
    """The port `StatusStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def counts(self, workspace_id: str, now: datetime) -> StatusCounts:
        """Those that are overdue are not counted as due again."""
        alone = (
            select(credentials.c.type, func.count().label("all"))
            .outerjoin(grants, _GRANT_OF_CREDENTIAL)
            .where(credentials.c.workspace_id == workspace_id, grants.c.grant_id.is_(None))
            .group_by(credentials.c.type)
        )
        async with self._engines.read() as connection:
            groups = (await connection.execute(_counted(workspace_id, now))).mappings().all()
            without_grant = {row.type: row.all for row in await connection.execute(alone)}
        return _counts_of(groups, without_grant)

    async def attention(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        """The longest failing first."""
        trouble = or_(grants.c.failure_kind.is_not(None), grants.c.state != str(State.CONNECTED))
        since = func.coalesce(grants.c.failure_since, grants.c.connected_at)
        return await self._listed(workspace_id, trouble, order=since, limit=limit)

    async def upcoming(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        """Connected, by next refresh."""
        planned = and_(grants.c.state == str(State.CONNECTED), grants.c.next_refresh_at.is_not(None))
        return await self._listed(workspace_id, planned, order=grants.c.next_refresh_at, limit=limit)

    async def forecasts(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        """What lives and will need a person on a known date, soonest first."""
        foreseen = and_(grants.c.state.in_(LIVING), grants.c.needs_person_at.is_not(None))
        return await self._listed(workspace_id, foreseen, order=grants.c.needs_person_at, limit=limit)

    async def _listed(
        self, workspace_id: str, which: ColumnElement[bool], *, order: ColumnElement[Any], limit: int
    ) -> Sequence[Attention]:
        statement = (
            select(credentials.c.id, credentials.c.name, credentials.c.type, grants.c.provider, *_STANDING)
            .join(grants, _GRANT_OF_CREDENTIAL)
            .where(credentials.c.workspace_id == workspace_id, which)
            .order_by(order, credentials.c.id)
            .limit(limit)
        )
        async with self._engines.read() as connection:
            return [_attention_of(row) for row in (await connection.execute(statement)).mappings()]

    async def ping(self) -> None:
        """Raises when the database cannot be written to or read from."""
        async with self._engines.write() as connection:  # on SQLite this takes, and gives back, the write lock
            await connection.execute(select(clock_now()))
            if self._engines.dialect == "sqlite":
                writable = access(self._engines.path, W_OK)
            else:
                standby = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
                writable = not (await connection.execute(text(standby))).scalar_one()
        if not writable:
            raise Unavailable("The database is read-only.")


def _attention_of(row: Mapping[Any, Any]) -> Attention:
    return Attention(
        credential_id=row["id"],
        name=row["name"],
        type=row["type"],
        provider=row["provider"],
        standing=standing_of(row),
    )


def _counts_of(groups: Iterable[Mapping[Any, Any]], without_grant: Mapping[str, int]) -> StatusCounts:
    by_state: Counter[str] = Counter()
    by_failure: Counter[str] = Counter()
    by_provider: dict[str, Counter[str]] = {}
    totals: Counter[str] = Counter()
    oldest: list[datetime] = []
    for group in groups:
        by_state[group["state"]] += group["all"]
        by_provider.setdefault(group["provider"], Counter())[group["state"]] += group["all"]
        if group["failure_kind"]:
            by_failure[group["failure_kind"]] += group["all"]
        totals.update({name: group[name] for name in ("due", "overdue", "uncertain")})
        oldest += [group["oldest_overdue"]] if group["oldest_overdue"] else []
    return StatusCounts(
        by_state=dict(by_state),
        by_provider={provider: dict(states) for provider, states in by_provider.items()},
        without_grant=without_grant,
        due=totals["due"],
        overdue=totals["overdue"],
        oldest_overdue=min(oldest, default=None),
        uncertain=totals["uncertain"],
        by_failure=dict(by_failure),
    )
