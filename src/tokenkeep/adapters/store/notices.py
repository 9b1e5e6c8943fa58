"""What people are to be told by mail.

Owns: rows of `notices` and `mail_turns`. Does not own: what the mail says (`services/notices`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.tables import mail_turns, notices
from tokenkeep.adapters.tables.columns import clock_after, clock_now
from tokenkeep.services.ports import Notice


class Notices:
    """The part of the port `OutboxStore` that is about mail."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def keep(self, connection: AsyncConnection, kept: Sequence[Notice]) -> None:
        """In the transaction that marks the lines as told."""
        if kept:
            statement = self._engines.upsert(notices).on_conflict_do_nothing()
            await connection.execute(statement, [asdict(notice) for notice in kept])

    async def waiting(self) -> Sequence[str]:
        """Workspaces with notices."""
        async with self._engines.read() as connection:
            return list((await connection.execute(select(notices.c.workspace_id).distinct())).scalars())

    async def take_turn(self, workspace_id: str, *, every_s: int) -> bool:
        """One statement, so that of several processes one gets the turn."""
        later = {"next_at": clock_after(every_s)}
        statement = (
            self._engines.upsert(mail_turns)
            .values(workspace_id=workspace_id, **later)
            .on_conflict_do_update(
                index_elements=["workspace_id"], set_=later, where=mail_turns.c.next_at <= clock_now()
            )
            .returning(mail_turns.c.workspace_id)
        )
        async with self._engines.write() as connection:
            return (await connection.execute(statement)).first() is not None

    async def of_workspace(self, workspace_id: str, *, limit: int) -> Sequence[Notice]:
        """Oldest first."""
        statement = select(notices).where(notices.c.workspace_id == workspace_id)
        async with self._engines.read() as connection:
            rows = await connection.execute(statement.order_by(notices.c.at, notices.c.id).limit(limit))
            return [Notice(**row) for row in rows.mappings()]

    async def forget(self, workspace_id: str, notice_ids: Sequence[str]) -> None:
        """They were mailed."""
        mailed = delete(notices).where(notices.c.workspace_id == workspace_id, notices.c.id.in_(notice_ids))
        async with self._engines.write() as connection:
            await connection.execute(mailed)

    async def purge(self, before: datetime) -> None:
        """Forget what could not be mailed for weeks. Writes only where there is something to forget."""
        old = notices.c.at < before
        async with self._engines.read() as connection:
            if (await connection.execute(select(notices.c.id).where(old).limit(1))).first() is None:
                return
        async with self._engines.write() as connection:
            await connection.execute(delete(notices).where(old))
