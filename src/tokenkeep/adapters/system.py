"""The real clock and the real randomness.

Owns: the only reading of time and chance. Does not own: what either is used for.
"""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import time
import uuid
from datetime import UTC, datetime

# CLOCK_BOOTTIME counts through suspension; where the system has none, the ordinary monotonic clock must do.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_FRACTION_BITS = 53


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    # Seconds that never leap and count through suspension. Without a frame of our own: every request asks four times.
    monotonic = functools.partial(time.clock_gettime, _STEADY)

    async def sleep(self, seconds: float) -> None:
        """Wait, letting others run."""
        await asyncio.sleep(seconds)


class SystemEntropy:
    """The operating system's randomness."""

    def token(self, octets: int = 32) -> str:
        """URL-safe text of that many random octets."""
        return secrets.token_urlsafe(octets)

    def id(self) -> str:
        """UUIDv4 text. Never a secret."""
        return str(uuid.uuid4())

    def octets(self, count: int) -> bytes:
        """That many random octets."""
        return os.urandom(count)

    def fraction(self) -> float:
        """Uniform in [0, 1)."""
        return secrets.randbits(_FRACTION_BITS) / (1 << _FRACTION_BITS)
