"""Databases that credentials are for, without any database."""

from __future__ import annotations

from dataclasses import dataclass, field

from tokenkeep.core.probing import Probed, Target


@dataclass
class FakeDatabases:
    """`ports.DatabaseProbe`: finds what it is told to find, and remembers where it was asked to look."""

    found: Probed = Probed.OK
    asked: list[Target] = field(default_factory=list)

    async def probe(self, target: Target) -> Probed:
        self.asked.append(target)
        return self.found
