"""Lines of history are told in any order of commits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.databases import migrated_url
from tests.kit.stored import event
from tokenkeep.adapters.store import Database
from tokenkeep.adapters.store.events import insert_event


@pytest.mark.postgres
async def test_a_line_of_a_transaction_that_commits_late_is_not_lost(tmp_path: Path) -> None:
    """Numbers are given before commits: the later number may be seen first. On SQLite the orders are the same."""
    async with migrated_url("postgresql", tmp_path) as url:
        late, early, teller = Database.open(url), Database.open(url), Database.open(url)
        async with late._engines.write() as connection:
            await insert_event(connection, event(id="late"))
            await early.events.add(event(id="early"))
            (seen,) = await teller.outbox.untold(limit=9)
            await teller.outbox.tell([seen.seq], deliveries=[], notices=[])
        (left,) = await teller.outbox.untold(limit=9)
        assert (seen.event.id, left.event.id) == ("early", "late")
        assert left.seq < seen.seq
        for database in (late, early, teller):
            await database.close()
