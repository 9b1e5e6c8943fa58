"""Bringing a database to the present shape.

Owns: running the migrations, and refusing a database that a newer Tokenkeep has changed. Does not own: the steps
(`migrations/versions`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.core.errors import Misconfigured

TRIES, RETRY_S = 40, 0.25
_ONE_AT_A_TIME = 0x746F6B656E  # "token": any number will do, as long as every process uses the same


async def migrate(url: str) -> None:
    """To the newest shape, in one transaction, one process at a time.

    Raises Misconfigured when the database is newer than this program."""
    engines = Engines(url)
    event.listen(engines.writer.sync_engine, "do_connect", _wait_for_ever)
    try:
        for attempt in range(TRIES):
            try:
                async with engines.writer.begin() as connection:  # what goes wrong here an operator must see as it is
                    return await connection.run_sync(_upgrade)
            except OperationalError as failure:
                # Switching a new SQLite file to WAL does not wait for whoever is doing just that.
                if "locked" not in str(failure.orig) or attempt == TRIES - 1:
                    raise
                await asyncio.sleep(RETRY_S)
    finally:
        await engines.close()


async def revision(url: str) -> str | None:
    """The database's shape. None: it is empty. Raises Misconfigured when it is newer than this program."""
    engines = Engines(url)
    try:
        async with engines.read() as connection:
            return await connection.run_sync(_known_revision)
    finally:
        await engines.close()


def newest() -> str | None:
    """The shape that this program works with."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _wait_for_ever(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
    """A large table takes its time, and so does another process that migrates it."""
    options.pop("command_timeout", None)


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Ends with the transaction, so that a pooler does not matter. SQLite's BEGIN IMMEDIATE does the same.
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ONE_AT_A_TIME})
    _known_revision(connection)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _known_revision(connection: Connection) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise Misconfigured(
            "The database was changed by a newer Tokenkeep than this one.",
            fix="Run the newer version, or restore a backup from before the upgrade.",
        )
    return current


def _config() -> Config:
    config = Config()
    # A percent sign in the path would be read as an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
