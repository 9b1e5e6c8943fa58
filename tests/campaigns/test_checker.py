"""The judge finds what it is there to find: one history for each violation, and its twin that is no violation."""

from __future__ import annotations

import math

import pytest

from tests.campaigns.checker import Judge
from tests.campaigns.history import Acknowledgement, Disturbance, History, Request, Stored, read
from tests.campaigns.report import per_million

FAMILY = "strict.1"
KILLED = Disturbance(kind="kill", by="life-1", start=1.3, end=1.3)


def request(number=1, **changes):
    """A refresh of generation 1 that worked."""
    defaults = {
        "number": number,
        "by": "life-1",
        "family": FAMILY,
        "sent": 1,
        "current": 1,
        "at": 1.0,
        "outcome": "commit",
        "made": 2,
        "ended_at": 1.2,
        "answered": True,
    }
    return Request(**defaults | changes)


def again(number=2, **changes):
    """Generation 1 once more, by the life that came after."""
    defaults = {"by": "life-2", "current": 2, "at": 5.0, "ended_at": 5.2, "outcome": "refused", "made": 0}
    return request(number, **defaults | changes)


def stored(**changes):
    defaults = {"credential_id": "c", "family": FAMILY, "generation": 2, "version": 2, "state": "connected"}
    return Stored(**defaults | changes)


def judge(*requests, disturbed=()):
    return Judge(History(requests, [FAMILY]), disturbed)


@pytest.mark.parametrize(("on_disk", "violated"), [(1, True), (2, False), (3, False)])
def test_i1_what_was_handed_out_is_on_disk(on_disk, violated):
    got = [Acknowledgement(family=FAMILY, generation=2, at=1.0)]
    assert bool(judge().acknowledged(got, [stored(generation=on_disk)])) is violated


@pytest.mark.parametrize(
    ("rows", "files", "violated"),
    [(1, [], True), (1, [(FAMILY, 2)], False), (2, [], False), (1, [(FAMILY, 1)], True)],
)
def test_i1_what_was_spilled_is_on_disk(rows, files, violated):
    assert bool(judge().promised([(FAMILY, 2)], [stored(version=rows)], files)) is violated


@pytest.mark.parametrize(("family", "violated"), [("strict.1", True), ("strict.2", False), ("strict.3", False)])
def test_i1_what_was_connected_is_on_disk(family, violated):
    assert bool(judge().connected({"c": "strict.2"}, [stored(family=family)])) is violated


def test_i1_a_credential_that_is_gone_is_seen():
    assert judge().connected({"c": FAMILY}, [])


@pytest.mark.parametrize(
    ("first", "disturbed", "violated"),
    [
        ({"ended_at": 6.0}, (), True),
        ({"ended_at": math.inf}, (), False),  # it was never answered: its sender is gone
        ({"ended_at": 4.9}, (), False),
        ({"ended_at": 6.0}, (Disturbance(kind="stop", by="life-1", start=1.1, end=5.5),), False),
        ({"ended_at": 6.0}, (Disturbance(kind="stop", by="life-9", start=1.1, end=5.5),), True),
    ],
)
def test_i2_two_in_flight(first, disturbed, violated):
    first = {"answered": first["ended_at"] != math.inf} | first
    assert bool(judge(request(**first), again(), disturbed=disturbed).in_flight_together()) is violated


def test_i3_no_older_generation_over_a_newer_one():
    assert judge().backwards([[stored(generation=3)], [stored(generation=2)]])
    assert not judge().backwards([[stored(generation=2)], [stored(generation=3)]])
    assert not judge().backwards([[stored(generation=3)], [stored(family="strict.2", generation=1)]])


@pytest.mark.parametrize(
    ("requests", "disturbed", "violated"),
    [
        ([request(), again()], (), True),
        ([request(), again()], (KILLED,), False),
        ([request(answered=False), again()], (), False),
        ([request(), again(), again(3)], (KILLED,), True),
        ([request(), again(by="life-2"), again(3, outcome="down")], (KILLED,), False),
        ([request(family="none.1"), again(family="none.1")], (), False),
    ],
)
def test_i4_a_spent_token_is_sent_by_a_recovery_only(requests, disturbed, violated):
    assert bool(judge(*requests, disturbed=disturbed).blind_reuse()) is violated


@pytest.mark.parametrize("exposed", [frozenset(), frozenset({"strict.2"})])
def test_i4_a_kill_excuses_only_what_it_met(exposed):
    elsewhere = Disturbance(kind="kill", by="life-1", start=1.3, end=1.3, exposed=exposed)
    assert judge(request(), again(), disturbed=[elsewhere]).blind_reuse()


@pytest.mark.parametrize(
    ("requests", "state", "violated"),
    [
        ([request()], "reauthorization_required", True),
        ([request(), again()], "reauthorization_required", False),
        ([request()], "failing", False),
        ([request(), again()], "quarantined", True),
    ],
)
def test_i5_no_false_death(requests, state, violated):
    assert bool(judge(*requests).false_deaths([stored(state=state)])) is violated


@pytest.mark.parametrize("part", ["leased", "uncertain", "overdue"])
def test_i6_nothing_stuck(part):
    assert judge().stuck([stored(**{part: True})], 30)
    assert not judge().stuck([stored()], 30)


@pytest.mark.parametrize(
    ("fault", "violated"),
    [
        (("family", 0.9, 20.0), False),
        (("family", 5.0, 20.0), True),
        (("family", 5.0, 9.0), False),  # too short to say
        (("strict", 5.0, 20.0), False),
    ],
)
def test_i7_others_go_on(fault, violated):
    assert bool(judge(request()).held_up([fault])) is violated


DEAD = {"generation": 1, "state": "reauthorization_required", "failure_code": "lost_response"}


@pytest.mark.parametrize(
    ("row", "disturbed", "complaint"),
    [
        (DEAD, (KILLED,), ""),
        (DEAD, (), "outside every window"),
        (DEAD | {"failure_code": "invalid_grant"}, (KILLED,), "wrong cause"),
        (DEAD | {"state": "connected"}, (KILLED,), "not flagged"),
        (DEAD | {"family": "grace.1"}, (KILLED,), "outside every window"),
        ({}, (), ""),
    ],
)
def test_losses(row, disturbed, complaint):
    family = row.get("family", FAMILY)
    found = judge(request(family=family), again(family=family), disturbed=disturbed).bad_losses([stored(**row)])
    assert len(found) == bool(complaint)
    assert complaint in "".join(found)


def test_the_journal_is_read_up_to_a_torn_line():
    lines = [
        '{"what": "family", "at": 0.5, "family": "strict.1", "after_s": 0}\n',
        '{"what": "begin", "at": 1.0, "n": 1, "by": "life-1", "family": "strict.1", "sent": 1, "current": 1}\n',
        '{"what": "commit", "at": 1.1, "n": 1, "generation": 2}\n',
        '{"what": "end", "at": 1.2, "n": 1, "answered": tr',
    ]
    history = read(lines)
    assert history.families == {FAMILY}
    assert list(history.requests) == [request(ended_at=math.inf, answered=False)]
    assert history.generation(FAMILY) == 2
    assert not history.accepts(stored(generation=1))


@pytest.mark.parametrize(
    ("lost", "exposed", "told"), [(0, 30000, "0 (≤ 100)"), (0, 0, "none exposed"), (5, 100, "50,000 (≤ 99,167)")]
)
def test_rates(lost, exposed, told):
    assert per_million(lost, exposed) == told
