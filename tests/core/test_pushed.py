"""What a provider's answer to a pushed authorization request means."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import builders
from tests.kit.clock import NOON
from tokenkeep.core.judgement import Refused
from tokenkeep.core.model import Answer, FailureKind
from tokenkeep.core.pushed import judge_pushed
from tokenkeep.core.secret import Secret

REQUEST_URI = "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c"


def judged(body, status=201, **answer):
    return judge_pushed(builders.answer(body, status=status, **answer), builders.provider(), now=NOON)


@pytest.mark.parametrize("status", [201, 200])
@pytest.mark.parametrize("beside", [{"expires_in": 60}, {}, {"expires_in": "soon", "further": [1]}])
def test_a_request_uri_is_taken(status, beside):
    assert judged(json.dumps({"request_uri": REQUEST_URI, **beside}), status) == REQUEST_URI


@pytest.mark.parametrize(
    "request_uri", ["", 7, None, ["urn:x"], {"urn": "x"}, "two words", "urn:x\n", "urn:ü", "x" * 1001, "\u0000"]
)
def test_what_cannot_be_one_is_not_taken(request_uri):
    verdict = judged(json.dumps({"request_uri": request_uri, "expires_in": 60}))
    assert isinstance(verdict, Refused)
    assert (verdict.kind, verdict.code) == (FailureKind.TRANSIENT, "unreadable_answer")


@pytest.mark.parametrize(
    ("body", "status", "kind", "code"),
    [
        ('{"error": "invalid_client"}', 401, FailureKind.CLIENT, "invalid_client"),
        ('{"error": "invalid_request"}', 400, FailureKind.CLIENT, "invalid_request"),
        ('{"error": "invalid_scope"}', 400, FailureKind.CLIENT, "invalid_scope"),
        ('{"error": "invalid_request"}', 200, FailureKind.CLIENT, "invalid_request"),
        ("", 401, FailureKind.CLIENT, "http_401"),
        ("", 405, FailureKind.TRANSIENT, "http_405"),
        ("", 413, FailureKind.TRANSIENT, "http_413"),
        ("", 429, FailureKind.TRANSIENT, "http_429"),
        ("<html>", 201, FailureKind.TRANSIENT, "unreadable_answer"),
        ('{"access_token": "a", "token_type": "bearer"}', 200, FailureKind.TRANSIENT, "unreadable_answer"),
        (json.dumps({"request_uri": REQUEST_URI}), 400, FailureKind.TRANSIENT, "http_400"),
        (json.dumps({"request_uri": REQUEST_URI}), 302, FailureKind.TRANSIENT, "http_302"),
    ],
)
def test_a_refusal_says_who_can_mend_it(body, status, kind, code):
    verdict = judged(body, status)
    assert isinstance(verdict, Refused)
    assert (verdict.kind, verdict.code) == (kind, code)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.text() | st.dictionaries(
    st.sampled_from(["request_uri", "expires_in", "error", "access_token", "ok"]) | st.text(), JSON
).map(json.dumps)


@given(BODIES, st.integers(0, 599), st.sampled_from(["", "lost", "not_sent", "refused", "misconfigured"]))
def test_whatever_comes_back_it_is_a_request_uri_or_a_refusal(body, status, fault):
    answer = Answer(status=status, body=Secret(body), fault=fault)
    verdict = judge_pushed(answer, builders.provider(), now=NOON)
    if isinstance(verdict, str):
        assert 200 <= status < 300
        assert verdict.isascii()
        assert verdict.isprintable()
        assert " " not in verdict
    else:
        assert isinstance(verdict, Refused)
