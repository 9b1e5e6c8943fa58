"""The times of a token set that was just obtained.

Owns: putting together what the provider told, what its file knows and what was seen before: when to refresh, whether the
end is known, when a person will be needed. Does not own: each single answer (`policy`), what becomes of a standing
(`lifecycle`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tokenkeep.core import policy
from tokenkeep.core.lifecycle import Obtained
from tokenkeep.core.model import Grant, Provider, Standing, TokenSet


def after_consent(
    provider: Provider, token_set: TokenSet, *, credential_id: str, now: datetime, learned_life_s: int | None = None
) -> Obtained:
    """`learned_life_s`: of the tokens of the consent before, where it was at the same provider."""
    return _Horizon(
        provider=provider,
        token_set=token_set,
        now=now,
        connected_at=now,
        fraction=policy.own_fraction(credential_id),
        learned_life_s=learned_life_s,
        refresh_end=token_set.refresh_expires_at,
        fixed=provider.refresh_end_fixed,
    ).obtained(None)


def after_refresh(provider: Provider, token_set: TokenSet, grant: Grant, *, now: datetime) -> Obtained:
    """`grant`: as it was before the refresh."""
    before = grant.standing
    told, known = token_set.refresh_expires_at, before.refresh_expires_at
    # A file that knows only how long a token lives would begin anew with every token.
    end = min(told, known) if provider.refresh_end_fixed and told and known else told
    elapsed = now - (before.last_refresh_at or grant.connected_at)
    fixed = policy.end_is_fixed(provider, before=known, end=end, elapsed=elapsed)
    return _Horizon(
        provider=provider,
        token_set=token_set,
        now=now,
        connected_at=grant.connected_at,
        fraction=policy.own_fraction(grant.credential_id),
        learned_life_s=before.learned_life_s,
        refresh_end=known if fixed and policy.same_date(end, known) else end,
        fixed=fixed,
    ).obtained(before)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Horizon:
    """All that the times depend on."""

    provider: Provider
    token_set: TokenSet
    now: datetime
    connected_at: datetime
    fraction: float
    learned_life_s: int | None
    refresh_end: datetime | None
    fixed: bool  # the refresh token's end

    def obtained(self, before: Standing | None) -> Obtained:
        date = self._needs_person_at()
        warn_at = None if date is None else policy.warn_at(date, since=self.connected_at)
        if before is not None and policy.same_date(date, before.needs_person_at):
            date, warn_at = before.needs_person_at, before.warn_at  # so that it is said once
        return Obtained(
            expires_at=self.token_set.expires_at,
            refresh_expires_at=self.refresh_end,
            next_refresh_at=self._next_refresh_at() if self._renewable() else self.token_set.expires_at,
            endless=self.token_set.endless,
            learned_life_s=self.learned_life_s,
            needs_person_at=date,
            warn_at=warn_at,
        )

    def _renewable(self) -> bool:
        """Else the end is the time to look again: then a person is needed, and should be told."""
        return self.token_set.refresh_token is not None or self.provider.mints

    def _needs_person_at(self) -> datetime | None:
        end = self.refresh_end if self.fixed else None
        return policy.needs_person_at(self.provider, self.token_set, connected_at=self.connected_at, refresh_end=end)

    def _next_refresh_at(self) -> datetime | None:
        planned = (self._by_access_token(), self._to_keep_alive())
        return min((at for at in planned if at is not None), default=None)

    def _by_access_token(self) -> datetime | None:
        token_set, life_s = self.token_set, self.learned_life_s
        if token_set.expires_at is None and not token_set.endless and life_s is not None:
            return policy.by_learned_life(self.provider, obtained_at=self.now, life_s=life_s, fraction=self.fraction)
        return policy.next_refresh_at(
            self.provider, obtained_at=self.now, expires_at=token_set.expires_at, fraction=self.fraction
        )

    def _to_keep_alive(self) -> datetime | None:
        lapses_at = policy.lapses_at(
            self.provider, obtained_at=self.now, refresh_expires_at=self.refresh_end, fixed=self.fixed
        )
        if lapses_at is None:
            return None
        return policy.keep_alive_at(
            self.provider,
            obtained_at=self.now,
            expires_at=self.token_set.expires_at,
            lapses_at=lapses_at,
            fraction=self.fraction,
        )
