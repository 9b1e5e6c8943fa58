"""What earlier versions stored must be readable for ever, on both databases, after migrating to today's shape."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command

from tests.kit import golden
from tests.kit.builders import event
from tests.kit.databases import fresh_postgres, sqlite_url
from tokenkeep.adapters.migrate import _config, newest, revision
from tokenkeep.adapters.store.engine import Engines
from tokenkeep.main import open_house
from tokenkeep.settings.environment import read

RELEASED = sorted(path.stem for path in golden.FOLDER.glob("*.sql"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    async with fresh_postgres() as fresh:
        yield fresh


def shape_of(file: Path) -> str:
    with sqlite3.connect(file) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


async def put_back(version: str, url: str, tmp_path: Path) -> None:
    """The frozen instance as it was in its own version: its shape, its rows."""
    thawed = tmp_path / "thawed.sqlite3"
    golden.thaw(version, thawed)
    if url.startswith("sqlite"):
        shutil.copyfile(thawed, url.partition(":///")[2])
        return

    def lay(connection: object) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, shape_of(thawed))
        golden.lay(connection, thawed)  # type: ignore[arg-type]

    engines = Engines(url)
    async with engines.write() as connection:
        await connection.run_sync(lay)
    await engines.close()


@pytest.mark.parametrize("version", RELEASED)
async def test_a_released_database_opens_and_serves(version: str, url: str, tmp_path: Path) -> None:
    await put_back(version, url, tmp_path)
    key_file = tmp_path / "keys" / "root.json"
    key_file.parent.mkdir(mode=0o700)
    shutil.copyfile(golden.FOLDER / f"{version}.root.json", key_file)
    key_file.chmod(0o600)
    settings = {
        "TOKENKEEP_DATA_DIR": str(tmp_path / "data"),
        "TOKENKEEP_DATABASE_URL": url,
        "TOKENKEEP_ROOT_KEY_FILE": str(key_file),
        "TOKENKEEP_DEMO": "off",
    }
    expected = json.loads((golden.FOLDER / f"{version}.expected.json").read_text())
    house = await open_house(read(settings))
    try:
        assert await revision(url) == newest()
        node = await house.cases.service_keys.authenticate(expected["key"])
        assert node.workspace_id == expected["workspace"]
        _, values = await house.cases.tokens.values(node, expected["static"])
        assert values == expected["values"]
        live = await house.cases.tokens.token(node, expected["connected"])
        assert live.access_token.reveal() == expected["access_token"]
        # What happened before the upgrade is not told any more; what happens from now on is.
        assert not await house.database.outbox.untold(limit=9)
        await house.database.events.add(event(id="later", workspace_id=expected["workspace"]))
        assert [line.event.id for line in await house.database.outbox.untold(limit=9)] == ["later"]
    finally:
        await house.stop()


def test_every_shape_that_was_released_is_frozen() -> None:
    assert "0.1.0" in RELEASED
