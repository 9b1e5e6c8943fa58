"""What use cases report: one log line and the metrics it raises.

Owns: turning a recorded action into a line and numbers. Does not own: formats (`logs`), the numbers (`metrics`),
requests (`access_log`), the history that people see (events in the store).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import structlog

from tokenkeep.adapters.metrics import Metrics

_OUTCOMES = {"refreshed": "refreshed", "reauthorization_required": "reauthorization_required", "refresh_failed": ""}
"""Actions that end a refresh, and the outcome each stands for. Empty: the fact `kind` tells (who can repair it)."""
_BAD_SIGNS = (
    "failed",
    "surprise",
    "unreadable",
    "paused",
    "opened",
    "refusal_begun",
    "required",
    "expected",
    "loop",
    "discarded",
    "quarantined",
    "undecryptable",
)


class LogJournal:
    """`ports.Journal` to the log and to the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.stdlib.get_logger("tokenkeep.journal")

    def record(self, action: str, /, **facts: str | float | bool | None) -> None:
        """One line: a warning where the action's name says that something went wrong, otherwise information."""
        self._metrics.event(action)
        self._count(action, facts)
        level = logging.WARNING if any(sign in action for sign in _BAD_SIGNS) else logging.INFO
        self._log.bind(**facts).log(level, action)

    def _count(self, action: str, facts: Mapping[str, str | float | bool | None]) -> None:
        if action == "swept":
            self._metrics.swept()
        if action in {"refreshing_paused", "refreshing_resumed"}:
            self._metrics.paused(str(facts.get("cause", "")), now=action == "refreshing_paused")
        outcome = _OUTCOMES.get(action)
        if outcome is not None:
            duration = facts.get("duration_ms")
            self._metrics.refresh(
                str(facts.get("provider", "")),
                outcome or str(facts.get("kind", "")),
                duration_s=duration / 1000 if isinstance(duration, int | float) else None,
            )
