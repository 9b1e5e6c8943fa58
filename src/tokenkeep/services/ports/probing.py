"""Databases that credentials are for.

Owns: what is asked of them. Does not own: which database, and what the findings mean (`core/probing`).
"""

from __future__ import annotations

from typing import Protocol

from tokenkeep.core.probing import Probed, Target


class DatabaseProbe(Protocol):
    """Signs in and leaves again. Never raises for what the network or the database does."""

    async def probe(self, target: Target) -> Probed:
        """One attempt, within ten seconds, at an address that may be reached."""
