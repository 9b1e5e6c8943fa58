"""Query parameters are checked by name."""

from __future__ import annotations

import pytest

from tokenkeep.core.errors import InvalidInput
from tokenkeep.web.queries import LONGEST, Query, page_parameters, read_query

DECLARED = (
    Query(name="type", description="", repeated=True),
    Query(name="state", description="", choices=("stored", "failing")),
    Query(name="force", description="", kind="flag", default=False),
    *page_parameters(),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", {"type": (), "state": "", "force": False, "limit": 50, "cursor": ""}),
        (b"type=a&type=b", {"type": ("a", "b")}),
        (b"state=failing&limit=200&cursor=x%2Fy", {"state": "failing", "limit": 200, "cursor": "x/y"}),
        (b"force=true", {"force": True}),
        (b"state=", {"state": ""}),
        ("cursor=ä".encode(), {"cursor": "Ã¤"}),
    ],
)
def test_what_is_sent_is_read(text: bytes, expected: dict[str, object]) -> None:
    values = read_query(text, DECLARED)
    assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        (b"unknown=1", "unknown"),
        (b"Limit=1", "Limit"),
        (b"limit=0", "limit"),
        (b"limit=201", "limit"),
        (b"limit=-1", "limit"),
        (b"limit=1.5", "limit"),
        (b"limit=", "limit"),
        (b"limit=%D9%A3", "limit"),  # an Arabic three
        (b"limit=0000000001", "limit"),
        (b"limit=1&limit=2", "limit"),
        (b"state=lost", "state"),
        (b"force=yes", "force"),
        (b"force=1", "force"),
        (b"cursor=a%00b", "cursor"),
        (b"cursor=" + b"x" * (LONGEST + 1), "cursor"),
    ],
)
def test_what_is_wrong_is_named(text: bytes, culprit: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_query(text, DECLARED)
    assert list(refused.value.fields) == [culprit]


def test_a_list_that_answers_all_by_default_still_takes_a_limit() -> None:
    declared = page_parameters(default=0)
    assert read_query(b"", declared)["limit"] == 0
    assert read_query(b"limit=1", declared)["limit"] == 1
