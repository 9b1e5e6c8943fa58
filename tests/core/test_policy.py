"""When a token is due, how good it is, how long to wait: tables, and properties over every input."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import builders
from tests.kit.clock import NOON
from tokenkeep.core import policy
from tokenkeep.core.model import Rotation
from tokenkeep.core.policy import Breaker, Freshness, freshness, next_refresh_at, own_fraction, recover_at, retry_at

fractions = st.floats(0, 1, exclude_max=True)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


# --- how good ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("life", "age", "min_ttl", "expected"),
    [
        (3600, 0, 60, Freshness.FRESH),
        (3600, 3540, 60, Freshness.FRESH),  # exactly sixty left
        (3600, 3541, 60, Freshness.STALE),
        (3600, 3599, 60, Freshness.STALE),
        (3600, 3600, 60, Freshness.EXPIRED),
        (3600, 9999, 60, Freshness.EXPIRED),
        (3600, 3599, 0, Freshness.FRESH),
        (3600, 3600, 0, Freshness.EXPIRED),
        (60, 0, 60, Freshness.FRESH),
        (60, 45, 60, Freshness.FRESH),  # a quarter of its life
        (60, 46, 60, Freshness.STALE),
        (60, 60, 60, Freshness.EXPIRED),
        (61, 2, 60, Freshness.FRESH),  # just obtained
        (61, 7, 60, Freshness.STALE),
        (3600, 59, 3599, Freshness.FRESH),
        (3600, 60, 3599, Freshness.STALE),
        (3600, 2700, 3600, Freshness.FRESH),
        (3600, 2701, 3600, Freshness.STALE),
        (3600, 2700, 10**9, Freshness.FRESH),
        (0, 0, 60, Freshness.EXPIRED),
        (-10, 0, 60, Freshness.EXPIRED),
    ],
)
def test_how_good_a_token_is(life, age, min_ttl, expected):
    standing = builders.standing(expires_at=NOON + seconds(life))
    assert freshness(standing, obtained_at=NOON, now=NOON + seconds(age), min_ttl=min_ttl) is expected


def test_an_unknown_end_is_always_fresh():
    standing = builders.standing(expires_at=None)
    assert freshness(standing, obtained_at=NOON, now=NOON + timedelta(days=999), min_ttl=9999) is Freshness.FRESH


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_token_just_obtained_is_never_refreshed_again_for_what_no_token_can_have(life, min_ttl):
    standing = builders.standing(expires_at=NOON + seconds(life))
    assert freshness(standing, obtained_at=NOON, now=NOON, min_ttl=min_ttl) is Freshness.FRESH


# --- when due ------------------------------------------------------------------------------------------------------------


def due_after(life: float, fraction: float, **parts: object) -> float:
    at = next_refresh_at(
        builders.provider(**parts), obtained_at=NOON, expires_at=NOON + seconds(life), fraction=fraction
    )
    return (at - NOON).total_seconds()


@pytest.mark.parametrize(
    ("life", "fraction", "parts", "expected"),
    [
        (3600, 0.0, {}, 2880),
        (3600, 0.5, {}, 2790),
        (60, 0.0, {}, 48),
        (3600, 0.0, {"kills_old_access_token": True}, 3480),
        (3600, 0.5, {"kills_old_access_token": True}, 3465),
        (60, 0.0, {"kills_old_access_token": True}, 48),
        (28800, 0.0, {"kills_old_access_token": True}, 28680),
        (0, 0.5, {}, 0),
    ],
)
def test_when_a_refresh_is_planned(life, fraction, parts, expected):
    assert due_after(life, fraction, **parts) == pytest.approx(expected)


@pytest.mark.parametrize("quirks", [frozenset(), frozenset({"never_refresh_blindly"})])
@pytest.mark.parametrize("ends", [False, True])
def test_what_is_never_planned(quirks, ends):
    at = next_refresh_at(
        builders.provider(quirks=quirks),
        obtained_at=NOON,
        expires_at=NOON + seconds(60) if ends else None,
        fraction=0.5,
    )
    assert (at is not None) is (ends and not quirks)


@given(st.floats(1, 10**7), fractions, st.booleans())
def test_jitter_is_only_ever_earlier_and_within_a_quarter_of_the_life(life, fraction, kills):
    latest = due_after(life, 0.0, kills_old_access_token=kills)
    planned = due_after(life, fraction, kills_old_access_token=kills)
    assert 0.75 * life - 0.01 <= planned <= latest + 0.01
    assert latest < life


def test_a_credentials_fraction_is_its_own_and_always_the_same():
    assert own_fraction("credential-1") == own_fraction("credential-1") == pytest.approx(0.14753431422568192)
    found = [own_fraction(f"credential-{number}") for number in range(1000)]
    assert all(0 <= fraction < 1 for fraction in found)
    assert len(set(found)) == 1000
    assert 80 < sum(fraction < 0.1 for fraction in found) < 120, "spread evenly"


# --- when to try again ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), fractions, st.none() | st.integers(0, 10**6))
def test_a_pause_is_bounded_and_never_shorter_than_asked_for(failures, fraction, retry_after):
    wait = (retry_at(NOON, failures=failures, retry_after=retry_after, fraction=fraction) - NOON).total_seconds()
    assert 1 <= wait <= 3630
    if retry_after is not None:
        assert wait >= min(retry_after, 3600)
    else:
        assert wait <= max(1, min(30 * 2 ** min(failures, 20), 3600))


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(0, 30), (1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (999, 3600)]
)
def test_pauses_double_up_to_an_hour(failures, ceiling):
    wait = retry_at(NOON, failures=failures, retry_after=None, fraction=0.5) - NOON
    assert wait == seconds(ceiling / 2)


def test_those_who_were_asked_to_wait_come_back_one_after_the_other():
    waits = {retry_at(NOON, failures=0, retry_after=300, fraction=fraction) for fraction in (0.0, 0.3, 0.9)}
    assert len(waits) == 3


@pytest.mark.parametrize("rotation", Rotation)
@pytest.mark.parametrize("kills", [False, True])
@pytest.mark.parametrize("ends_in", [None, -10, 20, 3600])
def test_recovery_is_at_once_except_where_it_could_revoke_what_still_serves(rotation, kills, ends_in):
    provider = builders.provider(rotation=rotation, kills_old_access_token=kills)
    standing = builders.standing(expires_at=None if ends_in is None else NOON + seconds(ends_in))
    waits = rotation is Rotation.FAMILY and not kills and ends_in == 3600
    assert recover_at(provider, standing, now=NOON) == NOON + seconds(3570 if waits else 0)


@pytest.mark.parametrize(
    ("rotation", "days"),
    [(Rotation.NONE, 7), (Rotation.GRACE, 7), (Rotation.STRICT, 1), (Rotation.FAMILY, 1), (Rotation.UNKNOWN, 1)],
)
def test_how_long_the_token_before_is_kept(rotation, days):
    assert policy.previous_until(builders.provider(rotation=rotation), now=NOON) == NOON + timedelta(days=days)


def test_an_owner_stops_itself_before_its_lease_could_end_under_a_call():
    longest_call = 30
    assert policy.SEND_WITHIN_S + longest_call < policy.LEASE_S
    assert 3 * longest_call <= policy.LEASE_S


# --- the breaker ---------------------------------------------------------------------------------------------------------------------


def broken(faults: int) -> Breaker:
    breaker = Breaker()
    for _ in range(faults):
        breaker = breaker.after(fault=True, now=NOON)
    return breaker


@pytest.mark.parametrize(
    ("faults", "open_s"), [(4, None), (5, 15), (6, 30), (7, 60), (8, 120), (9, 240), (10, 300), (99, 300)]
)
def test_how_long_a_breaker_stays_open(faults, open_s):
    breaker = broken(faults)
    assert breaker.open_until == (None if open_s is None else NOON + seconds(open_s))
    assert breaker.permits(NOON) is (open_s is None)
    if open_s is not None:
        assert not breaker.permits(NOON + seconds(open_s - 0.001))
        assert breaker.permits(NOON + seconds(open_s))


def test_one_answer_closes_it():
    assert broken(9).after(fault=False, now=NOON) == Breaker()


def test_one_probe_keeps_the_others_out_until_it_has_answered():
    later = NOON + seconds(16)
    probing = broken(5).probing(later)
    assert not probing.permits(later)
    assert not probing.permits(later + seconds(19))
    assert probing.permits(later + seconds(20)), "a probe that never answered does not hold for ever"
    assert probing.after(fault=True, now=later).open_until == later + seconds(30)


def test_a_closed_breaker_probes_nothing():
    assert Breaker(faults=3).probing(NOON) == Breaker(faults=3)
