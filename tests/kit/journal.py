"""A journal one can look into."""

from __future__ import annotations

from typing import Any


class ListJournal:
    """`ports.Journal` into a list of (action, facts)."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []

    def record(self, action: str, /, **facts: str | float | bool | None) -> None:
        self.records.append((action, facts))

    @property
    def actions(self) -> list[str]:
        """What was recorded, in order."""
        return [action for action, _ in self.records]

    def facts(self, action: str) -> list[dict[str, Any]]:
        """The facts of every record of that action."""
        return [facts for recorded, facts in self.records if recorded == action]
