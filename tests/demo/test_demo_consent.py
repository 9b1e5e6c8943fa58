"""The demo provider's browser side: authorization requests, login, consent, the person's page."""

from __future__ import annotations

import httpx2
import pytest

from tests.demo.visitor import CALLBACK, ISSUER, ORIGIN, Visitor, hidden, request_id, returned
from tokenkeep.core.secret import Secret
from tokenkeep.demo.store import PENDING_LIMIT


async def test_consent_brings_code_state_and_issuer_back_to_the_client(visitor):
    answer = await visitor.consent()
    assert set(answer) == {"code", "state", "iss"}
    assert answer["state"] == "state-1"
    assert answer["iss"] == ISSUER


async def test_denying_brings_access_denied_with_state_and_issuer(visitor):
    begun = await visitor.authorize()
    await visitor.sign_in(begun)
    answer = returned(await visitor.decide(begun, "deny"))
    assert answer["error"] == "access_denied"
    assert answer["state"] == "state-1"
    assert answer["iss"] == ISSUER
    assert "code" not in answer


async def test_the_pages_name_the_client_the_person_and_the_scopes(visitor):
    begun = await visitor.authorize()
    login = await visitor.browser.get(begun.headers["location"])
    consent = await visitor.sign_in(begun, person="grace")
    for page in (login.text, consent.text):
        assert "Tokenkeep" in page
        assert "nothing here is real" in page
    assert "Compilers &amp; Co" in login.text
    assert "Grace" in consent.text
    for scope in ("profile", "notes.read", "notes.write"):
        assert f'value="{scope}" checked' in consent.text


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "too-short"}, "invalid_request"),
        ({"scope": "notes.burn"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": 'co"de\\'}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
    ],
    ids=str,
)
async def test_a_wrong_request_of_a_certain_client_goes_back_to_it(visitor, change, error):
    answer = returned(await visitor.authorize(**change))
    assert answer["error"] == error
    assert answer["state"] == "state-1"
    assert answer["iss"] == ISSUER


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": CALLBACK + "/"},
        {"redirect_uri": CALLBACK + "?x=1"},
        {"redirect_uri": CALLBACK.upper()},
        {"redirect_uri": '"><script>\\'},
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": "nobody", "response_type": "token"},
        {"redirect_uri": "https://evil.example/", "response_type": "token"},
    ],
    ids=str,
)
async def test_an_uncertain_client_or_redirect_uri_never_gets_the_browser(visitor, change):
    answer = await visitor.authorize(**change)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "<script" not in answer.text


async def test_a_repeated_parameter_is_refused(visitor):
    answer = await visitor.browser.get(
        f"/demo/authorize?response_type=code&client_id=a&client_id=b&redirect_uri={CALLBACK}"
    )
    assert answer.status_code == 400


async def test_unticked_scopes_are_not_granted_and_the_profile_always_is(visitor):
    tokens = await visitor.connected("notes.read")
    assert tokens["scope"] == "profile notes.read"


async def test_scopes_that_were_not_asked_for_cannot_be_ticked(visitor):
    answer = await visitor.consent("notes.read", "notes.write", scope="profile notes.read")
    assert (await visitor.exchange(answer["code"])).json()["scope"] == "profile notes.read"


async def test_allowing_nothing_asks_again_and_keeps_the_request(visitor):
    begun = await visitor.authorize(scope="notes.read")
    await visitor.sign_in(begun)
    again = await visitor.decide(begun, "allow")
    assert again.status_code == 400
    assert "Tick at least one" in again.text
    assert "code" in returned(await visitor.decide(begun, "allow", "notes.read"))


async def test_any_name_is_an_account_of_its_own(visitor):
    begun = await visitor.authorize()
    consent = await visitor.sign_in(begun, name="  Barbara   Liskov ")
    assert "Barbara Liskov" in consent.text
    code = returned(await visitor.decide(begun, "allow"))["code"]
    who = (await visitor.me((await visitor.exchange(code)).json()["access_token"])).json()
    assert who["id"].startswith("guest-")
    assert who["name"] == "Barbara Liskov"


@pytest.mark.parametrize("fields", [{"name": "   "}, {"person": "nobody"}, {"name": "\x00"}], ids=str)
async def test_nobody_cannot_sign_in(visitor, fields):
    answer = await visitor.sign_in(await visitor.authorize(), **fields)
    assert answer.status_code == 400
    assert "type a name" in answer.text


async def test_a_decision_is_taken_once(visitor):
    begun = await visitor.authorize()
    await visitor.sign_in(begun)
    await visitor.decide(begun, "allow", "notes.read")
    assert (await visitor.decide(begun, "allow", "notes.read")).status_code == 410


async def test_a_decision_needs_a_person(visitor):
    begun = await visitor.authorize()
    answer = await visitor.decide(begun, "allow", "notes.read")
    assert answer.headers["location"].startswith("/demo/login?")


async def test_another_browser_cannot_continue_a_request(visitor):
    begun = await visitor.authorize()
    await visitor.sign_in(begun)
    async with visitor.client() as other:
        for cookie in ({}, {"tokenkeep_demo": "forged"}):
            other.cookies.update(cookie)
            page = await other.get("/demo/consent", params={"request": request_id(begun)})
            answer = await other.post("/demo/consent", data={"request": request_id(begun), "decision": "allow"})
            assert (page.status_code, answer.status_code) == (410, 410)


async def test_a_request_waits_ten_minutes_and_no_longer(visitor):
    begun = await visitor.authorize()
    visitor.clock.pass_seconds(599)
    assert (await visitor.browser.get(begun.headers["location"])).status_code == 200
    visitor.clock.pass_seconds(1)
    assert (await visitor.browser.get(begun.headers["location"])).status_code == 410


async def test_the_cookie_stays_with_the_demo_provider(visitor):
    cookie = (await visitor.authorize()).headers["set-cookie"].lower()
    assert "path=/demo;" in cookie
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


async def test_what_others_wrote_is_escaped(visitor):
    hostile = '"><script>alert(1)</script>'
    visitor.provider.ensure_client("hostile", Secret("another"), redirect_uri=CALLBACK, name=hostile)
    begun = await visitor.authorize(client_id="hostile", state=hostile)
    login = await visitor.browser.get(begun.headers["location"])
    consent = await visitor.sign_in(begun, name=hostile)
    answer = await visitor.decide(begun, "allow", "notes.read")
    assert "&lt;script&gt;" in login.text
    assert "&lt;script&gt;" in consent.text
    assert "<script" not in login.text + consent.text
    assert "<" not in answer.headers["location"]
    assert returned(answer)["state"] == hostile


async def test_the_person_sees_the_grant_and_revokes_it(visitor):
    tokens = await visitor.connected("notes.read")
    page = (await visitor.browser.get("/demo/")).text
    assert "Analytical Engines" in page
    assert "notes.read" in page
    form = {"grant": hidden(page, "grant"), "seal": hidden(page, "seal")}
    assert (await visitor.browser.post("/demo/grants/revoke", data=form)).headers["location"] == "/demo/?revoked=1"
    assert (await visitor.me(tokens["access_token"])).status_code == 401
    assert (await visitor.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert "No application has access" in (await visitor.browser.get("/demo/?revoked=1")).text


async def test_another_site_cannot_press_revoke(visitor):
    tokens = await visitor.connected()
    page = (await visitor.browser.get("/demo/")).text
    async with visitor.client() as other:
        for fields in ({"seal": hidden(page, "seal")}, {}):
            answer = await other.post("/demo/grants/revoke", data={"grant": hidden(page, "grant"), **fields})
            assert answer.status_code == 403
    without_seal = await visitor.browser.post("/demo/grants/revoke", data={"grant": hidden(page, "grant")})
    assert without_seal.status_code == 403
    assert (await visitor.me(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/demo/", "/demo/authorize", "/demo/login", "/demo/me", "/demo/static/demo.css", "/demo/nothing",
     "/demo/.well-known/oauth-authorization-server"],
)  # fmt: skip
async def test_every_answer_carries_the_guarding_headers(visitor: Visitor, path):
    headers = (await visitor.browser.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


async def test_only_the_consent_page_may_lead_elsewhere(visitor):
    begun = await visitor.authorize()
    login = await visitor.browser.get(begun.headers["location"])
    consent = await visitor.sign_in(begun)
    assert login.headers["content-security-policy"].endswith("form-action 'self'")
    assert consent.headers["content-security-policy"].endswith("form-action 'self' http: https:")
    assert ORIGIN not in consent.headers["content-security-policy"]


async def test_its_own_failure_carries_the_guarding_headers_too(visitor):
    visitor.provider.close()
    transport = httpx2.ASGITransport(app=visitor.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as other:
        answer = await other.get("/demo/")
    assert answer.status_code == 500
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_begun_requests_do_not_pile_up(visitor):
    oldest = await visitor.authorize()
    for _ in range(PENDING_LIMIT):
        newest = await visitor.authorize()
    assert (await visitor.browser.get(oldest.headers["location"])).status_code == 410
    assert (await visitor.browser.get(newest.headers["location"])).status_code == 200
