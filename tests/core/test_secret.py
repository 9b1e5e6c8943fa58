"""A secret shows itself to nobody who does not ask for it by name."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.core.secret import STARS, Secret

MARK = "s3cr3t-mark"


@dataclass
class Holder:
    secret: Secret


@pytest.mark.parametrize(
    "shown",
    [
        repr,
        str,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r}",
        lambda secret: f"{secret:>100}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - the old way, as logging does it
        "{}".format,
        lambda secret: repr([secret, {"a": secret}]),
        lambda secret: repr(Holder(secret)),
        lambda secret: str(ValueError(secret)),
        lambda secret: json.dumps({"a": secret}, default=str),
        lambda secret: repr(copy_of(secret)),
    ],
)
def test_no_way_of_showing_tells_it(shown):
    text = shown(Secret(MARK))
    assert MARK not in text
    assert STARS in text or text == "None"


def copy_of(secret: Secret) -> object:
    try:
        return copy.deepcopy(secret)
    except TypeError:
        return None


def test_it_is_never_pickled():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(Secret(MARK), protocol)
    with pytest.raises(TypeError):
        json.dumps(Secret(MARK))


def test_it_has_no_other_attributes():
    assert not hasattr(Secret(MARK), "__dict__")
    with pytest.raises(AttributeError):
        Secret(MARK).note = "x"


@given(st.text(), st.text())
def test_it_equals_a_secret_of_the_same_text_and_nothing_else(one, other):
    assert (Secret(one) == Secret(other)) is (one == other)
    assert Secret(one) != one
    assert (one == other) <= (hash(Secret(one)) == hash(Secret(other)))
    assert Secret(one).reveal() == one
    assert len(Secret(one)) == len(one)
    assert bool(Secret(one)) is bool(one)


def test_its_hash_is_not_its_texts():
    assert hash(Secret(MARK)) != hash(MARK)
