"""What the demo provider needs from the machine.

Owns: time and chance as this room asks for them.
Does not own: where they come from; the assembly passes them in.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """Aware UTC."""


class Entropy(Protocol):
    """Chance."""

    def token(self, octets: int = 32) -> str:
        """URL-safe text of that many random octets."""
