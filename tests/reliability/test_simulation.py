"""Three replicas in bad weather: a sample of seeds. `make simulate SEEDS=100000` plays the long run."""

from __future__ import annotations

import pytest

from tests.reliability.simulation import play, replay

SEEDS, GROUPS = 180, 6


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_seed_breaks_an_invariant(group: int) -> None:
    requests = told = 0
    for seed in range(group, SEEDS, GROUPS):
        played = play(seed)
        requests, told = requests + played.requests, told + played.told
        assert not played.faults, f"seed {seed}: {replay(seed)}"
    assert requests > 100, "a storm in which nobody refreshes proves nothing"
    assert told > 100


def test_the_same_seed_gives_the_same_run() -> None:
    once, twice, other = play(7), play(7), play(8)
    assert once == twice
    assert once.trace != other.trace
