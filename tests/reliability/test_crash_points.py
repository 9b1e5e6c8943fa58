"""Crash points: every await and commit of a refresh x provider class x error, hang, exit, stall.

Three classes are enumerated whole, the others and refreshes for a reader are sampled. `make crash-points` plays them all.
"""

from __future__ import annotations

import pytest

from tests.reliability.crash_points import Case, Outcome, Strike, cases, failures, judged, judged_on_file, pairs, points
from tests.reliability.provider import MANNERS
from tokenkeep.core.model import Rotation, State

THE_WAY = [
    "grants.due",  # the sweep
    "reads.credential",
    "envelope.open",
    "grants.claim",  # W1
    "envelope.open",
    "wire.refresh",
    "envelope.seal",
    "grants.store",  # W2
]
"""What a refresh cannot do without, in this order. A commit or call in between that is new shows up in the length."""


def in_order(wanted: list[str], met: list[str]) -> bool:
    left = iter(met)
    return all(each in left for each in wanted)


def test_the_points_are_those_of_a_refresh() -> None:
    met = [point for point, _ in points("strict", "sweep")]
    calls = [point.removesuffix(":before") for point in met if point.endswith(":before")]
    assert in_order(THE_WAY, calls)
    assert sum(call.startswith("wire.") for call in calls) == 1
    assert len(met) == 2 * len(calls), "every call has a point before and a point after it"
    between = calls[calls.index("wire.refresh") + 1 : calls.index("grants.store")]
    assert set(between) == {"envelope.seal"}, "between the answer and the disk there is nothing but sealing"
    assert calls.index("grants.claim") < calls.index("wire.refresh"), "the intent is durable before the call"


@pytest.mark.parametrize("manner", ["grace", "strict", "family"])
def test_every_fault_at_every_point_of_a_sweeps_refresh(manner: str) -> None:
    played = [judged(case) for case in cases(manner, "sweep")]
    assert len(played) > 80
    assert wrong(played) == {}
    lost = losses(played)
    if MANNERS[manner].forgives:
        assert lost == {}
        return
    assert lost[Strike(point="wire.refresh:after", nth=1, fault="exit")] == "lost_response"
    calls = "wire.refresh", "envelope.seal", "grants.store"
    window = [f"{call}:{side}" for call in calls for side in ("before", "after")][1:-1]
    assert {strike.point for strike in lost} <= set(window), "only between the provider's commit and ours"


SAMPLES = [
    *(("sweep", manner) for manner in MANNERS if manner not in {"grace", "strict", "family"}),
    *(("read", manner) for manner in MANNERS),
]


@pytest.mark.parametrize(("number", "trigger", "manner"), [(number, *sample) for number, sample in enumerate(SAMPLES)])
def test_a_sample_of_the_other_classes_and_of_readers(number: int, trigger: str, manner: str) -> None:
    """Each begins at another case, so that together they see most points."""
    played = [judged(case) for case in list(cases(manner, trigger))[number % 7 :: 7]]
    assert len(played) > 10
    assert wrong(played) == {}
    lost = losses(played)
    if MANNERS[manner].forgives:
        assert lost == {}
    elif MANNERS[manner].rotation is not Rotation.FAMILY:
        # A process that lives keeps what it holds, however long it stands still.
        assert {strike.point for strike in lost if strike.fault in {"stall", "error"}} <= {"wire.refresh:after"}
        assert set(lost.values()) <= {"lost_response"}


def wrong(played: list[Outcome]) -> dict[str, list[str]]:
    return {str(outcome.case): found for outcome in played if (found := failures(outcome))}


def losses(played: list[Outcome]) -> dict[Strike, str]:
    """Which strike made it need a person, and with what cause."""
    return {outcome.case.strikes[0]: outcome.code for outcome in played if outcome.state is not State.CONNECTED}


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_database_that_fails_at_the_worst_moment_and_then_a_crash(side: str) -> None:
    """The spill's own points: W2 fails, and then the process dies anywhere on the way from there."""
    first = Strike(point=f"grants.store:{side}", nth=1, fault="error")
    met = points("strict", "sweep", (first,), record_s=14.0)
    after = met[met.index((first.point, 1)) + 1 :]
    assert any(point.startswith("spill.put") for point, _ in after)
    for point, nth in after:
        second = Strike(point=point, nth=nth, fault="exit")
        outcome = judged(Case(manner="strict", trigger="sweep", strikes=(first, second)))
        assert not failures(outcome), outcome.case
        spilled = (point, nth) not in after[: after.index(("spill.put:after", 1))]
        if spilled or side == "after":
            assert outcome.state is State.CONNECTED, f"{outcome.case}: what is on a disk is not lost"


def test_pairs_begin_with_what_a_process_survives() -> None:
    firsts = {case.strikes[0].fault for case, _ in zip(pairs("none", "sweep"), range(300), strict=False)}
    assert firsts <= {"error", "stall"}


SOLID = [
    ("grants.claim:after", "exit"),
    ("wire.refresh:before", "exit"),
    ("wire.refresh:after", "exit"),
    ("grants.store:before", "exit"),
    ("grants.store:after", "exit"),
    ("grants.claim:after", "error"),
    ("grants.store:before", "error"),
    ("grants.store:after", "error"),
    ("wire.refresh:after", "stall"),
    ("grants.store:before", "stall"),
]


@pytest.mark.parametrize(("point", "fault"), SOLID)
def test_a_real_file_behaves_as_the_store_in_memory_does(point: str, fault: str) -> None:
    """The commits of a refresh, in SQLite. `make crash-points` enumerates every point there too."""
    case = Case(manner="strict", trigger="sweep", strikes=(Strike(point=point, nth=1, fault=fault),))
    on_file, in_memory = judged_on_file(case), judged(case)
    assert not failures(on_file)
    assert (on_file.state, on_file.code, on_file.requests) == (in_memory.state, in_memory.code, in_memory.requests)
