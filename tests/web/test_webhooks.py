"""Webhooks over the API: the secret shown once, the rest never with it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.told import URL
from tests.web.api_fakes import SIGNING, make_api

PATH = "/v1/webhooks"
ITEM = f"{PATH}/endpoint-1"
SHOWN = {
    "id": "endpoint-1",
    "url": URL,
    "description": "",
    "types": [],
    "created_at": "2026-11-24T12:00:00Z",
    "disabled_at": None,
    "disabled_reason": None,
    "failing_since": None,
    "previous_secret_until": None,
}
DELIVERY = {
    "id": "msg_1",
    "type": "credential.refreshed",
    "state": "pending",
    "attempts": 0,
    "created_at": "2026-11-24T12:00:00Z",
    "last_attempt_at": None,
    "last_result": None,
    "next_attempt_at": "2026-11-24T12:00:00Z",
    "body": '{"type":"credential.refreshed"}',
}


async def test_an_endpoint_is_made_and_its_secret_shown_once() -> None:
    api = make_api()
    async with api.client() as client:
        response = await client.post(PATH, json={"url": URL, "types": ["credential.failing"]})
        listed = await client.get(PATH)
        read = await client.get(ITEM)
    assert (response.status_code, response.json()) == (201, SHOWN | {"secret": SIGNING})
    assert response.headers["cache-control"] == "no-store"
    assert api.webhooks.calls[0][2] == {"url": URL, "description": "", "types": ["credential.failing"]}
    assert listed.json() == {"items": [SHOWN], "next_cursor": None}
    assert read.json() == SHOWN


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": URL, "types": "all"},
        {"url": URL, "secret": "mine"},
        {"url": URL, "description": "x" * 201},
    ],
)
async def test_what_makes_no_sense_is_refused(body: dict[str, Any]) -> None:
    async with make_api().client() as client:
        assert (await client.post(PATH, json=body)).json()["code"] == "invalid_input"


async def test_an_edit_sends_what_was_sent() -> None:
    api = make_api()
    async with api.client() as client:
        response = await client.patch(ITEM, json={"disabled": True})
    assert response.json() == SHOWN | {"types": ["credential.failing"]}
    assert api.webhooks.last[1][1] == "endpoint-1"
    assert api.webhooks.last[2] == {"url": None, "description": None, "types": None, "disabled": True}


async def test_a_secret_is_turned_over_and_shown_once() -> None:
    async with make_api().client() as client:
        response = await client.post(f"{ITEM}/rotate-secret")
    shown = SHOWN | {"previous_secret_until": "2026-11-24T12:00:00Z", "secret": SIGNING}
    assert (response.status_code, response.json()) == (200, shown)
    assert response.headers["cache-control"] == "no-store"


async def test_an_endpoint_is_deleted() -> None:
    api = make_api()
    async with api.client() as client:
        assert (await client.delete(ITEM)).status_code == 204
    assert api.webhooks.last[:2] == ("delete", (api.webhooks.last[1][0], "endpoint-1"))


async def test_a_test_is_on_its_way() -> None:
    async with make_api().client() as client:
        response = await client.post(f"{ITEM}/test")
    assert (response.status_code, response.json()) == (202, DELIVERY | {"type": "webhook.test"})


async def test_deliveries_by_state() -> None:
    api = make_api()
    async with api.client() as client:
        response = await client.get(f"{ITEM}/deliveries", params={"state": "pending", "limit": 5})
        refused = await client.get(f"{ITEM}/deliveries", params={"state": "lost"})
    tried = DELIVERY | {"attempts": 1, "last_attempt_at": "2026-11-24T12:00:00Z", "last_result": "503"}
    assert response.json() == {"items": [tried], "next_cursor": None}
    assert api.webhooks.last[2] == {"state": "pending", "limit": 5, "cursor": ""}
    assert refused.json()["code"] == "invalid_input"


async def test_a_delivery_is_sent_again() -> None:
    api = make_api()
    async with api.client() as client:
        response = await client.post(f"{ITEM}/deliveries/msg_1/replay")
    assert (response.status_code, response.json()) == (202, DELIVERY)
    assert api.webhooks.last[1][1:] == ("endpoint-1", "msg_1")
