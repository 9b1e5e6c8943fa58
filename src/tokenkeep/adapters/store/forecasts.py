"""Forecasts that are to be said.

Owns: finding grants whose warning is due, and saying each date once, whichever process comes first. Does not own: the
dates (`core/horizon`), the rest of a grant (`grants`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Integer, bindparam, or_, select, update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.events import insert_event
from tokenkeep.adapters.tables import grants
from tokenkeep.adapters.tables.columns import clock_at_start
from tokenkeep.core.model import Event, State
from tokenkeep.services.ports import Forecast

LIVING = (str(State.CONNECTED), str(State.FAILING))
"""States in which nobody is needed yet."""

_UNSAID = or_(grants.c.warned_for.is_(None), grants.c.warned_for != grants.c.needs_person_at)
_DUE = (
    select(
        grants.c.workspace_id,
        grants.c.credential_id,
        grants.c.grant_id,
        grants.c.provider,
        grants.c.needs_person_at,
    )
    .where(grants.c.warn_at.is_not(None), grants.c.warn_at <= clock_at_start())
    .where(grants.c.state.in_(LIVING), grants.c.needs_person_at.is_not(None), _UNSAID)
    .order_by(grants.c.warn_at)
    .limit(bindparam("limit", type_=Integer))
)
"""Walks the partial index from its oldest end."""


class Forecasts:
    """The port `ForecastStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def due(self, *, limit: int) -> Sequence[Forecast]:
        """The longest overdue first."""
        async with self._engines.read() as connection:
            return [_forecast_of(row) for row in (await connection.execute(_DUE, {"limit": limit})).mappings()]

    async def say(self, forecast: Forecast, event: Event) -> bool:
        """False: somebody said it first, or it is not what is expected any more."""
        statement = (
            update(grants)
            .where(grants.c.workspace_id == forecast.workspace_id, grants.c.credential_id == forecast.credential_id)
            .where(grants.c.grant_id == forecast.grant_id, grants.c.needs_person_at == forecast.date, _UNSAID)
            # A refresh under way may put `warn_at` back as it found it; `warned_for` it does not touch.
            .values(warned_for=grants.c.needs_person_at, warn_at=None, revision=grants.c.revision + 1)
            .returning(grants.c.credential_id)
        )
        async with self._engines.write() as connection:
            if (await connection.execute(statement)).first() is None:
                return False
            await insert_event(connection, event)
        return True


def _forecast_of(row: Mapping[Any, Any]) -> Forecast:
    return Forecast(
        workspace_id=row["workspace_id"],
        credential_id=row["credential_id"],
        grant_id=row["grant_id"],
        provider=row["provider"],
        date=row["needs_person_at"],
    )
