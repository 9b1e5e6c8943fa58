"""What nodes call: every answer, every refusal, and nothing a cache may keep."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.kit.clock import NOON
from tests.web.api_fakes import live_token, make_api
from tokenkeep.core import errors
from tokenkeep.core.secret import Secret

TOKEN = "/v1/credentials/credential-1/token"


async def test_a_token_is_answered_as_promised() -> None:
    async with make_api().client() as client:
        response = await client.get(TOKEN)
    assert response.status_code == 200
    assert response.json() == {
        "access_token": "access-1",
        "token_type": "Bearer",
        "expires_at": "2026-11-24T12:00:00Z",
        "scope": "read write",
        "fingerprint": "print-1",
        "state": "connected",
    }
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("expires_at", "told"),
    [(None, None), (NOON + timedelta(seconds=1, microseconds=999_999), "2026-11-24T12:00:01Z")],
)
async def test_an_end_is_never_told_later_than_it_is(expires_at: object, told: str | None) -> None:
    api = make_api()
    api.tokens.answers["token"] = live_token(expires_at=expires_at)
    async with api.client() as client:
        assert (await client.get(TOKEN)).json()["expires_at"] == told


@pytest.mark.parametrize(
    ("query", "min_ttl"), [("", 60), ("?min_ttl=0", 0), ("?min_ttl=86400", 86400), ("?min_ttl=060", 60)]
)
async def test_min_ttl_is_passed_on(query: str, min_ttl: int) -> None:
    api = make_api()
    async with api.client() as client:
        assert (await client.get(TOKEN + query)).status_code == 200
    assert api.tokens.last[2] == {"min_ttl": min_ttl, "consumer": ""}


@pytest.mark.parametrize(
    "query", ["?min_ttl=-1", "?min_ttl=86401", "?min_ttl=x", "?min_ttl=", "?min_ttl=1&min_ttl=1", "?ttl=1"]
)
async def test_a_wrong_query_is_refused_each_time(query: str) -> None:
    api = make_api()
    async with api.client() as client:
        codes = [(await client.get(TOKEN + query)).json()["code"] for _ in range(2)]
    assert codes == ["invalid_input", "invalid_input"]
    assert api.tokens.calls == []


@pytest.mark.parametrize(
    ("consumer", "status"),
    [
        ("flow/42", 200),
        ("n8n-node/My flow, step 3", 200),
        ("flow", 400),
        ("/42", 400),
        ("Flow/42", 400),
        ("flow/", 400),
        ("flow/é", 400),
        ("flow/" + "x" * 201, 400),
        ("f" * 41 + "/42", 400),
    ],
)
@pytest.mark.parametrize("path", [TOKEN, "/v1/credentials/credential-1/values"])
async def test_a_node_may_name_itself(consumer: str, status: int, path: str) -> None:
    api = make_api()
    async with api.client() as client:
        response = await client.get(path, headers={"X-Tokenkeep-Consumer": consumer.encode()})
    assert response.status_code == status
    assert [call[2]["consumer"] for call in api.tokens.calls] == ([consumer] if status == 200 else [])


@pytest.mark.parametrize(
    ("credential_id", "asked"),
    [("a%20b", "a b"), ("token", "token"), ("%E2%82%AC", "€"), ("a", "a"), ("x" * 250, "x" * 250)],
)
async def test_any_text_may_be_an_id(credential_id: str, asked: str) -> None:
    api = make_api()
    async with api.client() as client:
        await client.get(f"/v1/credentials/{credential_id}/token")
    assert api.tokens.last[1][1] == asked


@pytest.mark.parametrize("path", ["/v1/credentials//token", "/v1/credentials/a/b/token", "/v1/credentials/a%2Fb/token"])
async def test_a_slash_is_no_part_of_an_id(path: str) -> None:
    api = make_api()
    async with api.client() as client:
        assert (await client.get(path)).status_code == 404
    assert api.tokens.calls == []


async def test_head_tells_what_get_would() -> None:
    async with make_api().client() as client:
        response = await client.head(TOKEN)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")


@pytest.mark.parametrize(
    "error",
    [errors.NotFound(), errors.NotOAuth(), errors.NotConnected(), errors.RefreshFailing(), errors.ScopeMissing()],
    ids=lambda error: error.code,
)
async def test_the_quick_way_refuses_like_every_other(error: errors.TokenkeepError) -> None:
    api = make_api()
    api.tokens.answers["token"] = api.tokens.answers["values"] = error
    async with api.client() as client:
        quick = await client.get(TOKEN)
        other = await client.get("/v1/credentials/credential-1/values")
    assert (quick.status_code, quick.content, quick.headers) == (other.status_code, other.content, other.headers)


async def test_a_rejected_token_is_reported_by_its_fingerprint() -> None:
    api = make_api()
    async with api.client() as client:
        response = await client.post(f"{TOKEN}/refresh", json={"rejected": "print-1"})
    assert (response.status_code, response.json()["fingerprint"]) == (200, "print-2")
    assert response.headers["cache-control"] == "no-store"
    assert api.tokens.last[2] == {"rejected": "print-1", "consumer": ""}


@pytest.mark.parametrize("body", [{}, {"rejected": ""}, {"rejected": 1}, {"rejected": "a", "force": True}])
async def test_a_report_without_a_fingerprint_is_refused(body: dict[str, object]) -> None:
    async with make_api().client() as client:
        assert (await client.post(f"{TOKEN}/refresh", json=body)).json()["code"] == "invalid_input"


async def test_an_address_that_is_a_secret_says_so_and_members_of_the_body_stand_beside_it() -> None:
    api = make_api()
    api.tokens.answers["authorization"] = replace(
        api.tokens.answers["authorization"],
        headers={},
        body={"key": Secret("k-1")},
        base_url=Secret("https://api.acme.example/botk-1"),
        secret_in_url=True,
    )
    async with api.client() as client:
        response = await client.get("/v1/credentials/credential-1/authorization")
    assert response.json() == {
        "headers": {},
        "query": {},
        "body": {"key": "k-1"},
        "base_url": "https://api.acme.example/botk-1",
        "secret_in_url": True,
        "expires_at": None,
        "fingerprint": "print-1",
    }
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "authorization",
            {
                "headers": {"Authorization": "Bearer access-1"},
                "query": {},
                "base_url": "https://api.acme.example",
                "expires_at": None,
                "fingerprint": "print-1",
            },
        ),
        ("values", {"type": "acmeApi", "values": {"apiKey": "value-1"}}),
    ],
)
async def test_authorizations_and_values_are_released(path: str, body: dict[str, object]) -> None:
    async with make_api().client() as client:
        response = await client.get(f"/v1/credentials/credential-1/{path}")
    assert (response.json(), response.headers["cache-control"]) == (body, "no-store")
