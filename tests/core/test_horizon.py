"""When to refresh, what is known of the end, when a person will be needed: tables, and properties over every input."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import builders
from tests.kit.clock import NOON
from tokenkeep.core import horizon, lifecycle, policy
from tokenkeep.core.model import Expiry

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FRACTION = policy.own_fraction("credential-1")
SHARE = 0.8 - 0.05 * FRACTION


def consent(*, now=NOON, learned_life_s=None, provider=(), **token_set):
    """What is known right after consent."""
    parts = {"expires_at": None} | token_set
    return horizon.after_consent(
        builders.provider(**dict(provider)),
        builders.token_set(**parts),
        credential_id="credential-1",
        now=now,
        learned_life_s=learned_life_s,
    )


def refreshed(grant, *, now, provider=(), **token_set):
    """What is known right after a refresh of `grant`."""
    parts = {"expires_at": None} | token_set
    return horizon.after_refresh(builders.provider(**dict(provider)), builders.token_set(**parts), grant, now=now)


def granted(obtained, *, now=NOON):
    """The grant that holds it."""
    return builders.grant(standing=lifecycle.connected(obtained, now=now))


def planned_after(obtained, *, now=NOON):
    """Seconds to the next refresh. None: nothing is planned."""
    return None if obtained.next_refresh_at is None else (obtained.next_refresh_at - now).total_seconds()


# --- keep-alive ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "access", "refresh", "expected"),
    [
        ({}, None, None, None),
        ({}, HOUR, None, HOUR * SHARE),
        ({"refresh_idle_ttl_s": 86_400}, None, None, DAY * SHARE),
        ({"refresh_idle_ttl_s": 86_400}, HOUR, None, HOUR * SHARE),  # the access token is due before
        ({"refresh_idle_ttl_s": 86_400}, 90 * DAY, None, DAY * SHARE),
        ({}, None, DAY, DAY * SHARE),  # an end that the answer tells
        ({"refresh_idle_ttl_s": 86_400}, None, 7 * DAY, DAY * SHARE),
        ({"refresh_idle_ttl_s": 7 * 86_400}, None, DAY, DAY * SHARE),
        ({"refresh_end_fixed": True}, None, DAY, None),  # no refresh puts it off
        ({"refresh_end_fixed": True, "refresh_idle_ttl_s": 3600}, None, DAY, HOUR * SHARE),
        ({"kills_old_access_token": True, "refresh_idle_ttl_s": 86_400}, None, None, DAY * SHARE),
    ],
)
def test_an_unused_refresh_token_is_used_in_time(provider, access, refresh, expected):
    obtained = consent(
        provider=provider,
        expires_at=access and NOON + access,
        refresh_expires_at=refresh and NOON + refresh,
    )
    assert planned_after(obtained) == (None if expected is None else pytest.approx(expected.total_seconds(), abs=0.01))


@pytest.mark.parametrize(
    ("access", "idle", "expected"),
    [
        (HOUR, None, None),  # not for the access token's sake
        (None, DAY, DAY * SHARE),  # a lapsed grant is lost for certain
        (HOUR, DAY, DAY * SHARE),
        (0.9 * DAY, DAY, 0.9 * DAY),  # waits for the access token's end
        (2 * DAY, DAY, DAY * SHARE),  # no waiting helps
    ],
)
def test_where_a_blind_refresh_does_harm_only_the_lapse_counts(access, idle, expected):
    provider = {"quirks": frozenset({"never_refresh_blindly"})}
    if idle is not None:
        provider["refresh_idle_ttl_s"] = int(idle.total_seconds())
    obtained = consent(provider=provider, expires_at=access and NOON + access)
    assert planned_after(obtained) == (None if expected is None else pytest.approx(expected.total_seconds(), abs=0.01))


def test_without_a_refresh_token_the_end_is_the_time_to_look_again():
    idle = {"refresh_idle_ttl_s": 60}
    assert planned_after(consent(provider=idle, refresh_token=None, expires_at=NOON + HOUR)) == 3600
    assert planned_after(consent(provider=idle, refresh_token=None)) is None


lives = st.none() | st.integers(1, 10**8)


@given(st.text(min_size=1, max_size=9), lives, lives, lives, st.booleans())
def test_a_plan_never_lies_behind_a_lapse_and_never_before_three_quarters(name, access, idle, refresh, blind):
    provider = builders.provider(
        refresh_idle_ttl_s=idle, quirks=frozenset({"never_refresh_blindly"}) if blind else frozenset()
    )
    ends = [None if life is None else NOON + timedelta(seconds=life) for life in (access, refresh)]
    obtained = horizon.after_consent(
        provider,
        builders.token_set(expires_at=ends[0], refresh_expires_at=ends[1]),
        credential_id=name,
        now=NOON,
    )
    windows = [life for life in (None if blind else access, idle, refresh) if life is not None]
    planned = planned_after(obtained)
    assert (planned is None) == (windows == [])
    if planned is not None:
        lapse = min((life for life in (idle, refresh) if life is not None), default=access)
        assert 0.75 * min(windows) - 0.01 <= planned < lapse


# --- ends that refreshing does not put off ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moved", "fixed"),
    [
        (timedelta(0), True),
        (timedelta(seconds=20), True),  # what the answer took
        (-timedelta(seconds=20), True),
        (0.49 * DAY, True),
        (0.51 * DAY, False),
        (DAY, False),
        (9 * DAY, False),
    ],
)
def test_whether_an_end_is_put_off_shows_at_the_next_refresh(moved, fixed):
    end = NOON + 90 * DAY
    grant = granted(consent(refresh_expires_at=end))
    obtained = refreshed(grant, now=NOON + DAY, refresh_expires_at=end + moved)
    assert (obtained.needs_person_at is not None) is fixed
    assert (obtained.next_refresh_at is None) is fixed, "planning by a fixed end would refresh ever more often"


def test_a_fixed_end_is_not_refreshed_at_ever_more_often():
    now, end = NOON, NOON + 90 * DAY
    grant = granted(consent(refresh_expires_at=end))
    rounds = 0
    while grant.standing.next_refresh_at is not None and rounds < 9:
        now, rounds = grant.standing.next_refresh_at, rounds + 1
        grant = granted(refreshed(grant, now=now, refresh_expires_at=end), now=now)
    assert rounds == 1
    assert grant.standing.needs_person_at == end


@given(st.lists(st.integers(5, 10**6), min_size=1, max_size=20))
def test_an_end_that_is_put_off_is_never_taken_for_a_fixed_one(gaps):
    now, life = NOON, 90 * DAY
    grant = granted(consent(refresh_expires_at=now + life))
    for gap in gaps:
        now += timedelta(seconds=gap)
        obtained = refreshed(grant, now=now, refresh_expires_at=now + life - timedelta(seconds=1))
        assert (obtained.needs_person_at, obtained.next_refresh_at is None) == (None, False)
        grant = granted(obtained, now=now)


def test_a_files_life_does_not_begin_anew_where_the_end_is_fixed():
    file = {"refresh_end_fixed": True}
    grant = granted(consent(provider=file, refresh_expires_at=NOON + 14 * DAY))
    obtained = refreshed(grant, provider=file, now=NOON + 3 * DAY, refresh_expires_at=NOON + 17 * DAY)
    assert (obtained.refresh_expires_at, obtained.needs_person_at) == (NOON + 14 * DAY, NOON + 14 * DAY)


# --- when a person will be needed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "token_set", "expected"),
    [
        ({}, {}, None),
        ({}, {"expires_at": HOUR}, None),
        ({}, {"refresh_token": None, "expires_at": HOUR}, HOUR),
        ({}, {"refresh_token": None}, None),
        ({"grant_ttl_s": 86_400}, {"refresh_token": None}, None),
        ({}, {"refresh_expires_at": DAY}, None),  # as far as is known, each refresh puts it off
        ({"refresh_end_fixed": True}, {"refresh_expires_at": DAY}, DAY),
        ({"refresh_end_fixed": True, "refresh_idle_ttl_s": 60}, {}, None),
        ({"grant_ttl_s": 86_400}, {}, DAY),
        ({}, {"grant_expires_at": DAY}, DAY),
        ({"grant_ttl_s": 3600}, {"grant_expires_at": DAY}, HOUR),
        ({"grant_ttl_s": 2 * 86_400, "refresh_end_fixed": True}, {"refresh_expires_at": DAY}, DAY),
    ],
)
def test_when_a_person_will_be_needed(provider, token_set, expected):
    ends = {name: NOON + value if isinstance(value, timedelta) else value for name, value in token_set.items()}
    assert consent(provider=provider, **ends).needs_person_at == (None if expected is None else NOON + expected)


def test_the_grants_life_counts_from_consent():
    file = {"grant_ttl_s": 30 * 86_400}
    grant = granted(consent(provider=file))
    obtained = refreshed(grant, provider=file, now=NOON + 9 * DAY)
    assert obtained.needs_person_at == NOON + 30 * DAY


@pytest.mark.parametrize(("days", "expected"), [(365, 358), (35, 28), (30, 24), (10, 8), (1, 0.8), (0, 0)])
def test_when_it_is_said(days, expected):
    assert policy.warn_at(NOON + days * DAY, since=NOON) == NOON + expected * DAY


@given(st.integers(0, 10**5), st.integers(0, 10**9))
def test_it_is_never_said_too_late_or_long_before(since, life):
    begin = NOON + timedelta(seconds=since)
    date = begin + timedelta(seconds=life)
    said = policy.warn_at(date, since=begin)
    assert begin <= said <= date
    assert date - said <= 7 * DAY


def test_the_same_date_told_again_is_not_said_again():
    grant = granted(consent(grant_expires_at=NOON + 30 * DAY))
    said = replace(grant, standing=replace(grant.standing, warn_at=None))
    again = refreshed(said, now=NOON + DAY, grant_expires_at=NOON + 30 * DAY - timedelta(seconds=30))
    assert (again.needs_person_at, again.warn_at) == (NOON + 30 * DAY, None)
    other = refreshed(said, now=NOON + DAY, grant_expires_at=NOON + 31 * DAY)
    assert (other.needs_person_at, other.warn_at) == (NOON + 31 * DAY, NOON + 24.8 * DAY)


def test_a_date_that_is_gone_is_not_said():
    grant = granted(consent(grant_expires_at=NOON + 30 * DAY))
    assert (refreshed(grant, now=NOON + DAY).needs_person_at, refreshed(grant, now=NOON + DAY).warn_at) == (None, None)


# --- an end that nobody told -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, Expiry.KNOWN),
        ({"learned_life_s": 60}, Expiry.KNOWN),
        ({"expires_at": None}, Expiry.UNKNOWN),
        ({"expires_at": None, "endless": True}, Expiry.ENDLESS),
        ({"expires_at": None, "learned_life_s": 60}, Expiry.LEARNED),
        ({"expires_at": None, "endless": True, "learned_life_s": 60}, Expiry.ENDLESS),
    ],
)
def test_what_is_known_of_the_end(parts, expected):
    assert builders.standing(**parts).expiry is expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, 7200 * SHARE),
        ({"provider": {"kills_old_access_token": True}}, 7200 * SHARE),  # not late: it is no promise
        ({"provider": {"quirks": frozenset({"never_refresh_blindly"})}}, None),
        ({"endless": True}, None),
        ({"expires_at": NOON + HOUR}, 3600 * SHARE),
        ({"provider": {"refresh_idle_ttl_s": 3600}}, 3600 * SHARE),
        ({"refresh_token": None}, None),  # a guess declares nothing dead
    ],
)
def test_a_learned_life_is_planned_by(parts, expected):
    obtained = consent(learned_life_s=7200, **parts)
    assert obtained.expires_at == parts.get("expires_at"), "what was learned is not what the provider told"
    assert planned_after(obtained) == (None if expected is None else pytest.approx(expected, abs=0.01))


def test_what_was_learned_is_kept_from_generation_to_generation():
    grant = granted(consent(learned_life_s=7200))
    assert refreshed(grant, now=NOON + HOUR).learned_life_s == 7200
    assert refreshed(grant, now=NOON + HOUR, expires_at=NOON + 2 * HOUR).learned_life_s == 7200
