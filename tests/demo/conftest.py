"""The visitor that every test of the demo provider starts from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.demo.visitor import Visitor


@pytest.fixture
async def visitor(tmp_path: Path) -> AsyncIterator[Visitor]:
    one = Visitor(tmp_path)
    yield one
    await one.browser.aclose()
    one.provider.close()
