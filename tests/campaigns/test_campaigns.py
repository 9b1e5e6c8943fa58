"""A short sample of each campaign, and the planted bugs that each has to find."""

from __future__ import annotations

import pytest

from tests.campaigns import kills, power_cut, replicas
from tests.kit.lacking import lack

SEED = 20261124

pytestmark = [pytest.mark.processes, pytest.mark.slow]

UNDER_LOAD = ("ready within", "at most 5%")
"""Marks that say something about the machine, too: the report tells them, a busy build server may miss them."""


def missed(figures) -> list[str]:
    return [mark for mark, met in figures.marks().items() if not met and not mark.startswith(UNDER_LOAD)]


@pytest.fixture
def compiler(tmp_path):
    """The power-cut shim has to be compiled."""
    try:
        power_cut.build(tmp_path)
    except power_cut.NoCompiler as why:
        lack("C compiler", str(why))


def test_kill_9(tmp_path):
    figures = kills.run(tmp_path, cycles=16, seed=SEED)
    assert figures.violations == []
    assert missed(figures) == []


def test_kill_9_where_each_answer_is_spilled_first(tmp_path):
    figures = kills.run(tmp_path, cycles=10, seed=SEED, spill="always")
    assert figures.violations == []
    assert missed(figures) == []
    assert figures.spilled > 0


def test_kill_9_with_cold_starts(tmp_path):
    figures = kills.run(tmp_path, cycles=3, seed=SEED, cold=True)
    assert figures.violations == []
    assert missed(figures) == []


@pytest.mark.parametrize(
    ("mutant", "complaint"),
    [("intent-forgotten", "flagged with the wrong cause"), ("sent-twice", "I2 ")],
)
def test_kill_9_finds_what_was_planted(tmp_path, mutant, complaint):
    figures = kills.run(tmp_path, cycles=24, seed=SEED, mutant=mutant)
    assert any(complaint in violation for violation in figures.violations), figures


def test_power_cuts(tmp_path, compiler):
    figures = power_cut.run(tmp_path, cycles=12, seed=SEED)
    assert figures.violations == []
    assert missed(figures) == []
    assert figures.spilled > 0


@pytest.mark.parametrize(("mutant", "complaint"), [("synchronous-normal", "I1 "), ("spill-not-fsynced", "was spilled")])
def test_power_cuts_find_what_was_planted(tmp_path, compiler, mutant, complaint):
    figures = power_cut.run(tmp_path, cycles=24, seed=SEED, mutant=mutant)
    assert any(complaint in violation for violation in figures.violations), figures


@pytest.mark.postgres
async def test_three_replicas(tmp_path):
    figures = await replicas.campaign(tmp_path, seconds=8, seed=SEED)
    assert figures.violations == []
    assert missed(figures) == []


@pytest.mark.postgres
async def test_three_replicas_find_a_lease_that_is_too_short(tmp_path):
    figures = await replicas.campaign(tmp_path, seconds=8, seed=SEED, mutant="lease-too-short")
    assert any(violation.startswith("I2 ") for violation in figures.violations), figures
