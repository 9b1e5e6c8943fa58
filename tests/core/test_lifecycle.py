"""Every state with every happening."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import builders
from tests.kit.clock import NOON
from tokenkeep.core.lifecycle import POISON_COUNT, Failed, Obtained, Postponed, apply, connected, undecryptable
from tokenkeep.core.model import FailureKind, State

SOON, LATER = NOON + timedelta(minutes=1), NOON + timedelta(hours=2)
OBTAINED = Obtained(expires_at=LATER, refresh_expires_at=None, next_refresh_at=SOON)
TRANSIENT, CLIENT, GRANT, INTERNAL = (
    Failed(kind=kind, code="code", retry_at=SOON)
    for kind in (FailureKind.TRANSIENT, FailureKind.CLIENT, FailureKind.GRANT, FailureKind.INTERNAL)
)
THIRD = "third internal in a row"
C, F, R, Q = State.CONNECTED, State.FAILING, State.REAUTHORIZATION_REQUIRED, State.QUARANTINED

# state, happening -> state, what is planned (soon, nothing, as before)
TABLE = [
    (C, OBTAINED, C, "soon"),
    (C, TRANSIENT, F, "soon"),
    (C, CLIENT, F, "soon"),
    (C, GRANT, R, "nothing"),
    (C, INTERNAL, F, "soon"),
    (C, THIRD, Q, "nothing"),
    (C, Postponed(until=SOON), C, "soon"),
    (F, OBTAINED, C, "soon"),
    (F, TRANSIENT, F, "soon"),
    (F, CLIENT, F, "soon"),
    (F, GRANT, R, "nothing"),
    (F, INTERNAL, F, "soon"),
    (F, THIRD, Q, "nothing"),
    (F, Postponed(until=SOON), F, "soon"),
    (R, OBTAINED, C, "soon"),
    (R, TRANSIENT, R, "before"),
    (R, CLIENT, R, "before"),
    (R, GRANT, R, "nothing"),
    (R, INTERNAL, R, "before"),
    (R, THIRD, Q, "nothing"),
    (R, Postponed(until=SOON), R, "before"),
    (Q, OBTAINED, C, "soon"),
    (Q, TRANSIENT, Q, "before"),
    (Q, CLIENT, Q, "before"),
    (Q, GRANT, R, "nothing"),
    (Q, INTERNAL, Q, "before"),
    (Q, THIRD, Q, "nothing"),
    (Q, Postponed(until=SOON), Q, "before"),
]


@pytest.mark.parametrize(("state", "happening", "after", "planned"), TABLE)
def test_every_state_with_every_happening(state, happening, after, planned):
    before = builders.standing(state=state, next_refresh_at=LATER)
    if happening == THIRD:
        before = replace(before, failure=builders.failure(kind=FailureKind.INTERNAL, code="code", count=2))
        happening = INTERNAL
    standing = apply(before, happening, now=NOON)
    assert standing.state is after
    assert standing.next_refresh_at == {"soon": SOON, "nothing": None, "before": LATER}[planned]


def test_the_table_is_whole():
    assert len(TABLE) == 4 * 7


def test_success_ends_every_failure_and_tells_when():
    before = builders.standing(state=F, failure=builders.failure(count=9))
    after = apply(before, OBTAINED, now=NOON)
    assert after == connected(OBTAINED, now=NOON)
    assert (after.failure, after.last_refresh_at, after.expires_at) == (None, NOON, LATER)


def test_a_failure_leaves_the_tokens_times_alone():
    before = builders.standing(refresh_expires_at=LATER, last_refresh_at=NOON)
    for happening in (TRANSIENT, CLIENT, GRANT, INTERNAL, Postponed(until=SOON)):
        after = apply(before, happening, now=LATER)
        assert (after.expires_at, after.refresh_expires_at, after.last_refresh_at) == (
            before.expires_at,
            LATER,
            NOON,
        )


def test_what_is_foreseen_and_learned_outlives_every_failure_and_comes_anew_with_a_success():
    known = {"needs_person_at": LATER, "warn_at": SOON, "learned_life_s": 7200, "endless": True}
    before = builders.standing(**known)
    for happening in (TRANSIENT, CLIENT, GRANT, INTERNAL, Postponed(until=SOON)):
        after = apply(before, happening, now=NOON)
        assert {name: getattr(after, name) for name in known} == known
    assert apply(before, OBTAINED, now=NOON).needs_person_at is None
    after = apply(builders.standing(), replace(OBTAINED, **known), now=NOON)
    assert {name: getattr(after, name) for name in known} == known


def test_a_postponement_is_no_failure():
    assert apply(builders.standing(), Postponed(until=SOON), now=NOON).failure is None
    before = builders.standing(state=F, failure=builders.failure(count=4))
    assert apply(before, Postponed(until=SOON), now=NOON).failure == before.failure


def test_equal_failures_are_counted_from_the_first():
    standing = builders.standing()
    for count in range(1, 6):
        standing = apply(standing, TRANSIENT, now=NOON + timedelta(minutes=count))
        assert standing.failure.count == count
        assert standing.failure.since == NOON + timedelta(minutes=1)
    assert standing.state is F, "no number of transient failures is the end"


def test_another_failure_is_counted_anew_but_the_trouble_is_as_old_as_before():
    first = apply(builders.standing(), TRANSIENT, now=NOON)
    for other in (CLIENT, replace(TRANSIENT, code="other")):
        after = apply(first, other, now=SOON)
        assert (after.failure.count, after.failure.since) == (1, NOON)


def test_internal_errors_of_different_kinds_do_not_add_up():
    standing = builders.standing()
    for code in ("a", "b", "a", "b", "a", "b"):
        standing = apply(standing, replace(INTERNAL, code=code), now=NOON)
    assert standing.state is F


def test_three_equal_internal_errors_put_aside():
    standing = builders.standing()
    for count in range(POISON_COUNT):
        assert standing.state is not Q, count
        standing = apply(standing, INTERNAL, now=NOON)
    assert (standing.state, standing.failure.kind, standing.failure.count) == (Q, FailureKind.INTERNAL, 3)


@pytest.mark.parametrize("state", [C, F, R, Q])
def test_what_does_not_open_is_put_aside_at_once(state):
    after = undecryptable(builders.standing(state=state), now=NOON)
    assert (after.state, after.next_refresh_at) == (Q, None)
    assert (after.failure.kind, after.failure.code) == (FailureKind.INTERNAL, "undecryptable")


moments = st.datetimes().map(lambda moment: moment.replace(tzinfo=NOON.tzinfo))
happenings = st.one_of(
    st.builds(Obtained, expires_at=moments, refresh_expires_at=st.none(), next_refresh_at=st.none() | moments),
    st.builds(Failed, kind=st.sampled_from(FailureKind), code=st.sampled_from(["a", "b"]), retry_at=moments),
    st.builds(Postponed, until=moments),
)


@given(st.lists(happenings, max_size=30))
def test_no_history_breaks_the_invariants(history):
    standing = builders.standing()
    for happening in history:
        standing = apply(standing, happening, now=NOON)
        assert (standing.state is C) <= (standing.failure is None)
        assert (standing.failure is None) <= (standing.state is C)
        if standing.state in {R, Q}:
            assert standing.next_refresh_at is None, "what needs a person is never due"
        if standing.state is F:
            assert standing.next_refresh_at is not None, "what time can mend is always planned"
