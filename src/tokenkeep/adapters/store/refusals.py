"""What the brake asks.

Owns: reading refusals from grants and their history. Does not own: what they mean (`core/brake`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, exists, func, select

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.tables import events, grants
from tokenkeep.core.brake import EXPLAINED, Burst
from tokenkeep.core.lifecycle import DOUBTED
from tokenkeep.core.model import FailureKind


def _of(workspace_id: str, client: str) -> ColumnElement[bool]:
    return and_(grants.c.workspace_id == workspace_id, grants.c.client == client)


def _believed(since: datetime) -> ColumnElement[bool]:
    """The history tells when: a grant's own failure may be older than its refusal."""
    told = exists().where(
        events.c.workspace_id == grants.c.workspace_id,
        events.c.credential_id == grants.c.credential_id,
        events.c.kind == "reauthorization_required",
        events.c.at >= since,
    )
    refused_once = and_(grants.c.failure_kind == str(FailureKind.GRANT), grants.c.failure_count == 1)
    return and_(refused_once, grants.c.failure_code.not_in(EXPLAINED), told)


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


class Refusals:
    """The port `RefusalStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def burst(self, workspace_id: str, client: str, *, since: datetime) -> Burst:
        """One pass over the client's grants."""
        statement = select(
            _how_many(_believed(since)).label("refused"),
            _how_many(grants.c.last_refresh_at >= since).label("granted"),
            _how_many(grants.c.failure_code == DOUBTED).label("doubted"),
        ).where(_of(workspace_id, client))
        async with self._engines.read() as connection:
            row = (await connection.execute(statement)).mappings().one()
        return Burst(**row)

    async def believed(self, workspace_id: str, client: str, *, since: datetime) -> Sequence[str]:
        """By id."""
        statement = select(grants.c.credential_id).where(_of(workspace_id, client), _believed(since))
        async with self._engines.read() as connection:
            return list(await connection.scalars(statement.order_by(grants.c.credential_id)))

    async def doubted(self, workspace_id: str) -> Mapping[str, int]:
        """Providers without any are left out."""
        statement = (
            select(grants.c.provider, func.count().label("all"))
            .where(grants.c.workspace_id == workspace_id, grants.c.failure_code == DOUBTED)
            .group_by(grants.c.provider)
        )
        async with self._engines.read() as connection:
            return {row.provider: row.all for row in await connection.execute(statement)}
