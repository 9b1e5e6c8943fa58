"""Revoking: which token is named, whom it would harm, and what the answer means."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.kit import builders
from tests.kit.clock import NOON
from tokenkeep.core.revocation import WAITS_S, harms, read, token_to_name
from tokenkeep.core.secret import Secret

PAIR = builders.token_set()
ALONE = builders.token_set(refresh_token=None)
NEWER = builders.token_set(access_token=Secret("access-2"), refresh_token=Secret("refresh-2"))
OK_FALSE = frozenset({"ok_false_in_200"})


@pytest.mark.parametrize(
    ("style", "token_set", "named"),
    [
        ("rfc7009", PAIR, ("refresh-1", "refresh_token")),
        ("rfc7009", ALONE, ("access-1", "access_token")),
        ("github", PAIR, ("access-1", "access_token")),
        ("bearer", PAIR, ("access-1", "access_token")),
    ],
)
def test_the_token_that_is_named(style, token_set, named):
    token, hint = token_to_name(builders.provider(revocation_style=style), token_set)
    assert (token.reveal(), hint) == named


@pytest.mark.parametrize(
    ("allowed", "newer", "harmful"),
    [
        (False, NEWER, True),
        (False, None, True),
        (True, NEWER, False),
        (True, None, False),
        (True, PAIR, True),
        (True, builders.token_set(access_token=Secret("access-2")), True),  # the same refresh token again
        (True, builders.token_set(refresh_token=None), True),  # the same access token again
        (True, builders.token_set(access_token=Secret("access-2"), refresh_token=None), False),
    ],
)
def test_whether_it_harms_the_newer_consent(allowed, newer, harmful):
    assert harms(builders.provider(revoke_on_reconnect=allowed), PAIR, newer) is harmful


@pytest.mark.parametrize(
    ("answer", "quirks", "code", "again"),
    [
        (builders.answer(), frozenset(), "", False),
        (builders.answer(status=204), frozenset(), "", False),
        (builders.answer('{"ok": true}'), OK_FALSE, "", False),
        (builders.answer('{"ok": false}'), OK_FALSE, "not_confirmed", False),
        (builders.answer("a page"), OK_FALSE, "not_confirmed", False),
        (builders.answer(status=302), frozenset(), "not_confirmed", False),
        (builders.answer(status=400), frozenset(), "not_confirmed", False),
        (builders.answer(status=404), frozenset(), "not_confirmed", False),
        (builders.answer(status=429), frozenset(), "busy", True),
        (builders.answer(status=500), frozenset(), "busy", True),
        (builders.answer(status=503), frozenset(), "busy", True),
        (builders.answer(status=0, fault="not_sent"), frozenset(), "busy", True),
        (builders.answer(status=0, fault="lost"), frozenset(), "busy", True),
        (builders.answer(status=0, fault="unsupported"), frozenset(), "unsupported", False),
        (builders.answer(status=0, fault="misconfigured"), frozenset(), "misconfigured", False),
        (builders.answer(status=0, fault="refused"), frozenset(), "refused", False),
    ],
)
def test_what_an_answer_means(answer, quirks, code, again):
    found = read(answer, builders.provider(quirks=quirks), now=NOON, tries=0)
    assert (found.code, found.dead, found.retry_at is not None) == (code, not code, again)


def test_a_busy_provider_is_asked_less_and_less_and_then_no_more():
    busy = builders.answer(status=503)
    waits = [read(busy, builders.provider(), now=NOON, tries=tries).retry_at for tries in range(len(WAITS_S) + 1)]
    assert waits == [*(NOON + timedelta(seconds=wait) for wait in WAITS_S), None]


def test_not_before_the_time_it_asks_for():
    busy = builders.answer(status=503, headers={"retry-after": "300"})
    assert read(busy, builders.provider(), now=NOON, tries=0).retry_at == NOON + timedelta(seconds=300)
    assert read(busy, builders.provider(), now=NOON, tries=2).retry_at == NOON + timedelta(seconds=600)
