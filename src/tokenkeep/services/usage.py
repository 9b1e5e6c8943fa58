"""Who used what, gathered in memory and written now and then.

Owns: last uses of service keys and credentials between two flushes. Losing the last seconds of it in a crash loses no
secret and no grant, so a token read pays no write. Does not own: declared references (`credentials`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tokenkeep.services.ports import Clock, ReferenceStore, ServiceKeyStore


@dataclass(slots=True)
class Usage:
    """Notes are dictionary writes; `flush` is called by the ticker and at shutdown."""

    keys: ServiceKeyStore
    references: ReferenceStore
    clock: Clock
    _keys: set[str] = field(default_factory=set)
    _consumers: set[tuple[str, str, str]] = field(default_factory=set)

    def key_used(self, key_id: str) -> None:
        """A service key was presented."""
        self._keys.add(key_id)

    def credential_used(self, workspace_id: str, credential_id: str, consumer: str) -> None:
        """A consumer named itself while reading a credential."""
        self._consumers.add((workspace_id, credential_id, consumer))

    async def flush(self) -> None:
        """Writes what was noted; what cannot be written is noted again for the next flush."""
        now: datetime = self.clock.now()
        keys, self._keys = self._keys, set()
        consumers, self._consumers = self._consumers, set()
        try:
            if keys:
                await self.keys.used(dict.fromkeys(keys, now))
            if consumers:
                await self.references.seen(dict.fromkeys(consumers, now))
        except Exception:
            self._keys |= keys
            self._consumers |= consumers
            raise
