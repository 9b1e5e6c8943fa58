"""How fast to go through what is due while many requests are answered.

Owns: giving way. A refresh costs the process some fifty times what a token read does, and is planned long before it is
needed; so while requests are many, refreshes by plan are few, and more the longer that lasts. Those that a reader waits
for never ask here. Does not own: what is due (`sweep`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tokenkeep.services.ports import Clock

BUSY_PER_S = 500
"""Requests a second that count as many: some five per cent of what one process can answer."""
GIVING_WAY_PER_S = 5.0
"""Refreshes a second while giving way; doubled for every minute that it lasts, so that nothing gets late for good."""
CALM_S, CALM_PER_S = 600, 1.0
"""For ten minutes after the clock was set much may look due that is not (reliability 4.7)."""
_WINDOW_S = 0.5


@dataclass(slots=True, kw_only=True)
class Pace:
    """`answered` counts the requests that this process has answered so far."""

    clock: Clock
    answered: Callable[[], int]
    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    _busy_since: float | None = None
    _calm_until: float = 0.0
    _credit: float = 1.0
    _credited_at: float = 0.0

    def calm_down(self) -> None:
        """The clock was set: go slowly for a while."""
        self._calm_until = self.clock.monotonic() + CALM_S

    @property
    def gives_way(self) -> bool:
        """Whether requests were many when it was last asked."""
        return self._busy_since is not None

    def permits(self) -> bool:
        """Whether one more refresh may start now. Taken as started when it may."""
        now = self.clock.monotonic()
        rate = self._rate(now)
        if rate is None:
            self._credit, self._credited_at = 1.0, now
            return True
        self._credit = min(self._credit + (now - self._credited_at) * rate, max(rate, 1.0))
        self._credited_at = now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def _rate(self, now: float) -> float | None:
        """Refreshes a second; None: as many as there is room for."""
        if self._is_busy(now):
            self._busy_since = now if self._busy_since is None else self._busy_since
            giving_way = GIVING_WAY_PER_S * 2 ** ((now - self._busy_since) // 60)
        else:
            self._busy_since, giving_way = None, None
        if now >= self._calm_until:
            return giving_way
        return CALM_PER_S if giving_way is None else min(giving_way, CALM_PER_S)

    def _is_busy(self, now: float) -> bool:
        """By the requests answered in the last half second or so."""
        seen = self._seen
        if not seen or now - seen[-1][0] >= _WINDOW_S / 5:
            seen.append((now, self.answered()))
        while len(seen) > 1 and seen[1][0] <= now - _WINDOW_S:
            seen.popleft()
        (began, before), (ended, after) = seen[0], seen[-1]
        if ended - began < _WINDOW_S / 5:
            return self._busy_since is not None
        return (after - before) / (ended - began) > BUSY_PER_S
