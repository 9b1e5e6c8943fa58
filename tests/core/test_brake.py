"""How many refusals are an outage."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import builders
from tests.kit.clock import NOON
from tokenkeep.core.brake import Burst, confirm_at
from tokenkeep.core.lifecycle import DOUBTED, Failed, apply, doubted
from tokenkeep.core.model import FailureKind, State


@pytest.mark.parametrize(
    ("refused", "granted", "begins"),
    [
        (1, 0, False),
        (4, 0, False),
        (5, 0, True),
        (5, 20, True),
        (5, 21, False),
        (20, 80, True),
        (20, 81, False),
        (99, 901, False),
        (200, 800, True),
    ],
)
def test_five_and_a_fifth(refused, granted, begins):
    assert Burst(refused=refused, granted=granted, doubted=0).begins is begins


def test_it_goes_on_while_anything_is_in_doubt():
    assert Burst(refused=0, granted=99, doubted=1).goes_on
    assert not Burst(refused=99, granted=0, doubted=0).goes_on


@given(st.floats(min_value=0, max_value=1, exclude_max=True))
def test_asked_again_after_fifteen_to_twenty_minutes(fraction):
    assert timedelta(minutes=15) <= confirm_at(NOON, fraction=fraction) - NOON <= timedelta(minutes=20)


def test_a_doubted_refusal_is_a_failure_that_time_may_mend():
    dead = builders.standing(
        state=State.REAUTHORIZATION_REQUIRED,
        next_refresh_at=None,
        failure=builders.failure(kind=FailureKind.GRANT, code="invalid_grant"),
    )
    soon = NOON + timedelta(minutes=15)
    after = doubted(dead, confirm_at=soon, now=NOON)
    assert (after.state, after.next_refresh_at) == (State.FAILING, soon)
    assert (after.failure.kind, after.failure.code, after.failure.count) == (FailureKind.TRANSIENT, DOUBTED, 1)
    assert (after.expires_at, after.failure.since) == (dead.expires_at, dead.failure.since)


def test_the_second_refusal_is_counted_as_the_second():
    """So that a confirmed burst is not taken for a new one."""
    refusal = Failed(kind=FailureKind.GRANT, code="invalid_grant", retry_at=None)
    first = apply(builders.standing(), refusal, now=NOON)
    assert first.failure.count == 1
    second = apply(doubted(first, confirm_at=NOON, now=NOON), refusal, now=NOON)
    assert (second.state, second.failure.code, second.failure.count) == (
        State.REAUTHORIZATION_REQUIRED,
        "invalid_grant",
        2,
    )
