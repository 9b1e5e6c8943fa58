"""Finding what is due among a thousand grants and among a million, by the store's own `grants.due`."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from bench.kit.house import DATABASES, database
from bench.kit.tables import show, verdict
from tests.kit import builders
from tokenkeep.adapters.migrate import migrate
from tokenkeep.adapters.store import Database
from tokenkeep.adapters.tables import credentials, grants

SIZES = (1_000, 1_000_000)
DUE, LIMIT = 100, 100
ROUNDS = 41


async def first_rows(store: Database) -> None:
    """One credential with its grant, written by the store itself: the pattern for all others."""
    now = await store.grants.now()
    event = builders.event(workspace_id="w", credential_id="pattern", at=now)
    await store.credentials.add(builders.credential(id="pattern", workspace_id="w"), event)
    standing = builders.standing(next_refresh_at=now + timedelta(days=1))
    grant = builders.grant(workspace_id="w", credential_id="pattern", sealed=b"s" * 600, standing=standing)
    await store.grants.connect(grant, builders.event(id="event-2", workspace_id="w", credential_id="pattern", at=now))


def copies(
    columns: list[str], pattern: tuple[Any, ...], *, id_column: str, size: int, at: Any
) -> Iterator[tuple[Any, ...]]:
    """The pattern under other ids. `at(number)` gives the next refresh of each grant."""
    id_at = columns.index(id_column)
    next_at = columns.index("next_refresh_at") if "next_refresh_at" in columns else None
    for number in range(size):
        row = list(pattern)
        row[id_at] = f"credential-{number:08d}"
        if next_at is not None:
            row[next_at] = at(number)
        yield tuple(row)


def next_refresh(number: int) -> datetime:
    """The first ones are due; the others within the coming day."""
    now = datetime.now(UTC)
    return now - timedelta(seconds=DUE - number) if number < DUE else now + timedelta(seconds=60 + number % 86400)


def fill_sqlite(path: Path, size: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    to_driver = grants.c.next_refresh_at.type.dialect_impl(_sqlite_dialect()).bind_processor(_sqlite_dialect())
    for table, id_column in ((credentials, "id"), (grants, "credential_id")):
        names = [column.name for column in table.c]
        pattern = connection.execute(f"SELECT {', '.join(names)} FROM {table.name}").fetchone()
        rows = copies(names, pattern, id_column=id_column, size=size, at=lambda number: to_driver(next_refresh(number)))
        marks = ", ".join("?" for _ in names)
        connection.executemany(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})", rows)
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.close()


def _sqlite_dialect() -> Any:
    from sqlalchemy.dialects.sqlite import aiosqlite

    return aiosqlite.dialect()


async def fill_postgresql(url: str, size: int) -> None:
    parts = make_url(url)
    options = {key: value for key, value in parts.query.items() if key == "host"}
    connection = await asyncpg.connect(
        host=options.get("host") or parts.host,
        port=parts.port,
        user=parts.username,
        password=parts.password,
        database=parts.database,
    )
    for table, id_column in ((credentials, "id"), (grants, "credential_id")):
        names = [column.name for column in table.c]
        pattern = tuple(await connection.fetchrow(f"SELECT {', '.join(names)} FROM {table.name}"))
        rows = copies(names, pattern, id_column=id_column, size=size, at=next_refresh)
        await connection.copy_records_to_table(table.name, records=rows, columns=names)
    await connection.execute("ANALYZE")
    await connection.close()


async def filled(kind: str, size: int, folder: Path, stack: AsyncExitStack) -> Database:
    """A database with that many grants, of which the same hundred are due."""
    url = await stack.enter_async_context(database(kind)) or f"sqlite+aiosqlite:///{folder / 'tokenkeep.db'}"
    await migrate(url)
    store = Database.open(url)
    stack.push_async_callback(store.close)
    await first_rows(store)
    if kind == "sqlite":
        await asyncio.to_thread(fill_sqlite, folder / "tokenkeep.db", size)
    else:
        await fill_postgresql(url, size)
    return store


async def ask_ms(store: Database) -> float:
    began = time.perf_counter()
    found = await store.grants.due(limit=LIMIT)
    took = time.perf_counter() - began
    assert len(found) == DUE, len(found)
    assert found[0][1] == "credential-00000000"
    return took * 1000


async def measure(kind: str, folders: Mapping[int, Path]) -> list[list[object]]:
    async with AsyncExitStack() as stack:
        began = time.perf_counter()
        stores = {size: await filled(kind, size, folders[size], stack) for size in SIZES}
        print(f"  {kind}: filled in {time.perf_counter() - began:.0f} s", flush=True)
        taken: dict[int, list[float]] = {size: [] for size in SIZES}
        for _ in range(ROUNDS):
            for size, store in stores.items():
                taken[size].append(await ask_ms(store))
        small = median(taken[SIZES[0]])
        return [[f"{kind}, {size:,} grants", median(taken[size]), median(taken[size]) / small] for size in SIZES]


def main() -> None:
    """Measure both databases and print one table."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as top:
        for kind in DATABASES:
            folders = {size: Path(top) / f"{kind}-{size}" for size in SIZES}
            for folder in folders.values():
                folder.mkdir()
            rows += asyncio.run(measure(kind, folders))
    show(f"Selecting {DUE} due grants (median of {ROUNDS}, alternating)", ["", "ms", "ratio"], rows)
    for row in rows[1::2]:
        print(verdict(f"{row[0]}, ratio to 1,000", float(row[2]), below=1.5), flush=True)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
