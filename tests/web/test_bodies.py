"""Bodies are limited, declared, well-formed and of the declared shape, or they are refused by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from tests.web.api_fakes import make_api
from tokenkeep.core.errors import InvalidInput
from tokenkeep.web.bodies import BODY_LIMIT, decode, instant
from tokenkeep.web.credentials import NewCredential
from tokenkeep.web.problems import RequestProblem
from tokenkeep.web.service_keys import NewServiceKey

GOOD = b'{"type":"acmeApi","name":"n","values":{"apiKey":"v"}}'


@pytest.mark.parametrize(
    ("octets", "field", "why"),
    [
        (b'{"type":"t"}', "name", "is missing"),
        (b'{"type":"t","name":"n","workspace_id":"w"}', "workspace_id", "is unknown"),
        (b'{"type":"t","name":1}', "name", "must be `str`, not `int`"),
        (b'{"type":"t","name":""}', "name", "must be `str` of length >= 1"),
        (b'{"type":"t","name":"n","values":[]}', "values", "must be `object`, not `array`"),
        (b'{"type":"t","name":"n\\u0000"}', "name", "holds a NUL character"),
        (b'{"type":"t","name":"n","values":{"a":["\\u0000"]}}', "values", "holds a NUL character"),
        (b'{"type":"t","name":"n","values":{"a\\u0000":1}}', "values", "holds a NUL character"),
        (b'{"type":"t","name":"n","values":{"a":18446744073709551616}}', "values", "holds too large a number"),
        (b'{"type":"t","name":"n","values":{"a":1e999}}', "values", "has a value that is not allowed"),
        (b"[]", "body", "must be `object`, not `array`"),
        (b"3", "body", "must be `object`, not `int`"),
    ],
)
def test_json_of_another_shape_is_refused_by_name(octets: bytes, field: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(octets, NewCredential)
    assert refused.value.fields == {field: why}


def test_a_value_in_the_wrong_field_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(b'{"name":"n","scopes":["hidden-1"]}', NewServiceKey)
    assert "hidden-1" not in f"{refused.value.message}{refused.value.extra}"
    assert "scopes" in refused.value.message


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{",
        b"{'type':1}",
        b"\xff",
        b'{"type":"\xff"}',
        b'{"type":NaN}',
        b'{"type":"\\ud800"}',
        b'{"type":"t","name":"n","values":{"a":' + b"[" * 40 + b"]" * 40 + b"}}",
        b'{"type":"t","name":"n","values":{"a":' + b"[" * 90000 + b"]" * 90000 + b"}}",
        GOOD + b" trailing",
    ],
    ids=["empty", "open", "quotes", "octet", "text", "nan", "surrogate", "deep", "bomb", "trailing"],
)
def test_what_is_no_sound_json_is_refused(octets: bytes) -> None:
    with pytest.raises(RequestProblem) as refused:
        decode(octets, NewCredential)
    assert refused.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ('Application/JSON;charset="UTF-8"', 201),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/json", 415),
        ("application/jsonx", 415),
        ("", 415),
    ],
)
async def test_only_bodies_declared_as_json_are_read(media_type: str, status: int) -> None:
    async with make_api().client() as client:
        response = await client.post("/v1/credentials", content=GOOD, headers={"Content-Type": media_type})
    assert response.status_code == status


async def test_a_body_too_large_is_refused_before_it_is_read() -> None:
    api = make_api()
    async with api.client() as client:
        response = await client.post(
            "/v1/credentials", content=b" " * (BODY_LIMIT + 1), headers={"Content-Type": "application/json"}
        )
    assert (response.status_code, response.json()["code"]) == (413, "content_too_large")
    assert response.headers["connection"] == "close"
    assert api.credentials.calls == []


@pytest.mark.parametrize(("size", "status"), [(BODY_LIMIT, 201), (BODY_LIMIT + 1, 413)])
async def test_a_body_of_undeclared_length_is_counted(size: int, status: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield GOOD + b" " * (size - len(GOOD) - 1)
        yield b" "

    async with make_api().client() as client:
        response = await client.post("/v1/credentials", content=chunks(), headers={"Content-Type": "application/json"})
    assert response.status_code == status


def test_times_are_cut_to_whole_seconds() -> None:
    late = datetime(2026, 11, 24, 12, 0, 0, 999_999, tzinfo=UTC)
    assert instant(late) == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert instant(None) is None
