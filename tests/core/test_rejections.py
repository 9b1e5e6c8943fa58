"""What nodes' rejections tell: which of them are a run, which run is a loop, and what an age is worth."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import builders
from tests.kit.clock import NOON
from tokenkeep.core import rejections
from tokenkeep.core.model import Rejections
from tokenkeep.core.rejections import BELIEVABLE_S, LOOP, learned_life_s, reported, stopped_until

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def grant(*, run=None, version=1, **standing):
    parts = {"expires_at": None, "next_refresh_at": None, "last_refresh_at": NOON}
    return builders.grant(version=version, rejections=run, standing=builders.standing(**parts | standing))


def run(**changes):
    return Rejections(**{"count": 1, "since": NOON, "at": NOON, "version": 1} | changes)


@pytest.mark.parametrize(
    ("before", "version", "after_s", "count"),
    [
        (None, 1, 0, 1),
        (run(), 2, 60, 2),  # obtained because of it
        (run(count=3), 2, 60, 4),
        (run(), 3, 60, 1),  # a planned refresh lies between
        (run(), 2, 3600, 1),  # too slow to be one
        (run(), 2, 3599, 2),
        (run(count=4), 2, 60, 1),  # after a stop a planned refresh came
        (run(count=4), 1, 3600, 1),  # after a stop an hour has passed
    ],
)
def test_what_is_a_run(before, version, after_s, count):
    now = NOON + timedelta(seconds=after_s)
    found = reported(grant(run=before, version=version), now=now)
    assert (found.count, found.at, found.version) == (count, now, version)
    assert found.since == (now if count == 1 else NOON)


@pytest.mark.parametrize("before", [run(), run(count=3), run(count=4)])
def test_the_same_rejection_reported_again_is_known(before):
    assert reported(grant(run=before), now=NOON + 30 * MINUTE) is before


def test_a_failing_refresh_does_not_make_a_run_of_one_rejection():
    assert reported(grant(run=run()), now=NOON + 99 * HOUR) == run()


@pytest.mark.parametrize(
    ("count", "planned", "until"),
    [
        (LOOP, None, None),
        (LOOP + 1, None, HOUR),
        (LOOP + 1, 20 * MINUTE, 20 * MINUTE),
        (LOOP + 1, 5 * HOUR, HOUR),
    ],
)
def test_how_long_a_loop_is_stopped(count, planned, until):
    stopped = grant(next_refresh_at=planned and NOON + planned)
    assert stopped_until(stopped, run(count=count)) == (until and NOON + until)


@pytest.mark.parametrize(
    ("age_s", "known", "changes", "standing", "expected"),
    [
        (7200, None, {}, {}, 7200),
        (BELIEVABLE_S, None, {}, {}, BELIEVABLE_S),
        (BELIEVABLE_S - 1, None, {}, {}, None),
        (7200, 3600, {"life_before_s": 3600}, {}, 3600),  # the shortest one counts
        (1800, 3600, {"life_before_s": 3600}, {}, 1800),
        (60, 3600, {"count": 2, "life_before_s": None}, {}, None),  # so the age of the first one said nothing either
        (60, 1800, {"count": 2, "life_before_s": 3600}, {}, 3600),
        (900, 900, {"count": LOOP + 1, "life_before_s": None}, {}, None),
        (7200, None, {}, {"expires_at": NOON + HOUR}, None),
        (7200, None, {}, {"endless": True}, None),
    ],
)
def test_what_an_age_is_worth(age_s, known, changes, standing, expected):
    rejected = grant(learned_life_s=known, **standing)
    assert learned_life_s(rejected, run(**changes), now=NOON + timedelta(seconds=age_s)) == expected


def test_the_age_counts_from_consent_where_nothing_was_refreshed_yet():
    assert learned_life_s(grant(last_refresh_at=None), run(), now=NOON + HOUR) == 3600


@given(st.lists(st.tuples(st.integers(11, 7200), st.booleans()), max_size=60))
def test_however_often_nodes_report_an_hour_sees_few_refreshes(history):
    """Each step: so many seconds pass, and a node reports the present token; or a planned refresh came before."""
    now, held, because = NOON, grant(), []
    for seconds, by_plan in history:
        now += timedelta(seconds=seconds)
        if by_plan:
            held = replace(held, version=held.version + 1, standing=replace(held.standing, last_refresh_at=now))
            because.append(None)
            continue
        found = reported(held, now=now)
        held = replace(held, rejections=found)
        if stopped_until(held, found) is None:
            held = replace(held, version=held.version + 1, standing=replace(held.standing, last_refresh_at=now))
            because.append(now)
    for place, at in enumerate(because):
        following = because[place : place + LOOP + 1]
        if at is not None and len(following) > LOOP and None not in following:
            assert following[LOOP] - at >= rejections.WINDOW
