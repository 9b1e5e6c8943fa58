"""Credentials over the API: what goes in, what comes out, and no lost updates."""

from __future__ import annotations

import pytest

from tests.kit import builders
from tests.kit.clock import NOON
from tests.web.api_fakes import make_api, view, wanted_of
from tokenkeep.core.errors import InUse, InvalidInput, VersionMismatch
from tokenkeep.core.model import FailureKind, State
from tokenkeep.services.credentials import Removal
from tokenkeep.services.verification import Verdict
from tokenkeep.web.credentials import expected_version

ITEM = "/v1/credentials/credential-1"
CONNECTED = {
    "id": "credential-1",
    "type": "acmeOAuth2",
    "name": "My Acme",
    "provider": "acme",
    "state": "connected",
    "values": {},
    "expires_at": "2026-11-24T13:00:00Z",
    "next_refresh_at": "2026-11-24T12:55:00Z",
    "last_refresh_at": None,
    "expiry": "known",
    "learned_life_s": None,
    "needs_person_at": None,
    "failure": None,
    "account": {"id": "account-1", "name": "ada@acme.example", "workspace": ""},
    "scopes": {"requested": ["read"], "granted": ["read"], "missing": [], "extra": [], "unasked": []},
    "version": 1,
    "warnings": [],
    "created_at": "2026-11-24T12:00:00Z",
    "updated_at": "2026-11-24T12:00:00Z",
    "connected_at": "2026-11-24T12:00:00Z",
}


async def test_a_credential_is_shown_whole_and_with_its_version() -> None:
    async with make_api().client() as client:
        response = await client.get(ITEM)
    assert response.json() == CONNECTED
    assert response.headers["etag"] == '"1"'


async def test_a_failing_credential_says_since_when_and_who_repairs_it() -> None:
    failing = builders.standing(state=State.FAILING, failure=builders.failure(kind=FailureKind.CLIENT, count=3))
    api = make_api()
    api.credentials.answers["get"] = view(credential=builders.credential(grant=builders.grant(standing=failing)))
    async with api.client() as client:
        document = (await client.get(ITEM)).json()
    assert document["failure"] == {"kind": "client", "code": "no_answer", "count": 3, "since": "2026-11-24T12:00:00Z"}


async def test_a_static_credential_has_masks_and_neither_times_nor_scopes() -> None:
    api = make_api()
    static = builders.credential(type="acmeApi", masked={"apiKey": "****"})
    api.credentials.answers["get"] = view(
        credential=static, type=builders.static_type(), state=State.STORED, account=None, warnings=("odd prefix",)
    )
    async with api.client() as client:
        document = (await client.get(ITEM)).json()
    assert document["values"] == {"apiKey": "****"}
    assert document["warnings"] == ["odd prefix"]
    assert {document[name] for name in ("expires_at", "scopes", "account", "connected_at", "failure")} == {None}


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        (None, {"granted": ["read", "write"], "missing": [], "extra": []}),
        (("read",), {"granted": ["read"], "missing": ["write"], "extra": []}),
        (("read", "write", "files"), {"granted": ["read", "write", "files"], "missing": [], "extra": ["files"]}),
    ],
)
async def test_scopes_say_how_they_differ(granted: tuple[str, ...] | None, expected: dict[str, list[str]]) -> None:
    grant = builders.grant(scopes_requested=("read", "write"), scopes_granted=granted)
    api = make_api()
    api.credentials.answers["get"] = view(credential=builders.credential(grant=grant), unasked_scopes=("mail",))
    async with api.client() as client:
        found = (await client.get(ITEM)).json()["scopes"]
    assert found == expected | {"requested": ["read", "write"], "unasked": ["mail"]}


async def test_create_passes_on_what_was_sent() -> None:
    api = make_api()
    body = {"type": "acmeApi", "name": "n", "values": {"apiKey": "v"}}
    async with api.client() as client:
        response = await client.post("/v1/credentials", json=body)
    assert (response.status_code, response.headers["location"]) == (201, ITEM)
    assert api.credentials.last[2] == body
    assert "v" not in response.json()["values"].values()


async def test_values_may_be_left_out() -> None:
    api = make_api()
    async with api.client() as client:
        assert (await client.post("/v1/credentials", json={"type": "acmeOAuth2", "name": "n"})).status_code == 201
    assert api.credentials.last[2]["values"] == {}


async def test_lists_are_filtered_and_paged() -> None:
    api = make_api()
    query = "?type=a&type=b&state=failing&q=mail&limit=7&cursor=c"
    async with api.client() as client:
        document = (await client.get(f"/v1/credentials{query}")).json()
    wanted = wanted_of(api)
    assert (wanted.types, wanted.state, wanted.query, wanted.limit, wanted.cursor) == (
        ("a", "b"),
        "failing",
        "mail",
        7,
        "c",
    )
    assert document == {"items": [CONNECTED | {"account": None}], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", {}),
        ("?type=acmeApi", {"fits": ["acmeApi"]}),
        ("?type=acmeOAuth2&type=acmeKey&type=acmeApi", {"fits": ["acmeOAuth2", "acmeApi"]}),
        ("?type=acmeNext&type=acmeApi", {"fits": ["acmeApi"], "unknown_types": ["acmeNext"]}),
    ],
)
async def test_a_list_says_which_types_it_understood(query: str, told: dict[str, list[str]]) -> None:
    async with make_api().client() as client:
        document = (await client.get(f"/v1/credentials{query}")).json()
    assert document == {"items": [CONNECTED | {"account": None}], "next_cursor": None} | told


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"name": None, "values": None}),
        ({"name": "new"}, {"name": "new", "values": None}),
        ({"values": {"apiKey": "****"}}, {"name": None, "values": {"apiKey": "****"}}),
    ],
)
async def test_an_edit_leaves_out_what_was_not_sent(body: dict[str, object], expected: dict[str, object]) -> None:
    api = make_api()
    async with api.client() as client:
        response = await client.patch(ITEM, json=body, headers={"If-Match": '"4"'})
    assert api.credentials.last[2] == expected | {"expected_version": 4}
    assert response.headers["etag"] == '"1"'


async def test_an_edit_of_an_older_version_fails() -> None:
    api = make_api()
    api.credentials.answers["edit"] = VersionMismatch()
    async with api.client() as client:
        response = await client.patch(ITEM, json={"name": "new"}, headers={"If-Match": '"1"'})
    assert (response.status_code, response.json()["code"]) == (412, "version_mismatch")


@pytest.mark.parametrize(
    ("if_match", "version"),
    [
        (None, None),
        ("*", None),
        (' "12" ', 12),
        ('"0"', 0),
        ('W/"12"', -1),
        ('"abc"', -1),
        ('""', -1),
        ('"99999999999"', -1),
        ('"-1"', -1),
    ],
)
def test_if_match_is_read_as_a_version(if_match: str | None, version: int | None) -> None:
    assert expected_version(if_match) == version


@pytest.mark.parametrize("if_match", ["", "12", '"1", "2"', '"1', "W/", 'w/"1"'])
def test_what_is_no_entity_tag_is_refused(if_match: str) -> None:
    with pytest.raises(InvalidInput):
        expected_version(if_match)


@pytest.mark.parametrize(("query", "force"), [("", False), ("?force=true", True), ("?force=false", False)])
async def test_a_deletion_says_whether_the_provider_revoked(query: str, force: bool) -> None:
    api = make_api()
    async with api.client() as client:
        response = await client.delete(ITEM + query)
    assert response.json() == {"deleted": True, "revoked": True, "detail": "Revoked at Acme."}
    assert api.credentials.last[2] == {"force": force}


async def test_what_is_in_use_is_not_deleted() -> None:
    api = make_api()
    api.credentials.answers["delete"] = InUse(["flow/1", "flow/2"])
    async with api.client() as client:
        response = await client.delete(ITEM)
    assert (response.status_code, response.json()["code"]) == (409, "in_use")
    assert response.json()["references"] == ["flow/1", "flow/2"]


async def test_disconnecting_keeps_the_credential() -> None:
    api = make_api()
    bare = view(credential=builders.credential(), state=State.UNCONNECTED, account=None)
    api.credentials.answers["disconnect"] = (bare, Removal(revoked=None, detail="Acme cannot revoke."))
    async with api.client() as client:
        document = (await client.post(f"{ITEM}/disconnect")).json()
    assert (document["state"], document["revoked"], document["detail"]) == ("unconnected", None, "Acme cannot revoke.")
    assert set(map(len, document["scopes"].values())) == {0}


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (
            Verdict(ok=True, account=builders.account(), checked_at=NOON, problem="", detail=""),
            {"ok": True, "account": CONNECTED["account"], "checked_at": "2026-11-24T12:00:00Z"},
        ),
        (
            Verdict(ok=False, account=None, checked_at=NOON, problem="wrong_credential", detail="Acme says no."),
            {
                "ok": False,
                "account": None,
                "checked_at": "2026-11-24T12:00:00Z",
                "problem": "wrong_credential",
                "detail": "Acme says no.",
            },
        ),
    ],
)
async def test_a_test_answers_what_it_found(verdict: Verdict, expected: dict[str, object]) -> None:
    api = make_api()
    api.verification.answers["test"] = verdict
    async with api.client() as client:
        response = await client.post(f"{ITEM}/test")
    assert (response.status_code, response.json()) == (200, expected)
