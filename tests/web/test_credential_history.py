"""History and references of a credential over the API."""

from __future__ import annotations

import pytest

from tests.kit import builders
from tests.kit.clock import NOON
from tests.web.api_fakes import make_api

ITEM = "/v1/credentials/credential-1"


async def test_history_is_paged_newest_first() -> None:
    api = make_api()
    async with api.client() as client:
        document = (await client.get(f"{ITEM}/history?limit=1&cursor=c")).json()
    event = {"id": "event-1", "at": "2026-11-24T12:00:00Z", "kind": "created", "actor": "user/user-1", "detail": {}}
    assert document == {"items": [event], "next_cursor": "more"}
    assert api.credentials.last[2] == {"limit": 1, "cursor": "c"}


async def test_references_are_listed_a_page_at_a_time() -> None:
    api = make_api()
    api.credentials.answers["references"] = [
        builders.reference(consumer="flow/1"),
        builders.reference(consumer="flow/2", declared=False, last_used_at=NOON),
    ]
    async with api.client() as client:
        first = (await client.get(f"{ITEM}/references?limit=1")).json()
        second = (await client.get(f"{ITEM}/references?limit=1&cursor={first['next_cursor']}")).json()
    assert [item["consumer"] for item in first["items"]] == ["flow/1"]
    assert second == {
        "items": [
            {
                "consumer": "flow/2",
                "declared": False,
                "created_at": "2026-11-24T12:00:00Z",
                "last_used_at": "2026-11-24T12:00:00Z",
            }
        ],
        "next_cursor": None,
    }


@pytest.mark.parametrize("cursor", ["x", "at-", "at-x", "at--1", "at-9999999999"])
async def test_a_cursor_of_another_making_is_refused(cursor: str) -> None:
    async with make_api().client() as client:
        response = await client.get(f"{ITEM}/references", params={"cursor": cursor})
    assert response.json()["fields"] == {"cursor": "is not one this list gave"}


@pytest.mark.parametrize(("method", "call"), [("PUT", "declare_reference"), ("DELETE", "remove_reference")])
@pytest.mark.parametrize(
    ("path", "consumer"), [("flow/42", "flow/42"), ("flow%2F42", "flow/42"), ("node/a%20b/c", "node/a b/c")]
)
async def test_references_are_declared_and_removed(method: str, call: str, path: str, consumer: str) -> None:
    api = make_api()
    async with api.client() as client:
        response = await client.request(method, f"{ITEM}/references/{path}")
    assert (response.status_code, response.content) == (204, b"")
    assert (api.credentials.last[0], api.credentials.last[1][1:]) == (call, ("credential-1", consumer))


@pytest.mark.parametrize("consumer", ["flow", "Flow/1", "flow/%0A"])
async def test_what_is_no_consumer_is_refused(consumer: str) -> None:
    async with make_api().client() as client:
        response = await client.put(f"{ITEM}/references/{consumer}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_input")
