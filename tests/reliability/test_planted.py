"""Every planted bug is found, for the right reason, by a check that passes without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.planted import ELSEWHERE, PLANTED

TOP = Path(__file__).parent.parent.parent
LIST_OF_4_9 = {
    "reply-before-w2",
    "no-fence-in-w2",
    "lease-1s",
    "synchronous-normal",
    "refresh-in-request",
    "missing-refresh-token-overwrites",
    "read-timeout-retried",
    "5xx-terminal",
    "refusal-believed-at-once",
    "no-aad",
    "state-not-bound-to-cookie",
    "workspace-filter-dropped",
    "message-to-anybody",
    "restored-clone-refreshes",
    "spill-not-fsynced",
}


@pytest.fixture(scope="module")
def verdicts() -> dict[str, str]:
    """By name, what is wrong; empty is right. All in one process, which forks for each: imports take longest."""
    program = (
        "import json, sys; from tests.reliability.planted import PLANTED, find_all; "
        "print(json.dumps({found.name: found.fault for found in find_all(list(PLANTED))}), file=sys.stderr)"
    )
    environment = {"PYTHONPATH": "src:.", "PATH": "/usr/bin:/bin", "HOME": "/tmp"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    verdicts: dict[str, str] = json.loads(done.stderr.splitlines()[-1])
    return verdicts


@pytest.mark.parametrize("name", PLANTED)
def test_the_planted_bug_is_found(verdicts: dict[str, str], name: str) -> None:
    assert verdicts[name] == ""


def test_the_whole_list_is_planted_somewhere() -> None:
    assert not LIST_OF_4_9 - {*PLANTED, *ELSEWHERE}
