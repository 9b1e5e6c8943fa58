"""What lies on the disk of a service that is not running, or is being looked at from outside.

Owns: copying a SQLite database and its spill files, opening what is sealed in them with the service's own key, and
making grants due. Does not own: what ought to be there (`checker`).

The files are copied before they are opened: opening them would recover the log of a killed process in its place.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from tests.campaigns.history import Stored
from tests.campaigns.site import parts_of
from tokenkeep.adapters.envelope import EnvelopeAdapter
from tokenkeep.adapters.key_file import load_key_file
from tokenkeep.adapters.spill import SpillDirectory
from tokenkeep.adapters.store import Database
from tokenkeep.adapters.system import SystemClock, SystemEntropy
from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.model import Grant
from tokenkeep.services.sealing import open_tokens, spill_place

DATABASE = "tokenkeep.sqlite3"


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found."""

    stored: Sequence[Stored]
    spilled: Sequence[tuple[str, int]]  # family, version
    sound: bool  # integrity_check says ok

    @property
    def leased(self) -> frozenset[str]:
        return frozenset(each.family for each in self.stored if each.leased)


def audit_files(data: Path, key_file: Path, scratch: Path) -> Audit:
    """Of a directory whose service is dead."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for file in data.glob(f"{DATABASE}*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, scratch / file.name)
    with closing(sqlite3.connect(scratch / DATABASE)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    url = f"sqlite+aiosqlite:///{scratch / DATABASE}"
    return replace(asyncio.run(audit(url, key_file, data / "spill")), sound=sound)


def audit_running(data: Path, key_file: Path, scratch: Path) -> Audit:
    """Of a directory whose service runs."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with closing(sqlite3.connect(data / DATABASE)) as live, closing(sqlite3.connect(scratch / DATABASE)) as copy:
        live.backup(copy)
    url = f"sqlite+aiosqlite:///{scratch / DATABASE}"
    return asyncio.run(audit(url, key_file, data / "spill"))


async def audit(url: str, key_file: Path, spill: Path) -> Audit:
    """Every grant of the one workspace there, opened."""
    database = Database.open(url)
    try:
        entropy = SystemEntropy()
        keys = load_key_file(key_file, entropy)
        envelope = EnvelopeAdapter(keys, database.data_keys, clock=SystemClock(), entropy=entropy)
        await envelope.unlock()
        stored, now = [], await database.grants.now()
        for workspace_id, credential_id in await _grants(database):
            grant = await database.grants.get(workspace_id, credential_id)
            assert grant is not None
            tokens = await open_tokens(envelope, grant)
            family, generation = parts_of(tokens.access_token.reveal())
            planned = grant.standing.next_refresh_at
            stored.append(
                Stored(
                    credential_id=credential_id,
                    family=family,
                    generation=generation,
                    version=grant.version,
                    state=grant.standing.state.value,
                    failure_code=grant.standing.failure.code if grant.standing.failure else "",
                    leased=bool(grant.lease_owner),
                    uncertain=grant.intent_at is not None,
                    overdue=planned is not None and planned <= now - timedelta(seconds=1),
                )
            )
        return Audit(stored=stored, spilled=await _spilled(database, envelope, spill), sound=True)
    finally:
        await database.close()


async def _grants(database: Database) -> list[tuple[str, str]]:
    from sqlalchemy import select

    from tokenkeep.adapters.tables import grants

    async with database._engines.read() as connection:
        rows = await connection.execute(select(grants.c.workspace_id, grants.c.credential_id))
        return sorted((row[0], row[1]) for row in rows)


async def _spilled(database: Database, envelope: EnvelopeAdapter, spill: Path) -> list[tuple[str, int]]:
    """Spill files that open, as a replay would open them."""
    found = []
    for octets in (await SpillDirectory(spill).all()).values():
        head, _, sealed = octets.partition(b"\n")
        try:
            workspace_id, credential_id, grant_id, version = json.loads(head)
            row = await database.grants.get(workspace_id, credential_id)
            if row is not None and row.grant_id == grant_id:
                await envelope.open(sealed, spill_place(replace(row, version=version)))
                found.append((family_of(row), int(version)))
        except (ValueError, TokenkeepError):
            continue  # a torn file holds nothing, which is for the checker to say
    return found


def family_of(grant: Grant) -> str:
    return grant.grant_id.removeprefix("grant-").replace("-", ".")


def make_due(data: Path, spread_s: float) -> None:
    """Every grant at rest has expired, and is due at a moment of its own within `spread_s` from now."""
    now = time.time()
    with closing(sqlite3.connect(data / DATABASE, timeout=10)) as connection, connection:
        rest = "lease_owner = '' AND intent_at IS NULL AND state IN ('connected', 'failing')"
        keys = [row[0] for row in connection.execute(f"SELECT credential_id FROM grants WHERE {rest} ORDER BY 1")]
        for number, credential_id in enumerate(keys):
            due = now + spread_s * (number * 7 % len(keys)) / len(keys)
            connection.execute(
                "UPDATE grants SET expires_at = ?, next_refresh_at = ?, revision = revision + 1 "
                f"WHERE credential_id = ? AND {rest}",
                (int((now - 1) * 1e6), int(due * 1e6), credential_id),
            )


def unsettled(data: Path) -> int:
    """Grants that are leased, uncertain or due."""
    with closing(sqlite3.connect(data / DATABASE, timeout=10)) as connection:
        (found,) = connection.execute(
            "SELECT count(*) FROM grants WHERE lease_owner <> '' OR intent_at IS NOT NULL OR next_refresh_at <= ?",
            (int(time.time() * 1e6),),
        ).fetchone()
    return int(found)
