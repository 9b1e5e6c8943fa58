"""The status page's numbers, for programs.

Owns: `/v1/status`. Does not own: counting (`services/status`), the page (`status_page`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from tokenkeep.core.model import FailureKind, State
from tokenkeep.core.permissions import Scope
from tokenkeep.services.ports import Attention
from tokenkeep.web.bodies import answer, instant
from tokenkeep.web.credential_history import EventAnswer, event_answer
from tokenkeep.web.operations import Call, Operation

if TYPE_CHECKING:
    from tokenkeep.services.status import StatusView
    from tokenkeep.services.sweep import Sweep


class AttentionAnswer(msgspec.Struct):
    """A credential to look at."""

    credential_id: str
    name: str
    type: str
    provider: str
    state: State
    next_refresh_at: datetime | None
    failure_kind: FailureKind | None  # null: all is well
    failure_code: str
    failing_since: datetime | None


class ForecastAnswer(msgspec.Struct):
    """A credential that lives, and the date on which it will need a person."""

    credential_id: str
    name: str
    type: str
    provider: str
    state: State
    needs_person_at: datetime | None


class BreakerAnswer(msgspec.Struct):
    """A provider's host that is being left alone for a while."""

    host: str
    faults: int  # in a row
    until: datetime | None


class PausedClientAnswer(msgspec.Struct):
    """A client that the provider refuses: the administrator must act."""

    provider: str
    code: str
    since: datetime | None


class MassRefusalAnswer(msgspec.Struct):
    """A burst of refusals that is taken for the provider's outage until each is confirmed."""

    provider: str
    credentials: int  # waiting to be asked about again


class SweepAnswer(msgspec.Struct):
    """What the last pass over due credentials did."""

    at: datetime
    due: int
    started: int


class ObstacleAnswer(msgspec.Struct):
    """Why no refresh starts: its answer could not be kept, or the database is not adopted."""

    code: str
    message: str
    fix: str


class StatusAnswer(msgspec.Struct):
    """How all credentials of the workspace stand."""

    now: datetime
    by_state: dict[str, int]
    by_provider: dict[str, dict[str, int]]
    by_failure: dict[str, int]
    due: int  # within the next five minutes
    overdue: int  # for more than one minute
    oldest_overdue: datetime | None
    uncertain: int  # refreshes whose outcome is not known yet
    attention: list[AttentionAnswer]
    upcoming: list[AttentionAnswer]
    forecasts: list[ForecastAnswer]  # soonest first
    recent: list[EventAnswer]
    last_sweep: SweepAnswer | None  # null: none yet
    latency_ms: dict[str, float]  # p50, p95, p99 of refreshes; empty: none yet
    breakers: list[BreakerAnswer]
    obstacles: list[ObstacleAnswer]  # empty: refreshes start
    paused_clients: list[PausedClientAnswer]
    mass_refusals: list[MassRefusalAnswer]


def status_answer(view: StatusView) -> StatusAnswer:
    """The status as programs read it."""
    counts = view.counts
    return StatusAnswer(
        now=view.now.replace(microsecond=0),
        by_state=dict(view.by_state),
        by_provider={provider: dict(states) for provider, states in counts.by_provider.items()},
        by_failure=dict(counts.by_failure),
        due=counts.due,
        overdue=counts.overdue,
        oldest_overdue=instant(counts.oldest_overdue),
        uncertain=counts.uncertain,
        attention=_attention(view.attention),
        upcoming=_attention(view.upcoming),
        forecasts=[_forecast(entry) for entry in view.forecasts],
        recent=[event_answer(event) for event in view.recent],
        last_sweep=_sweep(view.last_sweep),
        latency_ms=dict(view.latency_ms),
        breakers=[
            BreakerAnswer(host=host, faults=breaker.faults, until=instant(breaker.open_until))
            for host, breaker in view.breakers.items()
        ],
        obstacles=[ObstacleAnswer(code=each.code, message=each.message, fix=each.fix) for each in view.obstacles],
        paused_clients=[
            PausedClientAnswer(
                provider=client.provider, code=client.incident_code, since=instant(client.incident_since)
            )
            for client in view.clients_paused
        ],
        mass_refusals=[
            MassRefusalAnswer(provider=provider, credentials=count) for provider, count in sorted(view.doubted.items())
        ],
    )


def _sweep(sweep: Sweep | None) -> SweepAnswer | None:
    return (
        None if sweep is None else SweepAnswer(at=sweep.at.replace(microsecond=0), due=sweep.due, started=sweep.started)
    )


def _attention(entries: Sequence[Attention]) -> list[AttentionAnswer]:
    return [_entry(entry) for entry in entries]


def _forecast(entry: Attention) -> ForecastAnswer:
    return ForecastAnswer(
        credential_id=entry.credential_id,
        name=entry.name,
        type=entry.type,
        provider=entry.provider,
        state=entry.standing.state,
        needs_person_at=instant(entry.standing.needs_person_at),
    )


def _entry(entry: Attention) -> AttentionAnswer:
    failure = entry.standing.failure
    return AttentionAnswer(
        credential_id=entry.credential_id,
        name=entry.name,
        type=entry.type,
        provider=entry.provider,
        state=entry.standing.state,
        next_refresh_at=instant(entry.standing.next_refresh_at),
        failure_kind=failure.kind if failure else None,
        failure_code=failure.code if failure else "",
        failing_since=instant(failure.since) if failure else None,
    )


async def status(call: Call) -> Response:
    """Everything the status page shows."""
    return answer(status_answer(await call.services.status.overview(call.caller)))


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/status",
        name="read_status",
        tag="service",
        summary="Read the status",
        description="Counts by state and provider, what is overdue, what needs attention now or on a known date, breakers.",
        handler=status,
        scope=Scope.CREDENTIALS_READ,
        answer=StatusAnswer,
    ),
)
