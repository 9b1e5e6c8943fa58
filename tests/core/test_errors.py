"""The tree of failures: every code its own, every default message a sentence."""

from __future__ import annotations

import inspect

import pytest

from tokenkeep.core import errors
from tokenkeep.core.errors import (
    InUse,
    InvalidInput,
    Misconfigured,
    NotFound,
    RefreshFailing,
    Throttled,
    TokenkeepError,
)

TREE = sorted(
    (found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, TokenkeepError)),
    key=lambda found: found.__name__,
)
NEEDED = {InUse: {"references": ["flow/1"]}, Throttled: {"retry_after": 7}}


def made(kind: type[TokenkeepError]) -> TokenkeepError:
    return kind(*NEEDED[kind].values()) if kind is InUse else kind(**NEEDED.get(kind, {}))


def test_every_code_is_its_own():
    codes = [kind.code for kind in TREE]
    assert len(set(codes)) == len(codes) > 20
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)


@pytest.mark.parametrize("kind", TREE)
def test_every_default_message_is_one_sentence(kind):
    error = made(kind)
    assert error.message == str(error) == (kind.__doc__ or "").splitlines()[0]
    assert error.message.endswith(".")


@pytest.mark.parametrize("kind", [kind for kind in TREE if kind is not TokenkeepError])
def test_the_tree_in_the_docstring_names_every_error_and_code(kind):
    line = next(line for line in errors.__doc__.splitlines() if f" {kind.__name__} " in line)
    assert f" {kind.code} " in line


def test_fields_are_told_only_where_there_are_some():
    assert InvalidInput(fields={"a": "b"}).extra == {"fields": {"a": "b"}}
    assert InvalidInput().extra == {}
    assert InvalidInput().fields == {}


def test_what_says_when_to_come_back_says_it_twice_the_same():
    for error in (Throttled(retry_after=7), RefreshFailing(retry_after=7)):
        assert error.retry_after == error.extra["retry_after"] == 7
        assert error.fix


def test_further_members_and_a_fix_are_kept():
    error = NotFound("Gone.", fix="Look elsewhere.", cause="x")
    assert (error.message, error.fix, error.extra) == ("Gone.", "Look elsewhere.", {"cause": "x"})


def test_what_ends_the_start_is_apart():
    assert {kind.__name__ for kind in TREE if issubclass(kind, Misconfigured)} >= {
        "Misconfigured",
        "KeyRefused",
        "ProviderFileInvalid",
    }
