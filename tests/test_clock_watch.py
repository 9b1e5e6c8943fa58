"""The wall clock is set while the service runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenkeep.core.errors import Unavailable
from tokenkeep.main import open_house
from tokenkeep.settings.environment import read


async def test_a_leap_is_dealt_with_also_where_the_database_was_away_just_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"TOKENKEEP_DATA_DIR": str(tmp_path / "data"), "TOKENKEEP_ROOT_KEY_FILE": str(tmp_path / "root.json")}
    house = await open_house(read(settings | {"TOKENKEEP_DEMO": "off"}))
    away, asked = True, 0

    async def hasten() -> int:
        nonlocal asked
        asked += 1
        if away:
            raise Unavailable
        return 0

    monkeypatch.setattr(house.database.grants, "hasten_future", hasten)
    try:
        await house._watch_clock()
        assert asked == 0
        house.clock_offset += 86_400  # as if the clock had been a day ahead until now
        with pytest.raises(Unavailable):
            await house._watch_clock()
        away = False
        await house._watch_clock()
        await house._watch_clock()
        assert asked == 2
    finally:
        await house.stop()
