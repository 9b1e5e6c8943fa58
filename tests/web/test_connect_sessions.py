"""Connect sessions over the API."""

from __future__ import annotations

import pytest

from tests.kit import builders
from tests.web.api_fakes import make_api
from tokenkeep.core.errors import SessionSpent
from tokenkeep.core.model import SessionState

PATH = "/v1/connect-sessions"


async def test_a_link_is_made() -> None:
    api = make_api()
    body = {"type": "acmeOAuth2", "name": "n", "scopes": ["read"], "return_url": "https://app.example/back"}
    async with api.client() as client:
        response = await client.post(PATH, json=body)
    assert response.status_code == 201
    assert response.json() == {
        "id": "session-1",
        "url": "http://localhost:8420/connect/link-secret",
        "expires_at": "2026-11-24T13:00:00Z",
        "state": "pending",
    }
    assert api.connect_sessions.last[2] == body | {
        "credential_id": "",
        "more_scopes": [],
        "values": None,
        "opener_origin": "",
    }


async def test_further_scopes_are_asked_for_a_credential() -> None:
    api = make_api()
    body = {"credential_id": "credential-1", "more_scopes": ["files"]}
    async with api.client() as client:
        assert (await client.post(PATH, json=body)).status_code == 201
        refused = await client.post(PATH, json={**body, "more_scopes": ["x" * 501]})
    asked = api.connect_sessions.last[2]
    assert (asked["credential_id"], asked["more_scopes"], asked["scopes"]) == ("credential-1", ["files"], [])
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")


@pytest.mark.parametrize(
    ("body", "status"), [({}, 400), ({"name": "n"}, 400), ({"credential_id": "credential-1"}, 201)]
)
async def test_a_link_connects_a_new_type_or_an_old_credential(body: dict[str, str], status: int) -> None:
    async with make_api().client() as client:
        assert (await client.post(PATH, json=body)).status_code == status


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"state": "pending", "credential_id": None, "problem": None}),
        (
            {"state": SessionState.CONNECTED, "credential_id": "credential-1"},
            {"state": "connected", "credential_id": "credential-1", "problem": None},
        ),
        (
            {"state": SessionState.FAILED, "problem_code": "consent_denied", "problem_detail": "The user said no."},
            {"state": "failed", "problem": {"code": "consent_denied", "detail": "The user said no."}},
        ),
    ],
)
async def test_a_session_says_where_it_stands(changes: dict[str, object], expected: dict[str, object]) -> None:
    api = make_api()
    api.connect_sessions.answers["get"] = builders.connect_session(**changes)
    async with api.client() as client:
        document = (await client.get(f"{PATH}/session-1")).json()
    assert {name: document[name] for name in expected} == expected
    assert "secret" not in str(document)


async def test_a_backend_confirms_with_the_code() -> None:
    api = make_api()
    api.connect.answers["confirm"] = builders.connect_session(state=SessionState.CONNECTED)
    async with api.client() as client:
        response = await client.post(f"{PATH}/session-1/confirm", json={"code": "7Q2M"})
    assert response.json()["state"] == "connected"
    assert api.connect.last[1][1:] == ("session-1", "7Q2M")


async def test_a_session_is_confirmed_once() -> None:
    api = make_api()
    api.connect.answers["confirm"] = SessionSpent()
    async with api.client() as client:
        response = await client.post(f"{PATH}/session-1/confirm", json={"code": "7Q2M"})
    assert (response.status_code, response.json()["code"]) == (409, "session_spent")
