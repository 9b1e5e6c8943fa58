"""Clients over the API: never with their secret."""

from __future__ import annotations

from dataclasses import replace

from tests.kit import builders
from tests.kit.clock import NOON
from tests.web.api_fakes import make_api
from tokenkeep.core.secret import Secret

ACME = {
    "provider": "acme",
    "client_id": "acme-client-id",
    "has_secret": True,
    "scopes": [],
    "variables": {},
    "redirect_uri": "http://localhost:8420/oauth/callback/client-1",
    "incident": None,
    "version": 1,
    "updated_at": "2026-11-24T12:00:00Z",
}


async def test_a_registration_answers_the_redirect_uri_and_no_secret() -> None:
    api = make_api()
    body = {"client_id": "i", "client_secret": "hidden-1", "scopes": ["read"]}
    async with api.client() as client:
        response = await client.put("/v1/clients/acme", json=body)
    assert (response.status_code, response.json()) == (200, ACME)
    assert api.clients.last[1][1] == "acme"
    assert api.clients.last[2] == {
        "client_id": "i",
        "client_secret": Secret("hidden-1"),
        "scopes": ["read"],
        "variables": None,
    }


async def test_a_secret_that_is_not_sent_stays() -> None:
    api = make_api()
    async with api.client() as client:
        await client.put("/v1/clients/acme", json={"client_id": "i"})
    assert api.clients.last[2]["client_secret"] is None


async def test_clients_are_read_listed_and_deleted() -> None:
    async with make_api().client() as client:
        assert (await client.get("/v1/clients/acme")).json() == ACME
        assert (await client.get("/v1/clients")).json() == {"items": [ACME], "next_cursor": None}
        assert (await client.delete("/v1/clients/acme")).status_code == 204


async def test_a_paused_client_says_why() -> None:
    api = make_api()
    paused = builders.client(incident_code="invalid_client", incident_since=NOON)
    api.clients.answers["get"] = replace(api.clients.answers["get"], client=paused)
    async with api.client() as client:
        document = (await client.get("/v1/clients/acme")).json()
    assert document["incident"] == {"code": "invalid_client", "since": "2026-11-24T12:00:00Z"}
