"""The browser's way through a connection: looking costs nothing, the callback leaves no trace, failures in our words."""

import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from tests.kit import builders as a
from tests.web.page_world import COOKIE, LINK, OAUTH, ORIGIN, World, view
from tokenkeep.core.errors import (
    BrowserMismatch,
    ConnectFailed,
    ConsentDenied,
    IssuerMismatch,
    ProviderRefused,
    StateInvalid,
    Throttled,
)
from tokenkeep.core.model import SessionState
from tokenkeep.web.connect_pages import returning
from tokenkeep.web.words import CONNECT_PROBLEMS

HOSTILE = "<script>alert(1)</script>"
CALLBACK = "/oauth/callback/client-1"


@pytest.fixture
def world():
    made = World()
    made.credentials.views = [view()]
    return made


def browser(world, *, signed_in=True, **changes):
    origin = changes.get("public_url", ORIGIN)
    client = TestClient(world.app(**changes), base_url=origin, follow_redirects=False, headers={"Origin": origin})
    if signed_in:
        client.cookies.set("tokenkeep-session", COOKIE)
    return client


def test_looking_at_a_link_begins_nothing(world):
    client = browser(world, signed_in=False)
    for headers in ({}, {"Sec-Purpose": "prefetch;prerender"}, {"User-Agent": "mail scanner"}):
        assert client.get(f"/connect/{LINK}", headers=headers).status_code == 200
        assert client.head(f"/connect/{LINK}", headers=headers).status_code == 200
    assert world.connect.begun == 0
    assert "set-cookie" not in client.get(f"/connect/{LINK}").headers


def test_the_page_names_who_receives_what(world):
    page = browser(world).get(f"/connect/{LINK}").text
    for said in ("Home", "Acme", "<code>read</code>", "<code>write</code>", "Ada", "tokenkeep.example"):
        assert said in page


def test_a_persons_link_asks_a_stranger_to_sign_in_and_a_programs_does_not(world):
    page = browser(world, signed_in=False).get(f"/connect/{LINK}").text
    assert f"/login?next=/connect/{LINK}" in page
    assert '<form method="post">' not in page
    world.connect.session = a.connect_session(minted_by="key/key-1")
    assert '<form method="post">' in browser(world, signed_in=False).get(f"/connect/{LINK}").text


def test_the_button_leads_to_the_provider_and_binds_the_browser(world):
    answer = browser(world).post(f"/connect/{LINK}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "https://acme.example/authorize?state=s"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("tokenkeep-connect-abc=nonce-value;")
    for part in ("HttpOnly", "SameSite=lax", "Max-Age=600", "Path=/"):
        assert part in cookie


def test_over_https_cookies_are_pinned_and_only_pinned_ones_count(world):
    client = browser(world, public_url="https://tokenkeep.example")
    assert client.post(f"/connect/{LINK}").headers["set-cookie"].startswith("__Host-tokenkeep-connect-abc=")
    client.cookies.set("tokenkeep-connect-evil", "planted by a neighbour")
    client.get(f"{CALLBACK}?state=s&code=c")
    assert world.connect.completed[0]["cookies"] == {"tokenkeep-connect-abc": "nonce-value"}


@pytest.mark.parametrize(
    ("changes", "session", "allowed"),
    [
        ({}, {}, "'self' https:"),
        ({}, {"return_url": "http://127.0.0.1:3000/done"}, "'self' https: http://127.0.0.1:3000"),
        ({}, {"return_url": "https://flows.example/done"}, "'self' https:"),
    ],
)
def test_the_form_may_lead_where_the_redirects_go(world, changes, session, allowed):
    world.connect.session = a.connect_session(**session)
    policy = browser(world, **changes).get(f"/connect/{LINK}").headers["content-security-policy"]
    assert f"form-action {allowed};" in policy


@pytest.mark.parametrize("opener", ["", ORIGIN, "https://flows.example"])
def test_a_window_keeps_the_tie_to_the_page_that_waits_for_it_all_the_way(world, opener):
    world.connect.session = a.connect_session(opener_origin=opener)
    client = browser(world)
    way = [client.get(f"/connect/{LINK}"), client.post(f"/connect/{LINK}"), client.get(f"{CALLBACK}?state=s&code=c")]
    way.append(client.get("/connect-result/session-1"))
    policies = {answer.headers["cross-origin-opener-policy"] for answer in way}
    assert ("unsafe-none" in policies) == bool(opener)
    assert not opener or len(policies) == 1


@pytest.mark.parametrize(
    ("state", "said", "status"),
    [
        (SessionState.CONNECTED, "Connected already", 410),
        (SessionState.EXPIRED, "This link has expired", 410),
        (SessionState.AWAITING_CONFIRMATION, "Waiting for confirmation", 410),
        (SessionState.FAILED, "Last time", 200),
    ],
)
def test_a_link_that_is_over_says_what_happened(world, state, said, status):
    world.connect.session = a.connect_session(state=state, problem_code="consent_denied" if status == 200 else "")
    page = browser(world).get(f"/connect/{LINK}")
    assert page.status_code == status
    assert said in page.text


def test_a_provider_without_a_client_offers_no_button(world):
    world.connect.ready = False
    page = browser(world).get(f"/connect/{LINK}").text
    assert "not set up yet" in page
    assert '<form method="post">' not in page


def test_the_callback_leads_to_a_clean_page_that_names_the_account(world):
    client = browser(world)
    client.cookies.set("tokenkeep-connect-abc", "nonce-value")
    answer = client.get(f"{CALLBACK}?state=STATE-1&code=CODE-1&iss=x")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/connect-result/session-1"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert any("tokenkeep-connect-abc=" in one and "Max-Age=0" in one for one in answer.headers.get_list("set-cookie"))
    assert world.connect.completed[0]["query"] == {"state": "STATE-1", "code": "CODE-1", "iss": "x"}
    page = client.get("/connect-result/session-1").text
    assert "Acme is connected" in page
    assert "ada@acme.example" in page
    assert "STATE-1" not in page
    assert "CODE-1" not in page


def test_a_stranger_sees_the_result_but_no_account(world):
    client = browser(world, signed_in=False)
    client.get(f"{CALLBACK}?state=s&code=c")
    page = client.get("/connect-result/session-1").text
    assert "Acme is connected" in page
    assert "ada@" not in page
    assert "/credentials/" not in page


def test_the_result_is_shown_to_the_browser_that_made_it_only(world):
    browser(world).get(f"{CALLBACK}?state=s&code=c")
    assert browser(world).get("/connect-result/session-1").status_code == 404
    client = browser(world)
    client.get(f"{CALLBACK}?state=s&code=c")
    assert client.get("/connect-result/another").status_code == 404


@pytest.mark.parametrize(
    "text", ["", "!", "bm9uc2Vuc2U=", "W10=", "e30=", "eyJzdGF0ZSI6ICJkb25lIn0=", "eyJzdGF0ZSI6IDF9", "ü"]
)
def test_a_result_cookie_that_is_not_ours_shows_nothing(world, text):
    page = browser(world).get("/connect-result", headers={"Cookie": f"tokenkeep-result={text}".encode()})
    assert page.status_code == 404


def test_a_parameter_given_twice_is_nobodys_answer(world):
    browser(world).get(f"{CALLBACK}?state=a&state=b&code=c")
    assert world.connect.completed[0]["query"] == {}


def test_with_a_return_address_the_browser_goes_back_with_the_documented_parameters(world):
    world.connect.session = a.connect_session(return_url="https://flows.example/done?tab=2")
    world.connect.outcome = {"code": "CONFIRM-1"}
    target = browser(world).get(f"{CALLBACK}?state=s&code=c").headers["location"]
    assert target == "https://flows.example/done?tab=2&connect_session=session-1&state=connected&code=CONFIRM-1"


def test_a_return_address_keeps_its_fragment():
    assert returning("https://a.example/#/x", {"session": "1", "state": "failed"}) == (
        "https://a.example/?connect_session=1&state=failed#/x"
    )


FAILURES = [
    (StateInvalid(), "This attempt is over"),
    (BrowserMismatch(), "Another browser came back"),
    (IssuerMismatch(), "answer came from somewhere else"),
    (ConsentDenied(), "Access was not granted"),
    (ProviderRefused(), "The provider refused"),
    (ConnectFailed(), "The connection was not made"),
    (Throttled(retry_after=600), "Too many attempts"),
]


@pytest.mark.parametrize(("failure", "said"), FAILURES, ids=lambda one: getattr(one, "code", ""))
@pytest.mark.parametrize("known", [True, False], ids=["session known", "session unknown"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_failures_are_told_in_our_words_with_a_way_on(world, failure, said, known, signed_in):
    failure.session = a.connect_session(state=SessionState.FAILED) if known else None
    failure.cookie = "tokenkeep-connect-abc" if known else ""
    world.connect.fails = failure
    client = browser(world, signed_in=signed_in)
    query = (
        f"?state=s&error=access_denied&error_description={HOSTILE}&error_uri=https://evil.example&{HOSTILE}={HOSTILE}"
    )
    answer = client.get(CALLBACK + query)
    assert answer.status_code == 303
    assert answer.headers["location"] == ("/connect-result/session-1" if known else "/connect-result")
    page = client.get(answer.headers["location"])
    assert said in page.text
    assert "alert(1)" not in page.text
    assert "evil.example" not in page.text
    ways = {(True, True): f"/new/{OAUTH.name}", (True, False): 'href="/credentials"'}
    assert ways.get((signed_in, known), "ask for a new one") in page.text


def test_a_failed_reconnect_offers_a_fresh_link_for_the_same_credential(world):
    failure = ConsentDenied()
    failure.session = a.connect_session(state=SessionState.FAILED, credential_id="credential-1")
    failure.cookie = ""
    world.connect.fails = failure
    client = browser(world)
    client.get(f"{CALLBACK}?state=s")
    assert 'action="/credentials/credential-1/reconnect"' in client.get("/connect-result/session-1").text


def test_a_failure_with_a_return_address_goes_back_too(world):
    failure = ConsentDenied()
    failure.session = a.connect_session(state=SessionState.FAILED, return_url="https://flows.example/done")
    failure.cookie = ""
    world.connect.fails = failure
    target = browser(world).get(f"{CALLBACK}?state=s&error=access_denied").headers["location"]
    assert target == "https://flows.example/done?connect_session=session-1&state=failed"


@pytest.mark.parametrize(
    ("opener", "told"),
    [
        (ORIGIN, ORIGIN),
        ("https://flows.example", "https://flows.example"),
        ("https://evil.example", ""),
        ("*", ""),
        ("", ""),
    ],
)
def test_the_message_goes_to_an_exact_origin_that_is_allowed_or_nowhere(world, opener, told):
    world.connect.session = a.connect_session(opener_origin=opener)
    client = browser(world)
    client.get(f"{CALLBACK}?state=s&code=c")
    page = client.get("/connect-result/session-1").text
    found = re.search(r'data-origin="([^"]*)"', page)
    assert (found.group(1) if found else "") == told
    assert ("popup.js" in page) == bool(told)


def test_a_confirmation_code_is_shown_to_the_one_who_gave_access(world):
    session = a.connect_session(state=SessionState.AWAITING_CONFIRMATION)
    world.connect.outcome = {"session": session, "code": "CONFIRM-1", "credential_id": ""}
    client = browser(world, signed_in=False)
    client.get(f"{CALLBACK}?state=s&code=c")
    assert "CONFIRM-1" in client.get("/connect-result/session-1").text


def test_every_connect_failure_has_words():
    codes = {one.code for one in (StateInvalid, BrowserMismatch, IssuerMismatch, ConsentDenied, ProviderRefused)}
    assert codes < set(CONNECT_PROBLEMS)
    assert all(all(problem) for problem in CONNECT_PROBLEMS.values())


def test_the_demo_providers_loopback_address_is_allowed_in_demo_only(world):
    provider = replace(world.catalog.held[0], authorization_endpoint="http://127.0.0.1:8420/demo/authorize")
    asked = world.connect.open

    async def opened(secret):
        return replace(await asked(secret), provider=provider)

    world.connect.open = opened
    for demo in (True, False):
        policy = browser(world, demo=demo).get(f"/connect/{LINK}").headers["content-security-policy"]
        assert ("http://127.0.0.1:8420" in policy) == demo
