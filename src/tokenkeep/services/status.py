"""What the status page shows.

Owns: read-only views. Does not own: any change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tokenkeep.core.model import INSTANCE, Client, Event, Place, State
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.policy import Breaker
from tokenkeep.services.peace import Peace
from tokenkeep.services.ports import (
    Attention,
    Catalog,
    ClientStore,
    Clock,
    Envelope,
    EventStore,
    Obstacle,
    RefusalStore,
    StatusCounts,
    StatusStore,
)
from tokenkeep.services.pulse import Pulse
from tokenkeep.services.storage import Storage
from tokenkeep.services.sweep import Sweep, Sweeper

RECENT_KINDS = (
    "connected",
    "reconnected",
    "disconnected",
    "refreshed",
    "refresh_failed",
    "reauthorization_required",
    "reauthorization_expected",
    "rejection_loop",
    "refusal_doubted",
    "client_paused",
    "client_resumed",
    "mass_refusal_begun",
    "mass_refusal_ended",
    "breaker_opened",
    "breaker_closed",
    "webhook_disabled",
    "created",
    "edited",
    "tested",
)
SHOWN = 50


class Heart(Protocol):
    """Whether the timer still ticks."""

    def alive(self) -> bool:
        """Whether it ticked lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """One look at a workspace and at this process."""

    now: datetime
    counts: StatusCounts
    by_state: Mapping[str, int]
    attention: Sequence[Attention]
    upcoming: Sequence[Attention]
    recent: Sequence[Event]
    last_sweep: Sweep | None
    latency_ms: Mapping[str, float]
    breakers: Mapping[str, Breaker]  # host -> one that is not closed
    clients_paused: Sequence[Client]
    obstacles: Sequence[Obstacle] = ()  # why no refresh starts
    doubted: Mapping[str, int] = field(default_factory=dict)  # provider -> refusals that are not believed yet
    forecasts: Sequence[Attention] = ()  # what will need a person on a known date, soonest first

    @property
    def last_sweep_at(self) -> datetime | None:
        """When this process last looked for what is due. None: not yet."""
        return self.last_sweep.at if self.last_sweep else None


@dataclass(slots=True, kw_only=True)
class Status:
    """Use cases of whoever watches."""

    store: StatusStore
    events: EventStore
    clients: ClientStore
    refusals: RefusalStore
    catalog: Catalog
    envelope: Envelope
    peace: Peace
    storage: Storage
    sweeper: Sweeper
    pulse: Pulse
    heart: Heart
    clock: Clock
    draining: bool = False

    async def overview(self, caller: Caller) -> StatusView:
        """The query does not even select sealed columns."""
        caller.need(Scope.CREDENTIALS_READ)
        now, workspace_id = self.clock.now(), caller.workspace_id
        counts = await self.store.counts(workspace_id, now)
        return StatusView(
            now=now,
            counts=counts,
            by_state=self._by_state(counts),
            attention=await self.store.attention(workspace_id, limit=SHOWN),
            upcoming=await self.store.upcoming(workspace_id, limit=SHOWN),
            forecasts=await self.store.forecasts(workspace_id, limit=SHOWN),
            recent=await self.events.recent(workspace_id, kinds=RECENT_KINDS, limit=SHOWN),
            last_sweep=self.sweeper.last,
            latency_ms=_percentiles(self.pulse.latencies_ms),
            breakers={host: breaker for host, breaker in self.peace.breakers.items() if breaker.open_until},
            obstacles=self.storage.obstacles,
            clients_paused=[client for client in await self.clients.list(workspace_id) if client.incident_code],
            doubted=await self.refusals.doubted(workspace_id),
        )

    async def ready(self) -> Mapping[str, str]:
        """Part of the service -> `ok`, or what is wrong with it."""
        parts = {"database": await self._database(), "key": await self._key()}
        parts["scheduler"] = "ok" if self.heart.alive() else "the timer has stopped"
        parts["refreshing"] = self._refreshing()
        if self.draining:
            parts["service"] = "stopping"
        return parts

    def _refreshing(self) -> str:
        """As it was looked at last, since a probe must not wait for a disk; without paths, since anybody may ask."""
        return " ".join(f"paused, {each.code}: {each.fix}" for each in self.storage.obstacles) or "ok"

    async def changed(self, since: int) -> int:
        """Waits until something happened in this process, at most five seconds. -1: the service is stopping."""
        return await self.pulse.changed(since)

    def _by_state(self, counts: StatusCounts) -> Mapping[str, int]:
        """All six states; which credentials without a grant are merely static is known from their types."""
        oauth = {type_.name for type_ in self.catalog.types() if type_.issues_tokens}
        by_state = {state.value: counts.by_state.get(state.value, 0) for state in State}
        without = counts.without_grant
        by_state[State.UNCONNECTED] = sum(number for name, number in without.items() if name in oauth)
        by_state[State.STORED] = sum(number for name, number in without.items() if name not in oauth)
        return by_state

    async def _database(self) -> str:
        try:
            await self.store.ping()
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is the finding
            return f"does not answer ({type(fault).__name__})"
        return "ok"

    async def _key(self) -> str:
        place = Place(workspace_id=INSTANCE, kind="check", record_id="ready", field="probe")
        try:
            await self.envelope.open(await self.envelope.seal(b"ready", place), place)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is the finding
            return f"cannot seal ({type(fault).__name__})"
        return "ok"


def _percentiles(latencies: Sequence[float]) -> Mapping[str, float]:
    """p50, p95 and p99 in milliseconds; empty without data."""
    if not latencies:
        return {}
    ordered = sorted(latencies)
    at = {name: ordered[min(int(len(ordered) * share), len(ordered) - 1)] for name, share in _SHARES.items()}
    return {name: round(value, 1) for name, value in at.items()}


_SHARES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
