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


class SweepAnswer(msgspec.Struct):
    """What the last pass over due credentials did."""

    at: datetime
    due: int
    started: int


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
    recent: list[EventAnswer]
    last_sweep: SweepAnswer | None  # null: none yet
    latency_ms: dict[str, float]  # p50, p95, p99 of refreshes; empty: none yet
    breakers: list[BreakerAnswer]
    paused_clients: list[PausedClientAnswer]


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
        recent=[event_answer(event) for event in view.recent],
        last_sweep=_sweep(view.last_sweep),
        latency_ms=dict(view.latency_ms),
        breakers=[
            BreakerAnswer(host=host, faults=breaker.faults, until=instant(breaker.open_until))
            for host, breaker in view.breakers.items()
        ],
        paused_clients=[
            PausedClientAnswer(
                provider=client.provider, code=client.incident_code, since=instant(client.incident_since)
            )
            for client in view.clients_paused
        ],
    )


def _sweep(sweep: Sweep | None) -> SweepAnswer | None:
    return (
        None if sweep is None else SweepAnswer(at=sweep.at.replace(microsecond=0), due=sweep.due, started=sweep.started)
    )


def _attention(entries: Sequence[Attention]) -> list[AttentionAnswer]:
    return [_entry(entry) for entry in entries]


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
        description="Counts by state and provider, what is overdue, what needs attention, breakers.",
        handler=status,
        scope=Scope.CREDENTIALS_READ,
        answer=StatusAnswer,
    ),
)
