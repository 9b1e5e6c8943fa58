"""What nodes' rejections tell.

Owns: when rejections are a run, when a run is a loop that refreshing does not end, and what an observed life is worth.
Does not own: asking for the refresh (`services/tokens`), keeping what was reported (`RejectionStore`).

A rejection has two causes that look alike: the token's life is over, or the API refuses this account, scope or address
whatever token it is shown. A new token helps only against the first.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from tokenkeep.core.model import Expiry, Grant, Rejections

LOOP: Final = 3
"""So many refreshes within `WINDOW` because of rejections, and the token is rejected still: another one will be, too."""
WINDOW: Final = timedelta(hours=1)
BELIEVABLE_S: Final = 300
"""Tokens that live shorter say so. One that is rejected earlier was not rejected for its age."""


def reported(grant: Grant, *, now: datetime) -> Rejections:
    """The run of rejections after a node reported the present token. The same object: this one is known already."""
    before = grant.rejections
    if before is not None and before.version == grant.version and not _is_over(grant, before, now):
        return before
    if before is not None and _goes_on(grant, before, now):
        return replace(before, count=before.count + 1, at=now, version=grant.version)
    life_s = grant.standing.learned_life_s
    return Rejections(count=1, since=now, at=now, version=grant.version, life_before_s=life_s)


def stopped_until(grant: Grant, run: Rejections) -> datetime | None:
    """Until when a rejection causes no refresh: the next planned one, or an hour. None: it does."""
    if run.count <= LOOP:
        return None
    planned, hour = grant.standing.next_refresh_at, run.at + WINDOW
    return hour if planned is None else min(planned, hour)


def learned_life_s(grant: Grant, run: Rejections, *, now: datetime) -> int | None:
    """What is known of the life of this grant's tokens after that rejection, in seconds. None: nothing.

    The shortest life that was seen; but a run that goes on too fast, or without end, was never about life.
    """
    standing = grant.standing
    if standing.expiry in {Expiry.KNOWN, Expiry.ENDLESS}:
        return standing.learned_life_s
    age_s = int((now - (standing.last_refresh_at or grant.connected_at)).total_seconds())
    if age_s < BELIEVABLE_S or run.count > LOOP:
        return run.life_before_s
    return min(age_s, standing.learned_life_s or age_s)


def _is_over(grant: Grant, run: Rejections, now: datetime) -> bool:
    until = stopped_until(grant, run)
    return until is not None and until <= now


def _goes_on(grant: Grant, run: Rejections, now: datetime) -> bool:
    """The present token was obtained because of the last one. After a stop it was not, but by plan."""
    return run.count <= LOOP and run.version == grant.version - 1 and now - run.since < WINDOW
