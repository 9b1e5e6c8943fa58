"""Every state with every event.

Owns: `apply`, the one function that turns a grant's standing into the next. Does not own: when things are due
(`policy`), what an answer meant (`protocol`).

    unconnected ──Connected──▶ connected ◀──Refreshed── failing
                                   │  ▲                   ▲ │
                                   └──┼─Failed(transient, client)
                                      │                     │ Failed(grant)
                       Connected ─────┤                     ▼
                                      └── reauthorization_required ──doubted──▶ failing
    any ──Failed(internal) x3, or Undecryptable──▶ quarantined ──Connected──▶ connected
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from tokenkeep.core.model import Failure, FailureKind, Standing, State

POISON_COUNT = 3
"""So many identical internal errors in a row put a grant aside, so that it cannot hold up the others."""
DOUBTED = "mass_refusal"
"""The code of a grant that was refused while many others were: it is asked about again before anybody is bothered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obtained:
    """The provider gave a token set: by consent, or by a refresh."""

    expires_at: datetime | None
    refresh_expires_at: datetime | None
    next_refresh_at: datetime | None
    endless: bool = False
    learned_life_s: int | None = None
    needs_person_at: datetime | None = None
    warn_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A refresh did not work. `retry_at` is ignored where trying again is useless."""

    kind: FailureKind
    code: str
    retry_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """Nothing was tried: the provider or the client is being left in peace until then."""

    until: datetime


Happening = Obtained | Failed | Postponed


def connected(obtained: Obtained, *, now: datetime) -> Standing:
    """The standing right after consent, whatever was before."""
    return Standing(
        state=State.CONNECTED,
        expires_at=obtained.expires_at,
        refresh_expires_at=obtained.refresh_expires_at,
        next_refresh_at=obtained.next_refresh_at,
        last_refresh_at=now,
        endless=obtained.endless,
        learned_life_s=obtained.learned_life_s,
        needs_person_at=obtained.needs_person_at,
        warn_at=obtained.warn_at,
    )


def apply(standing: Standing, happening: Happening, *, now: datetime) -> Standing:
    """The next standing. Total: no combination raises."""
    if isinstance(happening, Obtained):
        return connected(happening, now=now)
    if isinstance(happening, Postponed):
        return standing if _rests(standing) else replace(standing, next_refresh_at=happening.until)
    return _failed(standing, happening, now=now)


def _rests(standing: Standing) -> bool:
    return standing.state in {State.REAUTHORIZATION_REQUIRED, State.QUARANTINED}


def _failed(standing: Standing, happening: Failed, *, now: datetime) -> Standing:
    failure = _counted(standing.failure, happening, now=now)
    if happening.kind is FailureKind.GRANT:
        return replace(standing, state=State.REAUTHORIZATION_REQUIRED, next_refresh_at=None, failure=failure)
    if happening.kind is FailureKind.INTERNAL and failure.count >= POISON_COUNT:
        return replace(standing, state=State.QUARANTINED, next_refresh_at=None, failure=failure)
    if _rests(standing):
        return standing
    return replace(standing, state=State.FAILING, next_refresh_at=happening.retry_at, failure=failure)


def _counted(before: Failure | None, happening: Failed, *, now: datetime) -> Failure:
    same = before is not None and before.kind is happening.kind and before.code == happening.code
    same = same or _confirms(before, happening)
    if before is None or not same:
        since = before.since if before is not None else now
        return Failure(kind=happening.kind, code=happening.code, count=1, since=since)
    return replace(before, kind=happening.kind, code=happening.code, count=before.count + 1)


def _confirms(before: Failure | None, happening: Failed) -> bool:
    """A refusal that was doubted and came again: the second of two, and so counted."""
    return before is not None and before.code == DOUBTED and happening.kind is FailureKind.GRANT


def doubted(standing: Standing, *, confirm_at: datetime, now: datetime) -> Standing:
    """A refusal that was believed too early: the grant is kept and asked about again."""
    since = standing.failure.since if standing.failure is not None else now
    failure = Failure(kind=FailureKind.TRANSIENT, code=DOUBTED, count=1, since=since)
    return replace(standing, state=State.FAILING, next_refresh_at=confirm_at, failure=failure)


def undecryptable(standing: Standing, *, now: datetime) -> Standing:
    """What is sealed does not open: put aside at once, overwritten never."""
    failure = Failure(kind=FailureKind.INTERNAL, code="undecryptable", count=1, since=now)
    return replace(standing, state=State.QUARANTINED, next_refresh_at=None, failure=failure)
