"""Forecasts and rejections in memory, with the semantics of `adapters/store`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.kit.memory_grants import Key, Rows
from tokenkeep.core.model import Event, Grant, Rejections, State
from tokenkeep.services.ports import Forecast

LIVING = {State.CONNECTED, State.FAILING}


class MemoryForecasts:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._said: dict[Key, object] = {}

    async def due(self, *, limit: int) -> Sequence[Forecast]:
        now = self._rows.clock.now()
        found = sorted(
            (at, key, date)
            for key, grant in self._rows.grants.items()
            if (at := grant.standing.warn_at) is not None
            and at <= now
            and grant.standing.state in LIVING
            and (date := grant.standing.needs_person_at) is not None
            and self._said.get(key) != date
        )
        return [self._forecast(self._rows.grants[key]) for _, key, _ in found][:limit]

    async def say(self, forecast: Forecast, event: Event) -> bool:
        key = forecast.workspace_id, forecast.credential_id
        grant = self._rows.grants.get(key)
        expected = forecast.grant_id, forecast.date
        if grant is None or (grant.grant_id, grant.standing.needs_person_at) != expected:
            return False
        if self._said.get(key) == forecast.date:
            return False
        self._said[key] = forecast.date
        self._rows.grants[key] = replace(grant, standing=replace(grant.standing, warn_at=None))
        self._rows.tell(event)
        return True

    def _forecast(self, grant: Grant) -> Forecast:
        date = grant.standing.needs_person_at
        assert date is not None
        return Forecast(
            workspace_id=grant.workspace_id,
            credential_id=grant.credential_id,
            grant_id=grant.grant_id,
            provider=grant.provider,
            date=date,
        )


class MemoryRejections:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def note(self, grant: Grant, run: Rejections, *, learned_life_s: int | None, event: Event | None) -> bool:
        self._rows.works("rejections.note")
        key = grant.workspace_id, grant.credential_id
        stored = self._rows.grants.get(key)
        if stored is None or (stored.grant_id, stored.version) != (grant.grant_id, grant.version):
            return False
        leased = stored.lease_until is not None and stored.lease_until > self._rows.clock.now()
        if leased or stored.rejections != grant.rejections:
            return False
        standing = replace(stored.standing, learned_life_s=learned_life_s)
        self._rows.grants[key] = replace(stored, rejections=run, standing=standing)
        self._rows.tell(event)
        return True
