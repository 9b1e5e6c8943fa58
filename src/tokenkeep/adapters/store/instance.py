"""The mark that the database carries, and where it lies.

Owns: the single row of `instance_mark`. Does not own: what a difference means (`services/adoption`).
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from sqlalchemy import case, select, text
from sqlalchemy.exc import DBAPIError

from tokenkeep.adapters.instance import home_of
from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.tables import grants, instance_mark
from tokenkeep.adapters.tables.columns import clock_now
from tokenkeep.services.ports import Mark


class Instance:
    """The port `InstanceStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def mark(self) -> Mark | None:
        """None: no service ever used this database."""
        async with self._engines.read() as connection:
            row = (await connection.execute(select(instance_mark.c.home, instance_mark.c.at))).mappings().first()
        return Mark(**row) if row is not None else None

    async def put_mark(self, home: str, *, after: datetime | None = None) -> Mark:
        """The row decides which time is the later one, so that two replicas never set each other back."""
        async with self._engines.write() as connection:
            now: datetime = (await connection.execute(select(clock_now()))).scalar_one()
            statement = self._engines.upsert(instance_mark).values(id=1, home=home, at=max(now, after or now))
            new = statement.excluded.at
            later = case((instance_mark.c.at > new, instance_mark.c.at), else_=new)
            statement = statement.on_conflict_do_update(index_elements=["id"], set_={"home": home, "at": later})
            row = await connection.execute(statement.returning(instance_mark.c.home, instance_mark.c.at))
            return Mark(**row.mappings().one())

    async def holds_grants(self) -> bool:
        """False: nothing here could be harmed by a refresh."""
        async with self._engines.read() as connection:
            return (await connection.execute(select(grants.c.grant_id).limit(1))).first() is not None

    async def home(self) -> str:
        """`file/machine` on SQLite, `server/database` on PostgreSQL."""
        if self._engines.dialect == "sqlite":
            return await asyncio.to_thread(home_of, self._engines.path)
        return f"{await self._server()}/{await self._number()}"

    async def _number(self) -> str:
        """Of this database on its server: one that is created anew, as for a restore, has another."""
        async with self._engines.read() as connection:
            found = await connection.execute(
                text("SELECT oid::text FROM pg_database WHERE datname = current_database()")
            )
            return str(found.scalar_one())

    async def _server(self) -> str:
        """Drawn when the server's files were made; standbys have their primary's. Empty where we may not read it."""
        try:
            async with self._engines.read() as connection:
                found = await connection.execute(text("SELECT system_identifier::text FROM pg_control_system()"))
                return str(found.scalar_one())
        except DBAPIError:
            return ""
