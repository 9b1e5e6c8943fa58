"""Every odd token answer as a file with its expected verdict, and the promise that judging never raises."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.core.judgement import Granted, Refused, judge
from tokenkeep.core.model import Answer, FailureKind, Provider, ResponseMap
from tokenkeep.core.protocol import QUIRKS
from tokenkeep.core.secret import Secret

VECTORS = sorted((Path(__file__).parent.parent / "vectors" / "token_answers").glob("*.toml"))
REQUESTED = datetime(2026, 11, 24, 11, 0, 0, tzinfo=UTC)
NOW = REQUESTED + timedelta(seconds=2)

ROWS = frozenset(
    {
        # how refreshes fail in the wild: tokens
        "3.1 missing refresh token",
        # judging errors
        "3.2 transport",
        "3.2 busy or broken",
        "3.2 500 with invalid_grant",
        "3.2 proxy page",
        "3.2 invalid_client",
        "3.2 configuration",
        "3.2 invalid_grant",
        "3.2 200 with error",
        "3.2 says it passes",
        # expiry arithmetic
        "3.3 missing",
        "3.3 string",
        "3.3 malformed string",
        "3.3 float",
        "3.3 concatenated",
        "3.3 milliseconds",
        "3.3 absolute",
        "3.3 zero",
        "3.3 int32 overflow",
        "3.3 grant horizon",
        # scopes in answers
        "3.5 scope",
        # what a general client gets wrong
        "6 429 without error",
        "6 4xx without error",
        "6 200 without token",
        "6 error null",
        "6 error object",
        "6 expires_in float string",
        "6 refresh token null or empty",
        "6 without expires_in",
        "6 expires_in zero",
        # rules that follow from the provider facts
        "rule 3 kept",
        "rule 4 lost answer",
        "rule 8 mapped",
        "rule 8 clock time",
        "rule 9 status 201",
        "rule 9 error in 200",
        "rule 9 token needed",
        "rule 10 terminal",
        "rule 10 configuration",
        "rule 10 atlassian 403",
        "rule 10 aadsts",
        "rule 10 own shapes",
        "rule 10 invalid_rapt",
        "rule 13 keep",
    }
)
"""The rows of our fact tables that a token answer can show. Each needs a vector."""


def load(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def provider_of(overrides: Mapping[str, Any]) -> Provider:
    given_parts = dict(overrides)
    response = {name: tuple(paths) for name, paths in given_parts.pop("response", {}).items()}
    for name in ("quirks", "terminal_errors"):
        given_parts[name] = frozenset(given_parts.get(name, ()))
    return Provider(id="vector", name="Vector", response=ResponseMap(**response), **given_parts)


def answer_of(part: Mapping[str, Any]) -> Answer:
    return Answer(
        status=part["status"],
        headers=part.get("headers", {}),
        body=Secret(part.get("body", "")),
        fault=part.get("fault", ""),
    )


def seconds(moment: datetime | None) -> float | str:
    return "unknown" if moment is None else (moment - REQUESTED).total_seconds()


def seen_of(verdict: Granted | Refused) -> dict[str, Any]:
    """The verdict in the words of a vector's `expect`."""
    if isinstance(verdict, Refused):
        wait = "unknown" if verdict.retry_after is None else verdict.retry_after
        seen = {"kind": verdict.kind.value, "code": verdict.code, "uncertain": verdict.uncertain, "retry_after": wait}
        return {"outcome": "refused", **seen}
    token_set, account = verdict.token_set, verdict.account
    return {
        "outcome": "granted",
        "access_token": token_set.access_token.reveal(),
        "refresh_token": token_set.refresh_token.reveal() if token_set.refresh_token else "",
        "token_type": token_set.token_type,
        "scope": "unknown" if token_set.scope is None else list(token_set.scope),
        "expires_in": seconds(token_set.expires_at),
        "endless": token_set.endless,
        "refresh_expires_in": seconds(token_set.refresh_expires_at),
        "grant_expires_in": seconds(token_set.grant_expires_at),
        "extra": dict(token_set.extra),
        "account": account and {"id": account.id, "name": account.name, "workspace": account.workspace},
        "notes": list(verdict.notes),
    }


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vector(path: Path) -> None:
    vector = load(path)
    verdict = judge(answer_of(vector["answer"]), provider_of(vector.get("provider", {})), now=NOW, requested=REQUESTED)
    seen = seen_of(verdict)
    assert {name: seen.get(name) for name in vector["expect"]} == vector["expect"], vector["why"]


def test_there_are_vectors_enough() -> None:
    assert len(VECTORS) >= 60
    assert [int(path.stem.split("-")[0]) for path in VECTORS] == list(range(1, len(VECTORS) + 1))


def test_every_row_of_the_fact_tables_has_a_vector() -> None:
    covered = {row for path in VECTORS for row in load(path)["covers"]}
    assert covered == ROWS


def test_vectors_name_only_known_quirks() -> None:
    used = {quirk for path in VECTORS for quirk in load(path).get("provider", {}).get("quirks", ())}
    assert used <= set(QUIRKS)


def test_no_vector_shows_its_body_in_the_verdict() -> None:
    for path in VECTORS:
        vector = load(path)
        verdict = judge(answer_of(vector["answer"]), provider_of(vector.get("provider", {})), now=NOW)
        assert "AT-2" not in repr(verdict), path.stem
        assert "RT-2" not in repr(verdict), path.stem


def test_a_granted_verdict_shows_nothing_of_the_answer() -> None:
    body = {"access_token": "AT", "scope": "m4rk-a", "token_type": "m4rk-b", "kept": "m4rk-c", "user": "m4rk-d"}
    provider = provider_of({"response": {"keep": ["kept"]}, "account_from_token": {"id": "user"}})
    verdict = judge(Answer(status=200, body=Secret(json.dumps(body))), provider, now=NOW)
    assert isinstance(verdict, Granted)
    assert verdict.token_set.extra == {"kept": "m4rk-c"}
    assert "m4rk" not in repr(verdict)


def test_a_life_counts_from_now_when_the_request_time_is_unknown() -> None:
    answer = Answer(status=200, body=Secret('{"access_token": "AT", "expires_in": 60}'))
    verdict = judge(answer, provider_of({}), now=NOW)
    assert isinstance(verdict, Granted)
    assert verdict.token_set.expires_at == NOW + timedelta(seconds=60)


def test_each_refusal_is_explained_in_our_words() -> None:
    for path in VECTORS:
        vector = load(path)
        verdict = judge(answer_of(vector["answer"]), provider_of(vector.get("provider", {})), now=NOW)
        if isinstance(verdict, Refused):
            assert verdict.detail.endswith("."), path.stem


MARK = "s3cr3t-M4rk"
NAMES = (
    "access_token", "refresh_token", "token_type", "expires_in", "expires_at", "scope", "error", "errors", "ok", "code",
    "status", "reason", "error_codes", "error_description", "error_subtype", "authed_user", "refresh_token_expires_in",
    "authorization_expires_in", "team", "id",
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just(MARK), st.just("invalid_grant"),
    st.integers(0, 10**13).map(str), st.just("2026-11-24T12:00:00Z"), st.just("access-1"),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
)
DOCUMENTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8).map(json.dumps)
BODIES = st.one_of(
    DOCUMENTS, st.text(max_size=200), st.binary(max_size=200).map(lambda raw: raw.decode(errors="replace"))
)
PROVIDERS = st.builds(
    lambda quirks, terminal, ttl: Provider(
        id="p",
        name="P",
        quirks=frozenset(quirks),
        terminal_errors=frozenset(terminal),
        access_ttl_s=ttl,
        response=ResponseMap(keep=("team.id", "id", "errors.0")),
        account_from_token={"id": "authed_user.id", "name": "id"},
    ),
    st.sets(st.sampled_from(sorted(QUIRKS))),
    st.sets(st.sampled_from(["190", "bad_refresh_token"])),
    st.none() | st.integers(0, 10**6),
)


@given(
    status=st.integers(0, 999),
    body=BODIES,
    provider=PROVIDERS,
    retry_after=st.text(max_size=40) | st.sampled_from(["1", "Tue, 24 Nov 2026 11:05:00 GMT", "0", "-1"]),
    fault=st.sampled_from(["", "lost", "not_sent", "refused", MARK]),
)
def test_judging_never_raises_and_never_repeats_the_body(
    status: int, body: str, provider: Provider, retry_after: str, fault: str
) -> None:
    answer = Answer(status=status, body=Secret(body), headers={"retry-after": retry_after}, fault=fault)
    verdict = judge(answer, provider, now=NOW, requested=REQUESTED)
    assert MARK not in repr(verdict)
    if isinstance(verdict, Refused):
        assert verdict.retry_after is None or 0 <= verdict.retry_after <= 3600
        assert not (verdict.uncertain and verdict.kind is not FailureKind.TRANSIENT)
        return
    assert 200 <= status < 300
    assert verdict.token_set.access_token
    assert verdict.token_set.access_token.reveal().isascii()
    for end in (verdict.token_set.expires_at, verdict.token_set.refresh_expires_at):
        assert end is None or REQUESTED <= end <= REQUESTED + timedelta(days=3650)


@given(status=st.integers(100, 599), body=BODIES)
def test_only_a_word_we_know_ends_a_grant(status: int, body: str) -> None:
    verdict = judge(Answer(status=status, body=Secret(body)), provider_of({}), now=NOW)
    if isinstance(verdict, Refused) and verdict.kind is FailureKind.GRANT:
        assert "invalid_grant" in body
        assert status < 300 or 400 <= status < 500
