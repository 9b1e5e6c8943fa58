"""Slowing down guesses.

Owns: counting failed tries per account and per address in this process. Does not own: what counts as a failure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tokenkeep.core.errors import Throttled
from tokenkeep.services.ports import Clock

WINDOW_S, TRIES = 900.0, 10
TRIES_PER_ADDRESS = 100
REMEMBERED = 10_000


def _tries(subject: str) -> int:
    """Many people may share one address behind a proxy: one stranger's guesses must not lock them all out."""
    return TRIES_PER_ADDRESS if subject.startswith("address:") else TRIES


@dataclass(slots=True, kw_only=True)
class Throttle:
    """A sliding window of failures per subject; the oldest subjects are forgotten first."""

    clock: Clock
    _failures: dict[str, deque[float]] = field(default_factory=dict)

    def check(self, *subjects: str) -> None:
        """Raises Throttled when any of them has failed too often."""
        now = self.clock.monotonic()
        for subject in subjects:
            failures = self._failures.get(subject)
            while failures and failures[0] <= now - WINDOW_S:
                failures.popleft()
            if failures and len(failures) >= _tries(subject):
                raise Throttled(retry_after=max(1, round(failures[0] + WINDOW_S - now)))

    def fail(self, *subjects: str) -> None:
        """Count one failed try for each."""
        for subject in subjects:
            if len(self._failures) >= REMEMBERED and subject not in self._failures:
                del self._failures[next(iter(self._failures))]
            self._failures.setdefault(subject, deque(maxlen=_tries(subject))).append(self.clock.monotonic())

    def forgive(self, subject: str) -> None:
        """Take the last one back: it turned out to be no failure."""
        if failures := self._failures.get(subject):
            failures.pop()

    def forget(self, subject: str) -> None:
        """It got it right: its earlier failures no longer count."""
        self._failures.pop(subject, None)
