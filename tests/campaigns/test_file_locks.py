"""SQLite's locks on its file belong to the process, and closing any other descriptor of that file drops them all.

Without them, a command beside the running service takes itself for the only user of the database: when it ends it moves the
log into the file and deletes it, while the service goes on writing into the deleted log. So nothing but SQLite may open that
file once it is in use.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tokenkeep.main import open_house
from tokenkeep.settings.environment import read

LOCKS = Path("/proc/locks")


def locks_on(file: Path) -> list[str]:
    """The lines of /proc/locks about that file that are this process's."""
    number = f":{file.stat().st_ino}"
    lines = (line.split() for line in LOCKS.read_text().splitlines())
    return [" ".join(line) for line in lines if line[4] == str(os.getpid()) and line[5].endswith(number)]


@pytest.mark.skipif(not LOCKS.exists(), reason="only Linux tells which locks there are")
async def test_the_service_keeps_its_locks_on_the_database(tmp_path):
    settings = read(
        {
            "TOKENKEEP_DATA_DIR": str(tmp_path / "share" / "data"),
            "TOKENKEEP_ROOT_KEY_FILE": str(tmp_path / "config" / "root.json"),
            "TOKENKEEP_DEMO": "off",
        }
    )
    house = await open_house(settings)
    file = settings.data_dir / "tokenkeep.sqlite3"
    try:
        await house.cases.accounts.ensure_workspace()
        assert locks_on(file), "no connection is open: nothing would be tested"
        await house.start()
        assert locks_on(file)
        await house._tidy()
        assert locks_on(file)
    finally:
        await house.stop()
