"""Rejections that nodes reported.

Owns: writing each of them down once. Does not own: what they mean (`core/rejections`), the rest of a grant (`grants`).
"""

from __future__ import annotations

from sqlalchemy import update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.events import insert_event
from tokenkeep.adapters.store.grant_rows import rejections_row
from tokenkeep.adapters.store.rows import lease_free
from tokenkeep.adapters.tables import grants
from tokenkeep.core.model import Event, Grant, Rejections


class RejectionRuns:
    """The port `RejectionStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def note(self, grant: Grant, run: Rejections, *, learned_life_s: int | None, event: Event | None) -> bool:
        """False: it was noted already, the grant has changed, or it is being refreshed just now."""
        before = grant.rejections.at if grant.rejections is not None else None
        statement = (
            update(grants)
            .where(grants.c.workspace_id == grant.workspace_id, grants.c.credential_id == grant.credential_id)
            .where(grants.c.grant_id == grant.grant_id, grants.c.version == grant.version, lease_free())
            .where(grants.c.rejected_at.is_(None) if before is None else grants.c.rejected_at == before)
            .values(rejections_row(run) | {"learned_life_s": learned_life_s, "revision": grants.c.revision + 1})
            .returning(grants.c.credential_id)
        )
        async with self._engines.write() as connection:
            if (await connection.execute(statement)).first() is None:
                return False
            await insert_event(connection, event)
        return True
