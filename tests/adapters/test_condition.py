"""The condition of a real SQLite file: damage, writes that fail, and the log that is cut."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.kit.builders import NOON, WORKSPACE
from tests.kit.databases import administer, fresh_postgres, migrated_url
from tests.kit.stored import put_credential, put_grant
from tokenkeep.adapters.instance import home_of
from tokenkeep.adapters.memento import MementoFile
from tokenkeep.adapters.migrate import migrate
from tokenkeep.adapters.store import Database
from tokenkeep.adapters.store.condition import refuse_other_files
from tokenkeep.core.errors import Misconfigured, Unavailable
from tokenkeep.services.ports import Mark

FILE = "tokenkeep.db"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with migrated_url("sqlite", tmp_path) as url:
        yield url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    found = Database.open(url)
    await found.data_keys.set_check(b"check")
    yield found
    await found.close()


async def codes(database: Database) -> list[str]:
    return [each.code for each in await database.condition.obstacles()]


async def filled(url: str, folder: Path) -> Path:
    """A database with grants whose pages nobody holds in memory."""
    database = Database.open(url)
    await database.data_keys.set_check(b"check")
    for number in range(20):
        await put_grant(database, credential_id=f"credential-{number}", sealed=os.urandom(3000))
    await database.close()
    return folder / FILE


def damage(file: Path, table: str) -> None:
    """Overwrite the pages of one table with rubbish, as a failing disk does."""
    connection = sqlite3.connect(file)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with file.open("r+b") as octets:
        octets.seek((root - 1) * size)
        octets.write(b"\xa5" * size)


async def test_a_sound_database_passes_its_check(database: Database) -> None:
    assert await database.condition.check(time.monotonic) == ""
    assert await codes(database) == []


async def test_a_damaged_page_is_found_at_the_start(url: str, tmp_path: Path) -> None:
    damage(await filled(url, tmp_path), "grants")
    database = Database.open(url)
    try:
        assert await database.condition.check(time.monotonic)
        (found,) = await database.condition.obstacles()
        assert found.code == "corrupt"
        assert "restore-a-backup" in found.fix
    finally:
        await database.close()


async def test_a_damaged_page_is_found_by_a_read_and_nothing_is_written_any_more(url: str, tmp_path: Path) -> None:
    damage(await filled(url, tmp_path), "grants")
    database = Database.open(url)
    try:
        with pytest.raises(Unavailable, match="damaged"):
            await database.grants.get(WORKSPACE, "credential-1")
        assert await codes(database) == ["corrupt"]
        with pytest.raises(Unavailable, match="damaged"):
            await put_credential(database, id="another")
        assert await database.accounts.workspaces() == []  # other tables are read on
        assert await database.data_keys.check() == b"check"
        assert await codes(database) == ["corrupt"]  # and it does not heal by itself
    finally:
        await database.close()


async def test_a_token_read_that_meets_a_damaged_page_tells_it_too(url: str, tmp_path: Path) -> None:
    damage(await filled(url, tmp_path), "grants")
    database = Database.open(url)
    try:
        with pytest.raises(Unavailable):
            await database.reads.credential(WORKSPACE, "credential-1")
        assert await codes(database) == ["corrupt"]
    finally:
        await database.close()


async def test_the_check_ends_in_time(url: str, tmp_path: Path) -> None:
    database = Database.open(url)
    ticks = iter(range(1_000_000))
    try:
        assert await database.condition.check(lambda: next(ticks) * 10.0, seconds=1) == ""
    finally:
        await database.close()


@pytest.mark.parametrize("content", [b"rubbish" * 1000, b"\x00" * 8192])
def test_a_file_that_is_no_database_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(Misconfigured, match="no SQLite database"):
        refuse_other_files(tmp_path / FILE)


def test_a_file_that_is_not_there_or_empty_will_become_one(tmp_path: Path) -> None:
    refuse_other_files(tmp_path / FILE)
    (tmp_path / FILE).touch()
    refuse_other_files(tmp_path / FILE)


async def test_a_write_that_the_disk_refuses_is_an_obstacle_until_one_succeeds(database: Database) -> None:
    await put_credential(database)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(Unavailable):
            await put_credential(database, id="too-much")
        assert await codes(database) == ["write_failed"]
        assert await codes(database) == ["write_failed"]  # tried again, in vain
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await codes(database) == []
    await put_credential(database, id="fits")


@pytest.mark.postgres
async def test_a_postgresql_that_takes_no_writes_is_an_obstacle_until_it_does() -> None:
    async with fresh_postgres() as url:
        await migrate(url)
        server, name = make_url(url).set(database="postgres"), make_url(url).database
        await administer(server, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        database = Database.open(url)
        with pytest.raises(Unavailable, match="read-only"):
            await put_credential(database)
        assert await codes(database) == ["read_only"]
        assert await codes(database) == ["read_only"]  # tried again, in vain
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        await administer(server, f'ALTER DATABASE "{name}" RESET default_transaction_read_only', ended)
        assert await codes(database) == []
        await put_credential(database)
        await database.close()


async def test_a_log_that_cannot_be_cut_stops_nothing(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await put_credential(database)
    database.condition.note_log()
    with (tmp_path / FILE).open("r+b") as file:
        file.write(b"rubbish")
    await database.condition.cut_log()
    assert "log_not_cut" in caplog.text


async def test_the_log_is_cut_when_nothing_happens_and_only_then(database: Database, tmp_path: Path) -> None:
    log = tmp_path / f"{FILE}-wal"
    await put_credential(database)
    database.condition.note_log()
    await put_credential(database, id="another")
    await database.condition.cut_log()
    assert log.stat().st_size > 0
    database.condition.note_log()
    await database.condition.cut_log()
    assert log.stat().st_size == 0
    await put_credential(database, id="a-third")


# --- by what a file is known ----------------------------------------------------------------------------------------


def test_a_file_is_at_home_until_it_is_copied(tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_bytes(b"x")
    home = home_of(file)
    file.chmod(0o600)
    file.write_bytes(b"more")
    assert home_of(file) == home
    shutil.copy2(file, tmp_path / "copy")
    assert home_of(tmp_path / "copy") != home
    file.unlink()
    shutil.copy2(tmp_path / "copy", file)  # often at the very inode that has just become free
    assert home_of(file) != home


def test_asking_where_a_file_lies_leaves_sqlite_its_locks(tmp_path: Path) -> None:
    """Closing any descriptor of a file drops all of the process's locks on it: another process could then write."""
    file = tmp_path / FILE
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("BEGIN IMMEDIATE")
    home_of(file)
    probe = (
        "import sqlite3, sys\n"
        "try: sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute('BEGIN IMMEDIATE')\n"
        "except sqlite3.OperationalError: print('locked')\n"
    )
    done = subprocess.run([sys.executable, "-c", probe, str(file)], capture_output=True, text=True)
    assert done.stdout == "locked\n"
    connection.close()


async def test_a_memento_is_kept_whole(tmp_path: Path) -> None:
    memento = MementoFile(tmp_path / "t.mark", beside=True)
    assert await memento.read() is None
    for home in ("1-2.3/ab", "/", ""):
        await memento.write(Mark(home=home, at=NOON))
        assert await memento.read() == Mark(home=home, at=NOON)
    assert [path.name for path in tmp_path.iterdir()] == ["t.mark"]
    assert (tmp_path / "t.mark").stat().st_mode & 0o777 == 0o600
    (tmp_path / "t.mark").write_text("rubbish")
    assert await memento.read() is None


@pytest.mark.parametrize("name", ["a directory.mark", "not-there/t.mark"])
async def test_a_memento_that_the_disk_refuses_is_unavailable(tmp_path: Path, name: str) -> None:
    """As a database that is away: the service starts, living tokens are read, no refresh begins."""
    (tmp_path / "a directory.mark").mkdir()
    with pytest.raises(Unavailable):
        await MementoFile(tmp_path / name, beside=False).write(Mark(home="/", at=NOON))
    with pytest.raises(Unavailable):
        await MementoFile(tmp_path / "a directory.mark", beside=False).read()
