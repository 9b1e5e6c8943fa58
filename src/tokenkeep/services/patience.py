"""Writing what a provider answered, until the database takes it.

Owns: the waits between two tries and the lease meanwhile. Does not own: what is written (`keeping`, `settling`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tokenkeep.core import policy
from tokenkeep.services.ports import Clock, GrantStore, Journal, Lease

T = TypeVar("T")

RETRY_FIRST_S, RETRY_CAP_S = 0.2, 10.0
EXTEND_EVERY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """For whoever holds what is nowhere else."""

    grants: GrantStore
    clock: Clock
    journal: Journal

    async def until_done(self, lease: Lease, work: Callable[[], Awaitable[T]]) -> T:
        """Do it until it works; keep the lease meanwhile, where that is possible."""
        wait, extended = RETRY_FIRST_S, self.clock.monotonic()
        while True:
            try:
                if self.clock.monotonic() - extended > EXTEND_EVERY_S:
                    extended = self.clock.monotonic()
                    await self.grants.extend(lease, lease_s=policy.LEASE_S)
                return await work()
            except Exception as fault:  # noqa: BLE001 - as long as the process lives, we try
                self._failed(lease, fault)
            await self.clock.sleep(wait)
            wait = min(wait * 2, RETRY_CAP_S)

    async def until_lapsed(self, lease: Lease, work: Callable[[], Awaitable[T]], *, claimed_at: float) -> T:
        """Do it until it works or the lease is over: afterwards somebody else finds it out anew. Raises what `work` does.

        `claimed_at`: monotonic.
        """
        wait = RETRY_FIRST_S
        while True:
            try:
                return await work()
            except Exception as fault:
                if self.clock.monotonic() + wait > claimed_at + policy.LEASE_S:
                    raise
                self._failed(lease, fault)
            await self.clock.sleep(wait)
            wait = min(wait * 2, RETRY_CAP_S)

    def _failed(self, lease: Lease, fault: Exception) -> None:
        self.journal.record("store_failed", credential=lease.grant.credential_id, error=type(fault).__name__)
