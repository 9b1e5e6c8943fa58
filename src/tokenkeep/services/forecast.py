"""Saying in time that a connection will need a person.

Owns: the warnings that are due. Does not own: the dates (`core/horizon`), the timer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tokenkeep.core.model import Event
from tokenkeep.services.ports import Clock, Entropy, Forecast, ForecastStore, Journal

AT_ONCE: Final = 1_000
"""Forecasts said in one pass, each in a transaction of its own; the rest follow in the next pass."""


@dataclass(slots=True, kw_only=True)
class Forecaster:
    """Any number of processes may do this at once: the store lets one of them say it."""

    store: ForecastStore
    clock: Clock
    entropy: Entropy
    journal: Journal

    async def warn(self) -> int:
        """How many warnings were said. Raises what the database raises."""
        said = 0
        for forecast in await self.store.due(limit=AT_ONCE):
            if await self.store.say(forecast, self._event(forecast)):
                said += 1
                self.journal.record(
                    "reauthorization_expected",
                    provider=forecast.provider,
                    credential=forecast.credential_id,
                    needs_person_at=_text(forecast),
                )
        return said

    def _event(self, forecast: Forecast) -> Event:
        return Event(
            id=self.entropy.id(),
            workspace_id=forecast.workspace_id,
            credential_id=forecast.credential_id,
            at=self.clock.now(),
            kind="reauthorization_expected",
            actor="system",
            detail={"needs_person_at": _text(forecast)},
        )


def _text(forecast: Forecast) -> str:
    return forecast.date.replace(microsecond=0).isoformat().replace("+00:00", "Z")
