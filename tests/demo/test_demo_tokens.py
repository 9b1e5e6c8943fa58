"""The demo provider's token side: exchange, rotation, revocation, expiry, restart."""

from __future__ import annotations

import asyncio
import logging

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from tests.demo.visitor import CALLBACK, CLIENT_ID, CLIENT_SECRET, ISSUER, VERIFIER, CountedEntropy, Visitor
from tokenkeep.core.secret import Secret


@pytest.mark.parametrize("basic", [True, False], ids=["client_secret_basic", "client_secret_post"])
async def test_a_code_becomes_tokens_that_open_the_resource(visitor, basic):
    code = (await visitor.consent())["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    answer = await visitor.token(basic=basic, **form)
    tokens = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 60
    assert tokens["scope"] == "profile notes.read notes.write"
    assert (await visitor.me(tokens["access_token"])).json() == {
        "id": "ada",
        "name": "Ada",
        "workspace": "Analytical Engines",
        "scope": "profile notes.read notes.write",
    }


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"redirect_uri": CALLBACK + "/"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"code": "unknown"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
    ],
    ids=str,
)
async def test_a_wrong_exchange_is_refused(visitor, change, error):
    code = (await visitor.consent())["code"]
    answer = await visitor.exchange(**{"code": code} | change)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert "access_token" not in answer.json()


@pytest.mark.parametrize("basic", [True, False], ids=["client_secret_basic", "client_secret_post"])
async def test_a_wrong_client_secret_is_invalid_client(visitor, basic):
    answer = await visitor.token(basic=basic, secret="wrong", grant_type="refresh_token", refresh_token="x")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert "www-authenticate" in answer.headers


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Basic /////w==", "Bearer x"])
async def test_an_unreadable_authorization_header_is_invalid_client(visitor, header):
    answer = await visitor.browser.post(
        "/demo/token", data={"grant_type": "refresh_token"}, headers={"authorization": header}
    )
    assert answer.json()["error"] == "invalid_client"


async def test_a_code_works_for_sixty_seconds(visitor):
    first, second = (await visitor.consent())["code"], (await visitor.consent())["code"]
    visitor.clock.pass_seconds(59)
    assert (await visitor.exchange(first)).status_code == 200
    visitor.clock.pass_seconds(1)
    assert (await visitor.exchange(second)).json()["error"] == "invalid_grant"


async def test_a_replayed_code_ends_what_its_first_use_gave(visitor):
    code = (await visitor.consent())["code"]
    tokens = (await visitor.exchange(code)).json()
    assert (await visitor.exchange(code)).json()["error"] == "invalid_grant"
    assert (await visitor.me(tokens["access_token"])).status_code == 401
    assert (await visitor.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_another_client_cannot_use_a_code_or_a_refresh_token(visitor):
    visitor.provider.ensure_client("other", Secret("other-secret"), redirect_uri=CALLBACK)
    code, tokens = (await visitor.consent())["code"], await visitor.connected()
    exchange = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    for form in (exchange, refresh):
        answer = await visitor.browser.post("/demo/token", data=form, auth=("other", "other-secret"))
        assert answer.json()["error"] == "invalid_grant"
    assert (await visitor.refresh(tokens["refresh_token"])).status_code == 200


async def test_every_refresh_rotates_both_tokens(visitor):
    first = await visitor.connected()
    second = (await visitor.refresh(first["refresh_token"])).json()
    third = (await visitor.refresh(second["refresh_token"])).json()
    assert len({answer[kind] for answer in (first, second, third) for kind in ("access_token", "refresh_token")}) == 6
    assert (await visitor.me(third["access_token"])).status_code == 200


async def test_reusing_a_spent_refresh_token_ends_the_whole_family(visitor):
    first = await visitor.connected()
    second = (await visitor.refresh(first["refresh_token"])).json()
    assert (await visitor.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await visitor.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    for tokens in (first, second):
        assert (await visitor.me(tokens["access_token"])).status_code == 401


async def test_of_many_refreshes_at_once_exactly_one_succeeds(visitor):
    tokens = await visitor.connected()
    answers = await asyncio.gather(*(visitor.refresh(tokens["refresh_token"]) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7


async def test_a_refresh_may_narrow_the_access_token_and_the_next_one_has_all_again(visitor):
    tokens = await visitor.connected()
    narrow = (await visitor.refresh(tokens["refresh_token"], scope="profile")).json()
    assert narrow["scope"] == "profile"
    wide = (await visitor.refresh(narrow["refresh_token"])).json()
    assert wide["scope"] == "profile notes.read notes.write"


async def test_a_refresh_cannot_widen_what_was_granted(visitor):
    tokens = await visitor.connected("notes.read")
    answer = await visitor.refresh(tokens["refresh_token"], scope="profile notes.write")
    assert answer.json()["error"] == "invalid_scope"


async def test_an_access_token_lives_sixty_seconds_and_its_refresh_token_on(visitor):
    tokens = await visitor.connected()
    visitor.clock.pass_seconds(59)
    assert (await visitor.me(tokens["access_token"])).status_code == 200
    visitor.clock.pass_seconds(1)
    expired = await visitor.me(tokens["access_token"])
    assert (expired.status_code, expired.json()["error"]) == (401, "invalid_token")
    assert "Bearer" in expired.headers["www-authenticate"]
    visitor.clock.pass_seconds(30 * 86_400)
    assert (await visitor.refresh(tokens["refresh_token"])).status_code == 200


async def test_foreign_tokens_open_nothing(visitor):
    tokens = await visitor.connected()
    for text in ("unknown", tokens["refresh_token"], tokens["access_token"] + "x"):
        assert (await visitor.me(text)).status_code == 401
    assert (await visitor.browser.get("/demo/me")).status_code == 401
    assert (await visitor.refresh(tokens["access_token"])).json()["error"] == "invalid_grant"


async def test_the_resource_needs_the_profile_scope(visitor):
    answer = await visitor.consent("notes.read", scope="notes.read")
    tokens = (await visitor.exchange(answer["code"])).json()
    refused = await visitor.me(tokens["access_token"])
    assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")


@pytest.mark.parametrize("hint", [None, "refresh_token", "access_token", "odd"])
async def test_revoking_the_refresh_token_ends_the_grant(visitor, hint):
    tokens = await visitor.connected()
    form = {"token": tokens["refresh_token"]} | ({"token_type_hint": hint} if hint else {})
    for _ in range(2):
        answer = await visitor.browser.post("/demo/revoke", data=form, auth=(CLIENT_ID, CLIENT_SECRET))
        assert answer.status_code == 200
    assert (await visitor.me(tokens["access_token"])).status_code == 401
    assert (await visitor.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_revoking_an_access_token_ends_it_alone(visitor):
    tokens = await visitor.connected()
    form = {"token": tokens["access_token"], "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    assert (await visitor.browser.post("/demo/revoke", data=form)).status_code == 200
    assert (await visitor.me(tokens["access_token"])).status_code == 401
    assert (await visitor.refresh(tokens["refresh_token"])).status_code == 200


async def test_revocation_asks_who_is_calling_and_forgives_unknown_tokens(visitor):
    tokens = await visitor.connected()
    nobody = await visitor.browser.post("/demo/revoke", data={"token": tokens["refresh_token"]})
    unknown = await visitor.browser.post("/demo/revoke", data={"token": "x"}, auth=(CLIENT_ID, CLIENT_SECRET))
    empty = await visitor.browser.post("/demo/revoke", data={}, auth=(CLIENT_ID, CLIENT_SECRET))
    assert (nobody.status_code, unknown.status_code, empty.status_code) == (401, 200, 400)
    assert (await visitor.me(tokens["access_token"])).status_code == 200


async def test_a_repeated_parameter_is_refused_here_too(visitor):
    answer = await visitor.browser.post(
        "/demo/token",
        content="grant_type=refresh_token&refresh_token=a&refresh_token=b",
        headers={"content-type": "application/x-www-form-urlencoded"},
        auth=(CLIENT_ID, CLIENT_SECRET),
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_form_has_limits(visitor):
    large = await visitor.browser.post("/demo/token", data={"code": "x" * 20_000})
    many = await visitor.browser.post("/demo/token", data={f"f{number}": "x" for number in range(100)})
    assert (large.status_code, many.status_code) == (413, 400)


async def test_the_metadata_are_valid_and_complete(visitor):
    metadata = (await visitor.browser.get("/demo/.well-known/oauth-authorization-server")).json()
    AuthorizationServerMetadata(metadata).validate()
    assert metadata["issuer"] == ISSUER
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["authorization_response_iss_parameter_supported"] is True
    for endpoint in ("authorization", "token", "revocation"):
        assert metadata[f"{endpoint}_endpoint"].startswith(f"{ISSUER}/")


async def test_starting_again_keeps_grants_clients_and_spent_tokens(visitor, tmp_path):
    first = await visitor.connected("notes.read")
    second = (await visitor.refresh(first["refresh_token"])).json()
    visitor.provider.close()
    again = Visitor(tmp_path, visitor.clock, CountedEntropy(1000))
    try:
        assert (await again.me(second["access_token"])).status_code == 200
        third = (await again.refresh(second["refresh_token"])).json()
        assert third["scope"] == "profile notes.read"
        assert (await again.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
        assert (await again.me(third["access_token"])).status_code == 401
    finally:
        await again.browser.aclose()
        again.provider.close()


async def test_registering_again_replaces_the_secret_and_keeps_the_grants(visitor):
    tokens = await visitor.connected()
    visitor.provider.ensure_client(CLIENT_ID, Secret("renewed"), redirect_uri=CALLBACK)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert (await visitor.token(**form)).json()["error"] == "invalid_client"
    assert (await visitor.token(secret="renewed", **form)).status_code == 200


async def test_no_token_code_or_secret_is_in_the_files(visitor, tmp_path):
    code = (await visitor.consent())["code"]
    tokens = (await visitor.exchange(code)).json()
    refreshed = (await visitor.refresh(tokens["refresh_token"])).json()
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    stored = b"".join(path.read_bytes() for path in files)
    assert b"Analytical Engines" in stored
    marked = [CLIENT_SECRET, code] + [a[k] for a in (tokens, refreshed) for k in ("access_token", "refresh_token")]
    assert [text for text in marked if text.encode() in stored] == []
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


async def test_what_ended_long_ago_is_forgotten(visitor):
    first = await visitor.connected()
    second = (await visitor.refresh(first["refresh_token"])).json()
    visitor.clock.pass_seconds(2 * 86_400)
    third = (await visitor.refresh(second["refresh_token"])).json()
    assert (await visitor.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await visitor.me(third["access_token"])).status_code == 200


async def test_no_token_or_secret_is_logged_at_any_level(visitor, caplog):
    caplog.set_level(logging.DEBUG)
    code = (await visitor.consent())["code"]
    tokens = (await visitor.exchange(code)).json()
    refreshed = (await visitor.refresh(tokens["refresh_token"])).json()
    marked = [CLIENT_SECRET] + [a[k] for a in (tokens, refreshed) for k in ("access_token", "refresh_token")]
    assert "Issue token" in caplog.text
    assert [text for text in marked if text in caplog.text] == []
