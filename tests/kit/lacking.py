"""What this machine lacks, told loudly at the end of the run; on a build server it fails instead."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

LACKING: list[str] = []


def lack(name: str, why: str) -> NoReturn:
    """Skip what needs `name`. Fails where CI is set: a build server has to have it."""
    told = f"{name}: {why}"
    if os.environ.get("CI"):
        pytest.fail(told)
    if told not in LACKING:
        LACKING.append(told)
    pytest.skip(told)
