"""What the brake asks the store.

Owns: questions about the refusals of one client. Does not own: any change of a grant (`keeping`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from tokenkeep.core.brake import Burst


class RefusalStore(Protocol):
    """Read from what grants say of themselves, so every process answers the same, and a new one as well."""

    async def burst(self, workspace_id: str, client: str, *, since: datetime) -> Burst:
        """The client's answers since then. Refusals that we know the reason of, or asked about twice, do not count."""

    async def believed(self, workspace_id: str, client: str, *, since: datetime) -> Sequence[str]:
        """The credentials that `burst` counts as refused."""

    async def doubted(self, workspace_id: str) -> Mapping[str, int]:
        """Provider -> how many of its grants wait to be asked about again."""
