"""The outbox on SQLite: how long it keeps others from writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import event

from tests.kit.databases import migrated_url
from tests.kit.told import delivery, endpoint
from tokenkeep.adapters.store import Database


async def test_however_many_are_to_be_told_they_are_kept_in_one_statement(tmp_path: Path) -> None:
    """Four thousand statements took three seconds, and a refresh whose answer waits for two of them spills it."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async with migrated_url("sqlite", tmp_path) as url:
        database = Database.open(url)
        for number in range(3):
            await database.endpoints.add(endpoint(id=f"endpoint-{number}"))
        for engine in database.condition._engines.all:
            event.listen(engine, "before_cursor_execute", note)
        many = [delivery(id=f"msg_{one}", endpoint_id=f"endpoint-{one % 3}") for one in range(30)]
        await database.outbox.tell([], deliveries=many, notices=[])
        assert len([one for one in statements if "webhook_deliveries" in one]) == 1
        assert (
            len((await database.outbox.list("workspace-1", "endpoint-1", state=None, limit=99, cursor="")).items) == 10
        )
        await database.close()
