"""Wrapped data keys, and the check value of this instance.

Owns: rows of `data_keys` and the single row of `instance`. Does not own: any cryptography (`adapters/envelope`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.tables import data_keys, instance
from tokenkeep.core.errors import NotFound
from tokenkeep.core.model import DataKey


def _key_of(row: Mapping[Any, Any]) -> DataKey:
    return DataKey(**row)


class DataKeys:
    """The port `DataKeyStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def keys(self, workspace_id: str) -> Sequence[DataKey]:
        """Oldest first, the retired among them."""
        statement = select(data_keys).where(data_keys.c.workspace_id == workspace_id)
        statement = statement.order_by(data_keys.c.created_at, data_keys.c.id)
        async with self._engines.read() as connection:
            return [_key_of(row) for row in (await connection.execute(statement)).mappings()]

    async def add_key(self, key: DataKey, *, replaces: bytes | None = None) -> DataKey:
        """The index over active keys decides a race; the loser takes the winner's key."""
        retire = update(data_keys).where(
            data_keys.c.workspace_id == key.workspace_id, data_keys.c.id == replaces, data_keys.c.active
        )
        row = {column.name: getattr(key, column.name) for column in data_keys.c}
        active = select(data_keys).where(data_keys.c.workspace_id == key.workspace_id, data_keys.c.active)
        async with self._engines.write() as connection:
            await connection.execute(retire.values(active=False))
            await connection.execute(self._engines.upsert(data_keys).values(row).on_conflict_do_nothing())
            return _key_of((await connection.execute(active)).mappings().one())

    async def reserve(self, key_id: bytes, count: int) -> int:
        """The new mark. Raises NotFound for an unknown key."""
        statement = update(data_keys).where(data_keys.c.id == key_id).values(used=data_keys.c.used + count)
        async with self._engines.write() as connection:
            mark = (await connection.execute(statement.returning(data_keys.c.used))).scalar()
        if mark is None:
            raise NotFound
        return int(mark)

    async def any_keys(self) -> bool:
        """False: nothing was ever sealed here."""
        async with self._engines.read() as connection:
            return (await connection.execute(select(data_keys.c.id).limit(1))).first() is not None

    async def check(self) -> bytes | None:
        """None: a new instance."""
        async with self._engines.read() as connection:
            return (await connection.execute(select(instance.c.check_sealed))).scalar()

    async def set_check(self, sealed: bytes) -> None:
        """Set or replace the check value."""
        statement = (
            self._engines.upsert(instance)
            .values(id=1, check_sealed=sealed)
            .on_conflict_do_update(index_elements=["id"], set_={"check_sealed": sealed})
        )
        async with self._engines.write() as connection:
            await connection.execute(statement)
