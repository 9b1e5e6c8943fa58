"""Chance that is the same in every run."""

from __future__ import annotations

import base64
import hashlib
import uuid


class CountedEntropy:
    """`ports.Entropy`: each answer comes from a counter, so it is unique and the same every time."""

    def __init__(self, seed: str = "tests", *, fraction: float = 0.5) -> None:
        self._seed = seed.encode()
        self._count = 0
        self.next_fraction = fraction

    def token(self, octets: int = 32) -> str:
        return base64.urlsafe_b64encode(self.octets(octets)).rstrip(b"=").decode()

    def id(self) -> str:
        return str(uuid.UUID(bytes=self.octets(16), version=4))

    def octets(self, count: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(b"%b/%d" % (self._seed, self._count)).digest(count)

    def fraction(self) -> float:
        """The middle, unless the test says otherwise."""
        return self.next_fraction
