"""Pure answers about time.

Owns: when a token is due, whether it is still good enough, when to try again, when a provider is left in peace.
Does not own: reading the clock (every function takes `now`), chance (`fraction` in [0, 1) is given), states (`lifecycle`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from tokenkeep.core.model import Provider, Rotation, Standing, TokenSet

WAIT_S = 15
"""How long a caller waits for a refresh before it is told to come back (reliability 4.7)."""
LEASE_S = 90
"""Three times the longest provider call, so a lease never ends under a call that is still running."""
SEND_WITHIN_S = 55
"""An owner that claimed longer ago than this was suspended, and must not send: with the longest call (30 s) its lease
would end before its answer came."""
BACKOFF_FIRST_S, BACKOFF_CAP_S = 30, 3600
LATE_MARGIN_S = 120
"""Margin where a refresh kills the access token that nodes are still using (GitHub Apps)."""
PREVIOUS_STRICT_S, PREVIOUS_LENIENT_S = 24 * 3600, 7 * 24 * 3600
ORPHAN_S = 24 * 3600
PROBE_S = 900
"""A paused client is tried again by one refresh this often, in case its secret was mended at the provider."""
WARN_S = 7 * 24 * 3600
"""So long before a person is needed somebody is told; of a life shorter than five weeks, when 80 % are over."""
SAME_DATE_S = 120
"""A date told as seconds from now differs from answer to answer by what the answer took."""


_MOMENT = timedelta(microseconds=1)


class Freshness(StrEnum):
    """How good an access token is."""

    FRESH = "fresh"
    STALE = "stale"  # alive, but with less left than was asked for
    EXPIRED = "expired"


def freshness(standing: Standing, *, obtained_at: datetime, now: datetime, min_ttl: int) -> Freshness:
    """Whether the token has `min_ttl` seconds left. An unknown end is fresh: only a node's rejection says otherwise.

    A provider whose tokens live no longer than `min_ttl` cannot give that, so a quarter of its life is asked for
    instead; and a token just obtained is as good as the provider's tokens get.
    """
    if standing.expires_at is None or now <= fresh_until(standing.expires_at, obtained_at=obtained_at, min_ttl=min_ttl):
        return Freshness.FRESH
    return Freshness.STALE if now < standing.expires_at else Freshness.EXPIRED


def fresh_until(expires_at: datetime, *, obtained_at: datetime, min_ttl: int) -> datetime:
    """The last moment at which `freshness` says fresh. Fixed for a token, so a reader may remember it."""
    life = (expires_at - obtained_at).total_seconds()
    needed = min_ttl if min_ttl < life else life / 4
    just_obtained = obtained_at + timedelta(seconds=min(60, life / 10)) - _MOMENT
    return min(max(expires_at - timedelta(seconds=needed), just_obtained), expires_at - _MOMENT)


def next_refresh_at(
    provider: Provider, *, obtained_at: datetime, expires_at: datetime | None, fraction: float
) -> datetime | None:
    """When the sweep should refresh: at 75-80 % of the life, late where the old token dies. None: never by plan.

    `fraction` is the credential's own, so that its jitter is the same at every refresh and a thousand tokens obtained
    together do not come due together. Jitter is only ever earlier.
    """
    if expires_at is None or "never_refresh_blindly" in provider.quirks:
        return None
    life = max((expires_at - obtained_at).total_seconds(), 0.0)
    margin = life * (0.20 + 0.05 * fraction)
    if provider.kills_old_access_token:
        margin = min(margin, LATE_MARGIN_S * (1 + fraction / 4))
    return expires_at - timedelta(seconds=margin)


def by_learned_life(provider: Provider, *, obtained_at: datetime, life_s: int, fraction: float) -> datetime | None:
    """When to refresh a token whose end nobody told, but one like it was rejected at that age. None: never by plan.

    Not late where the old token dies: the age at which a rejection was seen is no promise to live up to.
    """
    if "never_refresh_blindly" in provider.quirks:
        return None
    return _most_of(obtained_at, obtained_at + timedelta(seconds=life_s), fraction)


def lapses_at(
    provider: Provider, *, obtained_at: datetime, refresh_expires_at: datetime | None, fixed: bool
) -> datetime | None:
    """When the refresh token is lost unless it is used before. None: it does not lapse, or using it would not help."""
    idle_s = provider.refresh_idle_ttl_s
    ends = [obtained_at + timedelta(seconds=idle_s)] if idle_s is not None else []
    if refresh_expires_at is not None and not fixed:
        ends.append(refresh_expires_at)
    return min(ends, default=None)


def keep_alive_at(
    provider: Provider, *, obtained_at: datetime, expires_at: datetime | None, lapses_at: datetime, fraction: float
) -> datetime:
    """When to refresh for the refresh token's sake: at 75-80 % of the time it has, whatever the access token does.

    Also where a blind refresh does harm: a lapsed grant is lost for certain. But there not while the access token is
    known to live, as long as waiting for its end loses nothing.
    """
    at = _most_of(obtained_at, lapses_at, fraction)
    patient = "never_refresh_blindly" in provider.quirks and expires_at is not None and expires_at < lapses_at
    return max(at, expires_at) if patient and expires_at is not None else at


def end_is_fixed(
    provider: Provider, *, before: datetime | None, end: datetime | None, elapsed: timedelta | None
) -> bool:
    """Whether refreshing leaves the refresh token's end where it was: by the file's word, or seen at the last refresh.

    An end that is renewed moves as far as time has; one that moved less than half as far is told anew, not renewed.
    Planning by such an end would refresh ever more often as it comes near.
    """
    if provider.refresh_end_fixed:
        return True
    if before is None or end is None or elapsed is None:
        return False
    return end - before < elapsed / 2


def needs_person_at(
    provider: Provider, token_set: TokenSet, *, connected_at: datetime, refresh_end: datetime | None
) -> datetime | None:
    """The date on which this connection will need a person, whatever we do. None: no such date is known.

    `refresh_end`: of the refresh token, where refreshing does not put it off.
    """
    if provider.mints:
        return None
    if token_set.refresh_token is None:
        return token_set.expires_at
    by_file = None if provider.grant_ttl_s is None else connected_at + timedelta(seconds=provider.grant_ttl_s)
    return min((end for end in (refresh_end, token_set.grant_expires_at, by_file) if end is not None), default=None)


def warn_at(date: datetime, *, since: datetime) -> datetime:
    """When to say that a person will be needed on `date`."""
    return max(date - timedelta(seconds=WARN_S), since + 0.8 * (date - since))


def same_date(one: datetime | None, other: datetime | None) -> bool:
    """Whether two forecasts are one and the same date, told at two times."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= timedelta(seconds=SAME_DATE_S)


def _most_of(begin: datetime, end: datetime, fraction: float) -> datetime:
    return end - max(end - begin, timedelta(0)) * (0.20 + 0.05 * fraction)


def own_fraction(credential_id: str) -> float:
    """A credential's own place in [0, 1), the same in every process and at every refresh."""
    return int.from_bytes(sha256(credential_id.encode()).digest()[:8], "big") / 2**64


def retry_at(now: datetime, *, failures: int, retry_after: int | None, fraction: float) -> datetime:
    """Backoff 30 s x 2^n with full jitter, capped at an hour; never before the provider's Retry-After."""
    ceiling = min(BACKOFF_FIRST_S * 2 ** min(failures, 12), BACKOFF_CAP_S)
    wait = max(ceiling * fraction, 1.0)
    if retry_after is not None:
        wait = max(wait, min(retry_after, BACKOFF_CAP_S) + min(retry_after, 30) * fraction)
    return now + timedelta(seconds=wait)


def recover_at(provider: Provider, standing: Standing, *, now: datetime) -> datetime:
    """When to try again after an answer was lost and the refresh token may be spent (reliability 4.4).

    At once, except where reuse would revoke a grant whose access token still serves: then shortly before its end.
    """
    if provider.rotation is Rotation.FAMILY and not provider.kills_old_access_token and standing.expires_at is not None:
        return max(now, standing.expires_at - timedelta(seconds=30))
    return now


def previous_until(provider: Provider, *, now: datetime) -> datetime:
    """How long the spent refresh token is kept as a fallback (reliability 4.5)."""
    strict = provider.rotation in {Rotation.STRICT, Rotation.FAMILY, Rotation.UNKNOWN}
    return now + timedelta(seconds=PREVIOUS_STRICT_S if strict else PREVIOUS_LENIENT_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Guards one provider host from being called while it is down. Credential errors never count: only faults of time."""

    faults: int = 0  # in a row
    open_until: datetime | None = None  # None: closed

    def permits(self, now: datetime) -> bool:
        """Whether the host may be called."""
        return self.open_until is None or now >= self.open_until

    def probing(self, now: datetime) -> Breaker:
        """One try is let through: others wait until it has answered or twenty seconds have passed."""
        return self if self.open_until is None else replace(self, open_until=now + timedelta(seconds=20))

    def after(self, *, fault: bool, now: datetime) -> Breaker:
        """Five faults in a row open it for 15 s, doubling to five minutes; one answer closes it."""
        if not fault:
            return Breaker()
        faults = self.faults + 1
        if faults < 5:
            return replace(self, faults=faults)
        return Breaker(faults=faults, open_until=now + timedelta(seconds=min(15 * 2 ** min(faults - 5, 5), 300)))
