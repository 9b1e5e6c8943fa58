"""The sealed document of one generation: what goes in comes out."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import builders
from tokenkeep.core import token_document
from tokenkeep.core.model import TokenSet
from tokenkeep.core.secret import Secret

texts = st.text(alphabet=st.characters(exclude_categories=()), max_size=30)
moments = st.datetimes(timezones=st.just(UTC)).filter(lambda moment: 1990 <= moment.year <= 2200)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
token_sets = st.builds(
    TokenSet,
    access_token=texts.map(Secret),
    token_type=texts,
    refresh_token=st.none() | texts.filter(bool).map(Secret),
    scope=st.none() | st.lists(texts, max_size=3).map(tuple),
    expires_at=st.none() | moments,
    endless=st.booleans(),
    refresh_expires_at=st.none() | moments,
    grant_expires_at=st.none() | moments,
    extra=st.dictionaries(st.text(max_size=5), plain, max_size=3),
)


@given(token_sets)
def test_what_goes_in_comes_out(token_set):
    octets = token_document.dump(token_set)
    assert token_document.load(octets) == token_set
    assert token_document.load_access_token(octets) == token_set.access_token


def test_no_scope_and_an_empty_scope_are_different():
    for scope in (None, ()):
        assert token_document.load(token_document.dump(builders.token_set(scope=scope))).scope == scope


def test_an_empty_refresh_token_is_none():
    assert token_document.load(token_document.dump(builders.token_set(refresh_token=Secret("")))).refresh_token is None


def test_times_come_back_in_utc():
    loaded = token_document.load(token_document.dump(builders.token_set()))
    assert loaded.expires_at.tzinfo is UTC


def test_documents_written_by_the_first_version_stay_readable():
    written = {
        "access_token": "a",
        "token_type": "Bearer",
        "refresh_token": None,
        "scope": ["x"],
        "expires_at": 1795525260.5,
        "refresh_expires_at": None,
        "extra": {"k": 1},
    }
    loaded = token_document.load(json.dumps(written).encode())
    assert loaded == TokenSet(
        access_token=Secret("a"),
        scope=("x",),
        expires_at=datetime(2026, 11, 24, 13, 1, 0, 500000, tzinfo=UTC),
        extra={"k": 1},
    )


@pytest.mark.parametrize("octets", [b"", b"junk", b"{}", b"[]", b"null", b"\xff"])
def test_what_is_no_token_set_is_never_taken_for_one(octets):
    with pytest.raises((ValueError, KeyError, TypeError)):
        token_document.load(octets)
