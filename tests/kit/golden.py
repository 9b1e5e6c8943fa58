"""Frozen instances: a database of each released version with its root key, which every later version must open.

Owns: making one (`python -m tests.kit.golden VERSION`, once per release, never again) and laying its rows into another
database. Does not own: what must hold of it (`tests/adapters/test_released_databases.py`).
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import TIMESTAMP, Connection, MetaData, text

from tests.kit.authorization_server import AuthorizationServer
from tests.processes.service import Service, store_connected
from tokenkeep.core.permissions import system
from tokenkeep.main import open_house
from tokenkeep.settings.environment import read

FOLDER = Path(__file__).parents[1] / "vectors" / "databases"
LONG = timedelta(days=3650)


async def make(version: str) -> None:
    """Freeze an instance of the present code under `version`."""
    with tempfile.TemporaryDirectory() as scratch:
        service = Service(Path(scratch), TOKENKEEP_DEMO="off")
        stored = await store_connected(service, AuthorizationServer(), expires_in=LONG, sweep_in=LONG)
        house = await open_house(read(service.environment))
        ((workspace_id, _),) = await house.database.accounts.workspaces()
        static = await house.cases.credentials.create(
            system(workspace_id), type="openAIApi", name="Frozen key", values={"openAIApiKey": "sk-frozen-0123456789"}
        )
        await house.stop()
        FOLDER.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(service.database) as connection:
            (FOLDER / f"{version}.sql").write_text("\n".join(connection.iterdump()) + "\n")
        shutil.copyfile(service.key_file, FOLDER / f"{version}.root.json")
        expected = {
            "workspace": workspace_id,
            "static": static.credential.id,
            "values": {"openAIApiKey": "sk-frozen-0123456789"},
            "connected": stored.credential_id,
            "access_token": stored.access_token,
            "key": stored.key,
        }
        (FOLDER / f"{version}.expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def thaw(version: str, file: Path) -> None:
    """Make the frozen SQLite database anew."""
    with sqlite3.connect(file) as connection:
        connection.executescript((FOLDER / f"{version}.sql").read_text())


def lay(connection: Connection, frozen: Path) -> None:
    """Every row of a thawed SQLite database into one of the same shape, whatever its kind."""
    reflected = MetaData()
    reflected.reflect(connection)
    with sqlite3.connect(frozen) as source:
        source.row_factory = sqlite3.Row
        for table in reflected.sorted_tables:
            if table.name == "alembic_version":
                continue
            timed = {column.name for column in table.columns if isinstance(column.type, TIMESTAMP)}
            rows = [_converted(dict(row), timed) for row in source.execute(f"SELECT * FROM {table.name}")]
            if rows:
                connection.execute(table.delete())
                connection.execute(table.insert(), rows)
    if connection.dialect.name == "postgresql":  # numbers that were given go on after the highest
        connection.execute(text("SELECT setval(pg_get_serial_sequence('events', 'seq'), max(seq)) FROM events"))


def _converted(row: dict[str, Any], timed: set[str]) -> dict[str, Any]:
    """SQLite keeps times as microseconds and truths as numbers."""
    for name in timed & {name for name, value in row.items() if value is not None}:
        row[name] = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=row[name])
    return (
        row
        | ({"active": bool(row["active"])} if "active" in row else {})
        | ({"declared": bool(row["declared"])} if "declared" in row else {})
    )


if __name__ == "__main__":
    asyncio.run(make(sys.argv[1]))
