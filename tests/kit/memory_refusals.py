"""What the brake asks, in memory, with the semantics of `adapters/store/refusals`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from tests.kit.memory_grants import Rows
from tokenkeep.core.brake import EXPLAINED, Burst
from tokenkeep.core.lifecycle import DOUBTED
from tokenkeep.core.model import FailureKind, Grant


class MemoryRefusals:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def burst(self, workspace_id: str, client: str, *, since: datetime) -> Burst:
        self._rows.works("refusals.burst")
        grants = self._of(workspace_id, client)
        refreshed = [at for grant in grants if (at := grant.standing.last_refresh_at) is not None]
        return Burst(
            refused=len(self._believed(workspace_id, client, since)),
            granted=sum(at >= since for at in refreshed),
            doubted=sum(_code(grant) == DOUBTED for grant in grants),
        )

    async def believed(self, workspace_id: str, client: str, *, since: datetime) -> Sequence[str]:
        return self._believed(workspace_id, client, since)

    def _believed(self, workspace_id: str, client: str, since: datetime) -> list[str]:
        told = {
            event.credential_id
            for event in self._rows.events
            if event.workspace_id == workspace_id and event.kind == "reauthorization_required" and event.at >= since
        }
        grants = [grant for grant in self._of(workspace_id, client) if grant.credential_id in told]
        return sorted(grant.credential_id for grant in grants if _refused_once(grant))

    async def doubted(self, workspace_id: str) -> Mapping[str, int]:
        grants = [grant for key, grant in self._rows.grants.items() if key[0] == workspace_id]
        return dict(Counter(grant.provider for grant in grants if _code(grant) == DOUBTED))

    def _of(self, workspace_id: str, client: str) -> list[Grant]:
        return [
            grant
            for grant in self._rows.grants.values()
            if (grant.workspace_id, grant.client) == (workspace_id, client)
        ]


def _code(grant: Grant) -> str:
    return grant.standing.failure.code if grant.standing.failure is not None else ""


def _refused_once(grant: Grant) -> bool:
    failure = grant.standing.failure
    refused = failure is not None and failure.kind is FailureKind.GRANT and failure.count == 1
    return refused and failure.code not in EXPLAINED
