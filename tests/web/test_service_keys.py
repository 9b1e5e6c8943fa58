"""Service keys over the API: shown once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.web.api_fakes import KEY, make_api

PATH = "/v1/service-keys"
SHOWN = {
    "id": "key-1",
    "name": "nodes",
    "scopes": ["tokens:read"],
    "credential_ids": None,
    "created_at": "2026-11-24T12:00:00Z",
    "expires_at": None,
    "last_used_at": None,
    "revoked_at": None,
}


async def test_a_fresh_key_is_shown_once() -> None:
    api = make_api()
    body = {
        "name": "nodes",
        "scopes": ["tokens:read"],
        "credential_ids": ["c"],
        "expires_at": "2027-01-01T01:00:00+01:00",
    }
    async with api.client() as client:
        response = await client.post(PATH, json=body)
        listed = await client.get(PATH)
    assert (response.status_code, response.json()) == (201, SHOWN | {"key": KEY})
    assert response.headers["cache-control"] == "no-store"
    assert api.service_keys.calls[0][2] == {
        "name": "nodes",
        "scopes": ["tokens:read"],
        "credential_ids": ["c"],
        "expires_at": datetime(2027, 1, 1, tzinfo=UTC),
    }
    assert listed.json() == {"items": [SHOWN], "next_cursor": None}


@pytest.mark.parametrize(
    "body",
    [
        {"name": "n"},
        {"name": "n", "scopes": []},
        {"name": "n", "scopes": ["everything"]},
        {"name": "", "scopes": ["admin"]},
        {"name": "n", "scopes": ["admin"], "expires_at": "2027-01-01T00:00:00"},
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(body: dict[str, object]) -> None:
    async with make_api().client() as client:
        assert (await client.post(PATH, json=body)).json()["code"] == "invalid_input"


async def test_a_key_is_revoked() -> None:
    api = make_api()
    async with api.client() as client:
        assert (await client.delete(f"{PATH}/key-1")).status_code == 204
    assert api.service_keys.last[1][1] == "key-1"
